"""Draws of small distributions, in order: n and then m are the same as n + m at once."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sim.scenario import ConstantCount, ConstantTime, GeometricCount, LognormalTime, Queries, Times, Tokens
from sim.workload.blocks import Floats, Integers
from sim.workload.lengths import lognormal_tokens

__all__ = ["draws_of_numbers", "draws_of_times"]


def draws_of_numbers(law: Queries | Tokens, random: np.random.Generator) -> Callable[[int], Integers]:
    """What draws so many whole numbers of a law, one at least."""
    if isinstance(law, ConstantCount):
        return lambda rows: np.full(rows, law.value, np.int64)
    if isinstance(law, GeometricCount):
        return lambda rows: random.geometric(1.0 / law.mean, rows)
    return lognormal_tokens(law.median, law.sigma, law.max, random)


def draws_of_times(law: Times, random: np.random.Generator) -> Callable[[int], Floats]:
    """What draws so many times of a law, seconds."""
    if isinstance(law, ConstantTime):
        return lambda rows: np.full(rows, law.value)
    assert isinstance(law, LognormalTime)
    log_median, sigma = math.log(law.median), law.sigma

    def draw(rows: int) -> Floats:
        times = random.standard_normal(rows)
        times *= sigma
        times += log_median
        return np.exp(times, out=times)

    return draw
