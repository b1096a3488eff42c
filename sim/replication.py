"""What one replication leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.ledger import Charges
from sim.tally import Tally

__all__ = ["Replication"]


@dataclass(frozen=True)
class Replication:
    """One run of a scenario. P pools, S streams, A strategies, C priority classes."""

    tally: Tally
    """Of the whole run."""
    batches: list[Tally]
    """Of its parts after the warm-up, equally long but for the last."""
    buckets: list[dict[str, Any]]
    """By pool and bucket of time."""
    charges: Charges
    ended_requests: NDArray[np.int64]
    """Completed requests, [P, S, A, C]."""
    ended_output_tokens: NDArray[np.int64]
    """Their output tokens, [P, S, A, C]."""
    unfinished: int
    """Requests in flight at the end."""
    peak_replicas: int
    """Most replicas that accepted work at once."""
    skipped_rows: int
    """Rows of traces that could not be read and were skipped."""
