"""Which of two plans that keep their promise is the better one."""

from __future__ import annotations

from math import isfinite
from typing import Literal, NamedTuple

from sim.planning.search.judge import Judged

__all__ = ["Aim", "Goal", "Rank"]

Goal = Literal["cheapest", "accuracy", "goodput"]
Rank = tuple[float, ...]

_ACCURACY_FIGURES, _GOODPUT_FIGURES, _ATTAINMENT_FIGURES, _CENTS = 3, 3, 4, 2


class Aim(NamedTuple):
    """What a plan is for. Ranks are compared as tuples, and the lower is the better.

    Figures that chance moves are told apart by tenths of a point of accuracy, by three figures of goodput, and by
    cents; among equals the cheaper, then the more accurate and the more punctual counts.
    """

    goal: Goal

    def rank(self, judged: Judged) -> Rank:
        """How good it is, by what was simulated."""
        usd = round(judged.mean("usd_per_month"), _CENTS)
        accuracy = -round(_known(judged.mean("quality.accuracy")), _ACCURACY_FIGURES)
        attainment = -round(_known(judged.mean("slo.attainment")), _ATTAINMENT_FIGURES)
        if self.goal == "cheapest":
            return usd, accuracy, attainment
        if self.goal == "accuracy":
            return accuracy, usd, attainment
        goodput = -float(f"{_known(judged.mean('slo.goodput_rps')):.{_GOODPUT_FIGURES}g}")
        return goodput, usd, accuracy

    def may_beat(self, least_usd: float, rank: Rank, budget_usd: float | None) -> bool:
        """Whether a point that costs no less than `least_usd` a month may rank before another."""
        if budget_usd is not None and least_usd > budget_usd * (1.0 + 1e-9):
            return False
        return self.goal != "cheapest" or round(least_usd * (1.0 - 1e-9), _CENTS) <= rank[0]


def _known(value: float) -> float:
    return value if isfinite(value) else 0.0
