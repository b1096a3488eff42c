"""Replicas switched on and off by the clock: how many of a pool's replicas accept work, by local windows."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import simpy

from sim.control.clock import Clock
from sim.engine.plane import DataPlane
from sim.scenario import GpuPool, ScheduleWindow

__all__ = ["edges_s", "follow_schedule", "replicas_at"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def follow_schedule(
    clock: Clock, plane: DataPlane, pool: GpuPool, first_replica: int, start: datetime, zone: ZoneInfo
) -> Generator[simpy.Event]:
    """The process that keeps the pool at the number of replicas its schedule asks for.

    A replica that is switched off takes no new request and finishes those it has.
    """
    for edge_s in edges_s(pool.schedule, start, zone):
        if edge_s > clock.now:
            yield clock.timeout(edge_s - clock.now)
        wanted = replicas_at(pool, _local(edge_s, start, zone))
        for index in range(pool.replicas):
            plane.switch(first_replica + index, index < wanted, clock.now)


def replicas_at(pool: GpuPool, moment: datetime) -> int:
    """Replicas that accept work at a local time: those of the first window that holds it, else all."""
    for window in pool.schedule:
        if _holds(window, moment):
            return window.replicas
    return pool.replicas


def edges_s(windows: Sequence[ScheduleWindow], start: datetime, zone: ZoneInfo) -> Iterator[float]:
    """Zero, then every later time at which a window may begin or end, in seconds since the start, without end."""
    yield 0.0
    day, last_s = start.date() - timedelta(days=1), 0.0
    while True:
        for edge_s in sorted({_edge_s(day, second, start, zone) for w in windows for second in (w.start_s, w.end_s)}):
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


def _edge_s(day: date, second: int, start: datetime, zone: ZoneInfo) -> float:
    midnight = datetime.combine(day, time(), tzinfo=zone)
    return (midnight + timedelta(seconds=second)).timestamp() - start.replace(tzinfo=zone).timestamp()


def _local(since_start_s: float, start: datetime, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(start.replace(tzinfo=zone).timestamp() + since_start_s, zone)
