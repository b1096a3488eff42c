"""How sure it is that no better plan was missed: what was tried, what cannot be better, and what is left."""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

import numpy as np

from sim.planning.search.aim import Aim
from sim.planning.search.analysis import Analysis
from sim.planning.search.point import Point, points_of, size_of
from sim.planning.search.trials import Trial, Trials

__all__ = ["MOST_LISTED", "Proof", "left_of", "proof_of", "proof_text"]

MOST_LISTED = 50_000
"""Spaces of more points are not listed."""
_MOST_BOUNDED = 400
"""Of so many points each gets a bound of its own, a few hundredths of a second of the solver's time."""


class Proof(NamedTuple):
    """How far the search is a proof."""

    points: int | None
    """Points of the space; None where they are too many to list."""
    tried: int
    excluded_by_bound: int | None
    is_proven: bool


def left_of(
    analysis: Analysis, trials: Trials, aim: Aim, best: Trial | None, budget_usd: float | None
) -> list[Point] | None:
    """Points that are not tried and may be better than the best, the cheapest first; None where they are too many."""
    if size_of(analysis.space) > MOST_LISTED:
        return None
    points = [point for point in points_of(analysis.space) if point not in trials.known]
    least = analysis.least_usd(points)
    rank = (float("inf"),) * 3 if best is None or not best.keeps else aim.rank(best.judged)
    order = np.argsort(least, kind="stable").tolist()
    left = [points[index] for index in order if aim.may_beat(float(least[index]), rank, budget_usd)]
    if len(left) > _MOST_BOUNDED:
        return left
    return [
        point for point in left if isfinite(usd := analysis.bound_of(point)) and aim.may_beat(usd, rank, budget_usd)
    ]


def proof_of(analysis: Analysis, trials: Trials, aim: Aim, best: Trial | None, budget_usd: float | None) -> Proof:
    """What is proven once a search has ended."""
    left = left_of(analysis, trials, aim, best, budget_usd)
    tried = len(trials.known)
    if left is None:
        return Proof(None, tried, None, False)
    points = sum(1 for _ in points_of(analysis.space))
    return Proof(points, tried, points - tried - len(left), not left and best is not None and best.keeps)


def proof_text(proof: Proof, *, usd: float, bound_usd: float, is_interrupted: bool = False) -> str:
    """The proof in a sentence or two; `usd` is what the plan costs, and no plan costs less than `bound_usd`."""
    gap = f"No plan of this space can cost less than ${bound_usd:,.0f} a month; this one costs ${usd:,.0f}."
    if proof.points is None:
        return f"{proof.tried:,} plans were tried of too many to try them all, so a better one may be left. {gap}"
    told = f"Of {proof.points:,} plans {proof.tried:,} were tried and {proof.excluded_by_bound or 0:,} cannot be better"
    if proof.is_proven:
        return f"{told}: no better plan of this space keeps the promise on these replications."
    left = proof.points - proof.tried - (proof.excluded_by_bound or 0)
    why = ", as the search was interrupted" if is_interrupted else ""
    return f"{told}; {left:,} that may be better were not tried{why}. {gap}"
