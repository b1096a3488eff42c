"""Requests of many clients: each a renewal process in its own operational time, window by window.

Within a window of the table the requests of a client have independent gaps of the window's law, with the mean
1/rate. Between windows the process goes on in operational time (expected requests): a wait that is
not over at the edge goes on beyond it, carried to the new law as `sim.workload.gaps` says. So every window expects
exactly its published number of requests, and a long silence may last for many windows.

Every client has random streams of its own, `NAME/clients/CLIENT/arrivals` and `.../lengths`: it asks the same
whatever other clients there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np

from sim.scenario import ClientArrivals, Poisson, Stream
from sim.streams import RandomStreams
from sim.workload.blocks import BLOCK_ROWS, Floats
from sim.workload.client_lengths import ClientLengths, client_lengths
from sim.workload.client_table import RateTable, read_rates
from sim.workload.crowd import ClientRequests, Crowd
from sim.workload.daily import CumulativeRate, cumulative_rate, pass_through
from sim.workload.integral import Integral
from sim.workload.shape import Shape

__all__ = ["Clients", "Window", "windows"]


class Window(NamedTuple):
    """One window of the table as it lies in the run."""

    begin_s: float
    end_s: float
    rows: slice
    """Its rows in the table; none after the end of a table that does not repeat."""
    table_s: float
    """Where its beginning lies in the table."""


@dataclass(frozen=True)
class Clients:
    """The clients of one stream, read from its tables."""

    arrivals: ClientArrivals
    table: RateTable
    lengths: ClientLengths
    stream_name: str
    shape: Shape | None

    @classmethod
    def of(cls, stream: Stream, arrivals: ClientArrivals) -> Clients:
        """The clients of a stream; reads its tables.

        Raises:
            TraceError: for a table that cannot be used, with all its faults.
        """
        every = read_rates(arrivals)
        kept = every.busiest(arrivals.busiest)
        lengths = client_lengths(arrivals, stream.lengths, every, kept)
        return cls(arrivals, kept, lengths, stream.name, Shape.of(stream))

    def requests(
        self,
        streams: RandomStreams,
        horizon_s: float,
        *,
        start: datetime,
        time_zone: str,
        rows: int = BLOCK_ROWS,
    ) -> Iterator[ClientRequests]:
        """Requests below `horizon_s` in time order, about `rows` at a time; their number changes nothing else."""
        if self.shape is None:
            made = self._made(streams, horizon_s, None, rows)
        else:
            days, again = (cumulative_rate(Poisson(rps=1.0), start, time_zone, horizon_s, self.shape) for _ in range(2))
            made = _timed(self._made(streams, horizon_s, Integral(days), rows), again)
        for block in made:
            kept = int(np.searchsorted(block.arrival_s, horizon_s, side="left"))
            if kept:
                yield block.of(slice(kept))

    def _made(
        self, streams: RandomStreams, horizon_s: float, clock: Integral | None, rows: int
    ) -> Iterator[ClientRequests]:
        """Requests, on the stretched clock of the shape where there is one."""
        crowd, end = Crowd(self.table, self.arrivals.scale, self.lengths, streams, self.stream_name), 0.0
        for window in windows(self.arrivals, self.table, horizon_s):
            length = window.end_s - window.begin_s if clock is None else clock.between(window.begin_s, window.end_s)
            begin, end = end, (window.end_s if clock is None else end + length)
            if length > 0.0:
                yield from crowd.requests(window.rows, window.table_s, begin, end, rows)


def windows(arrivals: ClientArrivals, table: RateTable, horizon_s: float) -> Iterator[Window]:
    """Windows of the table until the horizon is covered; the first may have lost its beginning."""
    number = int(arrivals.begin // table.window_s)
    begin_s = 0.0
    while begin_s < horizon_s:
        end_s = (number + 1) * table.window_s - arrivals.begin
        place = number % table.windows if arrivals.repeat or arrivals.clients else number
        rows = table.rows(place) if place < table.windows else slice(0, 0)
        yield Window(begin_s, end_s, rows, place * table.window_s)
        number, begin_s = number + 1, end_s


def _timed(made: Iterator[ClientRequests], days: Iterator[CumulativeRate]) -> Iterator[ClientRequests]:
    """The same requests with their times passed through the change of time."""
    on_the_way: list[ClientRequests] = []

    def targets() -> Iterator[Floats]:
        for block in made:
            on_the_way[:] = [block]
            yield block.arrival_s

    for arrival_s in pass_through(days, targets()):
        (block,) = on_the_way
        yield block.of(slice(arrival_s.size))._replace(arrival_s=arrival_s)
