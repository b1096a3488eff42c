"""Published against simulated, point by point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from sim.validation.papers.points import Points

__all__ = ["Row", "at_equal_accuracy", "worst"]

Measure = Literal["accuracy", "points", "tokens", "ratio", "exponent", "questions"]


class Row(NamedTuple):
    """One point; `error` is simulated less published, as a fraction of published where that is no accuracy."""

    figure: str
    series: str
    x: float
    published: float
    simulated: float | None
    measure: Measure
    kind: str
    """What target it belongs to; empty for none."""

    @property
    def error(self) -> float | None:
        """None where nothing came of it."""
        if self.simulated is None:
            return None
        difference = self.simulated - self.published
        return difference if self.measure in ("accuracy", "points", "exponent") else difference / self.published


def at_equal_accuracy(curve: Points, accuracy: float, *, in_logs: bool = False) -> float | None:
    """Tokens at which a curve has an accuracy, straight between its points; None beyond them.

    >>> at_equal_accuracy(((10.0, 0.2), (20.0, 0.4)), 0.3)
    15.0
    """
    tokens, rates = np.array(curve).T
    rates = np.maximum.accumulate(rates)
    if not rates[0] <= accuracy <= rates[-1]:
        return None
    found = np.interp(accuracy, rates, np.log(tokens) if in_logs else tokens)
    return float(np.exp(found) if in_logs else found)


def worst(rows: Sequence[Row], kind: str) -> float | None:
    """Largest error of the rows of a kind; None where there are none."""
    errors = [abs(row.error) for row in rows if row.kind == kind and row.error is not None]
    return max(errors, default=None)
