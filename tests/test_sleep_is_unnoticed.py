"""Requests hardly notice the sleep-time work beside them: the same requests with it and without, on the same GPUs.

There is always more of it than is done. `python -m benchmarks --beside-sleep` tells the same of longer runs.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.beside_sleep import (
    JOB_OUTPUT_TOKENS,
    JOB_PROMPT_TOKENS,
    JOBS_OF_A_REPLICA,
    LOADS,
    Served,
    beside_sleep,
    growth,
    served,
    shared_fleet,
    two_replicas,
)
from sim.engine.specs import PoolSpec
from sim.fleet import Fleet


def longest_sleep_step_s(fleet: Fleet) -> float:
    """All jobs there are as rows but one, which has its slice of a prompt read."""
    (pool,) = fleet.pools
    assert isinstance(pool, PoolSpec)
    rows, tokens = 2 * JOBS_OF_A_REPLICA, pool.sleep_step_tokens
    kv_tokens = rows * (JOB_PROMPT_TOKENS + JOB_OUTPUT_TOKENS)
    return pool.step_time.mixed_step_s(rows, kv_tokens, tokens, tokens * JOB_PROMPT_TOKENS)


def alone_all_the_time(runs: tuple[Served, ...]) -> NDArray[np.bool_]:
    """Requests that never met another one, in any of the runs."""
    arrival_s = runs[0].arrival_s
    finish_s = np.max([run.arrival_s + run.e2e_s for run in runs], axis=0)
    after_all = arrival_s > np.concatenate(([0.0], np.maximum.accumulate(finish_s)[:-1]))
    before_all = np.append(arrival_s[1:], np.inf) > finish_s
    return after_all & before_all


@pytest.mark.parametrize("load", LOADS)
def test_the_slowest_first_tokens_are_at_most_a_twentieth_later(load: float) -> None:
    scenario = two_replicas(load, 60_000)
    fleet = shared_fleet(scenario)

    alone, beside = served(scenario, fleet), served(scenario, fleet, with_sleep=True)

    assert beside.jobs > 50
    assert growth(alone.ttft_s, beside.ttft_s, 99) < 0.05


def test_a_request_waits_for_one_step_of_sleep_work_and_is_slowed_down_by_its_share() -> None:
    """Where it shares its replica with nothing else, so that the batch is the same but for sleep-time work."""
    scenario = two_replicas(0.005, 1_000)
    fleet = shared_fleet(scenario)
    slowdown = fleet.pools[0].sleep_slowdown

    alone, beside = served(scenario, fleet), served(scenario, fleet, with_sleep=True)
    lone = alone_all_the_time((alone, beside))
    later_s = (beside.ttft_s - alone.ttft_s)[lone]

    assert beside.jobs > 1_000
    assert lone.sum() > 300
    assert np.all(later_s <= longest_sleep_step_s(fleet) + slowdown * alone.ttft_s[lone])
    assert np.nanmax((beside.tpot_s / alone.tpot_s)[lone]) <= 1.0 + slowdown + 1e-9


def test_with_no_slowdown_only_the_step_under_way_is_waited_for() -> None:
    scenario = two_replicas(0.005, 1_000)
    fleet = shared_fleet(scenario, slowdown=0.0)

    alone, beside = served(scenario, fleet), served(scenario, fleet, with_sleep=True)
    lone = alone_all_the_time((alone, beside))
    later_s = (beside.ttft_s - alone.ttft_s)[lone]

    assert beside.jobs > 1_000
    assert np.all(later_s <= longest_sleep_step_s(fleet))
    assert np.allclose(alone.tpot_s[lone], beside.tpot_s[lone], rtol=1e-9, equal_nan=True)


@pytest.mark.long
def test_it_holds_over_long_runs_in_the_mean_as_well() -> None:
    rows = beside_sleep(400_000)

    assert max(row["ttft_s"]["p99"]["growth"] for row in rows) < 0.05
    assert max(row["ttft_s"]["p50"]["growth"] for row in rows) < 0.05
    assert min(row["jobs"] for row in rows) > 500
