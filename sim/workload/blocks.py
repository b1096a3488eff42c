"""Blocks of requests: columns that travel from the workload to the engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK_ROWS", "NOTHING", "PRIORITIES", "Floats", "Integers", "RequestBlock", "until"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BLOCK_ROWS = 65_536
"""Requests made at a time; the requests do not depend on it."""

NOTHING = -1
"""Stands for "no context", "no question" and, in a trace, "no priority of its own"."""

PRIORITIES = ("interactive", "batch", "sleep")
"""Priority classes; the index is the number in the `priority` column."""


class RequestBlock(NamedTuple):
    """Requests in time order, one column each, all of shape [n]."""

    arrival_s: Floats
    """Seconds since the scenario's start, non-decreasing."""
    prompt_tokens: Integers
    output_tokens: Integers
    stream: Integers
    """Index of the stream in the scenario's workload."""
    priority: Integers
    """0 interactive, 1 batch, 2 sleep."""
    context_id: Integers
    """-1 where the request has no context."""
    question_id: Integers
    """-1 where the request has no question."""


def until(horizon_s: float | None, times: Iterator[Floats]) -> Iterator[Floats]:
    """The arrival times before `horizon_s`, which the times may never reach; None keeps all."""
    for block in times:
        rows = block.size if horizon_s is None else int(np.searchsorted(block, horizon_s, side="left"))
        if rows:
            yield block[:rows]
        if rows < block.size:
            return
