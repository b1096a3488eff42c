"""Differences B - A, replication by replication: their mean, their interval, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, sqrt
from typing import Literal

import numpy as np

from sim.stats import estimate, paired_difference

__all__ = ["Better", "Verdict", "difference", "pairing_gain", "spread_of", "verdict_of"]

Better = Literal["lower", "higher", "neither"]
Verdict = Literal["better", "worse", "higher", "lower", "same", "open"]
_ROUNDING = 1e-9
"""Relative size below which a difference is one of rounding."""


def difference(a: Sequence[float], b: Sequence[float]) -> dict[str, float | None]:
    """Mean of `b - a` over the replications with its 95 % interval, as `mean`, `low` and `high`; None where unknown.

    >>> difference([4.0, 6.0, 8.0], [5.0, 7.0, 9.0])
    {'mean': 1.0, 'low': 1.0, 'high': 1.0}
    """
    return _known(*paired_difference(b, a))


def spread_of(values: Sequence[float]) -> dict[str, float | None]:
    """Mean of differences that are worked out already, with its interval."""
    return _known(*estimate(values))


def _known(mean: float, low: float, high: float) -> dict[str, float | None]:
    found = {"mean": mean, "low": low, "high": high}
    return {name: value if isfinite(value) else None for name, value in found.items()}


def verdict_of(found: dict[str, float | None], scale: float, better: Better) -> Verdict:
    """What a difference says of B: open where its interval holds zero, or where there is none.

    `scale` is the size of the figure itself, by which rounding is told from a difference.

    >>> verdict_of({"mean": -2.0, "low": -3.0, "high": -1.0}, 10.0, "lower")
    'better'
    """
    mean, low, high = found["mean"], found["low"], found["high"]
    least = _ROUNDING * abs(scale)
    if mean is None:
        return "open"
    if all(value is None or abs(value) <= least for value in (mean, low, high)):
        return "same"
    if low is None or high is None or low <= 0.0 <= high:
        return "open"
    if better == "neither":
        return "higher" if mean > 0.0 else "lower"
    return "better" if (mean > 0.0) == (better == "higher") else "worse"


def pairing_gain(a: Sequence[float], b: Sequence[float]) -> float | None:
    """How many times narrower the paired interval is than that of as many independent runs (Welch's); None if unknown.

    >>> pairing_gain([1.0, 2.0, 3.0], [1.1, 2.1, 3.3]) > 5.0
    True
    """
    pairs = np.array([(one, other) for one, other in zip(a, b, strict=True) if isfinite(one) and isfinite(other)])
    if len(pairs) < 2:
        return None
    n = len(pairs)
    shares = pairs.var(axis=0, ddof=1) / n
    paired = float(np.diff(pairs, axis=1).std(ddof=1)) / sqrt(n)
    scale = float(np.abs(pairs).max())
    if paired <= _ROUNDING * scale or shares.sum() == 0.0:
        return None
    from scipy.special import stdtrit

    freedom = float(shares.sum() ** 2 / (shares**2).sum() * (n - 1))
    unpaired = float(stdtrit(freedom, 0.975)) * sqrt(float(shares.sum()))
    return unpaired / (float(stdtrit(n - 1, 0.975)) * paired)
