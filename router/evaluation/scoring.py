"""How well chances tell right answers from wrong ones, and how far they can be taken at their word.

All figures take a share of right answers as well as 0 and 1: a question of which 3 of 4 trials were right counts as
three quarters of a right answer and one quarter of a wrong one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from router.evaluation.resampling import Draws, Interval, interval, unbiased_interval
from router.evaluation.table import Integers
from router.types import Floats

__all__ = ["auc", "bin_of", "brier_parts", "error_by_chance", "expected_calibration_error", "scores_of"]

_BINS = 15
_LEAST = 1e-12
"""Chances nearer to 0 or 1 count as this near in the log loss, which would be infinite."""


def auc(p: Floats, correct: Floats, weights: Floats | None = None) -> Floats:
    """Chance that a right answer had a higher p than a wrong one, ties counting half: [draws], of weights [draws, n].

    The area under the ROC curve is the statistic of Mann and Whitney (Hanley and McNeil 1982):
    `sum over wrong i, right j of w_i w_j (1[p_j > p_i] + 1[p_j = p_i] / 2) / (sum of w_i  sum of w_j)`.
    NaN where all are right or all are wrong.

    >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([0.0, 0.0, 1.0, 1.0])).tolist()
    [0.875]
    """
    weights = np.ones((1, p.size)) if weights is None else weights
    order = np.argsort(p, kind="stable")
    ordered, right = p[order], correct[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    drawn = weights[:, order]
    positive = np.add.reduceat(drawn * right, starts, axis=1)
    negative = np.add.reduceat(drawn, starts, axis=1) - positive
    below = np.cumsum(negative, axis=1) - negative
    pairs = np.einsum("ij,ij->i", positive, below + 0.5 * negative)
    total = positive.sum(axis=1) * negative.sum(axis=1)
    area: Floats = np.divide(pairs, total, out=np.full(total.size, np.nan), where=total > 0.0)
    return area


def bin_of(p: Floats, bins: int = _BINS, equal_mass: bool = False) -> Integers:
    """Bin of each chance, [n]: of equal width, or with as many questions in each as ties allow.

    >>> bin_of(np.array([0.0, 0.24, 0.25, 1.0]), bins=4).tolist()
    [0, 0, 1, 3]
    >>> bin_of(np.array([0.5, 0.5, 0.6, 0.7]), bins=2, equal_mass=True).tolist()
    [0, 0, 1, 1]
    """
    if not equal_mass:
        return np.minimum((p * bins).astype(np.int64), bins - 1)
    edges = np.unique(np.quantile(p, np.arange(1, bins) / bins, method="lower"))
    return np.searchsorted(edges, p, side="left").astype(np.int64)


def expected_calibration_error(sums: Floats) -> Floats:
    """Mean distance of chance and share within bins, [draws]: `sum over b of |sum of w (p - correct)| / sum of w`.

    `sums` are those of weight, weight x p and weight x correct by bin, [draws, bins, 3] (Naeini, Cooper and Hauskrecht
    2015).
    """
    error: Floats = np.abs(sums[..., 1] - sums[..., 2]).sum(axis=1) / sums[..., 0].sum(axis=1)
    return error


def brier_parts(sums: Floats, brier: Floats) -> dict[str, Floats]:
    """Murphy's decomposition of the Brier score, each part [draws].

    `brier = reliability - resolution + uncertainty + within`.
    Over bins b with weight w_b, mean chance p_b and share of right answers c_b, c being the share of all: reliability
    `sum of w_b (p_b - c_b)^2`, resolution `sum of w_b (c_b - c)^2`, uncertainty `c (1 - c)` (Murphy 1973). `within` is
    what bins hide, the variance of p in them less twice its covariance with what came (Stephenson, Coelho and Jolliffe
    2008). `sums` as above, [draws, bins, 3].
    """
    weight = sums[..., 0]
    held = np.maximum(weight, 1e-300)
    chance, share = sums[..., 1] / held, sums[..., 2] / held
    total = weight.sum(axis=1)
    overall = sums[..., 2].sum(axis=1) / total
    reliability = (weight * (chance - share) ** 2).sum(axis=1) / total
    resolution = (weight * (share - overall[:, None]) ** 2).sum(axis=1) / total
    uncertainty = overall * (1.0 - overall)
    within = brier - reliability + resolution - uncertainty
    return {"reliability": reliability, "resolution": resolution, "uncertainty": uncertainty, "within": within}


def error_by_chance(p: Floats, bins: Integers) -> float:
    """Calibration error that chances which are exactly right would show by luck in a sample of this size.

    In a bin `sum of (p - correct)` is then near normal with variance `sum of p (1 - p)`, and the mean distance of a
    normal from 0 is `sd sqrt(2 / pi)`.
    """
    variance = np.bincount(bins, weights=p * (1.0 - p))
    return float(np.sqrt(variance * 2.0 / math.pi).sum() / p.size)


def scores_of(p: Floats, correct: Floats, drawn: Draws) -> dict[str, Any]:
    """Every figure of one strategy with its interval, from chances [n] and what came [n] of the questions drawn."""
    brier = drawn.means(correct * (1.0 - p) ** 2 + (1.0 - correct) * p**2)
    wide = bin_of(p)
    sums = _binned(p, correct, wide, drawn)
    even = _binned(p, correct, bin_of(p, equal_mass=True), drawn)
    return {
        "questions": int(p.size),
        "accuracy": interval(drawn.means(correct)),
        "p_correct": float(p.mean()),
        "auc": interval(drawn.each(lambda weights: auc(p, correct, weights))),
        "ece": unbiased_interval(expected_calibration_error(sums)),
        "ece_equal_mass": unbiased_interval(expected_calibration_error(even)),
        "ece_by_chance": error_by_chance(p, wide),
        "brier": interval(brier),
        "brier_parts": {name: interval(values) for name, values in brier_parts(sums, brier).items()},
        "log_loss": _log_loss(p, correct, drawn),
        "reliability": _reliability(sums),
    }


def _reliability(sums: Floats) -> list[dict[str, Any]]:
    """The reliability diagram: of each bin its questions, mean chance, and share of right answers with its interval."""
    rows = []
    for place in np.flatnonzero(sums[0, :, 0] > 0.0).tolist():
        weight, chance, right = sums[:, place].T
        share = np.divide(right, weight, out=np.full(weight.size, np.nan), where=weight > 0.0)
        rows.append(
            {"questions": int(weight[0]), "p_correct": float(chance[0] / weight[0]), "correct": interval(share)}
        )
    return rows


def _log_loss(p: Floats, correct: Floats, drawn: Draws) -> Interval:
    kept = np.clip(p, _LEAST, 1.0 - _LEAST)
    return interval(drawn.means(-correct * np.log(kept) - (1.0 - correct) * np.log1p(-kept)))


def _binned(p: Floats, correct: Floats, bins: Integers, drawn: Draws) -> Floats:
    """Sums of weight, chance and right answers by draw and bin, [1 + draws, bins, 3]."""
    count = int(bins.max()) + 1
    cells = drawn.group * count + bins
    by_group = [
        np.bincount(cells, weights=values, minlength=drawn.groups * count).reshape(drawn.groups, count)
        for values in (np.ones(p.size), p, correct)
    ]
    flat: Floats = np.stack(by_group, axis=2).reshape(drawn.groups, -1).astype(np.float64)
    return drawn.sums_of_groups(flat).reshape(-1, count, 3)
