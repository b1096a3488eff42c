"""Shares and differences of measured outcomes with their intervals; questions of one context count as one draw."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Estimate", "gain", "mean", "share", "wilson"]

_Z = 1.959963984540054
"""Of a normal 95 % interval."""


class Estimate(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    """Questions it rests on."""


def wilson(share: float, n: float) -> tuple[float, float]:
    """Interval of a share seen in n independent draws (Wilson 1927).

    >>> [round(edge, 3) for edge in wilson(0.5, 100)]
    [0.404, 0.596]
    """
    wide = _Z * _Z / n
    middle = (share + wide / 2.0) / (1.0 + wide)
    half = _Z * sqrt(share * (1.0 - share) / n + wide / (4.0 * n)) / (1.0 + wide)
    # Rounding must not leave a share of 0 or 1 outside.
    return min(middle - half, share), max(middle + half, share)


def share(rows: pd.DataFrame) -> Estimate | None:
    """Of right answers; Wilson's interval for as many independent draws as give the variance between contexts.

    Of m_c questions of context c, r_c right, the ratio sum r_c / sum m_c = p has the variance
    sum (r_c - p m_c)^2 / (sum m_c)^2.
    """
    if rows.empty:
        return None
    by_context = rows.groupby("context")["correct"].agg(["sum", "count"])
    n = int(by_context["count"].sum())
    p = float(by_context["sum"].sum()) / n
    variance = float(((by_context["sum"] - p * by_context["count"]) ** 2).sum()) / n**2
    draws = p * (1.0 - p) / variance if variance > 0.0 else float(n)
    return Estimate(p, *wilson(p, max(min(draws, n), 1.0)), n)


def mean(rows: pd.DataFrame, column: str) -> Estimate | None:
    """Of a column, over rows that have it; its interval is normal, by the variance between contexts."""
    known = rows.dropna(subset=[column])
    return None if known.empty else _by_context(known[column].to_numpy(float), known["context"].to_numpy())


def gain(rows: pd.DataFrame, reference: pd.DataFrame, column: str = "correct") -> Estimate | None:
    """Mean of a column less that of the same questions' reference rows; trials of a question count by their mean."""
    contexts = rows.groupby("question")["context"].first()
    differences = (rows.groupby("question")[column].mean() - reference.groupby("question")[column].mean()).dropna()
    if differences.empty:
        return None
    return _by_context(differences.to_numpy(float), contexts[differences.index].to_numpy())


def _by_context(values: np.ndarray, contexts: np.ndarray) -> Estimate:
    middle = float(values.mean())
    _, place = np.unique(contexts, return_inverse=True)
    sums = np.bincount(place, weights=values - middle)
    half = _Z * sqrt(float((sums**2).sum())) / values.size
    return Estimate(middle, middle - half, middle + half, int(values.size))
