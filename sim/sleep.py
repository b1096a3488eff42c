"""Sleep-time work: what it is to the engine, and what it came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.engine import state as st
from sim.engine.specs import StageSpec, StrategySpec, StreamSpec
from sim.engine.state import Floats, Integers
from sim.fleet import Fleet
from sim.ledger import Charges
from sim.scenario import ApiPool, GpuPool, Scenario
from sim.stats import ratio

if TYPE_CHECKING:
    from sim.replication import Replication

__all__ = [
    "SLEEP",
    "SleepAccount",
    "sleep_pools",
    "sleep_section",
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


def sleep_section(scenario: Scenario, replications: Sequence[Replication]) -> dict[str, Any]:
    """The `sleep` section of a summary; counts and dollars of a replication on average.

    `saved_usd` values the output tokens that hits saved at what output tokens of their stream have cost in this run:
    the output part of what its answers were charged, over their tokens. Idle time is in neither side of `net_usd`.
    """
    if scenario.sleep is None:
        return {"prepared": 0, "hit_rate": None, "wasted_share": None}
    runs = [(run.charges, run.sleep) for run in replications if run.sleep is not None]
    is_api = [isinstance(pool, ApiPool) for pool in scenario.fleet]
    counts = {name: fmean(_count(account, name) for _, account in runs) for name in _COUNTS}
    cost_usd = fmean(float(sleep_usd(charges.used_usd).sum()) for charges, _ in runs)
    wasted_usd = fmean(_wasted_usd(charges) for charges, _ in runs)
    saved_usd = fmean(
        float(account.saved_output_tokens @ _output_token_usd(charges, is_api)) for charges, account in runs
    )
    return {
        **{name: int(value) if value.is_integer() else value for name, value in counts.items()},
        "hit_rate": ratio(counts["hits"], counts["asked"]),
        "wasted_share": ratio(wasted_usd, cost_usd),
        "cost_usd": cost_usd,
        "wasted_usd": wasted_usd,
        "saved_usd": saved_usd,
        "net_usd": saved_usd - cost_usd,
    }


_COUNTS = (
    "prepared", "jobs", "used", "job_tokens", "asked", "hits", "stale", "expired", "late", "saved_output_tokens"
)  # fmt: skip


def _count(account: SleepAccount, name: str) -> int:
    return int(np.sum(getattr(account, name)))


def sleep_usd(used_usd: Floats) -> Floats:
    """What sleep-time work was charged, [P], of what requests were, [P, S, A, C, W, USES]."""
    usd: Floats = used_usd[:, -1].sum(axis=(1, 2, 3, 4))
    return usd


def _wasted_usd(charges: Charges) -> float:
    assert charges.sleep_used_share is not None
    return float(sleep_usd(charges.used_usd) @ (1.0 - charges.sleep_used_share))


def _output_token_usd(charges: Charges, is_api: Sequence[bool]) -> Floats:
    """What an output token of an answer was charged, by stream without that of sleep-time work, [S]."""
    answers_usd = charges.used_usd[:, :-1, ..., st.USED].sum(axis=(2, 3))
    usd = np.einsum("psw,pw->s", answers_usd, _output_share(charges, is_api))
    tokens = charges.answered_tokens[:, :-1].sum(axis=(0, 2, 3))
    found: Floats = np.where(tokens > 0, usd / np.maximum(tokens, 1), 0.0)
    return found


def _output_share(charges: Charges, is_api: Sequence[bool]) -> Floats:
    """Of what requests were charged the part for output, [P, W]: of an API by its bill, of a GPU by its time."""
    api = np.asarray(is_api, dtype=bool)[:, np.newaxis]
    whole = np.where(api, charges.token_usd.sum(axis=2), charges.work_s)
    output = np.where(api, charges.token_usd[:, :, st.OUTPUT], charges.work_s - charges.prompt_s)
    share: Floats = np.where(whole > 0.0, output / np.where(whole > 0.0, whole, 1.0), 0.0)
    return share
