"""All figures of a judged table, as plain values for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from router.errors import RouterError
from router.evaluation.pairs import pair_figures
from router.evaluation.resampling import Draws
from router.evaluation.scoring import scores_of
from router.evaluation.spending import compared
from router.evaluation.table import Judged, coded
from router.evaluation.verdict import verdict
from router.types import Floats

__all__ = ["Settings", "evaluated"]

_FEW_GROUPS = 20
_FEWEST_OTHERS = 3
"""Strategies besides the pair from which it can be said how hard a question truly is."""


@dataclass(frozen=True)
class Settings:
    """How to judge."""

    draws: int = 500
    """Draws of the bootstrap."""
    seed: int = 0
    cheap: str | None = None
    """The pair for APGR and CPT; without names the cheapest strategy and the one most often right."""
    strong: str | None = None
    against: str | None = None
    """The fixed strategy to hold the router against; without a name the one most often right."""
    budgets_usd: tuple[float, ...] = ()
    """Spends a question to compare at, besides those of the fixed strategies."""

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise RouterError(self.draws, "are too few draws", "give at least 1; 500 or more for intervals")


def evaluated(table: Judged, settings: Settings | None = None, baseline: Judged | None = None) -> dict[str, Any]:
    """Scores of each strategy, the pair, routing at equal spend, and the verdict.

    `baseline` is another router's table of the same questions and strategies; its rule is one more to be held against.

    Raises:
        RouterError: where no question is known for all strategies, or for names that the table does not have.
    """
    how = settings or Settings()
    whole, other = _together(table, baseline)
    against = None if how.against is None else _place(whole, how.against)
    draws = Draws(whole.group, how.draws, how.seed)
    found: dict[str, Any] = {
        "questions": int(table.group.size),
        "groups": table.groups,
        "draws": how.draws,
        "seed": how.seed,
        "strategies": _strategies(table, how),
        "pair": _pair(whole, draws, how) if len(whole.strategies) > 1 else None,
        "routing": compared(whole, draws, how.budgets_usd, other, against),
    }
    found["verdict"] = verdict(found)
    found["notes"] = [*whole.notes, *_doubts(whole)]
    return found


def _together(table: Judged, baseline: Judged | None) -> tuple[Judged, Judged | None]:
    """The questions that every strategy was tried on, and the baseline on the same."""
    whole = table.complete()
    if baseline is None:
        return whole, None
    if baseline.p.shape != table.p.shape:
        rule = f"has {baseline.p.shape[0]} of the {table.p.shape[0]} questions"
        raise RouterError("the baseline", rule, "predict the same questions", "--baseline")
    other = baseline.complete()
    if other.p.shape != whole.p.shape:
        raise RouterError("the baseline", "lacks some predictions", "predict every strategy", "--baseline")
    return whole, other


def _doubts(table: Judged) -> list[str]:
    if table.groups >= _FEW_GROUPS:
        return []
    return [f"There are {table.groups} groups only: intervals drawn over so few are rough, and rather too narrow"]


def _strategies(table: Judged, how: Settings) -> dict[str, dict[str, Any]]:
    """Figures of each strategy, on the questions that it was tried on."""
    found: dict[str, dict[str, Any]] = {}
    drawn: dict[bytes, Draws] = {}
    for place, name in enumerate(table.strategies):
        p, correct = table.p[:, place], table.correct[:, place]
        known = ~np.isnan(p + correct)
        if not known.any():
            raise RouterError(name, "was tried on no question", "leave it out with --strategies")
        key = known.tobytes()
        if key not in drawn:
            drawn[key] = Draws(coded(table.group[known]), how.draws, how.seed)
        tokens, usd = (_mean(values[known, place]) for values in (table.tokens, table.usd))
        found[name] = {"tokens": tokens, "usd": usd, **scores_of(p[known], correct[known], drawn[key])}
    return found


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _pair(table: Judged, draws: Draws, how: Settings) -> dict[str, Any] | None:
    """APGR and CPT between two strategies, by predicted gain, by predicted difficulty, and by the true one."""
    cheap, strong = _which(table, how)
    if cheap == strong:
        return None
    p, correct = table.p, table.correct
    scores = {"gain": p[:, strong] - p[:, cheap], "difficulty": 1.0 - p[:, cheap]}
    others = [place for place in range(len(table.strategies)) if place not in (cheap, strong)]
    if len(others) >= _FEWEST_OTHERS:
        scores["true difficulty"] = 1.0 - correct[:, others].mean(axis=1)
    return {
        "cheap": table.strategies[cheap],
        "strong": table.strategies[strong],
        "scores": {
            name: pair_figures(score, correct[:, cheap], correct[:, strong], draws) for name, score in scores.items()
        },
    }


def _which(table: Judged, how: Settings) -> tuple[int, int]:
    usd, right = table.usd.mean(axis=0), table.correct.mean(axis=0)
    strong = int(np.lexsort((usd, -right))[0])
    named = how.strong or how.against
    if named is not None:
        strong = _place(table, named)
    others = np.where(np.arange(usd.size) == strong, np.inf, usd)
    cheap = int(np.lexsort((-right, others))[0]) if how.cheap is None else _place(table, how.cheap)
    return cheap, strong


def _place(table: Judged, name: str) -> int:
    if name not in table.strategies:
        raise RouterError(name, "is no strategy of the table", f"use one of: {', '.join(table.strategies)}")
    return table.strategies.index(name)
