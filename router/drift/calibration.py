"""Whether answers are right as often as the router says: observed less expected, and the error of its calibration."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.types import Floats

__all__ = ["Calibration", "calibration_error", "calibration_of"]

_BINS = 10
_DRAWS = 200
_SHOWN = 0.95


@dataclass(frozen=True)
class Calibration:
    """Outcomes of one strategy beside what was expected of them."""

    strategy: str
    outcomes: int
    observed: float
    """Share of right answers."""
    expected: float
    """Mean of the chances that the router gave."""
    standard_error: float
    """Of observed less expected; questions that belong together count as one."""
    ece: float
    """Expected calibration error: mean distance of observed from expected in tenths by chance."""
    ece_by_chance: float
    """What that would be on so many outcomes if every chance were true."""
    ece_spread: float
    """Standard deviation of the same."""
    ece_then: float
    """On held-out questions in training."""

    @property
    def difference(self) -> float:
        """Observed less expected."""
        return self.observed - self.expected

    @property
    def ece_change(self) -> float:
        """Error now, less what chance makes of it, less the error in training."""
        return self.ece - self.ece_by_chance - self.ece_then

    def interval(self, confidence: float = _SHOWN) -> tuple[float, float]:
        """Of observed less expected."""
        width = NormalDist().inv_cdf(0.5 + confidence / 2.0) * self.standard_error
        return self.difference - width, self.difference + width

    def is_off(self, tolerance: float, false_alarms: float) -> bool:
        """Whether it is off by more than the tolerance, and more than chance explains but for that rate."""
        low, high = self.interval(1.0 - false_alarms)
        by_mean = abs(self.difference) > tolerance and not low <= 0.0 <= high
        margin = NormalDist().inv_cdf(1.0 - false_alarms) * self.ece_spread
        return by_mean or self.ece_change > max(tolerance, margin)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "strategy": self.strategy,
            "outcomes": self.outcomes,
            "observed": self.observed,
            "expected": self.expected,
            "difference": self.difference,
            "interval": list(self.interval()),
            "ece": self.ece,
            "ece_by_chance": self.ece_by_chance,
            "ece_then": self.ece_then,
        }


def calibration_of(
    strategy: str, p: Floats, correct: Floats, belongs_to: NDArray[np.int64], ece_then: float
) -> Calibration:
    """Outcomes [n] beside chances [n]; outcomes that belong to the same question or context, by number, go together.

    The standard error is that of a mean of clusters (Liang and Zeger 1986): residuals are summed within each first.
    """
    residuals = correct - p
    sums = np.bincount(belongs_to, weights=residuals)
    clusters = np.unique(belongs_to).size
    correction = clusters / max(clusters - 1, 1)
    drawn = _errors_by_chance(p, np.random.default_rng(clusters))
    return Calibration(
        strategy=strategy,
        outcomes=int(p.size),
        observed=float(correct.mean()),
        expected=float(p.mean()),
        standard_error=float(np.sqrt(correction * np.sum(sums**2)) / p.size),
        ece=calibration_error(p, correct),
        ece_by_chance=float(np.mean(drawn)),
        ece_spread=float(np.std(drawn)),
        ece_then=ece_then,
    )


def calibration_error(p: Floats, correct: Floats) -> float:
    """Expected calibration error over tenths of equal size: weighted mean of |observed - expected|.

    >>> calibration_error(np.full(100, 0.5), np.tile([0.0, 1.0], 50))
    0.0
    """
    return _error((correct - p)[np.argsort(p, kind="stable")])


def _error(residuals: Floats) -> float:
    """Of residuals in the order of their chances."""
    bins = min(_BINS, residuals.size)
    first = np.arange(bins) * residuals.size // bins
    return float(np.abs(np.add.reduceat(residuals, first)).sum() / residuals.size)


def _errors_by_chance(p: Floats, generator: np.random.Generator) -> list[float]:
    rising = np.sort(p)
    return [_error((generator.random(p.size) < rising) - rising) for _ in range(_DRAWS)]
