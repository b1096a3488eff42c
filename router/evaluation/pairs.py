"""A cheap and a strong strategy: how much of the strong one's gain is had for how many of its calls.

After RouteLLM (Ong et al. 2024, arXiv 2406.18665, section 3.3). Questions go to the strong strategy in the order of a
score. With r(k) the share of right answers where the k questions of highest score have gone to it, `PGR(k) = (r(k) -
r(0)) / (r(n) - r(0))` is the performance gap recovered, APGR its mean over all shares of calls from 0 to 1, and CPT(x)
the least share of calls at which PGR reaches x. Questions of equal score go by chance, so a score that knows nothing
has APGR 1/2 exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from router.evaluation.resampling import Draws, interval
from router.types import Floats

__all__ = ["pair_figures", "recovered"]

_SHARES = np.linspace(0.0, 1.0, 101)
_LEVELS = (0.5, 0.8)


def recovered(
    score: Floats, cheap: Floats, strong: Floats, weights: Floats | None = None, shares: Floats = _SHARES
) -> tuple[Floats, Floats, Floats]:
    """APGR [draws], CPT [draws, 2] of 50 and 80 %, and PGR at `shares` [draws, shares], for weights [draws, n].

    NaN where the strong strategy is no better than the cheap one.

    >>> apgr, cpt, _ = recovered(np.array([2.0, 1.0]), np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    >>> apgr.tolist(), cpt.tolist()
    ([0.75], [[0.25, 0.4]])
    """
    weights = np.ones((1, score.size)) if weights is None else weights
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(score[order]) != 0.0))
    drawn = weights[:, order]
    gain = _from_nothing(np.add.reduceat(drawn * (strong - cheap)[order], starts, axis=1))
    calls = _from_nothing(np.add.reduceat(drawn, starts, axis=1))
    gap = gain[:, -1:]
    pgr = np.divide(gain, gap, out=np.full(gain.shape, np.nan), where=gap > 0.0)
    part = calls / calls[:, -1:]
    apgr = 0.5 * ((pgr[:, 1:] + pgr[:, :-1]) * np.diff(part, axis=1)).sum(axis=1)
    cpt = np.stack([_first_reach(part, pgr, level) for level in _LEVELS], axis=1)
    curve = np.stack([np.interp(shares, *row) for row in zip(part, pgr, strict=True)])
    return apgr, cpt, curve


def _from_nothing(steps: Floats) -> Floats:
    return np.concatenate([np.zeros((steps.shape[0], 1)), np.cumsum(steps, axis=1)], axis=1)


def _first_reach(part: Floats, pgr: Floats, level: float) -> Floats:
    """Share of calls at which each curve first reaches a level, between its points on a straight line, [draws]."""
    reached = pgr >= level
    place = reached.argmax(axis=1)
    rows = np.arange(place.size)
    before = np.maximum(place - 1, 0)
    low, high = pgr[rows, before], pgr[rows, place]
    rise = np.divide(level - low, high - low, out=np.zeros(place.size), where=high > low)
    at = part[rows, before] + rise * (part[rows, place] - part[rows, before])
    return np.where(reached.any(axis=1), at, np.nan)


def pair_figures(score: Floats, cheap: Floats, strong: Floats, draws: Draws) -> dict[str, Any]:
    """APGR, CPT(50), CPT(80) and the PGR curve of a score, all with intervals."""
    width = 3 + _SHARES.size

    def figures(weights: Floats) -> Floats:
        apgr, cpt, curve = recovered(score, cheap, strong, weights)
        return np.concatenate([apgr[:, None], cpt, curve], axis=1)

    values = draws.each(figures)
    assert values.shape[1] == width
    curve = [interval(column) for column in values[:, 3:].T]
    return {
        "apgr": interval(values[:, 0]),
        "cpt50": interval(values[:, 1]),
        "cpt80": interval(values[:, 2]),
        "curve": {
            "strong_share": _SHARES.tolist(),
            **{end: [point[end] for point in curve] for end in ("value", "low", "high")},
        },
    }
