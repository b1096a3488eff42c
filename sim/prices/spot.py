"""A random spot price, and the runs in which spot capacity is there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, repeat
from math import exp, inf, log, sqrt

import numpy as np

from sim.prices.clock import Period
from sim.prices.shipped import spot_runs
from sim.scenario.offers import Availability, RunLengths
from sim.scenario.tariffs import SpotProcess

__all__ = ["availability_runs", "spot_periods"]

SPOT = "spot"


def spot_periods(process: SpotProcess, random: np.random.Generator | None) -> Iterator[Period]:
    """A path of the price, step by step from the start of the run; its mean price where no randomness is given.

    log price = log mean - v**2/2 + x with x an Ornstein-Uhlenbeck process of standard deviation v, drawn exactly at the
    steps: x[k+1] = r x[k] + v sqrt(1 - r**2) z, r = 2**(-step/half_life), and x[0] from its stationary law. The
    correction makes the mean of the price, before floor and cap, `mean_usd_per_gpu_hour`.
    """
    if random is None:
        yield Period(0.0, inf, SPOT, (_bounded(process, process.mean_usd_per_gpu_hour),))
        return
    sigma, kept = process.volatility, 2.0 ** (-process.step / process.half_life)
    centre, shock = log(process.mean_usd_per_gpu_hour) - sigma**2 / 2, sigma * sqrt(1.0 - kept**2)
    deviation = sigma * random.standard_normal()
    for index in count():
        price = _bounded(process, exp(centre + deviation))
        yield Period(index * process.step, (index + 1) * process.step, SPOT, (price,))
        deviation = kept * deviation + shock * random.standard_normal()


def _bounded(process: SpotProcess, price: float) -> float:
    floor, cap = process.floor_usd_per_gpu_hour, process.cap_usd_per_gpu_hour
    return min(max(price, floor or 0.0), inf if cap is None else cap)


def availability_runs(availability: Availability | None, random: np.random.Generator) -> Iterator[tuple[bool, float]]:
    """Whether there is capacity, and for how many seconds, in turn and without end; forever where nothing limits it.

    Lengths are lognormal with sigma = sqrt(2 ln(mean / median)). The first run is one that a stranger to the process
    meets: up with probability mean_up / (mean_up + mean_down), and of it what is left. A run met so has its length
    biased by length, which is lognormal again with its logarithm's mean raised by sigma**2, and is met at a uniform
    place.

    Raises:
        InputError: for an unknown zone.
    """
    return iter([(True, inf)]) if availability is None else _runs(*_lengths(availability), random)


def _runs(up: RunLengths, down: RunLengths, random: np.random.Generator) -> Iterator[tuple[bool, float]]:
    is_up = bool(random.random() < up.mean / (up.mean + down.mean))
    first = up if is_up else down
    yield is_up, _draw(first, random, biased=True) * (1.0 - random.random())
    for _ in repeat(None):
        is_up = not is_up
        yield is_up, _draw(up if is_up else down, random)


def _lengths(availability: Availability) -> tuple[RunLengths, RunLengths]:
    if availability.zone is not None:
        return spot_runs(availability.zone)
    assert availability.up is not None
    assert availability.down is not None
    return availability.up, availability.down


def _draw(lengths: RunLengths, random: np.random.Generator, *, biased: bool = False) -> float:
    sigma = sqrt(2.0 * log(lengths.mean / lengths.median))
    shift = sigma**2 if biased else 0.0
    return float(lengths.median * exp(shift + sigma * random.standard_normal()))
