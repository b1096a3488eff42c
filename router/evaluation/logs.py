"""Logs of choices made by chance, and what a learned policy would have made of the same questions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from router.errors import RouterError
from router.evaluation.off_policy import Log, off_policy
from router.evaluation.pricing import TokenPrices, costs
from router.evaluation.sources import Expected
from router.evaluation.table import Integers, coded
from router.types import Floats

__all__ = ["ChoiceLog", "judged_log", "read_log"]

_NEEDED = ("question", "strategy", "propensity", "correct")


@dataclass(frozen=True)
class ChoiceLog:
    """n answers that were given, [n] each."""

    question: tuple[str, ...]
    strategy: tuple[str, ...]
    propensity: Floats
    """The chance with which this strategy was chosen."""
    correct: Floats
    usd: Floats | None
    """What the answer cost; None where the log does not say."""
    tokens: Floats | None
    """Its output tokens; None where the log does not say."""
    group: Integers
    """What is drawn together in a bootstrap."""


def read_log(path: Path) -> ChoiceLog:
    """A table of question, strategy, propensity and correct, and where they are there cost or tokens, and group.

    Raises:
        RouterError: for the first column that is lacking, or value that is none, with its place.
    """
    from router.tables import numbers, read_table, texts

    rows = read_table(path)
    for name in _NEEDED:
        if name not in rows:
            remedy = f"name it so; the file has {', '.join(map(str, rows.columns))}"
            raise RouterError(path.name, f"has no column {name}", remedy, str(path))

    def column(name: str, low: float, high: float) -> Floats:
        values: Floats = np.asarray(numbers(rows[name]), np.float64)
        wrong = np.flatnonzero(~((values >= low) & (values <= high) & np.isfinite(values)))
        if wrong.size:
            where = f"{path}:{rows.index[wrong[0]]}  {name}"
            told = f"must be a number of at least {low:g}" + (f" and at most {high:g}" if np.isfinite(high) else "")
            raise RouterError(rows[name].iloc[wrong[0]], told, "correct the row, or leave it out", where)
        return values

    question = texts(rows["question"])
    return ChoiceLog(
        tuple(question),
        tuple(texts(rows["strategy"])),
        column("propensity", np.nextafter(0.0, 1.0), 1.0),
        column("correct", 0.0, 1.0),
        column("cost", 0.0, np.inf) if "cost" in rows else None,
        column("tokens", 0.0, np.inf) if "tokens" in rows else None,
        coded(texts(rows.get("group", question)).to_numpy(str)),
    )


def judged_log(
    log: ChoiceLog,
    expected: Expected,
    prices: TokenPrices,
    *,
    usd_per_correct: float | None = None,
    draws: int = 500,
    seed: int = 0,
) -> dict[str, Any]:
    """How often the learned rule would have been right on the log's questions, and what it would have cost.

    The rule takes the strategy of highest `usd_per_correct p - expected cost`; without `usd_per_correct` that of
    highest p, and of equals the first.

    Raises:
        RouterError: for strategies and questions that the predictions do not know, and where the log cannot tell
            (`off_policy`).
    """
    prices.check(expected.strategies)
    place = {question: at for at, question in enumerate(expected.questions)}
    chosen = [_place(name, expected.strategies) for name in log.strategy]
    lacking = [question for question in log.question if question not in place]
    if lacking:
        rule = f"has no prediction ({len(lacking)} of {len(log.question)} rows of the log)"
        raise RouterError(f"question {lacking[0]}", rule, "predict every question of the log, for every strategy")
    rows = np.array([place[question] for question in log.question])
    p = expected.p[rows]
    if np.isnan(p).any():
        at, strategy = np.argwhere(np.isnan(p))[0]
        told = f"question {log.question[at]}"
        raise RouterError(told, f"has no prediction for {expected.strategies[strategy]}", "predict every strategy")
    usd = None if expected.tokens is None else costs(expected.strategies, expected.tokens[rows], None, prices)
    if usd_per_correct is not None and usd is None:
        raise RouterError("--usd-per-correct", "needs tokens among the predictions", "add them, or leave it out")
    worth = p if usd is None or usd_per_correct is None else usd_per_correct * p - usd
    target = np.eye(p.shape[1])[worth.argmax(axis=1)]
    actions = np.array(chosen, np.int64)

    def estimated(reward: Floats, model: Floats) -> dict[str, Any]:
        made = Log(expected.strategies, actions, log.propensity, reward, log.group)
        return off_policy(made, target, model, draws=draws, seed=seed)

    paid = _paid(log, actions, expected.strategies, prices)
    return {
        "policy": "highest p" if usd_per_correct is None else f"highest {usd_per_correct:g} USD x p - cost",
        "shares": dict(zip(expected.strategies, target.mean(axis=0).tolist(), strict=True)),
        "accuracy": estimated(log.correct, p),
        "usd": None if paid is None or usd is None else estimated(paid, usd),
    }


def _place(name: str, strategies: tuple[str, ...]) -> int:
    if name not in strategies:
        raise RouterError(name, "is a strategy of the log without predictions", f"known are {', '.join(strategies)}")
    return strategies.index(name)


def _paid(log: ChoiceLog, chosen: Integers, strategies: tuple[str, ...], prices: TokenPrices) -> Floats | None:
    """What the logged answers cost, [n]: as the log says, else by their tokens."""
    if log.usd is not None:
        return log.usd
    if log.tokens is None:
        return None
    tokens = np.repeat(log.tokens[:, None], len(strategies), axis=1)
    return costs(strategies, tokens, None, prices)[np.arange(chosen.size), chosen]
