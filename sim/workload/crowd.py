"""Clients side by side through one window after the other, each in its own operational time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sim.streams import RandomStreams
from sim.workload.blocks import Floats, Integers
from sim.workload.client_lengths import DRAWS, ClientLengths
from sim.workload.client_table import RateTable
from sim.workload.gaps import GapLaws, carry, draw_gaps

__all__ = ["ClientRequests", "Crowd"]

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


class Crowd:
    """All clients of a stream in the middle of their waits."""

    def __init__(
        self, table: RateTable, scale: float, lengths: ClientLengths, streams: RandomStreams, stream_name: str
    ) -> None:
        """`scale` is a factor on the rates; the random streams are `STREAM_NAME/clients/CLIENT/...`."""
        names = [f"{stream_name}/clients/{name}" for name in table.names]
        self._table, self._scale, self._lengths = table, scale, lengths
        self._arrivals = [streams.generator(f"{name}/arrivals") for name in names]
        self._uniforms = [streams.generator(f"{name}/lengths") for name in names]
        # All begin in the equilibrium of a Poisson process, from where they are carried to their first law.
        self._gap = np.array([random.standard_gamma(2.0) for random in self._arrivals])
        self._wait = self._gap * np.array([random.random() for random in self._arrivals])
        self._laws = GapLaws(np.zeros(len(names), np.bool_), np.ones(len(names)))

    def requests(self, window: slice, table_s: float, begin: float, end: float, rows: int) -> Iterator[ClientRequests]:
        """Requests of a window that lasts from `begin` to `end` on the clock, in slices of about `rows`.

        `window` are its rows in the table, `table_s` the time in the table at which it begins.
        """
        clients, rates = self._table.client[window], self._table.rate_rps[window] * self._scale
        self._enter(clients, window)
        walks = [self._walk(client, rate, begin, end) for client, rate in zip(clients, rates, strict=True)]
        slices = math.ceil(float(rates.sum()) * (end - begin) / rows)
        for mark in np.linspace(begin, end, slices + 1)[1:]:
            times = [walk.until(float(mark)) for walk in walks]
            if any(part.size for part in times):
                yield self._in_order(clients, times, table_s)
        self._gap[clients] = [walk.gap for walk in walks]
        self._wait[clients] = [walk.wait for walk in walks]

    def _enter(self, clients: Integers, rows: slice) -> None:
        """Carry the waits of these clients to the laws of these rows."""
        before, after = self._laws.of(clients), self._table.laws.of(rows)
        carried = carry(self._gap[clients], before, after)
        self._wait[clients] *= carried / np.maximum(self._gap[clients], _LEAST_GAP)
        self._gap[clients] = carried
        self._laws.weibull[clients], self._laws.shape[clients] = after

    def _walk(self, client: int, rate: float, begin: float, end: float) -> Walk:
        law = bool(self._laws.weibull[client]), float(self._laws.shape[client])
        return Walk(self._arrivals[client], law, rate, begin, end, float(self._gap[client]), float(self._wait[client]))

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


class Walk:
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
