"""Quantiles from histograms, and intervals for means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.engine.meter import bin_edges_s

__all__ = ["half_width", "histogram_quantiles"]


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
