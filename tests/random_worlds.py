"""Random small worlds, and their runs by the engine and by the oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from sim.engine import state
from sim.engine.plane import DRAWS, DataPlane, PoolSpec, StreamSpec
from sim.steptime.table import StepTime
from tests import oracle
from tests.worlds import blocks, rows_of

__all__ = ["Clients", "World", "make_plane", "serve_fast", "serve_slow", "worlds"]

BALANCERS: dict[int, Callable[[], oracle.Balancer]] = {
    state.ROUND_ROBIN: oracle.RoundRobin,
    state.LEAST_OUTSTANDING: oracle.LeastOutstanding,
    state.POWER_OF_TWO: oracle.PowerOfTwo,
}
TICK_S = 2.0**-14
"""Times that are multiples of this are exact in both, so that ties are ties in both."""

CLIENT_LUCK = 0.6


@dataclass(frozen=True)
class Clients:
    """A closed stream whose lengths are given."""

    concurrency: int
    think_time_s: float
    jobs: list[oracle.Job]
    stream: int = 0
    priority: int = 0

    @property
    def requests(self) -> int:
        return len(self.jobs)

    def draw(self, n: int) -> tuple[state.Integers, state.Integers]:
        columns = np.ones((2, n), np.int64)
        columns[0, : len(self.jobs)] = [job.prompt_tokens for job in self.jobs]
        columns[1, : len(self.jobs)] = [job.output_tokens for job in self.jobs]
        return columns[0], columns[1]


@dataclass
class World:
    """Replicas, the requests that come to them, and when to look."""

    servers: list[oracle.Server]
    pools: list[PoolSpec]
    jobs: list[oracle.Job]
    clients: list[Clients] = field(default_factory=list)
    balancer: int = state.LEAST_OUTSTANDING
    until_s: float = inf
    exact_ties: bool = True


def make_plane(world: World, keep: Any = None) -> DataPlane:
    """The engine for a world, at time zero."""
    column = {name: np.array([getattr(job, name) for job in world.jobs]) for name in ("arrival_s", "priority")}
    tokens = {name: np.array([getattr(job, name) for job in world.jobs]) for name in ("prompt_tokens", "output_tokens")}
    luck = iter([job.luck for job in world.jobs])
    return DataPlane(
        world.pools,
        [StreamSpec()],
        [[list(range(len(world.pools)))]],
        blocks=blocks(**column, **tokens, size=7),
        clients=world.clients,
        luck=lambda n: np.full(n, CLIENT_LUCK) if n == DRAWS else np.array([next(luck) for _ in range(n)]),
        balancer=world.balancer,
        keep=keep,
    )


def serve_fast(world: World) -> tuple[DataPlane, state.Records]:
    """The engine's run: the plane, and one row a request in order of arrival."""
    kept: list[state.Records] = []
    plane = make_plane(world, kept.append)
    plane.advance(world.until_s)
    plane.finish(plane.last_event_s if world.until_s == inf else world.until_s)
    return plane, rows_of(kept)


def serve_slow(world: World) -> list[oracle.Job]:
    """The oracle's run: the jobs that came, in order of arrival. Worlds of near ties are not counted."""
    jobs = [replace(job) for job in world.jobs]
    closed = [
        (clients.concurrency, clients.think_time_s, [replace(job) for job in clients.jobs]) for clients in world.clients
    ]
    try:
        oracle.serve_slowly(
            world.servers,
            jobs,
            BALANCERS[world.balancer](),
            until_s=world.until_s,
            closed=closed,
            exact_ties=world.exact_ties,
        )
    except oracle.NearTie:
        reject()
    came = [job for some in (jobs, *(todo for _, _, todo in closed)) for job in some if job.number is not None]
    return sorted(came, key=lambda job: job.number or 0)


