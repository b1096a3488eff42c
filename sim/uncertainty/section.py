"""The summary's section: what was drawn, and how much of the spread of a figure comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.uncertainty.doubts import Doubt

__all__ = ["uncertainty_section"]

_SPLIT = ("cost.total_usd", "latency.e2e_s.mean", "slo.attainment", "quality.accuracy")
_MORE = 10
"""Replications beyond the draws of each without which a split would be guesswork."""


def uncertainty_section(
    doubts: Sequence[Doubt], drawn: Sequence[Sequence[float]], figures: Sequence[Mapping[str, float]]
) -> dict[str, Any] | None:
    """What was drawn, with its standard deviations, and the split of the variance; None where nothing was.

    `drawn` are the numbers and `figures` the headline figures of each replication.
    """
    if not doubts:
        return None
    sampled = [{"kind": each.kind, "name": each.name, "sd": each.sd, "source": each.source} for each in doubts]
    return {"sampled": sampled, "split": _split(doubts, np.asarray(drawn), figures)}


def _split(
    doubts: Sequence[Doubt], drawn: NDArray[np.float64], figures: Sequence[Mapping[str, float]]
) -> dict[str, Any] | None:
    """By figure the shares of its variance over replications; None with too few replications."""
    if len(drawn) < len(doubts) + _MORE:
        return None
    values = {name: np.array([figure[name] for figure in figures]) for name in _SPLIT}
    return {
        name: _shares(doubts, drawn, value)
        for name, value in values.items()
        if np.isfinite(value).all() and np.ptp(value) > 1e-12 * np.abs(value).max()
    }


def _shares(doubts: Sequence[Doubt], drawn: NDArray[np.float64], value: NDArray[np.float64]) -> dict[str, Any]:
    """Shares of a figure's variance that a linear regression on the draws explains, adjusted for their number.

    What it leaves is luck, and whatever is not linear.
    """
    x, y = drawn - drawn.mean(axis=0), value - value.mean()
    slopes = np.linalg.lstsq(x, y, rcond=None)[0]
    left = float(((y - x @ slopes) ** 2).sum()) / (y.size - len(doubts) - 1)
    luck = min(left / float(y.var(ddof=1)), 1.0)
    parts = slopes**2 * x.var(axis=0, ddof=1)
    kinds = list(dict.fromkeys(doubt.kind for doubt in doubts))
    by_kind = [float(sum(part for part, doubt in zip(parts, doubts, strict=True) if doubt.kind == k)) for k in kinds]
    whole = sum(by_kind) or 1.0
    return {
        "luck": luck,
        "not_known": 1.0 - luck,
        "by": {kind: (1.0 - luck) * part / whole for kind, part in zip(kinds, by_kind, strict=True)},
    }
