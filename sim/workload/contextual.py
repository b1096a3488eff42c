"""Requests on contexts, before they are put in order and get what follows from their place in the stream."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.workload.blocks import NOTHING, Floats, Integers, RequestBlock
from sim.workload.keys import Keys

__all__ = ["ContextualRows", "contextual_block"]


class ContextualRows(NamedTuple):
    """Requests of one stream, one column each, all of shape [n]; as in a `RequestBlock`."""

    arrival_s: Floats
    prompt_tokens: Integers
    output_tokens: Integers
    context_id: Integers
    version: Integers
    prefix_tokens: Integers
    keep_tokens: Integers


def contextual_block(rows: ContextualRows, stream: int, priority: int, keys: Keys) -> RequestBlock:
    """The next requests of a stream, in time order, as a block."""
    count = rows.arrival_s.size
    return RequestBlock(
        arrival_s=rows.arrival_s,
        prompt_tokens=rows.prompt_tokens,
        output_tokens=rows.output_tokens,
        stream=np.full(count, stream, np.int64),
        priority=np.full(count, priority, np.int64),
        context_id=rows.context_id,
        question_id=np.full(count, NOTHING, np.int64),
        key=keys.draw(count),
        version=rows.version,
        prefix_tokens=rows.prefix_tokens,
        keep_tokens=rows.keep_tokens,
    )
