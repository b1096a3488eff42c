"""How many servers would do: by the busy share, by the queue, by the clock, by the forecast."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from math import ceil
from statistics import fmean
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from sim.control.moments import SAME_INSTANT_S
from sim.control.schedule import replicas_at
from sim.control.servers import Servers
from sim.prices.calendar import instant_of, local
from sim.scenario import BusyAutoscale, PredictiveAutoscale, QueueAutoscale, ScheduleAutoscale

__all__ = ["BusyRule", "ClockRule", "ForecastRule", "Outlook", "QueueRule", "RateForecast"]

_LAST_DIGITS = 1e-9
_MINUTE_S = 60.0


class RateForecast(Protocol):
    """What is known beforehand of the load."""

    def rps(self, begin_s: float, end_s: float) -> NDArray[np.float64]:
        """Mean requests per second of each stream in a time ahead, [streams]; `begin_s` does not go back."""


class BusyRule:
    """Servers that would have worked at the target share, had they shared the work of the time within `average`.

    desired = ceil(server seconds of work / seconds / target), whatever the number of servers was. The work is what
    the requests that were answered would have taken in full batches, or just the time in which servers worked.
    """

    def __init__(self, servers: Servers, scaling: BusyAutoscale) -> None:
        self._servers, self._scaling = servers, scaling
        self._seen = deque([(0.0, np.zeros_like(self._read()))])

    def desired(self, now_s: float) -> int:
        """Servers wanted."""
        self._seen.append((now_s, self._read()))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - self._scaling.average + SAME_INSTANT_S:
            self._seen.popleft()
        (then_s, before), (_, now) = self._seen[0], self._seen[-1]
        return _servers_for(self._work_s(now - before) / (now_s - then_s), self._scaling.target_busy)

    def _read(self) -> NDArray[Any]:
        return np.array([self._servers.busy_s]) if self._scaling.of == "time" else self._servers.completed

    def _work_s(self, done: NDArray[Any]) -> float:
        return float(done[0]) if self._scaling.of == "time" else self._servers.full_batch_s(done)


class QueueRule:
    """Servers among which the requests at the pool, waiting and running, come to the target for each.

    Counted with them are the requests that lower tiers have beyond the number at which they spill over, as `overflow`
    says: they would be here if there were servers. The number is the mean of those seen at the ticks within
    `average`: bursts that are over before a server could be up are not chased.
    """

    def __init__(self, servers: Servers, scaling: QueueAutoscale, overflow: Callable[[], float] = lambda: 0.0) -> None:
        self._servers, self._target, self._overflow = servers, scaling.target_outstanding, overflow
        self._average_s = scaling.average
        self._seen: deque[tuple[float, float]] = deque()

    def desired(self, now_s: float) -> int:
        """Servers wanted."""
        self._seen.append((now_s, self._servers.outstanding + self._overflow()))
        while len(self._seen) > 1 and now_s - self._seen[0][0] > self._average_s - SAME_INSTANT_S:
            self._seen.popleft()
        return _servers_for(fmean(requests for _, requests in self._seen), self._target)


class ClockRule:
    """Servers as the windows of the local clock say; the fewest outside of all."""

    def __init__(self, scaling: ScheduleAutoscale, start: datetime, zone: ZoneInfo) -> None:
        self._scaling, self._zone = scaling, zone
        self._start_instant = instant_of(start, zone)

    def desired(self, now_s: float) -> int:
        """Servers wanted."""
        return replicas_at(self._scaling.windows, self._scaling.min, local(self._start_instant + now_s, self._zone))


class Outlook:
    """What the forecast says of the time ahead, minute by minute: it is asked for each once, in order.

    So several rules may look at it, each as far ahead as it needs.
    """

    def __init__(self, forecast: RateForecast) -> None:
        self._forecast = forecast
        self._minutes: deque[NDArray[np.float64]] = deque()
        self._first = 0

    def highest_rps(self, now_s: float, ahead_s: float, streams: Sequence[int]) -> float:
        """Highest rate of these streams together in a minute from `now_s`, which must not go back, on."""
        first, end = int(now_s // _MINUTE_S), ceil((now_s + ahead_s) / _MINUTE_S)
        while self._first < first:
            self._forget()
        while self._first + len(self._minutes) < end:
            begin_s = (self._first + len(self._minutes)) * _MINUTE_S
            self._minutes.append(self._forecast.rps(begin_s, begin_s + _MINUTE_S))
        coming = islice(self._minutes, max(end - first, 1))
        return max(float(rps[list(streams)].sum()) for rps in coming)

    def _forget(self) -> None:
        if self._minutes:
            self._minutes.popleft()
        self._first += 1


class ForecastRule:
    """Servers for the highest rate that is forecast until those launched at the next tick would be up.

    The rate is that of `streams`, less what other pools take first.
    """

    def __init__(self, scaling: PredictiveAutoscale, outlook: Outlook, streams: Sequence[int]) -> None:
        self._scaling, self._outlook, self._streams = scaling, outlook, streams

    def desired(self, now_s: float) -> int:
        """Servers wanted."""
        highest = self._outlook.highest_rps(now_s, self._scaling.ahead_s, self._streams)
        return _servers_for(max(highest - self._scaling.beyond_rps, 0.0), self._scaling.rps_per_replica)


def _servers_for(load: float, each: float) -> int:
    """Servers that carry a load with so much each; a load that is over by the last digits needs no other."""
    return ceil(load / each - _LAST_DIGITS)
