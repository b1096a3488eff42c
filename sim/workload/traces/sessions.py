"""Traces whose contexts have a clock each: sessions, which can be placed anywhere in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.workload.blocks import Floats, Integers
from sim.workload.columns import taken
from sim.workload.traces.rows import TraceRows
from sim.workload.traces.table import Table

__all__ = ["Sessions", "out_of_order"]


@dataclass(frozen=True)
class Sessions:
    """All sessions of a file, one after the other in the order in which the file begins them.

    An agent of a session builds on its own prompts and answers alone, so each has a context of its own.
    """

    rows: TraceRows
    """In order of session, then time since its beginning; contexts are numbered in this order."""
    first_row: Integers
    """Of each session, and in the end their number, [sessions + 1]."""
    first_context: Integers
    """Of each session, and in the end their number, [sessions + 1]."""

    @classmethod
    def of(cls, table: Table) -> Sessions:
        """The sessions of a table, in which `context_id` names the session."""
        session = _by_appearance(table.context_id)
        order = np.lexsort((table.line, table.time, session))
        ordered, session = taken(table, order), session[order]
        context = _by_appearance(_pairs(session, ordered.agent))
        rows = TraceRows(
            arrival_s=ordered.time,
            prompt_tokens=ordered.prompt_tokens,
            output_tokens=ordered.output_tokens,
            context_id=context,
            question_id=ordered.question_id,
            priority=ordered.priority,
            version=np.zeros_like(context),
            prefix_tokens=np.maximum(ordered.prefix_tokens, 0),
            keep_tokens=ordered.prompt_tokens + ordered.output_tokens,
        )
        first_row = np.searchsorted(session, np.arange(session[-1] + 2))
        first_context = np.append(context, context.max() + 1)[first_row]
        return cls(rows, first_row, first_context)

    def __len__(self) -> int:
        return self.first_row.size - 1

    def together(self) -> TraceRows:
        """All rows in time order, as if every session began at 0."""
        return taken(self.rows, np.argsort(self.rows.arrival_s, kind="stable"))

    def played(self, session: Integers, begin_s: Floats, speed: float, first_context: int) -> TraceRows:
        """The rows of these sessions, begun at these times, with contexts numbered from `first_context` on."""
        counts = np.diff(self.first_row)[session]
        contexts = np.diff(self.first_context)[session]
        ended = np.cumsum(counts)
        rows = taken(self.rows, np.arange(ended[-1]) + np.repeat(self.first_row[session] + counts - ended, counts))
        shift = first_context + np.cumsum(contexts) - contexts - self.first_context[session]
        return rows._replace(
            arrival_s=np.repeat(begin_s, counts) + rows.arrival_s / speed,
            context_id=rows.context_id + np.repeat(shift, counts),
        )


def out_of_order(table: Table) -> Integers:
    """Rows that are earlier than the row before them in the file of the same agent and session."""
    pair = _by_appearance(_pairs(_by_appearance(table.context_id), table.agent))
    order = np.argsort(pair, kind="stable")
    same = pair[order][1:] == pair[order][:-1]
    return np.sort(order[1:][same & (np.diff(table.time[order]) < 0)])


def _pairs(session: Integers, agent: Integers) -> Integers:
    agents, number = np.unique(agent, return_inverse=True)
    return np.asarray(session * agents.size + number, np.int64)


def _by_appearance(values: Integers) -> Integers:
    """Numbers from 0 on, in order of the first appearance of each value."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty_like(first)
    rank[np.argsort(first)] = np.arange(first.size)
    return np.asarray(rank[inverse], np.int64)
