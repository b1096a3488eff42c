"""What one replication leaves behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.engine.state import Records
from sim.ledger import Charges
from sim.routing.account import RoutingAccount
from sim.sleep import SleepAccount
from sim.tally import Tally

__all__ = ["Replication"]


@dataclass(frozen=True)
class Replication:
    """One run of a scenario. P pools."""

    tally: Tally
    """Of the whole run."""
    batches: list[Tally]
    """Of its parts after the warm-up, equally long but for the last."""
    buckets: Records
    """By pool and bucket of time, of type BUCKET."""
    stream_buckets: Records
    """By stream and bucket of time, of type STREAM_BUCKET."""
    charges: Charges
    energy: NDArray[np.float64]
    """kWh and kg of carbon of each pool, [P, 2]."""
    full_batch_s: NDArray[np.float64]
    """Replica seconds that the answers of each pool would have taken in full batches, [P]; 0 for an API."""
    cached_tokens: int
    """Prompt tokens of completed requests that were cached."""
    unfinished: int
    """Requests in flight at the end."""
    peak_replicas: int
    """Most replicas that accepted work at once."""
    starts: int
    """Replicas launched after the start."""
    reclaims: int
    """Servers that a cloud took back."""
    failures: int
    """Servers that failed."""
    windows: list[tuple[str, ...]]
    """Names of each pool's tariff windows."""
    skipped_rows: int
    """Rows of traces that could not be read and were skipped."""
    sleep: SleepAccount | None = None
    """What preparing contexts came to; None without sleep-time work."""
    routing: RoutingAccount | None = None
    """What a router that looks at requests decided, and why; None without one."""
