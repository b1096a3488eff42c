"""Quantiles from histograms; intervals for means, for one long run and for quantiles; where a warm-up ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import cbrt, isfinite, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.engine.meter import bin_edges_s

__all__ = [
    "Estimate",
    "batch_means_interval",
    "bootstrap_quantile",
    "estimate",
    "half_width",
    "histogram_quantiles",
    "jackknife",
    "lag_one",
    "mean_of_known",
    "mser5",
    "paired_bootstrap",
    "paired_difference",
    "prediction_interval",
    "ratio",
]

Floats = NDArray[np.float64]

_FEWEST_BATCHES = 10
"""Schmeiser (1982): more than 30 batches gain little, and with fewer than 10 the interval grows fast."""
_STRONGEST = 0.9
"""Correlation beyond which ten batches cannot tell one from a run that never settles."""
_RESAMPLES = 1000


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


def prediction_interval(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """The mean of independent values, and between what and what the next one lies, however many there are.

    Student's, mean +- t s sqrt(1 + 1/n); with so many values that two of them lie beyond, that between order
    statistics, which asks for no law. Values that are not finite do not count; NaN below two.

    >>> prediction_interval([3.0, 3.0, 3.0])
    Estimate(mean=3.0, low=3.0, high=3.0)
    """
    known = np.asarray([value for value in values if np.isfinite(value)])
    beyond = (1.0 - confidence) / 2.0
    if beyond * (known.size + 1) >= 1.0:
        low, high = np.quantile(known, [beyond, 1.0 - beyond], method="weibull").tolist()
        return Estimate(float(known.mean()), low, high)
    mean, low, high = estimate(values, confidence)
    wider = sqrt(known.size + 1.0)
    return Estimate(mean, mean - (mean - low) * wider, mean + (high - mean) * wider)


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


def batch_means_interval(values: Sequence[float], confidence: float = 0.95, point: float | None = None) -> Estimate:
    """The mean of a series of batches, one after the other, with an interval that knows of their correlation.

    Neighbours are merged until the lag-1 correlation by von Neumann's ratio is not above zero, or ten batches would not
    be left. What correlation is left widens the interval as that of a first-order autoregression does, and the skewness
    of the batches shifts it (Johnson 1978, as in Skart: Tafazzoli and Wilson 2011). Values that are not finite do not
    count. `point` is put in the middle where it is known better than by the mean of the batches. NaN ends below two.

    >>> estimate = batch_means_interval([1.0, 2.0, 3.0])
    >>> estimate.mean, bool(estimate.low < 1.0 < 3.0 < estimate.high)
    (2.0, True)
    """
    from scipy.special import stdtrit

    batches = _uncorrelated(np.asarray([value for value in values if np.isfinite(value)]))
    mean = point if point is not None else float(batches.mean()) if batches.size else float("nan")
    if batches.size < 2:
        return Estimate(mean, float("nan"), float("nan"))
    left = min(max(lag_one(batches), 0.0), _STRONGEST)
    error = float(batches.std(ddof=1)) / sqrt(batches.size) * sqrt((1.0 + left) / (1.0 - left))
    quantile, bend = float(stdtrit(batches.size - 1, 0.5 + confidence / 2.0)), _bend(batches)
    return Estimate(mean, mean - _bent(quantile, bend) * error, mean - _bent(-quantile, bend) * error)


def _uncorrelated(values: Floats) -> Floats:
    """The values, or means of so many neighbours that these are not correlated; the first ones left out if need be."""
    batches = values
    for together in range(1, max(values.size // _FEWEST_BATCHES, 1) + 1):
        batches = values[values.size % together :].reshape(-1, together).mean(axis=1)
        if lag_one(batches) <= 0.0:
            break
    return batches


def lag_one(values: Floats) -> float:
    """Correlation of neighbours, [n]: one less half of von Neumann's ratio; 0 where nothing varies."""
    spread = float(((values - values.mean()) ** 2).sum()) if values.size else 0.0
    return 1.0 - float((np.diff(values) ** 2).sum()) / (2.0 * spread) if spread > 0.0 else 0.0


def _bend(values: Floats) -> float:
    """Skewness of the values over 6 sqrt(n): Johnson's coefficient."""
    away = values - values.mean()
    variance = float((away**2).mean())
    return float((away**3).mean()) / variance**1.5 / (6.0 * sqrt(values.size)) if variance > 0.0 else 0.0


def _bent(quantile: float, bend: float) -> float:
    """A quantile of Student's law made that of the mean of skew values; the same without skewness."""
    return quantile if abs(bend) < 1e-3 else (cbrt(1.0 + 6.0 * bend * (quantile - bend)) - 1.0) / (2.0 * bend)


def jackknife(whole: float, without: Sequence[float]) -> list[float]:
    """Pseudo-values of a figure: what each of n parts would have it be, so that ratios and quantiles become means.

    `whole` is the figure of all parts, `without` that of all parts but one (Quenouille 1956): n whole - (n-1) without.

    >>> jackknife(2.0, [2.5, 2.0, 1.5])
    [1.0, 2.0, 3.0]
    """
    parts = len(without)
    return [parts * whole - (parts - 1) * each for each in without]


