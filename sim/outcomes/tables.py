"""Measured outcomes: tables of question, context, strategy, correct and tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from router.splits import is_held_out
from sim.errors import Fault, FaultsError, InputError
from sim.outcomes.asked import Asked
from sim.outcomes.luck import QUESTION, mixed, uniforms
from sim.scenario import HeldOut
from sim.workload.blocks import NOTHING, Floats, Integers

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OutcomeTable", "OutcomeTableError", "mark_of", "read_outcomes", "read_rows", "texts_in"]

_NEEDED = ("question", "strategy", "correct", "tokens")
_CORRECT = "correct the row, or leave it out"
_EFFORTS = ("low", "medium", "high")
_FLAGS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


class OutcomeTableError(FaultsError):
    """The faults of a table of outcomes."""


@dataclass(frozen=True)
class OutcomeTable:
    """Outcomes by strategy, [2, questions]: without preparation and, where that was measured, on a prepared context."""

    correct: Mapping[str, Floats]
    """Share of the trials that were right."""
    tokens: Mapping[str, Floats]
    """Mean output tokens."""
    first: Integers
    """First question of each context, [contexts + 1]; questions stand in the order of their contexts."""
    by_id: Mapping[int, int] = field(repr=False)
    """Place of the questions that are numbers."""
    has_prepared: bool
    questions: tuple[str, ...] = field(default=(), repr=False)
    """Names of the questions, in their order."""
    notes_tokens: float | None = None
    """Mean output tokens that preparing a context took; None where the table does not say."""
    drawn_from: Integers | None = field(default=None, repr=False)
    """Place of each question in the table that this one was drawn from, [questions]; None for a table as measured."""

    def drawn(self, contexts: Integers) -> OutcomeTable:
        """The table that has these of its contexts, some of them more than once and others not at all."""
        sizes = np.diff(self.first)[contexts]
        first = np.append(0, np.cumsum(sizes))
        rows = np.arange(first[-1]) + np.repeat(self.first[contexts] - first[:-1], sizes)
        place = {old: new for new, old in reversed(list(enumerate(rows.tolist())))}
        return replace(
            self,
            correct={name: values[:, rows] for name, values in self.correct.items()},
            tokens={name: values[:, rows] for name, values in self.tokens.items()},
            first=first,
            by_id={name: place[old] for name, old in self.by_id.items() if old in place},
            questions=tuple(self.questions[row] for row in rows) if self.questions else (),
            drawn_from=rows if self.drawn_from is None else self.drawn_from[rows],
        )

    def questions_of(self, asked: Asked) -> Integers:
        """Place of the question of each request, [n].

        A trace's question that the table knows by its number is that one. Other requests draw one, those on a context
        among the questions of one context of the table.
        """
        owner = np.where(asked.context_id == NOTHING, asked.identity, mixed(asked.luck.word, asked.context_id))
        context = self._drawn_context(owner)
        on_context = asked.context_id != NOTHING
        low = np.where(on_context, self.first[context], 0)
        high = np.where(on_context, self.first[context + 1], self.first[-1])
        drawn: Integers = low + (asked.own_rank * (high - low)).astype(np.int64)
        if not np.any(asked.question_id != NOTHING):
            return drawn
        known = np.array([self.by_id.get(number, NOTHING) for number in asked.question_id.tolist()])
        return np.where(known == NOTHING, drawn, known)

    def contexts_of(self, word: int, context_id: Integers) -> Integers:
        """Place of the context of the table that these contexts ask about, [n]; `word` is that of the questions."""
        return self._drawn_context(mixed(word, context_id))

    def _drawn_context(self, owner: Integers) -> Integers:
        contexts = self.first.size - 1
        return (uniforms(owner, QUESTION, place=1) * contexts).astype(np.int64)


def read_outcomes(path: Path, effort: str = "medium", held_out: HeldOut | None = None) -> OutcomeTable:
    """A table in CSV, JSON lines (either may be gzip) or Parquet.

    Columns are question, strategy, correct (0, 1, or a share) and tokens, and may be context, prepared (0 or 1), and of
    prepared contexts effort (low, medium, high; other efforts than `effort` do not count) and notes_tokens. Rows of the
    same question and strategy are trials, of which the mean counts. Every strategy must hold the same questions. With
    `held_out` only the questions count that a router's training left out.

    Raises:
        InputError: for a file that cannot be read, or lacks columns.
        OutcomeTableError: with every row that is wrong.
    """
    return _read_outcomes(path, effort, held_out, mark_of(path))


def mark_of(path: Path) -> tuple[int, ...]:
    """What tells that a file is still the same: its size and time; nothing where it cannot be found."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=4)