@st.composite
def worlds(draw: st.DrawFn, *, drained: bool = False) -> World:
    """One or two pools of up to three replicas, up to 40 requests, often too little memory; `drained`: to the end."""
    ticks = draw(st.booleans())
    pools, servers = [], []
    for _ in range(draw(st.integers(1, 2))):
        pool, server = draw(_pools(ticks))
        pools.append(pool)
        servers += [server] * pool.replicas
    until_s = inf if drained else draw(st.one_of(st.just(inf), st.floats(0.01, 3.0)))
    balancer = draw(st.sampled_from(sorted(BALANCERS)))
    clients = draw(st.lists(_clients(ticks), max_size=2))
    return World(servers, pools, draw(_arrivals(ticks)), clients, balancer, until_s, exact_ties=ticks)


@st.composite
def _pools(draw: st.DrawFn, ticks: bool) -> tuple[PoolSpec, oracle.Server]:
    rows = draw(st.integers(1, 12))
    tokens = draw(st.integers(rows, 60))
    law = draw(_laws(rows, ticks))
    capacity = draw(st.sampled_from([64, 160, 400, 100_000]))
    chunked = draw(st.booleans())
    usd = draw(st.floats(0.1, 10.0))
    scheduler = state.CHUNKED if chunked else state.PREFILL_FIRST
    longest = draw(st.sampled_from([100, 1 << 62]))
    pool = PoolSpec(draw(st.integers(1, 3)), law, capacity, usd * 3600.0, scheduler, rows, tokens, longest)
    return pool, oracle.Server(law, capacity, usd, chunked, rows, tokens, longest)


@st.composite
def _laws(draw: st.DrawFn, rows: int, ticks: bool) -> StepTime:
    """A random step-time law, bent or straight; with `ticks` every step is a multiple of TICK_S.

    A front end that takes some of a request's own steps would divide ticks, so it comes only without them.
    """

    def number(low: int, high: int) -> float:
        return draw(st.integers(low, high) if ticks else st.floats(low, high)) * TICK_S

    edges = [float(draw(st.integers(50, 400))), inf] if draw(st.booleans()) else [inf]
    per_row = number(0, 9)
    base = np.array([number(1, 300) + per_row * np.arange(rows + 1.0) for _ in edges])
    kv = np.array([np.full(rows + 1, number(0, 3)) for _ in edges])
    base[:, 0] = kv[:, 0] = 0.0
    linear = np.cumsum([0.0, *(number(1, 40) for _ in range(draw(st.integers(2, 40))))])
    front_end_s = number(0, 400) if draw(st.booleans()) else 0.0
    front_end_steps = 0.0 if ticks else draw(st.just(0.0) | st.floats(0, 3))
    return StepTime(base, kv, np.array(edges), linear, 2 * number(0, 2), front_end_s, front_end_steps)


@st.composite
def _arrivals(draw: st.DrawFn, ticks: bool) -> list[oracle.Job]:
    gaps = st.integers(0, 3000) if ticks else st.floats(0, 3000)
    classes = draw(st.sampled_from([st.just(0), st.integers(0, 2)]))
    arrival_s, jobs = 0.0, []
    for _ in range(draw(st.integers(1, 40))):
        arrival_s += draw(gaps) * TICK_S
        prompt_tokens, output_tokens = draw(_lengths())
        jobs.append(oracle.Job(arrival_s, prompt_tokens, output_tokens, draw(classes), draw(st.floats(0, 0.999))))
    return jobs


@st.composite
def _clients(draw: st.DrawFn, ticks: bool) -> Clients:
    priority = draw(st.integers(0, 2))
    think_time_s = draw(st.sampled_from([st.just(0), st.integers(1, 2000) if ticks else st.floats(1, 2000)]))
    lengths = draw(st.lists(_lengths(), min_size=1, max_size=12))
    jobs = [oracle.Job(0.0, prompt, output, priority, CLIENT_LUCK) for prompt, output in lengths]
    return Clients(draw(st.integers(1, 4)), draw(think_time_s) * TICK_S, jobs, priority=priority)


@st.composite
def _lengths(draw: st.DrawFn) -> tuple[int, int]:
    return draw(st.integers(1, 90)), draw(st.one_of(st.just(1), st.integers(1, 60)))
