"""Replicas switched on and off by the clock: how many of a pool's replicas accept work, by local windows."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import simpy

from sim.control.clock import Clock
from sim.engine.plane import DataPlane
from sim.scenario import GpuPool, ScheduleWindow

__all__ = ["Schedules", "edges_s", "replicas_at"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Schedules:
    """Keeps every pool at the number of replicas its schedule asks for.

    A replica that is switched off takes no new request and finishes those it has.
    """

    def __init__(self, plane: DataPlane, pools: Sequence[GpuPool], start: datetime, zone: ZoneInfo) -> None:
        self._plane = plane
        self._pools = pools
        self._start, self._zone = start, zone
        self._apply(0.0, 0.0)
        self.peak_replicas = self._accepting
        """Most replicas that accepted work at once, data-parallel ones counted once."""

    def run(self, clock: Clock) -> Generator[simpy.Event]:
        """The process that switches at the edges of the windows."""
        windows = [window for pool in self._pools for window in pool.schedule]
        for edge_s in edges_s(windows, self._start, self._zone):
            yield clock.timeout(edge_s - clock.now)
            # What is recorded at this instant is about the time before it, so it goes first.
            yield clock.timeout(0.0)
            self._apply(edge_s, clock.now)
            self.peak_replicas = max(self.peak_replicas, self._accepting)

    @property
    def _accepting(self) -> int:
        accepting = self._plane.state.accepting
        ranks = zip(self._plane.first_replica, self._pools, strict=False)
        return sum(int(accepting[first : first + pool.ranks].sum()) // pool.data_parallel for first, pool in ranks)

    def _apply(self, edge_s: float, now_s: float) -> None:
        """Switch at `now_s`, which may be an edge but for the last digit."""
        moment = _local(edge_s, self._start, self._zone)
        for pool, first in zip(self._pools, self._plane.first_replica, strict=False):
            wanted = replicas_at(pool, moment) * pool.data_parallel
            for index in range(pool.ranks):
                if self._plane.state.accepting[first + index] != (index < wanted):
                    self._plane.switch(first + index, index < wanted, now_s)


def replicas_at(pool: GpuPool, moment: datetime) -> int:
    """Replicas that accept work at a local time: those of the first window that holds it, else all."""
    for window in pool.schedule:
        if _holds(window, moment):
            return window.replicas
    return pool.replicas


def edges_s(windows: Sequence[ScheduleWindow], start: datetime, zone: ZoneInfo) -> Iterator[float]:
    """Every time after the start at which a window may begin or end, in seconds since then; none without windows.

    Windows follow the clock on the wall: where it is set back, an hour that comes twice has its edges twice; where it
    is set forward, a window that would begin in the hour left out begins at the leap.
    """
    day, last_s = start.date() - timedelta(days=1), 0.0
    seconds = sorted({second for window in windows for second in (window.start_s, window.end_s)})
    while seconds:
        instants = {_instant(day, second, fold, zone) for second in seconds for fold in (0, 1)} | _leaps(day, zone)
        for edge_s in sorted(instant - _start_s(start, zone) for instant in instants):
            if edge_s > last_s:
                yield edge_s
                last_s = edge_s
        day += timedelta(days=1)


def _holds(window: ScheduleWindow, moment: datetime) -> bool:
    second = moment.hour * 3600 + moment.minute * 60 + moment.second
    today, yesterday = (_DAYS[(moment - timedelta(days=back)).weekday()] in window.days for back in (0, 1))
    if window.start_s < window.end_s:
        return today and window.start_s <= second < window.end_s
    return (today and second >= window.start_s) or (yesterday and second < window.end_s)


def _instant(day: date, second: int, fold: int, zone: ZoneInfo) -> float:
    """Seconds since 1970 of a local time; `fold` 1 is the second of two alike."""
    local = datetime.combine(day, time()) + timedelta(seconds=second)
    return local.replace(tzinfo=zone, fold=fold).timestamp()


def _leaps(day: date, zone: ZoneInfo) -> set[float]:
    """The instant at which the clock is set forward or back on a local day, to the second."""
    low, high = (int(_instant(day, second, 0, zone)) for second in (0, 86_400))
    before, after = _offset(low, zone), _offset(high, zone)
    if before == after:
        return set()
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return {float(high)}


def _offset(instant: float, zone: ZoneInfo) -> timedelta | None:
    return datetime.fromtimestamp(instant, zone).utcoffset()


def _local(since_start_s: float, start: datetime, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(_start_s(start, zone) + since_start_s, zone)


def _start_s(start: datetime, zone: ZoneInfo) -> float:
    return start.replace(tzinfo=zone).timestamp()
