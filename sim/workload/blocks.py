"""Blocks of requests: columns that travel from the workload to the engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "APPEARS",
    "BLOCK_ROWS",
    "CHANGES",
    "ENDS",
    "NOTHING",
    "PRIORITIES",
    "ContextBlock",
    "Floats",
    "Integers",
    "RequestBlock",
    "plain_block",
    "until",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BLOCK_ROWS = 65_536
"""Requests made at a time; the requests do not depend on it."""

NOTHING = -1
"""Stands for "no context", "no question" and, in a trace, "no priority of its own"."""

PRIORITIES = ("interactive", "batch", "sleep")
"""Priority classes; the index is the number in the `priority` column."""

APPEARS, CHANGES, ENDS = range(3)
"""What may happen to a context: the numbers in the `kind` column."""


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
    key: Integers
    """Identity of the request for its luck, 0 to 2^63 - 1: the same request has the same key under every policy."""
    version: Integers
    """Version of the context when the request comes, counted from 0."""
    prefix_tokens: Integers
    """First tokens of the prompt that earlier requests on this context and version may have brought already."""
    keep_tokens: Integers
    """First tokens of prompt and output that later requests on this context may share; 0 for none."""


class ContextBlock(NamedTuple):
    """What happens to contexts, in time order, one column each, all of shape [n]."""

    at_s: Floats
    """Seconds since the scenario's start, non-decreasing."""
    context_id: Integers
    stream: Integers
    """Index of the stream in the scenario's workload."""
    kind: Integers
    """0 it appears, 1 it changes, 2 it ends: no further question comes after this instant."""
    version: Integers
    """Its version from then on, counted from 0."""
    tokens: Integers
    """Tokens of the context; for one from a trace the prompt of its first request."""
    predictability: Floats
    """Its rank among all contexts by how far it foretells its questions, 0 to 1."""
    questions: Integers
    """Questions on it in all, those beyond the horizon too: what only an oracle knows beforehand."""


def plain_block(
    arrival_s: Floats,
    prompt_tokens: Integers,
    output_tokens: Integers,
    *,
    stream: int | Integers = 0,
    priority: int | Integers = 0,
    question_id: Integers | None = None,
    key: Integers | None = None,
) -> RequestBlock:
    """Requests without a context; keys are 0 where none are given.

    Columns that hold one value in all rows may be the same array.
    """
    rows = arrival_s.size
    nothing, zeros = np.full(rows, NOTHING, np.int64), np.zeros(rows, np.int64)
    return RequestBlock(
        arrival_s=arrival_s,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        stream=np.full(rows, stream, np.int64) if isinstance(stream, int) else stream,
        priority=np.full(rows, priority, np.int64) if isinstance(priority, int) else priority,
        context_id=nothing,
        question_id=nothing if question_id is None else question_id,
        key=zeros if key is None else key,
        version=zeros,
        prefix_tokens=zeros,
        keep_tokens=zeros,
    )


def until(horizon_s: float | None, times: Iterator[Floats]) -> Iterator[Floats]:
    """The arrival times before `horizon_s`, which the times may never reach; None keeps all."""
    for block in times:
        rows = block.size if horizon_s is None else int(np.searchsorted(block, horizon_s, side="left"))
        if rows:
            yield block[:rows]
        if rows < block.size:
            return
