"""Arrival times of open streams, made in blocks of any size: the size does not change the times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import numpy as np

from sim.scenario import Daily, Gamma, Poisson
from sim.workload.blocks import BLOCK_ROWS, Floats, until
from sim.workload.daily import cumulative_rate, pass_through
from sim.workload.shape import Shape

__all__ = ["arrival_times", "poisson_times", "renewal_times"]

_SMALLEST_CV = 1e-6


def arrival_times(
    arrivals: Poisson | Gamma | Daily,
    random: np.random.Generator,
    horizon_s: float,
    *,
    start: datetime,
    time_zone: str,
    shape: Shape | None = None,
    rows: int = BLOCK_ROWS,
) -> Iterator[Floats]:
    """Arrival times in seconds since the start, non-decreasing, below `horizon_s`, `rows` at a time.

    `start` is local to `time_zone`; only daily arrivals, and a shape, look at the clock.
    """
    cv = _cv(arrivals)
    if shape is None and not isinstance(arrivals, Daily):
        return until(horizon_s, renewal_times(arrivals.rps, cv, random, rows))
    days = cumulative_rate(arrivals, start, time_zone, horizon_s, shape)
    return until(horizon_s, pass_through(days, renewal_times(1.0, cv, random, rows)))


def _cv(arrivals: Poisson | Gamma | Daily) -> float:
    if isinstance(arrivals, Poisson):
        return 1.0
    return arrivals.cv if isinstance(arrivals, Gamma) else arrivals.burstiness_cv


def poisson_times(rps: float, random: np.random.Generator, rows: int = BLOCK_ROWS) -> Iterator[Floats]:
    """Endless times of a Poisson process of `rps` events a second."""
    return _add_up(lambda out: random.standard_exponential(out=out), 1.0 / rps, rows)


def renewal_times(rps: float, cv: float, random: np.random.Generator, rows: int = BLOCK_ROWS) -> Iterator[Floats]:
    """Endless times of a process with independent gamma gaps of mean 1/rps and coefficient of variation `cv`.

    The shape is 1/cv^2. The first time is drawn from the equilibrium law (a uniform share of a length-biased
    gap: Cox, Renewal Theory, 1962, section 5.2), so the expected count is exactly rps*t from the start on.
    Below 1e-6 `cv` counts as 1e-6.
    """
    if cv == 1.0:
        return poisson_times(rps, random, rows)
    shape = max(cv, _SMALLEST_CV) ** -2
    scale = 1.0 / (shape * rps)
    first_s = random.random() * random.standard_gamma(shape + 1.0) * scale
    return _add_up(lambda out: random.standard_gamma(shape, out=out), scale, rows, first_s)


def _add_up(
    draw: Callable[[Floats], object], scale: float, rows: int, first_s: float | None = None
) -> Iterator[Floats]:
    """Running sums of scaled gaps, from the first time on where one is given, else from zero."""
    if first_s is not None:
        yield np.array([first_s])
    last_s = first_s or 0.0
    while True:
        times = np.empty(rows)
        draw(times)
        times *= scale
        times[0] += last_s
        np.cumsum(times, out=times)
        last_s = float(times[-1])
        yield times
