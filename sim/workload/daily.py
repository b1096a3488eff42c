"""Rates that follow the local clock, and the change of time that gives a steady process such a rate.

If S_1, S_2, ... are the times of a process of rate 1, and L(t) is the integral of the wanted rate, then the
times t_n with L(t_n) = S_n have the wanted rate (Cinlar, Introduction to Stochastic Processes, 1975, section
4.7).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from sim.scenario import Daily
from sim.workload.blocks import Floats

__all__ = ["CumulativeRate", "cumulative_rate", "pass_through"]

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_STEP_S = 60.0


class CumulativeRate(NamedTuple):
    """Expected requests since the start, at times a minute apart over one local day."""

    time_s: Floats
    """Seconds since the scenario's start, [k]."""
    requests: Floats
    """Expected requests up to then, [k], non-decreasing."""


def cumulative_rate(arrivals: Daily, start: datetime, time_zone: str, horizon_s: float) -> Iterator[CumulativeRate]:
    """The integral of the rate, one local day at a time, until the horizon is covered.

    rate = mean_rps * weekday_factor * (1 + amplitude * cos(2 pi (local_hour - peak_hour) / 24)), held for
    each minute at its value in the middle of that minute (off by less than 1e-6 of the mean). `mean_rps` is
    the mean over a 24-hour day of factor 1: weekday factors are not normalised, and a day on which the clocks
    change has 23 or 25 hours of it.
    """
    zone = ZoneInfo(time_zone)
    requests = 0.0
    for day, edges_s in _local_days(start, zone, horizon_s):
        per_minute = np.diff(edges_s) * _rate(arrivals, day, _local_hours(edges_s, start, zone))
        cumulative = requests + np.concatenate(([0.0], np.cumsum(per_minute)))
        requests = float(cumulative[-1])
        yield CumulativeRate(edges_s, cumulative)


def pass_through(days: Iterator[CumulativeRate], unit_times: Iterator[Floats]) -> Iterator[Floats]:
    """Times at which the cumulative rate reaches the times of a process of rate 1; they end with the days."""
    day, last_s = next(days), 0.0
    for targets in unit_times:
        times, done = np.empty_like(targets), 0
        while True:
            reached = max(done, int(np.searchsorted(targets, day.requests[-1])))
            times[done:reached] = np.interp(targets[done:reached], day.requests, day.time_s)
            done = reached
            following = next(days, None) if done < targets.size else None
            if following is None:
                break
            day = following
        last_s = _keep_order(times[:done], last_s)
        yield times[:done]
        if done < targets.size:
            return


def _keep_order(times: Floats, last_s: float) -> float:
    """Undo the last-digit disorder that interpolation may leave at a knot; gives back the last time."""
    if times.size:
        times[0] = max(times[0], last_s)
        np.maximum.accumulate(times, out=times)
        return float(times[-1])
    return last_s


def _local_days(start: datetime, zone: ZoneInfo, horizon_s: float) -> Iterator[tuple[date, Floats]]:
    """Each local date with its minute marks, in seconds since the start."""
    origin_s = start.replace(tzinfo=zone).timestamp()
    day, begin_s = start.date(), 0.0
    while begin_s < horizon_s:
        midnight = datetime.combine(day + timedelta(days=1), time(), tzinfo=zone)
        end_s = midnight.timestamp() - origin_s
        yield day, np.append(np.arange(begin_s, end_s, _STEP_S), end_s)
        day, begin_s = midnight.date(), end_s


def _local_hours(edges_s: Floats, start: datetime, zone: ZoneInfo) -> Floats:
    """Local hour of the clock in the middle of each minute, [k - 1]."""
    instants = start.replace(tzinfo=zone).timestamp() + (edges_s[1:] + edges_s[:-1]) / 2
    first, last = _offset_s(instants[0], zone), _offset_s(instants[-1], zone)
    offsets = first if first == last else np.array([_offset_s(instant, zone) for instant in instants])
    return np.asarray((instants + offsets) % 86_400.0 / 3_600.0)


def _offset_s(instant: float, zone: ZoneInfo) -> float:
    offset = datetime.fromtimestamp(float(instant), zone).utcoffset()
    return 0.0 if offset is None else offset.total_seconds()


def _rate(arrivals: Daily, day: date, local_hour: Floats) -> Floats:
    # The factors have literal keys; a plain text finds them as well.
    factor = arrivals.weekday_factors.get(_WEEKDAYS[day.weekday()], 1.0)  # type: ignore[call-overload]
    swing = arrivals.amplitude * np.cos((local_hour - arrivals.peak_hour) * (2 * math.pi / 24))
    return np.asarray(arrivals.mean_rps * factor * (1.0 + swing))
