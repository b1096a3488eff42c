"""APIs that take so many requests or tokens a minute, as supplies that can be full."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.planning.needs.policy import Option
from sim.planning.needs.work import Work
from sim.planning.purchase.instance import Floats, Instance
from sim.scenario import ApiPool
from sim.scenario.api import RateLimit

__all__ = ["within_limits"]

_FULL = 0.85
"""Share of its limit that an API is planned to be filled to: requests beyond it are refused, and come in clumps."""


def within_limits(instance: Instance, option: Option, work: Work) -> Instance:
    """The instance with a ceiling for each API that has a rate limit, and its work in seconds of that limit."""
    work_s, supplies = instance.work_s.copy(), list(instance.supplies)
    for p, pool in enumerate(option.scenario.fleet):
        if isinstance(pool, ApiPool) and pool.rate_limit is not None:
            seconds = _seconds(pool.rate_limit, option, work)
            work_s[:, :, p] = np.where(np.isfinite(work_s[:, :, p]), seconds, work_s[:, :, p])
            supplies[p] = replace(supplies[p], ceiling=np.full(instance.hours.size, _FULL))
    return replace(instance, work_s=work_s, supplies=tuple(supplies))


def _seconds(limit: RateLimit, option: Option, work: Work) -> Floats:
    """Seconds of the tighter limit that a request of each stream takes by each strategy, [S, A]."""
    seconds = np.zeros(work.prompt_tokens.shape)
    if limit.tokens_per_minute is not None:
        seconds = (work.prompt_tokens + work.output_tokens) * 60.0 / limit.tokens_per_minute
    if limit.requests_per_minute is not None:
        seconds = np.maximum(seconds, _calls(option, seconds.shape) * 60.0 / limit.requests_per_minute)
    return seconds


def _calls(option: Option, shape: tuple[int, ...]) -> Floats:
    """Calls of a request: one for each branch of each stage that it reaches, [S, A]; 0 where it cannot be answered."""
    calls = np.zeros(shape)
    for stream, strategy in option.can:
        stages = option.stages(stream, strategy, 0)
        calls[stream, strategy] = sum(float(stage.taken.mean()) * stage.branches for stage in stages)
    return calls
