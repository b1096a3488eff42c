"""Replicas switched on and off by the clock: how many of a pool's replicas accept work, by local windows."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import simpy

from sim.control.clock import Clock
from sim.control.moments import until
from sim.control.servers import Servers
from sim.prices import calendar
from sim.prices.calendar import instant_of, local, within
from sim.scenario import GpuPool, ScheduleWindow
from sim.scenario.shape import WEEKDAYS

__all__ = ["Timetable", "edges_s", "replicas_at"]


class Timetable:
    """Keeps a pool at the number of servers its schedule asks for, without a start-up.

    A server that is switched off takes no new request and finishes those it has.
    """

    def __init__(self, servers: Servers, pool: GpuPool, start: datetime, zone: ZoneInfo) -> None:
        self._servers, self._pool = servers, pool
        self._start, self._zone = start, zone

    def run(self, clock: Clock) -> Generator[simpy.Event]:
        """The process that switches at the edges of the windows."""
        for edge_s in edges_s(self._pool.schedule, self._start, self._zone):
            yield from until(clock, edge_s)
            self._servers.want(self.replicas_at(edge_s), at_once=True)

    def replicas_at(self, since_start_s: float) -> int:
        """Servers that accept work at a time of the run."""
        moment = local(instant_of(self._start, self._zone) + since_start_s, self._zone)
        return replicas_at(self._pool.schedule, self._pool.replicas, moment)


def replicas_at(windows: Sequence[ScheduleWindow], otherwise: int, moment: datetime) -> int:
    """Replicas that accept work at a local time: those of the first window that holds it."""
    return next((window.replicas for window in windows if _holds(window, moment)), otherwise)


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
