"""Replay of a trace: read through once for faults and length, then played at any speed, once or more.

Contexts of each copy are contexts of their own, numbered by their first appearance; those of sessions in
the order in which sessions begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from sim.errors import TraceError
from sim.scenario import Scenario, Stream, TraceArrivals
from sim.streams import RandomStreams
from sim.workload.arrivals import arrival_times
from sim.workload.blocks import BLOCK_ROWS, Floats
from sim.workload.fetch import resolve_trace, trace_format
from sim.workload.in_order import before, in_time_order
from sim.workload.numbering import Numbering
from sim.workload.traces import Sessions, TraceReader, TraceRows

__all__ = ["Replay", "SessionClock"]

_SESSIONS_AT_A_TIME = 64


class SessionClock(NamedTuple):
    """When sessions begin, and what puts them in an order."""

    begin_s: Iterator[Floats]
    random: np.random.Generator

    @classmethod
    def of(
        cls, stream: Stream, scenario: Scenario, streams: RandomStreams, horizon_s: float | None
    ) -> SessionClock | None:
        """The clock of a stream, which begins no session at or after `horizon_s`; None where it needs none.

        Its random streams are `NAME/sessions` and `NAME/session_order`.
        """
        assert isinstance(stream.arrivals, TraceArrivals)
        if stream.arrivals.starts is None:
            return None
        begin_s = arrival_times(
            stream.arrivals.starts,
            streams.generator(f"{stream.name}/sessions"),
            np.inf if horizon_s is None else horizon_s,
            start=scenario.start,
            time_zone=scenario.time_zone,
            rows=_SESSIONS_AT_A_TIME,
        )
        return cls(begin_s, streams.generator(f"{stream.name}/session_order"))


@dataclass(frozen=True)
class Replay:
    """A trace that is known to be sound."""

    reader: TraceReader
    requests: int
    """Good rows in the file."""
    skipped: int
    """Bad rows left out."""
    period_s: float
    """From one copy to the next in the trace's own time: its span and one mean gap; 0 for one instant."""
    speed: float
    repeat: int
    sessions: Sessions | None = None
    """The whole trace, where it holds sessions to be placed; no other trace is kept in memory."""

    @classmethod
    def of(cls, arrivals: TraceArrivals) -> Replay:
        """The replay of these arrivals; reads the whole file.

        Raises:
            InputError: for a public trace that has not been fetched.
            TraceError: for a file that cannot be replayed.
        """
        reader = TraceReader(resolve_trace(arrivals), trace_format(arrivals), arrivals.on_bad_row)
        if arrivals.starts is not None:
            sessions = reader.sessions()
            requests = sessions.rows.arrival_s.size
            return cls(reader, requests, reader.skipped, 0.0, arrivals.speed, arrivals.repeat, sessions)
        requests, first_s, last_s = 0, np.inf, 0.0
        for rows in reader.rows():
            requests += rows.arrival_s.size
            first_s, last_s = min(first_s, float(rows.arrival_s[0])), float(rows.arrival_s[-1])
        period_s = (last_s - first_s) * requests / (requests - 1) if requests > 1 else 0.0
        if arrivals.repeat > 1 and period_s == 0.0:
            rule = "has all its requests at one instant and cannot be repeated"
            raise TraceError(reader.path.name, rule, "leave out `repeat`", where=str(reader.path))
        return cls(reader, requests, reader.skipped, period_s, arrivals.speed, arrivals.repeat)

    def rows(
        self, horizon_s: float | None, clock: SessionClock | None = None, begun_before_s: float | None = None
    ) -> Iterator[TraceRows]:
        """Rows with arrival times as replayed, below `horizon_s`; None plays all copies to the end.

        Contexts are numbered densely. A trace in sessions needs their clock. Other copies than those begun before
        `begun_before_s` are left out.
        """
        if self.sessions is not None:
            assert clock is not None
            return in_time_order(self._begun(self.sessions, clock, horizon_s), BLOCK_ROWS)
        return self._copies(horizon_s, begun_before_s)

    def _copies(self, horizon_s: float | None, begun_before_s: float | None) -> Iterator[TraceRows]:
        contexts = 0
        for copy in range(self.repeat):
            numbering = Numbering(contexts)
            for block, rows in enumerate(self.reader.rows()):
                arrival_s = (rows.arrival_s + copy * self.period_s) / self.speed
                if block == 0 and begun_before_s is not None and arrival_s[0] >= begun_before_s:
                    return
                played = before(rows._replace(arrival_s=arrival_s), horizon_s)
                if played.arrival_s.size:
                    yield played._replace(context_id=numbering.of(played.context_id))
                if played.arrival_s.size < arrival_s.size:
                    return
            contexts = numbering.following

    def _begun(
        self, sessions: Sessions, clock: SessionClock, horizon_s: float | None
    ) -> Iterator[tuple[TraceRows, float]]:
        """Rows of sessions in the order in which these begin."""
        chosen, contexts = self._order(sessions, clock.random), 0
        for begin_s in clock.begin_s:
            session = np.array(list(islice(chosen, begin_s.size)), np.int64)
            if not session.size:
                return
            rows = sessions.played(session, begin_s[: session.size], self.speed, contexts)
            contexts = int(rows.context_id.max()) + 1
            yield before(rows, horizon_s), float(begin_s[session.size - 1])

    def _order(self, sessions: Sessions, random: np.random.Generator) -> Iterator[int]:
        """Sessions as they are played: all of them by chance, then all again."""
        for _ in range(self.repeat):
            yield from random.permutation(len(sessions)).tolist()
