"""Least squares from several starts, and what is told of its errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares

from sim.workload.blocks import Floats

__all__ = ["Quality", "best", "unit"]


class Quality(NamedTuple):
    """Errors of a fit in accuracy: of points used, and of points kept for checking."""

    what: str
    used: Floats
    checked: Floats | None = None

    def document(self) -> dict[str, Any]:
        """As curves have it."""
        found = {"what": self.what, "points": self.used.size, **_errors("", self.used)}
        if self.checked is not None:
            found |= {"checked": self.checked.size, **_errors("checked_", self.checked)}
        return found


def best(errors: Callable[[Floats], Floats], starts: Iterable[Sequence[float] | Floats], step: float = 1e-5) -> Floats:
    """The parameters of least squared errors that are found from any of the starts."""
    fits = [least_squares(errors, start, diff_step=step, xtol=1e-12, ftol=1e-12) for start in starts]
    found: Floats = min(fits, key=lambda fit: float(fit.cost)).x
    return found


def unit(raw: float) -> float:
    """A share between 0 and 1 for any number."""
    return float(1.0 / (1.0 + np.exp(-raw)))


def _errors(prefix: str, errors: Floats) -> dict[str, float]:
    root = float(np.sqrt(np.mean(errors**2)))
    return {f"{prefix}rms_error": root, f"{prefix}worst_error": float(np.abs(errors).max())}
