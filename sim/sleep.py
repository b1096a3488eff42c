"""Sleep-time work: what it is to the engine, and the account of what it came to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.engine.specs import StageSpec, StrategySpec, StreamSpec
from sim.engine.state import Floats, Integers
from sim.fleet import Fleet
from sim.scenario import GpuPool, Scenario

__all__ = [
    "SLEEP",
    "SleepAccount",
    "sleep_pools",
    "sleep_usd",
    "used_share",
    "with_sleep",
]

SLEEP = "sleep"
"""Name of the stream and of the strategy of sleep-time work, wherever requests are told apart."""


def sleep_pools(scenario: Scenario) -> list[int]:
    """Pools that do sleep-time work: those that are named, or all of GPUs."""
    assert scenario.sleep is not None
    named = scenario.sleep.pools
    if named is not None:
        return [index for index, pool in enumerate(scenario.fleet) if pool.name in named]
    return [index for index, pool in enumerate(scenario.fleet) if isinstance(pool, GpuPool)]


def with_sleep(scenario: Scenario, fleet: Fleet) -> Fleet:
    """The fleet with the hidden stream and strategy of sleep-time work, as it is where the scenario has none."""
    if scenario.sleep is None:
        return fleet
    drafts = StrategySpec(stages=(StageSpec(per_group=scenario.sleep.drafts),))
    return fleet.with_hidden(StreamSpec(), [drafts], sleep_pools(scenario))


@dataclass(frozen=True)
class SleepAccount:
    """What was spent on preparations and what it was good for. P pools, S streams."""

    jobs: int
    """Preparations begun."""
    prepared: int
    """Of them those that were finished."""
    used: int
    """Of these those that served a question."""
    job_tokens: int
    """Output tokens of all jobs."""
    spent_usd: Floats
    """What the jobs that have ended cost, by pool, [P]."""
    used_usd: Floats
    """Of it what was not in vain, [P]."""
    asked: Integers
    """Questions on contexts, [S]."""
    hits: Integers
    """Questions that found their context prepared, [S]."""
    stale: Integers
    """Questions that found it changed since, [S]."""
    expired: Integers
    """Questions that came too late for it, [S]."""
    late: Integers
    """Questions that came while it was being prepared, [S]."""
    saved_output_tokens: Integers
    """What hits needed less than they would have, [S]."""


def used_share(account: SleepAccount, charged_usd: Floats) -> Floats:
    """Of what sleep-time work was charged in each pool, [P], the share that was not in vain.

    What no preparation accounts for is that of jobs under way at the end. One that was lost in a pool and done in
    another one counts where it was done.
    """
    charged = charged_usd > 0.0
    share: Floats = np.where(charged, account.used_usd / np.where(charged, charged_usd, 1.0), 0.0)
    return np.minimum(share, 1.0)


def sleep_usd(used_usd: Floats) -> Floats:
    """What sleep-time work was charged, [P], of what requests were, [P, S, A, C, W, USES]."""
    usd: Floats = used_usd[:, -1].sum(axis=(1, 2, 3, 4))
    return usd
