"""Intervals by the bootstrap over groups: questions on one context, or of one subject, are drawn together.

Every figure is a function of weights of questions. Draw 0 has each group once, so it is the sample itself; the others
draw as many groups as there are, with replacement (Davison and Hinkley 1997, section 3.8). Figures that come from the
same draws are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from router.evaluation.table import Integers
from router.types import Floats

__all__ = ["Draws", "Interval", "interval", "unbiased_interval"]

_CELLS = 4_000_000
"""Weights of questions held at a time; of groups all are held, two bytes each."""


class Interval(TypedDict):
    """A figure with its interval; null where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


class Draws:
    """`draws` draws of the groups of a table, after the sample itself; the same seed gives the same draws."""

    def __init__(self, group: Integers, draws: int = 500, seed: int = 0) -> None:
        self.group, self.draws, self._seed = group, draws, seed
        self.groups = int(group.max()) + 1
        self._order = np.argsort(group, kind="stable")
        self._starts = np.searchsorted(group[self._order], np.arange(self.groups))

    def group_weights(self, width: int) -> Iterator[Floats]:
        """How often each group was drawn, [some draws, groups]; so few at a time that [.., width] is not large."""
        at_once = max(1, _CELLS // max(width, self.groups))
        for first in range(0, self.draws + 1, at_once):
            yield self._counts[first : first + at_once].astype(np.float64)

    @cached_property
    def _counts(self) -> NDArray[np.uint16]:
        generator = np.random.default_rng(self._seed)
        counts = np.ones((self.draws + 1, self.groups), np.uint16)
        for row in counts[1:]:
            row[:] = np.bincount(generator.integers(0, self.groups, self.groups), minlength=self.groups)
        return counts

    def sums(self, values: Floats) -> Floats:
        """Sums over the questions of each draw, [1 + draws, ...], of values of questions [n, ...]."""
        by_group = self.by_group(values)
        flat = by_group.reshape(self.groups, -1)
        parts = [weights @ flat for weights in self.group_weights(1)]
        return np.concatenate(parts).reshape(-1, *values.shape[1:])

    def by_group(self, values: Floats) -> Floats:
        """Sums over the questions of each group, [groups, ...]."""
        summed: Floats = np.add.reduceat(values[self._order], self._starts, axis=0)
        return summed

    def sums_of_groups(self, by_group: Floats) -> Floats:
        """Sums over the groups of each draw, [1 + draws, m], of sums of groups [groups, m]."""
        return np.concatenate([weights @ by_group for weights in self.group_weights(1)])

    def means(self, values: Floats) -> Floats:
        """Means over the questions of each draw, [1 + draws, ...]."""
        counts = self.sums(np.ones(self.group.size))
        return self.sums(values) / counts.reshape(-1, *([1] * (values.ndim - 1)))

    def each(self, figure: Callable[[Floats], Floats]) -> Floats:
        """A figure of every draw, from weights of questions: [draws, n] -> [draws, ...]."""
        return np.concatenate([figure(weights[:, self.group]) for weights in self.group_weights(self.group.size)])


def interval(values: Floats, level: float = 0.95) -> Interval:
    """The sample's figure, and the quantiles of the draws', from values [1 + draws].

    Draws in which the figure is not defined do not count; where that is every other draw, there is no interval.

    >>> interval(np.array([2.0, 1.0, 3.0]), level=1.0)
    {'value': 2.0, 'low': 1.0, 'high': 3.0}
    """
    value, drawn = float(values[0]), values[1:][~np.isnan(values[1:])]
    if np.isnan(value) or 2 * drawn.size <= values.size - 1:
        return {"value": _known(value), "low": None, "high": None}
    ordered = np.sort(drawn)
    # The k-th of B draws in order stands for k / (B + 1); whole draws, as some figures may be infinite.
    place = min(max(int((drawn.size + 1) * (1.0 - level) / 2.0 + 1e-9) - 1, 0), (drawn.size - 1) // 2)
    return {"value": _known(value), "low": _known(ordered[place]), "high": _known(ordered[drawn.size - 1 - place])}


def unbiased_interval(values: Floats, level: float = 0.95) -> Interval:
    """The basic bootstrap interval, 2 x sample - quantiles, not below 0: for figures that noise can only make larger.

    An error of calibration is such a figure. Its draws are as much too large against the sample as the sample is
    against the truth, so their plain quantiles would never hold a true error of 0 (Davison and Hinkley 1997, section
    5.2).

    >>> unbiased_interval(np.array([2.0, 1.5, 3.0]), level=1.0)
    {'value': 2.0, 'low': 1.0, 'high': 2.5}
    """
    plain = interval(values, level)
    value, low, high = plain["value"], plain["low"], plain["high"]
    if value is None or low is None or high is None:
        return plain
    # It holds what was measured as well, which a small sample of exact chances would leave above it.
    return {"value": value, "low": max(2.0 * value - high, 0.0), "high": max(2.0 * value - low, value)}


def _known(value: float | np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None