def _read_outcomes(path: Path, effort: str, held_out: HeldOut | None, mark: tuple[int, ...]) -> OutcomeTable:
    """The table of a file with this `mark`: many runs of one program ask the same questions."""
    rows = read_rows(path)
    lacking = [name for name in _NEEDED if name not in rows]
    if lacking:
        rule = f"lacks the column {lacking[0]}"
        raise InputError(path.name, rule, f"the file has: {', '.join(map(str, rows.columns))}", where=str(path))
    if rows.empty:
        raise InputError(path.name, "holds no rows", "give a table with rows", where=str(path))
    rows = _of_effort(_checked(rows, path), effort)
    return _table(rows if held_out is None else _held_out(rows, held_out, path), path)


def _held_out(rows: pd.DataFrame, held_out: HeldOut, path: Path) -> pd.DataFrame:
    owner = rows["context"].where(rows["context"] != "", rows["question"])
    names = sorted(set(owner))
    kept = np.array(names)[is_held_out(names, held_out.share, held_out.seed)]
    if not kept.size:
        rule = f"holds out none of the {len(names)} contexts of {path.name}"
        raise InputError(f"held_out.share={held_out.share:g}", rule, "raise the share", where=str(path))
    return rows[owner.isin(kept)]


def _of_effort(rows: pd.DataFrame, effort: str) -> pd.DataFrame:
    """Without what was measured on contexts prepared with another effort."""
    return rows[(rows["prepared"] == 0.0) | rows["effort"].isin(["", effort])]


def read_rows(path: Path) -> pd.DataFrame:
    """The rows as texts and numbers, their index the line of the file, or the number of the row in Parquet."""
    import pandas as pd

    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            rows = pd.read_parquet(path)
            rows.index = pd.RangeIndex(1, len(rows) + 1)
        elif name.endswith((".jsonl", ".ndjson")):
            rows = pd.read_json(path, lines=True, dtype=False)
            rows.index = pd.RangeIndex(1, len(rows) + 1)
        else:
            rows = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
            rows.index = pd.RangeIndex(2, len(rows) + 2)
            rows = rows[~(rows == "").all(axis=1)]
    except (OSError, ValueError) as error:
        told = " ".join(str(error).split())
        raise InputError(path.name, f"cannot be read: {told}", "give CSV, JSON lines or Parquet") from None
    return rows.rename(columns=lambda column: str(column).strip().casefold())


def _checked(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    import pandas as pd

    faults: list[tuple[int, Fault]] = []

    def check(column: str, bad: pd.Series, rule: str) -> None:
        for line in rows.index[bad]:
            place = f"{path}:{line}"
            faults.append((int(line), Fault(place, column, rows.at[line, column], rule, _CORRECT)))

    clean = pd.DataFrame(index=rows.index)
    for column in ("question", "strategy"):
        clean[column] = texts_in(rows[column])
        check(column, clean[column] == "", "is empty")
    clean["context"] = texts_in(rows["context"]) if "context" in rows else ""
    clean["correct"] = _numbers(rows["correct"])
    check("correct", ~clean["correct"].between(0.0, 1.0), "must be 0, 1 or a share between")
    clean["tokens"] = _numbers(rows["tokens"])
    check("tokens", ~(clean["tokens"].ge(1.0) & np.isfinite(clean["tokens"])), "must be at least 1")
    clean["prepared"] = _numbers(rows["prepared"]) if "prepared" in rows else 0.0
    if "prepared" in rows:
        check("prepared", ~clean["prepared"].isin([0.0, 1.0]), "must be 0 or 1")
    clean["effort"] = texts_in(rows["effort"]).str.casefold() if "effort" in rows else ""
    check("effort", ~clean["effort"].isin(["", *_EFFORTS]), "must be low, medium, high or empty")
    clean["notes_tokens"] = _numbers(rows["notes_tokens"]) if "notes_tokens" in rows else np.nan
    if faults:
        raise OutcomeTableError([fault for _, fault in sorted(faults, key=lambda found: found[0])])
    return clean


def texts_in(column: pd.Series) -> pd.Series:
    """A column as texts without blanks around; empty where there is nothing."""
    import pandas as pd

    if pd.api.types.is_integer_dtype(column):
        return column.astype(str)
    try:
        # A text that comes in many rows is looked at once.
        place, different = pd.factorize(column)
    except TypeError:
        return column.map(_text)
    texts = np.array([*map(_text, different), ""], dtype=object)
    return pd.Series(texts[place], index=column.index)


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value).strip()


