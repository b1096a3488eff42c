"""Tables to judge, put together from what a router expects and from what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from router.errors import RouterError
from router.evaluation.pricing import TokenPrices, costs
from router.evaluation.table import Integers, Judged, coded
from router.types import Floats

if TYPE_CHECKING:
    import pandas as pd

    from router.rows import Labels

__all__ = ["Expected", "Happened", "Missing", "aligned", "happened_in", "judged", "read_happened", "read_predictions"]

Missing = Literal["leave-out", "wrong"]


@dataclass(frozen=True)
class Expected:
    """What a router expects of Q questions with each of A strategies."""

    questions: tuple[str, ...]
    strategies: tuple[str, ...]
    p: Floats
    """Chance of a right answer, [Q, A]; NaN where nothing is said."""
    tokens: Floats | None
    """Output tokens, [Q, A]; None where it says nothing of them."""
    group: Integers | None = None
    """Group of each question, [Q], where the predictions name it."""


@dataclass(frozen=True)
class Happened:
    """What came of Q questions with each of A strategies; NaN where one was not tried."""

    questions: tuple[str, ...]
    strategies: tuple[str, ...]
    correct: Floats
    tokens: Floats | None
    """Output tokens, [Q, A]; None where they were not counted."""
    prompt_tokens: Floats | None = None
    group: Integers | None = None
    """Group of each question, [Q]: what is drawn together in a bootstrap; None where each question is its own."""


def happened_in(labels: Labels, *, prepared: bool = False, prompt_tokens: Floats | None = None) -> Happened:
    """The outcomes of a file, without preparation or on prepared contexts; those of one context or group go together.

    Raises:
        RouterError: where outcomes on prepared contexts are asked for and there are none.
    """
    branch = labels.prepared if prepared else labels.bare
    if branch is None:
        raise RouterError("--prepared", "needs outcomes on prepared contexts, and there are none", "leave it out")
    return Happened(
        labels.questions,
        labels.strategies,
        branch.correct,
        np.where(np.isnan(branch.correct), np.nan, np.exp(branch.log_tokens)) if labels.has_tokens else None,
        prompt_tokens,
        labels.context if labels.group is None else labels.group,
    )


def read_predictions(path: Path) -> tuple[Expected, Happened | None]:
    """A table of question, strategy and p_correct; and, where the column is there, what came of it.

    `tokens` are the output tokens expected, `actual_tokens` those that came (without it the same), `correct` is
    0, 1 or a share, `group` what is drawn together, `prompt_tokens` those of the prompt.

    Raises:
        RouterError: for the first row or column that breaks a rule, with its place.
    """
    from router.tables import read_table, texts

    rows = read_table(path)
    for name in ("question", "strategy", "p_correct"):
        if name not in rows:
            remedy = f"name it so; the file has {', '.join(map(str, rows.columns))}"
            raise RouterError(path.name, f"has no column {name}", remedy, str(path))
    rows = rows.assign(question=texts(rows["question"]), strategy=texts(rows["strategy"]))
    twice = rows.duplicated(["question", "strategy"])
    if twice.any():
        line = rows.index[twice][0]
        told = f"question {rows['question'][line]} with {rows['strategy'][line]}"
        raise RouterError(told, "stands in two rows", "leave one out", f"{path}:{line}")
    grid = _Grid(rows, path)
    p = grid.column("p_correct", low=0.0, high=1.0)
    tokens = grid.column("tokens", low=0.0) if "tokens" in rows else None
    group = grid.groups("group") if "group" in rows else None
    expected = Expected(grid.questions, grid.strategies, p, tokens, group)
    if "correct" not in rows:
        return expected, None
    happened = Happened(
        grid.questions,
        grid.strategies,
        grid.column("correct", low=0.0, high=1.0),
        grid.column("actual_tokens", low=0.0) if "actual_tokens" in rows else tokens,
        grid.column("prompt_tokens", low=0.0) if "prompt_tokens" in rows else None,
        expected.group,
    )
    return expected, happened


def read_happened(
    path: Path, names: Mapping[str, str], group: str | None = None, *, prepared: bool = False, effort: str = "medium"
) -> Happened:
    """What came of the questions of a file of outcomes, without preparation or on prepared contexts of one effort.

    `names` maps our columns to the file's; rows of one question and strategy are trials, of which the mean counts.

    Raises:
        RouterError: for the first row or column that breaks a rule, with its place.
    """
    from router.tables import long_rows, numbers, read_table, texts

    rows = long_rows(read_table(path), names, path)
    if group is not None and group not in rows:
        raise RouterError(group, f"is no column of {path.name}", "name a column of the outcomes", "--group")
    if "prepared" in rows:
        is_prepared = numbers(rows["prepared"]) == 1.0
        counts = is_prepared == prepared
        if prepared and "effort" in rows:
            counts &= texts(rows["effort"]).str.casefold().isin(["", effort])
        rows = rows[counts]
    if rows.empty or (prepared and "prepared" not in rows):
        raise RouterError("--prepared", "needs outcomes on prepared contexts, and there are none", "leave it out")
    grid = _Grid(rows.assign(question=texts(rows["question"]), strategy=texts(rows["strategy"])), path)
    owner = group or ("context" if "context" in rows else None)
    return Happened(
        grid.questions,
        grid.strategies,
        grid.column("correct", low=0.0, high=1.0),
        grid.column("tokens", low=0.0) if "tokens" in rows else None,
        grid.column("prompt_tokens", low=0.0) if "prompt_tokens" in rows else None,
        None if owner is None else grid.groups(owner),
    )


class _Grid:
    """Rows of a question and a strategy each, as arrays [Q, A]: their mean, NaN where there is none."""

    def __init__(self, rows: pd.DataFrame, path: Path) -> None:
        import pandas as pd

        self._rows, self._path = rows, path
        self._row, questions = pd.factorize(rows["question"])
        self._column, strategies = pd.factorize(rows["strategy"])
        self.questions = tuple(map(str, questions))
        self.strategies = tuple(map(str, strategies))

    def column(self, name: str, low: float, high: float = np.inf) -> Floats:
        from router.tables import blank, numbers

        values = numbers(self._rows[name]).to_numpy()
        is_blank = blank(self._rows[name]).to_numpy()
        wrong = np.flatnonzero(~((values >= low) & (values <= high) & np.isfinite(values)) & ~is_blank)
        if wrong.size:
            place = int(wrong[0])
            rule = f"must be from {low:g} to {high:g}" if np.isfinite(high) else f"must be a number from {low:g} on"
            where = f"{self._path}:{self._rows.index[place]}  {name}"
            raise RouterError(self._rows[name].iloc[place], rule, "correct the row, or leave it out", where)
        cell = self._row * len(self.strategies) + self._column
        cells = len(self.questions) * len(self.strategies)
        held = np.bincount(cell, minlength=cells)
        total = np.bincount(cell, np.where(is_blank, np.nan, values), cells)
        mean: Floats = np.divide(total, held, out=np.full(cells, np.nan), where=held > 0)
        found: Floats = mean.reshape(len(self.questions), len(self.strategies))
        return found

    def groups(self, name: str) -> Integers:
        """Number of the group of each question, [Q], from the column of that name."""
        from router.tables import texts

        named = texts(self._rows[name])
        several = named.groupby(self._row).nunique()
        if (several > 1).any():
            question = self.questions[int(several.index[several > 1][0])]
            raise RouterError(question, "is a question of several groups", "give it one", str(self._path))
        first = np.unique(self._row, return_index=True)[1]
        return coded(named.to_numpy(str)[first])


def aligned(given: Happened, other: Happened) -> Floats | None:
    """The prompt tokens of one reading of a file in the order of another one's questions and strategies, [Q, A]."""
    if given.prompt_tokens is None:
        return None
    rows = {question: place for place, question in enumerate(given.questions)}
    columns = {name: place for place, name in enumerate(given.strategies)}
    found = np.full(other.correct.shape, np.nan)
    for column, name in enumerate(other.strategies):
        if name in columns:
            places = [rows.get(question, -1) for question in other.questions]
            found[:, column] = np.append(given.prompt_tokens[:, columns[name]], np.nan)[places]
    return found


