"""Replicas switched on and off by the clock: how many of a pool's replicas accept work, by local windows."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import simpy

from sim.control.clock import Clock
from sim.engine.plane import DataPlane
from sim.prices import calendar
from sim.prices.calendar import instant_of, local, within
from sim.scenario import GpuPool, ScheduleWindow
from sim.scenario.supply import WEEKDAYS

__all__ = ["Schedules", "edges_s", "replicas_at"]


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
        moment = local(instant_of(self._start, self._zone) + edge_s, self._zone)
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
    seconds = {second for window in windows for second in (window.start_s, window.end_s)}
    return calendar.edges_s(seconds, instant_of(start, zone), zone) if seconds else iter(())


def _holds(window: ScheduleWindow, moment: datetime) -> bool:
    days = {WEEKDAYS.index(day) for day in window.days}
    return within([(window.start_s, window.end_s)], lambda day: day.weekday() in days, moment)