def _numbers(column: pd.Series) -> pd.Series:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return column.astype(np.float64)
    plain = column.map(lambda value: _FLAGS.get(str(value).strip().casefold(), value))
    return pd.to_numeric(plain, errors="coerce").astype(np.float64)


def _table(rows: pd.DataFrame, path: Path) -> OutcomeTable:
    questions = rows.groupby("question", sort=True)["context"].first().sort_values(kind="stable")
    _check_contexts(rows, path)
    means = rows.groupby(["strategy", "prepared", "question"])[["correct", "tokens"]].mean()
    correct, tokens = {}, {}
    for strategy in sorted(set(rows["strategy"])):
        bare = _column(means, strategy, questions.index, path)
        prepared = _prepared(means, strategy, questions.index, bare)
        correct[strategy] = np.stack([bare["correct"], prepared["correct"]])
        tokens[strategy] = np.stack([bare["tokens"], prepared["tokens"]])
    _, first = np.unique(questions.to_numpy(str), return_index=True)
    places = {int(name): place for place, name in enumerate(questions.index) if str(name).isdecimal()}
    prepared_rows = rows[rows["prepared"] == 1.0]
    return OutcomeTable(
        correct,
        tokens,
        np.append(first, len(questions)).astype(np.int64),
        places,
        has_prepared=not prepared_rows.empty,
        questions=tuple(map(str, questions.index)),
        notes_tokens=_notes_tokens(prepared_rows),
    )


def _notes_tokens(prepared: pd.DataFrame) -> float | None:
    """Mean over contexts, and questions without one."""
    known = prepared[prepared["notes_tokens"] > 0.0]
    owner = known["context"].where(known["context"] != "", known["question"])
    mean = known.groupby(owner)["notes_tokens"].first().mean()
    return None if math.isnan(mean) else float(mean)


def _check_contexts(rows: pd.DataFrame, path: Path) -> None:
    several = rows.groupby("question")["context"].nunique()
    strays = several.index[several > 1]
    if len(strays):
        raise InputError(strays[0], "is a question of several contexts", "give each its own name", where=str(path))


def _column(means: pd.DataFrame, strategy: str, questions: pd.Index[str], path: Path) -> pd.DataFrame:
    """Outcomes of all questions without preparation."""
    import pandas as pd

    found = means.xs(strategy)
    assert isinstance(found, pd.DataFrame)
    bare = found.xs(0.0) if 0.0 in found.index.get_level_values(0) else found.iloc[:0].droplevel(0)
    lacking = questions.difference(bare.index)
    if len(lacking):
        rule = f"lacks {len(lacking)} of {len(questions)} questions, such as {lacking[0]}"
        remedy = "measure every strategy on the same questions, or leave out the others"
        raise InputError(f"strategy '{strategy}'", rule, remedy, where=str(path))
    assert isinstance(bare, pd.DataFrame)
    return bare.reindex(questions)


def _prepared(means: pd.DataFrame, strategy: str, questions: pd.Index[str], bare: pd.DataFrame) -> pd.DataFrame:
    """The same on prepared contexts, as far as that was measured."""
    import pandas as pd

    found = means.xs(strategy)
    if 1.0 not in found.index.get_level_values(0):
        return bare
    prepared = found.xs(1.0)
    assert isinstance(prepared, pd.DataFrame)
    return prepared.reindex(questions).fillna(bare)
