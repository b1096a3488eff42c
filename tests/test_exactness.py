"""The compiled engine gives every request the same times and cost as the step-by-step oracle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.engine import state
from sim.engine.plane import ClientSpec, DataPlane, PoolSpec, StreamSpec
from sim.steptime.table import StepTime
from sim.workload.blocks import RequestBlock
from tests import oracle

BALANCERS = {
    state.ROUND_ROBIN: oracle.RoundRobin,
    state.LEAST_OUTSTANDING: oracle.LeastOutstanding,
    state.POWER_OF_TWO: oracle.PowerOfTwo,
}
STATUS = {
    "completed": state.COMPLETED,
    "too_long": state.TOO_LONG,
    "no_replica": state.NO_REPLICA,
    "unfinished": state.UNFINISHED,
}
TICK_S = 2.0**-14
"""Times that are multiples of this are exact in both, so that ties are ties in both."""


@dataclass
class Case:
    """A small random world."""

    servers: list[oracle.Server]
    pools: list[PoolSpec]
    jobs: list[oracle.Job]
    balancer: int = state.LEAST_OUTSTANDING
    until_s: float = inf


def law(draw: st.DrawFn, rows: int, ticks: bool) -> StepTime:
    """A random step-time law; with `ticks` every step is a multiple of TICK_S."""
    number = (
        (lambda low, high: draw(st.integers(low, high)) * TICK_S)
        if ticks
        else (lambda low, high: draw(st.floats(low, high)) * TICK_S)
    )
    bends = draw(st.booleans())
    edges = [float(draw(st.integers(50, 400))), inf] if bends else [inf]
    per_row, per_kv = number(0, 9), [number(0, 3) for _ in edges]
    base = np.array([[number(1, 300) + b * per_row for b in range(rows + 1)] for _ in edges])
    base[:, 0] = 0.0
    kv = np.array([[slope] * (rows + 1) for slope in per_kv])
    kv[:, 0] = 0.0
    tokens = draw(st.integers(2, 40))
    linear = np.array([0.0, *np.cumsum([number(1, 40) for _ in range(tokens)])])
    return StepTime(base, kv, np.array(edges), linear, number(0, 2) * 2)


@st.composite
def worlds(draw: st.DrawFn) -> Case:
    ticks = draw(st.booleans())
    pools, servers = [], []
    for _ in range(draw(st.integers(1, 2))):
        rows = draw(st.integers(1, 12))
        tokens = draw(st.integers(rows, 60))
        step_time = law(draw, rows, ticks)
        capacity = draw(st.sampled_from([64, 160, 400, 100_000]))
        chunked = draw(st.booleans())
        usd = draw(st.floats(0.1, 10.0))
        scheduler = state.CHUNKED if chunked else state.PREFILL_FIRST
        pool = PoolSpec(draw(st.integers(1, 3)), step_time, capacity, usd * 3600.0, scheduler, rows, tokens)
        pools.append(pool)
        servers += [oracle.Server(step_time, capacity, usd, chunked, rows, tokens)] * pool.replicas
    gaps = st.integers(0, 3000) if ticks else st.floats(0, 3000)
    classes = st.integers(0, 2) if draw(st.booleans()) else st.just(0)
    arrival_s, jobs = 0.0, []
    for _ in range(draw(st.integers(1, 40))):
        arrival_s += draw(gaps) * TICK_S
        prompt, output = draw(st.integers(1, 90)), draw(st.one_of(st.just(1), st.integers(1, 60)))
        jobs.append(oracle.Job(arrival_s, prompt, output, draw(classes), draw(st.floats(0, 0.999))))
    until_s = draw(st.one_of(st.just(inf), st.floats(0.01, 3.0)))
    return Case(servers, pools, jobs, draw(st.sampled_from(sorted(BALANCERS))), until_s)


def blocks(jobs: list[oracle.Job], size: int = 7) -> Iterator[RequestBlock]:
    """The jobs as the engine takes them, in small blocks."""
    for first in range(0, len(jobs), size):
        some = jobs[first : first + size]
        column = {
            name: np.array([getattr(job, name) for job in some])
            for name in ("arrival_s", "prompt_tokens", "output_tokens", "priority")
        }
        nothing = np.full(len(some), state.NONE)
        yield RequestBlock(**column, stream=np.zeros(len(some), np.int64), context_id=nothing, question_id=nothing)


def serve_fast(case: Case, clients: Sequence[ClientSpec] = ()) -> tuple[DataPlane, np.ndarray]:
    """The engine's run of the case: the plane, and one row a request in order of arrival."""
    kept: list[np.ndarray] = [state.records(state.ROW, 0)]
    luck = iter([job.luck for job in case.jobs])
    plane = DataPlane(
        case.pools,
        [StreamSpec()],
        [[list(range(len(case.pools)))]],
        blocks=blocks(case.jobs),
        clients=clients,
        luck=lambda n: np.array([next(luck, 0.0) for _ in range(n)]),
        balancer=case.balancer,
        keep=kept.append,
    )
    plane.advance(case.until_s)
    plane.finish(plane.last_event_s if case.until_s == inf else case.until_s)
    rows = np.concatenate(kept)
    return plane, rows[np.argsort(rows["request_id"])]


def serve_slow(case: Case) -> list[oracle.Job]:
    """The oracle's run of the case: the jobs that arrived in time."""
    jobs = [replace(job) for job in case.jobs]
    oracle.serve_slowly(case.servers, jobs, BALANCERS[case.balancer](), until_s=case.until_s)
    return [job for job in jobs if job.arrival_s < case.until_s]


def assert_same(rows: np.ndarray, jobs: list[oracle.Job], cost: bool) -> None:
    seconds = [np.nan if job.first_token_s is None else job.first_token_s - job.arrival_s for job in jobs]
    e2e_s = [np.nan if job.finish_s is None else job.finish_s - job.arrival_s for job in jobs]
    done = rows["status"] == state.COMPLETED
    assert rows["status"].tolist() == [STATUS[job.status] for job in jobs]
    assert rows["replica"].tolist() == [state.NONE if job.replica is None else job.replica for job in jobs]
    assert rows["preemptions"].tolist() == [job.preemptions for job in jobs]
    np.testing.assert_allclose(rows["first_token_s"] - rows["arrival_s"], seconds, rtol=1e-9, atol=0)
    np.testing.assert_allclose((rows["finish_s"] - rows["arrival_s"])[done], np.array(e2e_s)[done], rtol=1e-9, atol=0)
    if cost:
        np.testing.assert_allclose(rows["cost_usd"], [job.cost for job in jobs], rtol=1e-9, atol=1e-12)


QUICK = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@QUICK
@given(worlds())
def test_engine_and_oracle_agree_on_every_request(case: Case) -> None:
    _, rows = serve_fast(case)
    assert_same(rows, serve_slow(case), cost=case.until_s == inf)