def judged(
    expected: Expected,
    happened: Happened,
    prices: TokenPrices,
    *,
    strategies: Sequence[str] | None = None,
    missing: Missing = "leave-out",
) -> Judged:
    """The questions and strategies that both know, with what answers cost and were expected to.

    With `missing` "wrong" an answer that is not there was a wrong one, of the strategy's mean tokens.

    Raises:
        RouterError: where nothing is known by both, for prices and names that do not fit, and for a lack of tokens that
            prices would need.
    """
    is_tried: list[bool] = np.any(~np.isnan(happened.correct), axis=0).tolist()
    there = [name for name, tried in zip(happened.strategies, is_tried, strict=True) if tried]
    known = [name for name in expected.strategies if name in there]
    names = tuple(known if strategies is None else strategies)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        told = unknown[0] if unknown else ", ".join(expected.strategies)
        both = f"both have {', '.join(known)}" if known else f"the outcomes have {', '.join(there)}"
        raise RouterError(told, "is no strategy of both predictions and outcomes", both, "--strategies")
    prices.check(names)
    rows, other, notes = _shared(expected.questions, happened.questions)
    columns = [expected.strategies.index(name) for name in names]
    others = [happened.strategies.index(name) for name in names]
    correct = happened.correct[np.ix_(other, others)]
    tokens = _cells(happened.tokens, other, others)
    if missing == "wrong":
        correct, tokens, notes = _as_wrong(correct, tokens, notes)
    prompts = _cells(happened.prompt_tokens, other, others)
    guessed = _cells(expected.tokens, rows, columns)
    if guessed is None and tokens is not None:
        notes = [*notes, "No tokens are expected by question: the mean of each strategy is taken for all"]
        guessed = np.broadcast_to(_means(tokens), tokens.shape)
    usd, expected_usd, unit = _spent(names, correct, tokens, guessed, prompts, prices)
    group = np.arange(len(rows))
    if expected.group is not None:
        group = expected.group[rows]
    elif happened.group is not None:
        group = happened.group[other]
    return Judged(
        names,
        coded(group),
        expected.p[np.ix_(rows, columns)],
        correct,
        usd,
        expected_usd,
        np.full(correct.shape, np.nan) if tokens is None else tokens,
        unit,
        tuple(notes),
    )


