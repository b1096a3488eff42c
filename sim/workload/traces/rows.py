"""Requests of a trace as columns."""

from __future__ import annotations

from typing import NamedTuple

from sim.workload.blocks import Floats, Integers

__all__ = ["TraceRows"]


class TraceRows(NamedTuple):
    """Requests of a trace in time order, one column each, [n]."""

    arrival_s: Floats
    """Seconds: since the first request where the file has calendar times, else as written."""
    prompt_tokens: Integers
    output_tokens: Integers
    context_id: Integers
    """-1 where there is none."""
    question_id: Integers
    """-1 where there is none."""
    priority: Integers
    """0 interactive, 1 batch, 2 sleep; -1 where the row names none."""
    version: Integers
    """Version of the context; 0 where the row names none."""
    prefix_tokens: Integers
    """First tokens of the prompt that earlier rows on this context and version may have brought; 0 if not known."""
    keep_tokens: Integers
    """First tokens of prompt and output that later rows on it may share; 0 if not known."""
