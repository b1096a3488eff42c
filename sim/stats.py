"""Quantiles from histograms, intervals for means, and differences between runs on the same streams."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.engine.meter import bin_edges_s

__all__ = ["Estimate", "estimate", "half_width", "histogram_quantiles", "mean_of_known", "paired_difference", "ratio"]


class Estimate(NamedTuple):
    """A mean and its Student interval; NaN ends below two values."""

    mean: float
    low: float
    high: float


def histogram_quantiles(counts: NDArray[np.int64], probabilities: Sequence[float]) -> list[float]:
    """Quantiles in seconds from latency counts [bins]: linear within a bin, so off by less than its 0.4 % width.

    NaN where the histogram is empty.

    >>> import numpy as np
    >>> from sim.engine.meter import BINS
    >>> histogram_quantiles(np.zeros(BINS, dtype=np.int64), [0.5])
    [nan]
    """
    total = int(counts.sum())
    if total == 0:
        return [float("nan")] * len(probabilities)
    edges = bin_edges_s()
    reached = np.cumsum(counts)
    wanted = np.asarray(probabilities) * total
    bins = np.searchsorted(reached, wanted, side="left")
    below = np.where(bins > 0, reached[bins - 1], 0)
    within = (wanted - below) / counts[bins]
    values: list[float] = (edges[bins] + within * (edges[bins + 1] - edges[bins])).tolist()
    return values


def half_width(values: Sequence[float], confidence: float = 0.95) -> float:
    """Half the width of the Student interval for the mean of independent values; NaN below two of them."""
    from scipy.special import stdtrit

    known = np.asarray([value for value in values if np.isfinite(value)])
    if known.size < 2:
        return float("nan")
    quantile = float(stdtrit(known.size - 1, 0.5 + confidence / 2.0))
    return quantile * float(known.std(ddof=1)) / float(np.sqrt(known.size))


def estimate(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """The mean of independent values with its interval; values that are not finite do not count.

    >>> estimate([3.0])
    Estimate(mean=3.0, low=nan, high=nan)
    """
    known = [value for value in values if np.isfinite(value)]
    mean, width = (float(np.mean(known)) if known else float("nan")), half_width(known, confidence)
    return Estimate(mean, mean - width, mean + width)


def paired_difference(values: Sequence[float], others: Sequence[float], confidence: float = 0.95) -> Estimate:
    """The mean of `values - others`, replication by replication, with its interval.

    Two runs whose replications meet the same requests share their luck, which falls out of the difference: its
    interval is narrower than those of the two means say. A pair that is not finite does not count.

    Raises:
        ValueError: where there are not as many of both.

    >>> paired_difference([5.0, 7.0, 9.0], [4.0, 6.0, 8.0])
    Estimate(mean=1.0, low=1.0, high=1.0)
    """
    return estimate([value - other for value, other in zip(values, others, strict=True)], confidence)


def mean_of_known(values: Sequence[float]) -> float | None:
    """Mean of the values that are there; a value that all share is given as it is."""
    known = [float(value) for value in values if isfinite(value)]
    if not known:
        return None
    return known[0] if len(set(known)) == 1 else float(np.mean(known))


def ratio(above: float, below: float) -> float | None:
    """One over the other; None over nothing."""
    return float(above / below) if below else None
