"""Rates that follow the local clock, and the change of time that gives a steady process such a rate.

If S_1, S_2, ... are the times of a process of rate 1, and L(t) is the integral of the wanted rate, then the
times t_n with L(t_n) = S_n have the wanted rate (Cinlar, Introduction to Stochastic Processes, 1975, section
4.7). Burstiness is kept: where the rate hardly changes, gaps are those of the steady process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import numpy as np

from sim.scenario import Daily, Gamma, Poisson
from sim.scenario.shape import WEEKDAYS
from sim.workload.blocks import Floats
from sim.workload.local_days import LocalDay, local_days
from sim.workload.shape import Shape

__all__ = ["CumulativeRate", "cumulative_rate", "pass_through"]


class CumulativeRate(NamedTuple):
    """Expected requests since the start, at times a minute apart over one local day."""

    time_s: Floats
    """Seconds since the scenario's start, [k]."""
    requests: Floats
    """Expected requests up to then, [k], non-decreasing."""


def cumulative_rate(
    arrivals: Poisson | Gamma | Daily,
    start: datetime,
    time_zone: str,
    horizon_s: float,
    shape: Shape | None = None,
) -> Iterator[CumulativeRate]:
    """The integral of the rate, one local day at a time, until the horizon is covered.

    Daily: rate = mean_rps * weekday_factor * (1 + amplitude * cos(2 pi (local_hour - peak_hour) / 24)), held
    for each minute at its value in the middle of that minute (off by less than 1e-6 of the mean). `mean_rps`
    is the mean over a 24-hour day of factor 1: weekday factors are not normalised, and a day on which the
    clocks change has 23 or 25 hours of it. A shape multiplies the rate.
    """
    requests = 0.0
    for day in local_days(start, time_zone, horizon_s):
        seconds = np.diff(day.edges_s) if shape is None else shape.seconds(day)
        cumulative = requests + np.concatenate(([0.0], np.cumsum(seconds * _rate(arrivals, day))))
        requests = float(cumulative[-1])
        yield CumulativeRate(day.edges_s, cumulative)


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


def _rate(arrivals: Poisson | Gamma | Daily, day: LocalDay) -> Floats | float:
    """Requests a second in each minute of a day, [k - 1], before any shape."""
    if not isinstance(arrivals, Daily):
        return arrivals.rps
    factor = arrivals.weekday_factors.get(WEEKDAYS[day.date.weekday()], 1.0)
    swing = arrivals.amplitude * np.cos((day.hours - arrivals.peak_hour) * (2 * math.pi / 24))
    return np.asarray(arrivals.mean_rps * factor * (1.0 + swing))
