"""From scores to chances: Platt's sigmoid for each strategy, and a straight line for amounts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_CHANCE", "fit_line", "fit_platt", "log_odds", "sigmoid"]

Floats = NDArray[np.float64]

LEAST_CHANCE = 0.005
"""Scores are held between this and 1 less this before their odds are taken."""

_ROUNDS = 50
_PULL = 1e-3
_LONGEST_STEP = 2.0


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + e^-x), without overflow."""
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, small) / (1.0 + small)


def log_odds(scores: Floats) -> Floats:
    """ln(s / (1 - s)) of scores that estimate chances by least squares, and so may lie outside 0 to 1."""
    held = np.clip(scores, LEAST_CHANCE, 1.0 - LEAST_CHANCE)
    return np.asarray(np.log(held / (1.0 - held)))


def fit_platt(scores: Floats, shares: Floats) -> tuple[float, float]:
    """Slope and offset of the sigmoid that makes the shares likeliest (Platt 1999), by Newton's method.

    Rows whose share is NaN do not count. The slope is never below 0: a score that tells nothing gives everyone the mean.

    >>> slope, offset = fit_platt(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.25, 0.25, 0.75, 0.75]))
    >>> [round(float(p), 2) for p in sigmoid(slope * np.array([0.0, 1.0]) + offset)]
    [0.25, 0.75]
    """
    known = ~np.isnan(shares)
    score, share = scores[known], shares[known]
    middle, spread = score.mean(), max(score.std(), 1e-12)
    columns = np.stack([(score - middle) / spread, np.ones_like(score)], axis=1)
    mean = np.clip(share.mean(), 1e-6, 1.0 - 1e-6)
    found = np.array([0.0, np.log(mean / (1.0 - mean))])
    for _ in range(_ROUNDS):
        chance = sigmoid(columns @ found)
        slope = columns.T @ (chance - share) + np.array([_PULL * found[0], 0.0])
        bend = (columns * (chance * (1.0 - chance))[:, None]).T @ columns + np.diag([_PULL, 1e-9])
        step = np.linalg.solve(bend, slope)
        found = found - step * min(1.0, _LONGEST_STEP / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < 1e-10:
            break
    if found[0] < 0.0 or spread <= 1e-12:
        found = np.array([0.0, np.log(mean / (1.0 - mean))])
    return float(found[0] / spread), float(found[1] - found[0] * middle / spread)


def fit_line(scores: Floats, amounts: Floats) -> tuple[float, float, float]:
    """Slope, offset and spread of what is left, by least squares; NaN amounts do not count. The slope is never below 0."""
    known = ~np.isnan(amounts)
    score, amount = scores[known], amounts[known]
    centred = score - score.mean()
    square = float(centred @ centred)
    slope = max(float(centred @ (amount - amount.mean())) / square, 0.0) if square > 1e-12 else 0.0
    offset = float(amount.mean() - slope * score.mean())
    return slope, offset, float((amount - slope * score - offset).std())
