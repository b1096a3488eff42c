"""Whether questions look as they did in training: the population stability index, and what of it is chance."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from router.drift.bins import Bins

__all__ = ["MAJOR", "MODERATE", "Shift", "psi_by_chance", "shift_of", "stability"]

MODERATE, MAJOR = 0.1, 0.25
"""Conventional thresholds of the index (Siddiqi 2006, "Credit Risk Scorecards"): a shift to watch, one to act on."""


@dataclass(frozen=True)
class Shift:
    """How far one column has moved."""

    column: str
    psi: float
    by_chance: float
    """What the index of an unmoved column stays below, but for the rate of false alarms."""

    @property
    def level(self) -> Literal["steady", "moderate", "major"]:
        """By the conventional thresholds; steady where chance explains it."""
        if self.psi <= max(self.by_chance, MODERATE):
            return "steady"
        return "major" if self.psi > MAJOR else "moderate"


def stability(bins: Bins, values: ArrayLike, questions: int) -> float:
    """The population stability index of some values against bins of so many training questions.

    PSI = sum over bins of (a - e) ln(a / e), a being the shares now and e those in training. Half a question is added
    to each bin of both, so that none is empty.

    >>> bins = Bins.of(np.arange(1000))
    >>> round(stability(bins, np.arange(1000), 1000), 6)
    0.0
    >>> round(stability(bins, np.arange(500), 1000), 1)
    2.6
    """
    counts = bins.counts(values)
    now = _shares(counts.astype(np.float64))
    then = _shares(bins.shares * questions)
    return float(np.sum((now - then) * np.log(now / then)))


def psi_by_chance(bins: int, questions_now: int, questions_then: int, probability: float) -> float:
    """What the index of an unmoved column exceeds with a probability.

    The index over (1/n + 1/N) follows a chi-square law of one degree less than bins (Yurdakul 2018, "Statistical
    properties of population stability index"); its quantile is that of Wilson and Hilferty (1931).
    """
    degrees = max(bins - 1, 1)
    z = NormalDist().inv_cdf(1.0 - probability)
    part = 2.0 / (9.0 * degrees)
    quantile: float = degrees * (1.0 - part + z * part**0.5) ** 3
    return quantile * (1.0 / questions_now + 1.0 / questions_then)


def shift_of(column: str, bins: Bins, values: ArrayLike, then: int, now: int, probability: float) -> Shift:
    """How far a column has moved. `now` of the values are independent of each other, as were `then` in training."""
    held = int(np.count_nonzero(bins.shares))
    return Shift(column, stability(bins, values, then), psi_by_chance(held, now, then, probability))


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    filled = counts + 0.5
    shares: NDArray[np.float64] = filled / filled.sum()
    return shares