def bootstrap_quantile(
    counts: NDArray[np.int64], probability: float, random: np.random.Generator, confidence: float = 0.95
) -> Estimate:
    """A quantile of all replications' histograms together [R, bins], with its bootstrap interval.

    Replications are drawn with replacement and their histograms added up. A few replications vary too little that way:
    the interval is stretched around the quantile by t / z * sqrt(R / (R - 1)). NaN ends below two.
    """
    return _bootstrap(
        lambda weights: _weighted_quantiles(weights, counts, probability), len(counts), random, confidence
    )


def paired_bootstrap(
    counts: NDArray[np.int64],
    others: NDArray[np.int64],
    probability: float,
    random: np.random.Generator,
    confidence: float = 0.95,
) -> Estimate:
    """The difference of a quantile between two runs on the same streams, with its bootstrap interval.

    Both are histograms of the same R replications, [R, bins]; a replication is drawn for both at once.

    Raises:
        ValueError: where there are not as many of both.
    """
    if len(counts) != len(others):
        raise ValueError(f"{len(counts)} replications cannot be paired with {len(others)}")

    def difference(weights: Floats) -> Floats:
        first, second = (_weighted_quantiles(weights, each, probability) for each in (counts, others))
        return first - second

    return _bootstrap(difference, len(counts), random, confidence)


def _weighted_quantiles(weights: Floats, counts: NDArray[np.int64], probability: float) -> Floats:
    """Quantiles of sums of histograms [R, bins], each counted so many times, [B, R]; as of `histogram_quantiles`."""
    taken = np.flatnonzero(counts.any(axis=0))
    if not taken.size:
        return np.full(len(weights), np.nan)
    occupied = slice(int(taken[0]), int(taken[-1]) + 1)
    reached = weights @ np.cumsum(counts[:, occupied], axis=1).astype(np.float64)
    wanted, edges, rows = probability * reached[:, -1], bin_edges_s()[occupied.start :], np.arange(len(weights))
    bins = np.minimum((reached < wanted[:, np.newaxis]).sum(axis=1), reached.shape[1] - 1)
    below = np.where(bins > 0, reached[rows, bins - 1], 0.0)
    share = np.divide(wanted - below, reached[rows, bins] - below, out=np.full(rows.size, np.nan), where=wanted > 0.0)
    found: Floats = edges[bins] + share * (edges[bins + 1] - edges[bins])
    return found


def _bootstrap(
    figure: Callable[[Floats], Floats], parts: int, random: np.random.Generator, confidence: float
) -> Estimate:
    """A figure of parts, each counted so many times, with the interval of draws with replacement."""
    from scipy.special import ndtri, stdtrit

    point = float(figure(np.ones((1, parts)))[0])
    if parts < 2 or not isfinite(point):
        return Estimate(point, float("nan"), float("nan"))
    drawn = figure(random.multinomial(parts, np.full(parts, 1.0 / parts), _RESAMPLES).astype(np.float64))
    low, high = np.nanquantile(drawn, [0.5 - confidence / 2.0, 0.5 + confidence / 2.0]).tolist()
    upper = 0.5 + confidence / 2.0
    stretch = float(stdtrit(parts - 1, upper) / ndtri(upper)) * sqrt(parts / (parts - 1))
    return Estimate(point, point - (point - low) * stretch, point + (high - point) * stretch)


def mser5(values: Sequence[float]) -> int | None:
    """How many values to leave out at the start of a series, by MSER-5; None where half of it would not do.

    Of means of five values each, those are left out without which the squared standard error of the mean of the rest,
    sum of (y - mean)^2 / n^2, is least (White 1997; White and Spratt 2000). A least value in the second half says that
    the series is too short to tell (Hoad, Robinson and Davies 2010); so does a series of fewer than ten means.

    >>> mser5([9.0] * 10 + [1.0, 2.0] * 100)
    10
    """
    means = np.asarray(values[: len(values) // 5 * 5], np.float64).reshape(-1, 5).mean(axis=1)
    if means.size < 10:
        return None
    rest = np.arange(means.size, 0, -1)
    centred = means - means.mean()
    sums, squares = (np.cumsum(column[::-1])[::-1] for column in (centred, centred**2))
    # The last five means are too few to say how much they vary.
    errors = ((squares - sums**2 / rest) / rest**2)[:-5]
    cut = int(np.argmin(errors))
    return None if 2 * cut >= means.size else 5 * cut


def mean_of_known(values: Sequence[float]) -> float | None:
    """Mean of the values that are there; a value that all share is given as it is."""
    known = [float(value) for value in values if isfinite(value)]
    if not known:
        return None
    return known[0] if len(set(known)) == 1 else float(np.mean(known))


def ratio(above: float, below: float) -> float | None:
    """One over the other; None over nothing."""
    return float(above / below) if below else None
