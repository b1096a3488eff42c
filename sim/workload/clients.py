"""Requests of many clients: each a renewal process in its own operational time, window by window.

Within a window of the table the requests of a client have independent gaps of the window's law, with the mean
1/rate. Between windows the process goes on in operational time (expected requests): a wait that is
not over at the edge goes on beyond it, carried to the new law as `sim.workload.gaps` says. So every window expects
exactly its published number of requests, and a long silence may last for many windows.

Every client has random streams of its own, `NAME/clients/CLIENT/arrivals` and `.../lengths`: it asks the same
whatever other clients there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np

from sim.scenario import ClientArrivals, Poisson, Stream
from sim.streams import RandomStreams
from sim.workload.blocks import BLOCK_ROWS, Floats, Integers
from sim.workload.client_lengths import DRAWS, ClientLengths, client_lengths
from sim.workload.client_table import RateTable, read_rates
from sim.workload.daily import CumulativeRate, cumulative_rate, pass_through
from sim.workload.gaps import GapLaws, carry, draw_gaps
from sim.workload.integral import Integral
from sim.workload.shape import Shape

__all__ = ["ClientRequests", "Clients", "Window", "windows"]

_MOST_GAPS = 16_384
_LEAST_GAP = 1e-300


class ClientRequests(NamedTuple):
    """Requests of all clients of a stream in time order, one column each, [n]."""

    arrival_s: Floats
    prompt_tokens: Integers
    output_tokens: Integers

    def of(self, rows: slice | Integers) -> ClientRequests:
        """Some of the requests."""
        return ClientRequests(self.arrival_s[rows], self.prompt_tokens[rows], self.output_tokens[rows])


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
        crowd, end = _Crowd(self, streams), 0.0
        for window in windows(self.arrivals, self.table, horizon_s):
            length = window.end_s - window.begin_s if clock is None else clock.between(window.begin_s, window.end_s)
            begin, end = end, (window.end_s if clock is None else end + length)
            if length > 0.0:
                yield from crowd.requests(window, begin, end, rows)


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


class _Crowd:
    """All clients of a stream in the middle of their waits."""

    def __init__(self, clients: Clients, streams: RandomStreams) -> None:
        names = [f"{clients.stream_name}/clients/{name}" for name in clients.table.names]
        self._table, self._scale, self._lengths = clients.table, clients.arrivals.scale, clients.lengths
        self._arrivals = [streams.generator(f"{name}/arrivals") for name in names]
        self._uniforms = [streams.generator(f"{name}/lengths") for name in names]
        # All begin in the equilibrium of a Poisson process, from where they are carried to their first law.
        self._gap = np.array([random.standard_gamma(2.0) for random in self._arrivals])
        self._wait = self._gap * np.array([random.random() for random in self._arrivals])
        self._laws = GapLaws(np.zeros(len(names), np.bool_), np.ones(len(names)))

    def requests(self, window: Window, begin: float, end: float, rows: int) -> Iterator[ClientRequests]:
        """Requests of a window that lasts from `begin` to `end` on the clock, in slices of about `rows`."""
        clients, rates = self._table.client[window.rows], self._table.rate_rps[window.rows] * self._scale
        self._enter(clients, window.rows)
        walks = [self._walk(client, rate, begin, end) for client, rate in zip(clients, rates, strict=True)]
        slices = math.ceil(float(rates.sum()) * (end - begin) / rows)
        for mark in np.linspace(begin, end, slices + 1)[1:]:
            times = [walk.until(float(mark)) for walk in walks]
            if any(part.size for part in times):
                yield self._in_order(clients, times, window.table_s)
        self._gap[clients] = [walk.gap for walk in walks]
        self._wait[clients] = [walk.wait for walk in walks]

    def _enter(self, clients: Integers, rows: slice) -> None:
        """Carry the waits of these clients to the laws of these rows."""
        before, after = self._laws.of(clients), self._table.laws.of(rows)
        carried = carry(self._gap[clients], before, after)
        self._wait[clients] *= carried / np.maximum(self._gap[clients], _LEAST_GAP)
        self._gap[clients] = carried
        self._laws.weibull[clients], self._laws.shape[clients] = after

    def _walk(self, client: int, rate: float, begin: float, end: float) -> _Walk:
        law = bool(self._laws.weibull[client]), float(self._laws.shape[client])
        return _Walk(self._arrivals[client], law, rate, begin, end, float(self._gap[client]), float(self._wait[client]))

    def _in_order(self, clients: Integers, times: list[Floats], table_s: float) -> ClientRequests:
        counts = [part.size for part in times]
        client = np.repeat(clients, counts)
        uniform = np.empty((client.size, DRAWS))
        ends = np.cumsum(counts)
        for place, rows, last in zip(clients, counts, ends, strict=True):
            self._uniforms[place].random(out=uniform[last - rows : last])
        arrival = np.concatenate(times)
        lengths = self._lengths.tokens(client, uniform, table_s)
        return ClientRequests(arrival, *lengths).of(np.argsort(arrival, kind="stable"))


class _Walk:
    """One client through one window: where its requests fall, from the wait it comes with to the one it leaves.

    Gaps are drawn in portions that follow from the client alone, so that what others do changes none.
    """

    __slots__ = ("_before", "_begin", "_end", "_law", "_positions", "_random", "_rate", "_requests", "_times")

    def __init__(
        self,
        random: np.random.Generator,
        law: tuple[bool, float],
        rate: float,
        begin: float,
        end: float,
        gap: float,
        wait: float,
    ) -> None:
        self._random, self._law, self._rate, self._begin, self._end = random, law, rate, begin, end
        self._requests = rate * (end - begin)
        self._before = wait - gap
        """Position of the request before the next one, in expected requests since the window's begin."""
        self._positions = np.array([wait])
        self._times = self._positions / rate + begin

    def until(self, mark: float) -> Floats:
        """Times of the next requests before `mark`."""
        while self._times[-1] < mark:
            self._go_on()
        passed = int(np.searchsorted(self._times, mark, side="left"))
        times, self._times = self._times[:passed], self._times[passed:]
        if passed:
            self._before = float(self._positions[passed - 1])
            self._positions = self._positions[passed:]
        return times

    def _go_on(self) -> None:
        last = float(self._positions[-1])
        portion = min(int(1.05 * max(self._requests - last, 0.0)) + 16, _MOST_GAPS)
        gaps = draw_gaps(self._random, *self._law, portion)
        gaps[0] += last
        positions = np.cumsum(gaps, out=gaps)
        self._positions = np.concatenate((self._positions, positions))
        self._times = np.concatenate((self._times, positions / self._rate + self._begin))

    @property
    def gap(self) -> float:
        """Length of the gap at the end of the window, in mean gaps."""
        return max(float(self._positions[0]) - self._before, 0.0)

    @property
    def wait(self) -> float:
        """What of it is left there."""
        return max(float(self._positions[0]) - self._requests, 0.0)
