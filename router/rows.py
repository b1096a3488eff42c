"""Outcomes in files, checked row by row, as the labels that a router learns from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from router.errors import RouterError
from router.labels import Branch, Floats, Labels
from router.tables import blank, long_rows, numbers, read_table, sha256_of, texts

__all__ = ["SIGNALS", "Branch", "Labels", "read_labels"]

SIGNALS = ("confidence", "agreement")
"""Columns that are known only after a strategy has answered once; `confidence:direct` is that of direct."""

_TRUTHS = frozenset(["correct", "tokens", "answer", "predictable", "steps", "trial", "path_tokens", "prompt_tokens"])
"""Columns that no router can see, asked for or not."""

_NOT_ASKED = frozenset(
    {"question", "context", "group", "strategy", "prepared", "effort", "text", "temperature", "notes_tokens"}
    | {"question_words", "question_logprob", "question_logprob_noted", "verifier_auc", "split", "seed"}
)
"""Columns that are no features unless they are asked for by name."""

_EFFORTS = ("low", "medium", "high")


def read_labels(
    path: Path,
    *,
    names: Mapping[str, str] | None = None,
    texts_path: Path | None = None,
    group: str | None = None,
    features: Sequence[str] = ("auto",),
    signals: Sequence[str] = (),
    strategies: Sequence[str] | None = None,
    effort: str = "medium",
) -> Labels:
    """The outcomes in a file of CSV, JSON lines or Parquet.

    `names` maps our columns to the file's (`router.tables`); `texts_path` is a file that holds texts and further
    columns by question; `group` is the column whose values are never on both sides of a split. `features` names numeric
    columns, or "auto": none where there is a text, else all that are the same in all rows of a question, but for those
    that a router cannot see, or should not rely on. `signals` such as confidence:direct become features, those of the
    named strategy's first answer without preparation. Of prepared contexts only the rows of `effort` count. Rows of one
    question and strategy are trials.

    Raises:
        RouterError: for the first row or column that breaks a rule, with its place.
    """
    rows = read_table(path)
    if texts_path is not None:
        rows = _joined(rows, read_table(texts_path), dict(names or {}), path, texts_path)
    rows = long_rows(rows, names or {}, path)
    if group is not None and group not in rows:
        group = next((ours for ours, theirs in (names or {}).items() if theirs == group), group)
    if group is not None:
        if group not in rows:
            known = ", ".join(map(str, rows.columns))
            raise RouterError(group, f"is no column of {path.name}", f"give one of {known}", "--group")
        rows["group"] = rows[group]
    rows = _checked(rows, path)
    return _labels(rows, path, texts_path, features, signals, strategies, effort, group)


def _joined(rows: pd.DataFrame, more: pd.DataFrame, names: dict[str, str], path: Path, other: Path) -> pd.DataFrame:
    key = names.get("question", "question")
    for frame, file in ((rows, path), (more, other)):
        if key not in frame:
            raise RouterError(key, f"is no column of {file.name}", "name it by --map question=COLUMN", str(file))
    more = more.assign(**{key: texts(more[key])})
    rows = rows.assign(**{key: texts(rows[key])})
    twice = more[key][more[key].duplicated()]
    if len(twice):
        raise RouterError(twice.iloc[0], "is a question with two texts", "leave one out", f"{other}:{twice.index[0]}")
    lacking = rows[key][~rows[key].isin(more[key])]
    if len(lacking):
        where = f"{path}:{lacking.index[0]}"
        raise RouterError(lacking.iloc[0], f"is a question that {other.name} lacks", "add its text", where)
    shared = [column for column in more.columns if column != key and column not in rows]
    return rows.merge(more[[key, *shared]], on=key, how="left").set_axis(rows.index, axis=0)


def _checked(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    clean = rows.copy()
    has_tokens = "tokens" in rows

    def refuse(column: str, bad: pd.Series[bool], rule: str) -> None:
        if bad.any():
            place = int(np.flatnonzero(bad.to_numpy())[0])
            remedy = "correct the row, or leave it out"
            raise RouterError(rows[column].iloc[place], rule, remedy, f"{path}:{rows.index[place]}  {column}")

    for column in ("question", "strategy"):
        clean[column] = texts(rows[column])
        refuse(column, clean[column] == "", "is empty")
    clean["correct"] = numbers(rows["correct"])
    refuse("correct", ~clean["correct"].between(0.0, 1.0), "must be 0, 1 or a share between")
    clean["tokens"] = numbers(rows["tokens"]) if has_tokens else np.nan
    if has_tokens:
        refuse("tokens", ~(clean["tokens"].gt(0.0) & np.isfinite(clean["tokens"])), "must be a number above 0")
    clean["prepared"] = numbers(rows["prepared"]) if "prepared" in rows else 0.0
    if "prepared" in rows:
        refuse("prepared", ~clean["prepared"].isin([0.0, 1.0]), "must be 0 or 1")
    clean["effort"] = texts(rows["effort"]).str.casefold() if "effort" in rows else ""
    if "effort" in rows:
        refuse("effort", ~clean["effort"].isin(["", *_EFFORTS]), "must be low, medium, high or empty")
    return clean


def _labels(
    rows: pd.DataFrame,
    path: Path,
    texts_path: Path | None,
    features: Sequence[str],
    signals: Sequence[str],
    wanted: Sequence[str] | None,
    effort: str,
    group: str | None,
) -> Labels:
    if effort not in _EFFORTS:
        raise RouterError(effort, "is no effort", "give low, medium or high", "--effort")
    code, questions = pd.factorize(rows["question"])
    once = _Once(rows, code, path)
    strategies = _strategies(rows, wanted)
    text = tuple(once.texts("text")) if "text" in rows else None
    names = _feature_names(rows, code, features, path, has_text=text is not None)
    found = {name: once.numbers(name) for name in names}
    found |= {name: _signal(name, rows, code, len(questions), path) for name in signals}
    if text is None and not found:
        remedy = "map a text by --map text=COLUMN, or give columns of numbers"
        raise RouterError(path.name, "has neither a text nor numeric features", remedy, str(path))
    is_prepared = rows["prepared"].to_numpy() == 1.0
    counts = is_prepared & rows["effort"].isin(["", effort]).to_numpy()
    if is_prepared.any() and not counts.any():
        remedy = f"give one of {', '.join(sorted(set(rows['effort'][is_prepared])))}"
        raise RouterError(effort, "is an effort without rows of prepared contexts", remedy, "--effort")
    context = once.codes("context") if "context" in rows else None
    shared = pd.factorize(np.array(text, object))[0] if text is not None else np.arange(len(questions))
    sizes = {"rows": int((~is_prepared | counts).sum()), "effort": effort if counts.any() else None}
    files = [path] if texts_path is None else [path, texts_path]
    return Labels(
        questions=tuple(map(str, questions)),
        strategies=strategies,
        bare=_branch(rows, code, ~is_prepared, len(questions), strategies),
        prepared=_branch(rows, code, counts, len(questions), strategies) if counts.any() else None,
        context=shared.astype(np.int64) if context is None else context,
        group=once.codes("group") if group is not None else None,
        text=text,
        numbers=found,
        context_names=tuple(map(str, questions if context is None else once.names("context"))),
        has_contexts=context is not None,
        has_tokens=bool(rows["tokens"].notna().any()),
        question_logprob=once.numbers("question_logprob") if "question_logprob" in rows else None,
        source={"source": ", ".join(file.name for file in files), **sizes, "sha256": sha256_of(files)},
    )


class _Once:
    """Columns that say one thing of each question, whatever the strategy."""

    def __init__(self, rows: pd.DataFrame, code: NDArray[Any], path: Path) -> None:
        self._rows, self._code, self._path = rows, code, path
        self._first = np.unique(code, return_index=True)[1]

    def _values(self, name: str, read: Callable[[pd.Series[Any]], pd.Series[Any]]) -> NDArray[Any]:
        values = read(self._rows[name]).to_numpy()
        first = values[self._first]
        differ = np.flatnonzero((values != first[self._code]) & ~(pd.isna(values) & pd.isna(first[self._code])))
        if len(differ):
            place = int(differ[0])
            question, other = self._rows["question"].iloc[place], self._rows[name].iloc[self._first[self._code[place]]]
            rule = f"is another {name} of question {question} than {other}"
            where = f"{self._path}:{self._rows.index[place]}  {name}"
            raise RouterError(self._rows[name].iloc[place], rule, f"give each question one {name}", where)
        return first

    def texts(self, name: str) -> list[str]:
        """The column as texts, [Q]."""
        column = self._rows[name]
        missing = blank(column)
        if missing.any():
            place = int(np.flatnonzero(missing.to_numpy())[0])
            where = f"{self._path}:{column.index[place]}  {name}"
            raise RouterError("an empty text", "says nothing of a question", "give the question's text", where)
        return [str(value) for value in self._values(name, lambda given: given.astype(str))]

    def names(self, name: str) -> list[str]:
        """The column as names, [Q]; the empty text where none is given."""
        return [str(value) for value in self._values(name, texts)]

    def codes(self, name: str) -> NDArray[np.int64]:
        """The column as numbers from 0, [Q]; questions that name none have one each of their own."""
        values = self._values(name, texts)
        own = np.array([f"\0{place}" if value == "" else value for place, value in enumerate(values)], object)
        return pd.factorize(own)[0].astype(np.int64)

    def numbers(self, name: str) -> Floats:
        """The column as finite numbers, [Q]."""
        values = self._values(name, numbers).astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            place = int(self._first[bad[0]])
            where = f"{self._path}:{self._rows.index[place]}  {name}"
            remedy = "correct it, or leave the column out by --features"
            raise RouterError(self._rows[name].iloc[place], "must be a finite number", remedy, where)
        return values


def _strategies(rows: pd.DataFrame, wanted: Sequence[str] | None) -> tuple[str, ...]:
    bare = rows[rows["prepared"] == 0.0]
    known = tuple(dict.fromkeys(bare["strategy"]))
    if not known:
        raise RouterError("all rows", "are of prepared contexts", "add rows without preparation")
    if wanted is None:
        return known
    for name in wanted:
        if name not in known:
            raise RouterError(name, "is no strategy of the rows", f"give some of {', '.join(known)}", "--strategies")
        if list(wanted).count(name) > 1:
            raise RouterError(name, "is named twice", "name it once", "--strategies")
    return tuple(wanted)


def _feature_names(
    rows: pd.DataFrame, code: NDArray[Any], wanted: Sequence[str], path: Path, *, has_text: bool
) -> tuple[str, ...]:
    names: list[str] = []
    for name in wanted:
        if name == "auto" and has_text:
            continue
        if name == "auto":
            names += [column for column in rows.columns if _is_plain(rows[column], str(column), code)]
        elif name in _TRUTHS:
            raise RouterError(name, "is known only after the answer", "leave it out", "--features")
        elif name not in rows:
            raise RouterError(name, f"is no column of {path.name}", "name numeric columns, or auto", "--features")
        else:
            names.append(name)
    return tuple(dict.fromkeys(names))


def _is_plain(column: pd.Series[Any], name: str, code: NDArray[Any]) -> bool:
    """Whether a column may be a feature unasked: numbers, the same in all rows of a question."""
    if name in _TRUTHS | _NOT_ASKED | set(SIGNALS) or name.endswith(("_id", ":correct", ":tokens", ":chars")):
        return False
    values = numbers(column)
    if values.isna().mean() > 0.5 or pd.api.types.is_bool_dtype(column):
        return False
    by_question = values.reset_index(drop=True).groupby(code)
    return bool((by_question.transform("min") == by_question.transform("max")).all())


def _signal(name: str, rows: pd.DataFrame, code: NDArray[Any], questions: int, path: Path) -> Floats:
    column, colon, strategy = name.partition(":")
    if column not in SIGNALS or not colon:
        remedy = "write such as confidence:direct, the strategy that has answered"
        raise RouterError(name, "is no signal", remedy, "--signals")
    if column not in rows:
        raise RouterError(column, f"is no column of {path.name}", "leave it out, or add it", "--signals")
    of_strategy = ((rows["strategy"] == strategy) & (rows["prepared"] == 0.0)).to_numpy()
    values = numbers(rows[column]).to_numpy()
    held = np.bincount(code[of_strategy], minlength=questions)
    found = np.bincount(code[of_strategy], values[of_strategy], questions) / np.maximum(held, 1)
    bad = np.flatnonzero((held == 0) | ~np.isfinite(found))
    if len(bad):
        question = rows["question"].iloc[int(np.flatnonzero(code == bad[0])[0])]
        rule = f"has no {column} of the strategy {strategy}"
        raise RouterError(f"question {question}", rule, "add it, or leave the signal out", "--signals")
    return found


def _branch(
    rows: pd.DataFrame, code: NDArray[Any], which: NDArray[np.bool_], questions: int, strategies: Sequence[str]
) -> Branch:
    place = {name: column for column, name in enumerate(strategies)}
    column = rows["strategy"].map(place).to_numpy(np.float64)
    used = which & ~np.isnan(column)
    cell = code[used] * len(strategies) + column[used].astype(np.int64)
    cells = questions * len(strategies)
    held = np.bincount(cell, minlength=cells)
    tokens = rows["tokens"].to_numpy(np.float64)[used]
    logs = np.log(np.where(np.isnan(tokens), 1.0, tokens))
    with np.errstate(invalid="ignore", divide="ignore"):
        correct = np.bincount(cell, rows["correct"].to_numpy()[used], cells) / held
        log_tokens = np.bincount(cell, logs, cells) / held
    shape = (questions, len(strategies))
    return Branch(correct.reshape(shape), log_tokens.reshape(shape))
