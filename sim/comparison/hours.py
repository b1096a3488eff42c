"""What both sides cost, hour by hour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.comparison.paired import spread_of
from sim.replication import Replication

__all__ = ["costs_by_hour"]

_HOUR_S = 3600.0
_MOST = 800
"""Most slots that are kept; longer runs have slots of several hours."""
_USD = ("busy_usd", "unused_usd", "api_usd", "other_usd")


def costs_by_hour(a: Sequence[Replication], b: Sequence[Replication], bucket_s: float) -> list[dict[str, Any]]:
    """By slot of time its begin in hours, dollars an hour of both sides, and the difference; as far as both have run.

    A slot is an hour, or a bucket where the run is shorter than four hours.
    """
    end_s = min(float(run.tally.seconds[0]) for run in (*a, *b))
    width_s = bucket_s if end_s < 4 * _HOUR_S else _HOUR_S
    width_s = max(width_s, bucket_s) * max(1.0, np.ceil(end_s / max(width_s, bucket_s) / _MOST))
    slots = max(int(np.ceil(end_s / width_s - 1e-9)), 1)
    mine, others = (np.array([_usd(run, width_s, slots) for run in side]) for side in (a, b))
    lengths_h = np.minimum(width_s, end_s - width_s * np.arange(slots)) / _HOUR_S
    mine, others = mine / lengths_h, others / lengths_h
    return [
        {
            "begin_h": slot * width_s / _HOUR_S,
            "a": float(mine[:, slot].mean()),
            "b": float(others[:, slot].mean()),
            "difference": spread_of((others[:, slot] - mine[:, slot]).tolist()),
        }
        for slot in range(slots)
    ]


def _usd(run: Replication, width_s: float, slots: int) -> NDArray[np.float64]:
    """Dollars of each slot, [slots]; a bucket counts where it begins, what lies beyond is left out."""
    buckets = run.buckets
    slot = np.floor(buckets["begin_s"] / width_s + 1e-9).astype(np.int64)
    usd = np.sum([buckets[name] for name in _USD], axis=0)
    sums: NDArray[np.float64] = np.bincount(np.minimum(slot, slots), usd, slots + 1)[:slots].astype(np.float64)
    return sums
