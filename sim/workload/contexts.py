"""What becomes of contexts: when each appears, changes and ends."""

from __future__ import annotations

from typing import NamedTuple

from sim.workload.blocks import Floats, Integers

__all__ = ["APPEARS", "CHANGES", "ENDS", "ContextBlock"]

APPEARS, CHANGES, ENDS = 0, 1, 2
"""What happens to a context."""


class ContextBlock(NamedTuple):
    """What happens to contexts, in time order, one column each, all of shape [n]."""

    at_s: Floats
    context_id: Integers
    stream: Integers
    kind: Integers
    """APPEARS, CHANGES or ENDS."""
    version: Integers
    tokens: Integers
    predictability: Floats
    """How far it foretells its questions, as its rank, 0 to 1; NaN where that is not known."""
