"""Files of outcomes as rows of question, strategy, correct and tokens, whatever their columns are called.

A mapping names, for what this package calls a column, the file's own one: `text=prompt,small:correct=right_8b`. Names
on the left are question, context, group, text, strategy, correct, tokens, prepared, effort; and STRATEGY:correct,
STRATEGY:tokens, STRATEGY:chars for files with a column a strategy (characters count as a quarter of a token).
`text=question+options` puts a list of options below the question, one a line, lettered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from router.errors import RouterError
from router.features.spec import shown

__all__ = ["CHARS_PER_TOKEN", "OURS", "long_rows", "parse_map", "read_table", "sha256_of"]

OURS = ("question", "context", "group", "text", "strategy", "correct", "tokens", "prepared", "effort")
"""What a mapping may name, besides columns of single strategies."""

CHARS_PER_TOKEN = 4.0
"""Characters that count as a token where only characters are known."""

_PARTS = ("correct", "tokens", "chars")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def parse_map(text: str) -> dict[str, str]:
    """Our names and the file's, from OURS=THEIRS between commas.

    >>> parse_map("text=prompt, small:correct=right")
    {'text': 'prompt', 'small:correct': 'right'}

    Raises:
        RouterError: for what is no pair, for names that are not ours, and for one given twice.
    """
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        ours, equals, theirs = (part.strip() for part in pair.partition("="))
        if not (ours and equals and theirs):
            raise RouterError(pair, "is no pair of names", "write OURS=THEIRS, such as text=prompt", "--map")
        if ours not in OURS and _part_of(ours) is None:
            known = f"use one of {', '.join(OURS)}, or STRATEGY:correct, STRATEGY:tokens, STRATEGY:chars"
            raise RouterError(ours, "is no column that outcomes have", known, "--map")
        if ours in found:
            raise RouterError(ours, f"is named twice, as {found[ours]} and as {theirs}", "name it once", "--map")
        found[ours] = theirs
    return found


def read_table(path: Path) -> pd.DataFrame:
    """The rows of a file in CSV, JSON lines (either may be gzip) or Parquet; the index is the line, or Parquet's row.

    Raises:
        RouterError: for a file that cannot be read, has no rows, or a column twice.
    """
    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            rows = pd.read_parquet(path)
            rows.index = pd.RangeIndex(1, len(rows) + 1)
        elif name.endswith((".jsonl", ".ndjson")):
            rows = pd.read_json(path, lines=True, dtype=False)
            rows.index = pd.RangeIndex(1, len(rows) + 1)
        else:
            rows = _csv(path)
    except (OSError, ValueError) as error:
        told = " ".join(str(error).split())
        raise RouterError(path.name, f"cannot be read ({told})", "give CSV, JSON lines or Parquet", str(path)) from None
    if rows.empty:
        raise RouterError(path.name, "holds no rows", "give a file with rows", str(path))
    return rows.rename(columns=lambda column: str(column).strip())


def _csv(path: Path) -> pd.DataFrame:
    head = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0].str.strip()
    twice = head[head.duplicated()]
    if len(twice):
        raise RouterError(twice.iloc[0], "is the name of two columns", "rename or drop one of them", str(path))
    rows = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
    rows.index = pd.RangeIndex(2, len(rows) + 2)
    return rows[~(rows == "").all(axis=1)]


def sha256_of(paths: Iterable[Path]) -> str:
    """One hash of the bytes of all files, in their order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def long_rows(rows: pd.DataFrame, names: Mapping[str, str], path: Path) -> pd.DataFrame:
    """The rows under our names, one for each question and strategy; the file's other columns stay as they are.

    Files with a column a strategy (NAME:correct) become long: an outcome that is blank there is left out.

    Raises:
        RouterError: for columns that a mapping names and the file lacks, and for a file without outcomes.
    """
    renamed = _renamed(rows, names, path)
    wide = {column: _part_of(column) for column in renamed.columns}
    strategies = list(dict.fromkeys(part[0] for part in wide.values() if part is not None and part[1] == "correct"))
    if strategies and "strategy" in renamed:
        remedy = "name one layout by --map"
        raise RouterError("strategy", f"is a column, and so is {strategies[0]}:correct", remedy, str(path))
    if strategies:
        return _melted(renamed, strategies, [column for column, part in wide.items() if part is None])
    for needed in ("question", "strategy", "correct", "tokens"):
        if needed not in renamed:
            remedy = f"name it by --map {needed}=COLUMN; the file has {', '.join(map(str, rows.columns))}"
            raise RouterError(path.name, f"has no column {needed}", remedy, str(path))
    return renamed