def _shared(first: Sequence[str], second: Sequence[str]) -> tuple[list[int], list[int], list[str]]:
    """Places in both of the questions that both have, in the order of the first; and what was left out, in words."""
    place: Mapping[str, int] = {question: at for at, question in enumerate(second)}
    rows = [at for at, question in enumerate(first) if question in place]
    if not rows:
        remedy = f"name questions alike: {first[0]!r} here, {second[0]!r} there"
        raise RouterError("predictions and outcomes", "have no question in common", remedy)
    notes = []
    if len(rows) < len(first):
        notes.append(f"{len(first) - len(rows)} of {len(first)} predicted questions have no outcome and are left out")
    if len(rows) < len(second):
        notes.append(f"{len(second) - len(rows)} of {len(second)} questions with outcomes have no prediction")
    return rows, [place[first[at]] for at in rows], notes


def _cells(values: Floats | None, rows: Sequence[int], columns: Sequence[int]) -> Floats | None:
    return None if values is None else values[np.ix_(rows, columns)]


def _means(tokens: Floats) -> Floats:
    """Mean tokens of each strategy, [A]; NaN where none are known."""
    known = ~np.isnan(tokens)
    total, count = np.where(known, tokens, 0.0).sum(axis=0), known.sum(axis=0)
    mean: Floats = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return mean


def _as_wrong(correct: Floats, tokens: Floats | None, notes: list[str]) -> tuple[Floats, Floats | None, list[str]]:
    lacking = np.isnan(correct)
    if not lacking.any():
        return correct, tokens, notes
    note = f"{int(lacking.sum())} of {lacking.size} answers are missing and count as wrong"
    if tokens is not None:
        tokens = np.where(np.isnan(tokens), _means(tokens), tokens)
    return np.where(lacking, 0.0, correct), tokens, [*notes, note]


def _spent(
    names: tuple[str, ...],
    correct: Floats,
    tokens: Floats | None,
    guessed: Floats | None,
    prompts: Floats | None,
    prices: TokenPrices,
) -> tuple[Floats, Floats, str]:
    """What answers cost and were expected to, [n, A] each, and the unit."""
    if tokens is not None and guessed is not None:
        return costs(names, tokens, prompts, prices), costs(names, guessed, prompts, prices), "USD"
    nothing = np.full(correct.shape, np.nan)
    if all(name in prices.usd for name in names):
        usd = costs(names, nothing, None, prices)
        return usd, usd, "USD"
    if prices.usd or prices.usd_per_1m or len(names) != 2:
        lacking = next(name for name in names if name not in prices.usd)
        raise RouterError(lacking, "has no tokens to price", f"give its price an answer: --cost {lacking}=USD")
    strong = int(np.nanmean(correct, axis=0).argmax())
    usd = np.zeros(correct.shape)
    usd[:, strong] = 1.0
    return usd, usd, f"calls of {names[strong]}"
