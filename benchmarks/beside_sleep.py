"""What requests notice of sleep-time work: the same requests with it and without, on the same replicas.

There is always more sleep-time work than is done: jobs that read a document of 4,000 tokens and write 500, none of
which any request asks about. So all that differs between two runs is how the replicas spend their steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np

from benchmarks.cases import CASES, saturation_rps, scenario_of
from benchmarks.serving import blocks_of
from sim.engine import state as st
from sim.engine.plane import DataPlane
from sim.engine.specs import PoolSpec, StageSpec, StrategySpec, StreamSpec
from sim.engine.state import Floats
from sim.engine.throughput import full_batch_s
from sim.fleet import Fleet, build_fleet
from sim.scenario import Scenario
from sim.workload.keys import splitmix

__all__ = [
    "JOBS_OF_A_REPLICA",
    "JOB_OUTPUT_TOKENS",
    "JOB_PROMPT_TOKENS",
    "LOADS",
    "Served",
    "beside_sleep",
    "growth",
    "served",
    "shared_fleet",
    "two_replicas",
]

LOADS = (0.5, 0.7, 0.9)
"""Of what the fleet can serve."""

JOB_PROMPT_TOKENS, JOB_OUTPUT_TOKENS = 4000, 500
JOBS_OF_A_REPLICA = 32
"""So many are under way or wait after every tick."""
TICK_S = 1.0


@dataclass(frozen=True)
class Served:
    """Requests in order of arrival, [n], and what was done beside them."""

    arrival_s: Floats
    ttft_s: Floats
    e2e_s: Floats
    tpot_s: Floats
    """NaN for a single token."""
    jobs: int
    """Sleep-time jobs that ended while requests came."""
    asleep_share: float
    """The work of these as a share of what the replicas could do at their best meanwhile."""


def beside_sleep(requests: int, slowdown: float | None = None) -> list[dict[str, Any]]:
    """What two replicas show at each load; `slowdown` in place of the default one."""
    return [_compared(load, requests, slowdown) for load in LOADS]


def _compared(load: float, requests: int, slowdown: float | None) -> dict[str, Any]:
    scenario = two_replicas(load, requests)
    fleet = shared_fleet(scenario, slowdown)
    alone, beside = served(scenario, fleet), served(scenario, fleet, with_sleep=True)
    return {
        "load": load,
        "requests": alone.ttft_s.size,
        "ttft_s": {f"p{q}": _both(alone.ttft_s, beside.ttft_s, q) for q in (50, 99)},
        "tpot_s": {f"p{q}": _both(alone.tpot_s, beside.tpot_s, q) for q in (50, 99)},
        "jobs": beside.jobs,
        "asleep_share": beside.asleep_share,
    }


def two_replicas(load: float, requests: int) -> Scenario:
    """About `requests` Poisson arrivals at this share of what two replicas can serve."""
    case = replace(CASES[0], replicas=2)
    rps = load * case.replicas * saturation_rps(case.scheduler)
    scenario = scenario_of(case, requests)
    stream = scenario.workload[0]
    arrivals = stream.arrivals.model_copy(update={"rps": rps})
    changed = {"workload": [stream.model_copy(update={"arrivals": arrivals})], "horizon": requests / rps}
    return scenario.model_copy(update=changed)


def shared_fleet(scenario: Scenario, slowdown: float | None = None) -> Fleet:
    """The scenario's fleet, with a hidden stream of sleep-time jobs."""
    fleet = build_fleet(scenario)
    pools = [pool if slowdown is None else replace(pool, sleep_slowdown=slowdown) for pool in fleet.pools]
    return replace(fleet, pools=pools).with_hidden(StreamSpec(), [StrategySpec(stages=(StageSpec(),))], [0])


def served(scenario: Scenario, fleet: Fleet, *, with_sleep: bool = False) -> Served:
    """The scenario's requests on its fleet, which is never short of sleep-time work `with_sleep`."""
    kept: list[st.Records] = []
    plane = DataPlane(
        fleet.pools,
        fleet.streams,
        fleet.targets,
        strategies=fleet.strategy_specs,
        blocks=blocks_of(scenario),
        keep=lambda rows: kept.append(rows.copy()),
        prepares=True,
    )
    assert scenario.horizon is not None
    begun = 0
    for tick in count() if with_sleep else ():
        now_s = tick * TICK_S
        if now_s >= scenario.horizon:
            break
        plane.advance(now_s)
        begun = _top_up(plane, len(fleet.targets) - 1, begun, now_s)
    plane.advance(scenario.horizon)
    jobs = int(np.count_nonzero(plane.contexts["state"] == st.READY))
    plane.advance(float("inf"))
    plane.finish(plane.last_event_s)
    (pool,) = fleet.pools
    return Served(*_latencies(kept), jobs, _work_share(pool, jobs, scenario.horizon))


def _top_up(plane: DataPlane, strategy: int, begun: int, now_s: float) -> int:
    """Send as many jobs as are missing, each for a document of its own; returns how many have been sent by then."""
    room = JOBS_OF_A_REPLICA * plane.state.outstanding.size - int(plane.state.run[0].jobs_in_flight)
    documents = np.arange(begun, begun + room)
    plane.prepare(
        documents,
        np.zeros_like(documents),
        prompt_tokens=np.full_like(documents, JOB_PROMPT_TOKENS),
        output_tokens=np.full_like(documents, JOB_OUTPUT_TOKENS),
        notes_tokens=np.full_like(documents, JOB_OUTPUT_TOKENS),
        keys=np.asarray(splitmix(0, documents.astype(np.uint64)) >> np.uint64(1), np.int64),
        lasts_s=float("inf"),
        strategy=strategy,
        now_s=now_s,
    )
    return begun + room


def _latencies(kept: list[st.Records]) -> tuple[Floats, Floats, Floats, Floats]:
    rows = np.concatenate(kept)
    rows = np.sort(rows[rows["request_id"] < st.FIRST_JOB], order="request_id")
    assert np.all(rows["status"] == st.COMPLETED)
    arrival_s, first_s, finish_s = rows["arrival_s"], rows["first_token_s"], rows["finish_s"]
    with np.errstate(invalid="ignore", divide="ignore"):
        tpot_s = (finish_s - first_s) / (rows["path_tokens"] - 1)
    return arrival_s, first_s - arrival_s, finish_s - arrival_s, tpot_s


def _work_share(pool: PoolSpec, jobs: int, horizon_s: float) -> float:
    work_s = full_batch_s(
        pool.step_time,
        branches=jobs,
        prompt_tokens=jobs * JOB_PROMPT_TOKENS,
        output_tokens=jobs * JOB_OUTPUT_TOKENS,
        attended_tokens=jobs * JOB_PROMPT_TOKENS,
        cached_tokens=0,
        rows=pool.max_num_seqs,
        step_tokens=pool.max_num_batched_tokens,
        kv_capacity_tokens=pool.kv_capacity_tokens,
    )
    return work_s / pool.replicas / horizon_s


def growth(alone: Floats, beside: Floats, percentile: float) -> float:
    """By what share the percentile is greater beside sleep-time work."""
    return float(np.nanpercentile(beside, percentile) / np.nanpercentile(alone, percentile)) - 1.0


def _both(alone: Floats, beside: Floats, percentile: float) -> dict[str, float]:
    before, after = (float(np.nanpercentile(values, percentile)) for values in (alone, beside))
    return {"alone": before, "beside": after, "growth": growth(alone, beside, percentile)}
