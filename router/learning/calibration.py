"""From scores to chances: a sigmoid for each strategy, and a straight line for amounts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sigmoids", "fit_line", "fit_sigmoid", "fit_sigmoids", "lines_left", "sigmoid", "squares_left"]

Floats = NDArray[np.float64]

DEGREE = 3
"""Of the polynomial within the sigmoid, at most; Platt's own has degree 1."""

_ROUNDS = 50
_PULL = 1.0
_LONGEST_STEP = 2.0
_GRID = 101
_LEAST_SPREAD = 1e-9


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + e^-x), without overflow."""
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, small) / (1.0 + small)


@dataclass(frozen=True)
class Sigmoids:
    """Chances of M columns: sigmoid(c0 + c1 u + c2 u^2 + c3 u^3), u the score's place between low and high."""

    low: Floats
    """Least score that was seen, [M]; what lies below counts as this."""
    scale: Floats
    """One over the distance to the greatest, [M]; 0 where all scores are alike."""
    powers: Floats
    """c0 to c3, [4, M]."""

    def of(self, scores: Floats) -> Floats:
        """The chances, [n, M]. They rise with the score."""
        place = np.clip((scores - self.low) * self.scale, 0.0, 1.0)
        raised = self.powers[-1]
        for power in self.powers[-2::-1]:
            raised = raised * place + power
        return sigmoid(np.broadcast_to(raised, place.shape))


def fit_sigmoids(scores: Floats, shares: Floats) -> Sigmoids:
    """A sigmoid for each column of scores [n, M], by shares of right answers [n, M]; NaN shares do not count."""
    fitted = [fit_sigmoid(score, share) for score, share in zip(scores.T, shares.T, strict=True)]
    low, scale, powers = zip(*fitted, strict=True)
    return Sigmoids(np.array(low), np.array(scale), np.array(powers).T)


def fit_sigmoid(scores: Floats, shares: Floats) -> tuple[float, float, Floats]:
    """Low, scale and powers of the sigmoid that makes the shares likeliest, by Newton's method.

    Platt's (1999) with a cubic for its line: of scores that are means of answers the line is bent, most so where one
    kind of question is nearly always failed. What is beyond the line is drawn to 0, so that few rows give Platt's own.
    A polynomial that falls anywhere gives way to one of less degree, and a score that tells nothing gives the mean.

    >>> low, scale, powers = fit_sigmoid(np.arange(2000) % 2 * 1.0, np.arange(2000) % 4 // 2 * 0.5 + 0.25)
    >>> [round(float(value), 2) for value in sigmoid(np.array([powers[0], powers.sum()]))]
    [0.5, 0.5]
    """
    known = ~np.isnan(shares)
    score, share = scores[known], shares[known]
    low, spread = float(score.min()), float(score.max() - score.min())
    mean = float(np.clip(share.mean(), 1e-6, 1.0 - 1e-6))
    flat = np.append(np.log(mean / (1.0 - mean)), np.zeros(DEGREE))
    if spread <= _LEAST_SPREAD:
        return low, 0.0, flat
    place = (score - low) / spread
    grid = np.linspace(0.0, 1.0, _GRID)
    for degree in range(DEGREE, 0, -1):
        powers = np.zeros(DEGREE + 1)
        powers[: degree + 1] = _likeliest(place, share, degree)
        if (np.diff(np.polynomial.polynomial.polyval(grid, powers)) >= 0.0).all():
            return low, 1.0 / spread, powers
    return low, 1.0 / spread, flat


def squares_left(scores: Floats, shares: Floats) -> float:
    """Mean squared distance of shares and chances, summed over columns, each column with the sigmoid that suits it."""
    return float(np.nanmean((fit_sigmoids(scores, shares).of(scores) - shares) ** 2, axis=0).sum())


def lines_left(scores: Floats, amounts: Floats) -> float:
    """Variance that is left of the amounts, summed over columns, each column with the line that suits it."""
    return float(sum(fit_line(score, amount)[2] ** 2 for score, amount in zip(scores.T, amounts.T, strict=True)))


def _likeliest(place: Floats, share: Floats, degree: int) -> Floats:
    """Powers 0 to `degree`, found on columns that are orthogonal over the rows."""
    columns, back = np.linalg.qr(np.vander(place, degree + 1, increasing=True))
    columns, back = columns * np.sqrt(len(place)), back / np.sqrt(len(place))
    pull = np.append([1e-9, 1e-3], np.full(degree - 1, _PULL))
    found = np.zeros(degree + 1)
    for _ in range(_ROUNDS):
        chance = sigmoid(columns @ found)
        slope = columns.T @ (chance - share) + pull * found
        bend = (columns * (chance * (1.0 - chance))[:, None]).T @ columns + np.diag(pull)
        step = np.linalg.solve(bend, slope)
        found = found - step * min(1.0, _LONGEST_STEP / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < 1e-10:
            break
    return np.asarray(np.linalg.solve(back, found))


def fit_line(scores: Floats, amounts: Floats) -> tuple[float, float, float]:
    """Slope, offset and spread of what is left, by least squares; NaN amounts do not count. The slope is at least 0."""
    known = ~np.isnan(amounts)
    score, amount = scores[known], amounts[known]
    centred = score - score.mean()
    square = float(centred @ centred)
    slope = max(float(centred @ (amount - amount.mean())) / square, 0.0) if square > 1e-12 else 0.0
    offset = float(amount.mean() - slope * score.mean())
    return slope, offset, float((amount - slope * score - offset).std())
