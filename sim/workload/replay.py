"""Replay of a trace: read through once for faults and length, then played at any speed, once or more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sim.errors import TraceError
from sim.scenario import TraceArrivals
from sim.workload.fetch import resolve_trace, trace_format
from sim.workload.traces import TraceReader, TraceRows

__all__ = ["Replay"]


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

    @classmethod
    def of(cls, arrivals: TraceArrivals) -> Replay:
        """The replay of these arrivals; reads the whole file.

        Raises:
            InputError: for a public trace that has not been fetched.
            TraceError: for a file that cannot be replayed.
        """
        reader = TraceReader(resolve_trace(arrivals), trace_format(arrivals), arrivals.on_bad_row)
        requests, first_s, last_s = 0, np.inf, 0.0
        for rows in reader.rows():
            requests += rows.arrival_s.size
            first_s, last_s = min(first_s, float(rows.arrival_s[0])), float(rows.arrival_s[-1])
        period_s = (last_s - first_s) * requests / (requests - 1) if requests > 1 else 0.0
        if arrivals.repeat > 1 and period_s == 0.0:
            rule = "has all its requests at one instant and cannot be repeated"
            raise TraceError(reader.path.name, rule, "leave out `repeat`", where=str(reader.path))
        return cls(reader, requests, reader.skipped, period_s, arrivals.speed, arrivals.repeat)

    def rows(self, horizon_s: float | None) -> Iterator[TraceRows]:
        """Rows with arrival times as replayed, below `horizon_s`; None plays all copies to the end."""
        for copy in range(self.repeat):
            for rows in self.reader.rows():
                arrival_s = (rows.arrival_s + copy * self.period_s) / self.speed
                kept = arrival_s.size
                if horizon_s is not None:
                    kept = int(np.searchsorted(arrival_s, horizon_s, side="left"))
                if kept:
                    yield TraceRows._make(column[:kept] for column in (arrival_s, *rows[1:]))
                if kept < arrival_s.size:
                    return