def _renamed(rows: pd.DataFrame, names: Mapping[str, str], path: Path) -> pd.DataFrame:
    taken = {part for theirs in names.values() for part in ([theirs] if theirs in rows else theirs.split("+"))}
    made = rows.drop(columns=[column for column in rows.columns if column in taken])
    for ours, theirs in names.items():
        parts = theirs.split("+") if theirs not in rows else [theirs]
        for part in parts:
            if part not in rows:
                remedy = f"the file has {', '.join(map(str, rows.columns))}"
                raise RouterError(
                    part, f"is no column of {path.name}, but --map takes it for {ours}", remedy, str(path)
                )
        made[ours] = rows[parts[0]] if len(parts) == 1 else _with_options(rows, parts)
    return made


def _with_options(rows: pd.DataFrame, parts: list[str]) -> pd.Series[str]:
    """Texts one below the other; lists as lettered lines."""
    whole = [_lines(value) for value in rows[parts[0]]]
    for part in parts[1:]:
        whole = [f"{first}\n{_lines(value)}" for first, value in zip(whole, rows[part], strict=True)]
    return pd.Series(whole, rows.index)


def _lines(value: Any) -> str:
    if isinstance(value, (list, tuple, np.ndarray)):
        return "\n".join(f"{_LETTERS[place % 26]}. {text}" for place, text in enumerate(value))
    return str(value)


def _part_of(column: str) -> tuple[str, str] | None:
    """Strategy and what of it a column holds; None where it is none of a strategy."""
    name, colon, part = str(column).rpartition(":")
    return (name, part) if colon and name and part in _PARTS else None


def _melted(rows: pd.DataFrame, strategies: list[str], kept: list[str]) -> pd.DataFrame:
    shared = rows[kept].copy()
    if "question" not in shared:
        shared["question"] = [str(place) for place in range(len(shared))]
    pieces = []
    for strategy in strategies:
        piece = shared.copy()
        piece["strategy"] = strategy
        piece["correct"] = rows[f"{strategy}:correct"]
        if f"{strategy}:tokens" in rows:
            piece["tokens"] = rows[f"{strategy}:tokens"]
        elif f"{strategy}:chars" in rows:
            piece["tokens"] = numbers(rows[f"{strategy}:chars"]) / CHARS_PER_TOKEN
        pieces.append(piece[~blank(piece["correct"])])
    return pd.concat(pieces)


def blank(column: pd.Series[Any]) -> pd.Series[bool]:
    """Where nothing is given."""
    return column.isna() | (column.astype(str).str.strip() == "")


def numbers(column: pd.Series[Any]) -> pd.Series[float]:
    """The column as numbers; yes, no, true and false as 1 and 0, NaN where it is none of these."""
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        return column.astype(np.float64)
    flags = {"true": "1", "yes": "1", "false": "0", "no": "0"}
    texts = column.astype(str).str.strip()
    return pd.to_numeric(texts.str.casefold().map(lambda word: flags.get(word, word)), errors="coerce").astype(
        np.float64
    )


def texts(column: pd.Series[Any]) -> pd.Series[str]:
    """The column as texts without blanks around them; nothing given is the empty text."""
    if pd.api.types.is_integer_dtype(column):
        return column.astype(str)
    return column.map(lambda value: "" if value is None or value != value else _whole(value).strip())


def _whole(value: Any) -> str:
    return shown(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
