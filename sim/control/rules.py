"""How many servers would do: by the busy share, by the queue, by the clock, by the forecast."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from math import ceil
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from sim.control.schedule import replicas_at
from sim.control.servers import Servers
from sim.prices.calendar import instant_of, local
from sim.scenario import BusyAutoscale, PredictiveAutoscale, QueueAutoscale, ScheduleAutoscale

__all__ = ["BusyRule", "ClockRule", "ForecastRule", "QueueRule", "RateForecast"]

_LAST_DIGITS = 1e-9
_PIECE_S = 60.0
_MOST_PIECES = 60


class RateForecast(Protocol):
    """What is known beforehand of the load."""

    def rps(self, begin_s: float, end_s: float) -> NDArray[np.float64]:
        """Mean requests per second of each stream in a time ahead, [streams]."""


class BusyRule:
    """Servers that would have worked at the target share, had they shared the work of the last tick.

    desired = ceil(busy server seconds / seconds / target): servers x busy share / target, whatever their number was.
    """

    def __init__(self, servers: Servers, scaling: BusyAutoscale) -> None:
        self._servers, self._target = servers, scaling.target_busy
        self._before = (0.0, 0.0)

    def desired(self, now_s: float) -> int:
        """Servers wanted."""
        (then_s, before_s), busy_s = self._before, self._servers.busy_s
        self._before = (now_s, busy_s)
        return _servers_for((busy_s - before_s) / (now_s - then_s), self._target)


class QueueRule:
    """Servers among which the requests at the pool, waiting and running, come to the target for each.

    Their number is the mean of those seen at the ticks within `average`: what no start-up can be in time for is
    not chased.
    """

    def __init__(self, servers: Servers, scaling: QueueAutoscale) -> None:
        self._servers, self._target, self._average_s = servers, scaling.target_outstanding, scaling.average
        self._seen: deque[tuple[float, int]] = deque()

    def desired(self, now_s: float) -> int:
        """Servers wanted."""
        self._seen.append((now_s, self._servers.outstanding))
        while now_s - self._seen[0][0] > self._average_s - _LAST_DIGITS and len(self._seen) > 1:
            self._seen.popleft()
        return _servers_for(sum(requests for _, requests in self._seen) / len(self._seen), self._target)


class ClockRule:
    """Servers as the windows of the local clock say; the fewest outside of all."""

    def __init__(self, scaling: ScheduleAutoscale, start: datetime, zone: ZoneInfo) -> None:
        self._scaling, self._zone = scaling, zone
        self._start_instant = instant_of(start, zone)

    def desired(self, now_s: float) -> int:
        """Servers wanted."""
        return replicas_at(self._scaling.windows, self._scaling.min, local(self._start_instant + now_s, self._zone))


class ForecastRule:
    """Servers for the highest rate that is forecast until those launched at the next tick would be up.

    The rate is that of `streams`, less what other pools take first; it is asked for piece by piece, a minute each
    or longer.
    """

    def __init__(self, scaling: PredictiveAutoscale, forecast: RateForecast, streams: Sequence[int]) -> None:
        self._scaling, self._forecast, self._streams = scaling, forecast, list(streams)

    def desired(self, now_s: float) -> int:
        """Servers wanted."""
        ahead_s = self._scaling.ahead_s
        pieces = min(max(ceil(ahead_s / _PIECE_S), 1), _MOST_PIECES)
        edges = now_s + ahead_s * np.arange(pieces + 1) / pieces
        highest = max(
            float(self._forecast.rps(begin_s, end_s)[self._streams].sum())
            for begin_s, end_s in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        )
        return _servers_for(max(highest - self._scaling.beyond_rps, 0.0), self._scaling.rps_per_replica)


def _servers_for(load: float, each: float) -> int:
    """Servers that carry a load with so much each; a load that is over by the last digits needs no other."""
    return ceil(load / each - _LAST_DIGITS)
