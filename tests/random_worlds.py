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
from sim.engine.build import DRAWS
from sim.engine.plane import DataPlane
from sim.engine.specs import ApiSpec, PoolSpec, StreamSpec
from sim.steptime.table import StepTime
from tests import oracle, oracle_api, oracle_balancers, oracle_clients, oracle_families, oracle_fleet
from tests.oracle import Job
from tests.worlds import blocks, rows_of

__all__ = [
    "Clients",
    "World",
    "fault_worlds",
    "fleet_after",
    "make_fleet",
    "make_plane",
    "serve_fast",
    "serve_slow",
    "worlds",
]

BALANCERS: dict[int, Callable[[], oracle_balancers.RoundRobin]] = {
    state.ROUND_ROBIN: oracle_balancers.RoundRobin,
    state.LEAST_OUTSTANDING: oracle_balancers.LeastOutstanding,
    state.POWER_OF_TWO: oracle_balancers.PowerOfTwo,
}
BILL_BY = ("arrival", "start", "completion")
TICK_S = 2.0**-14
"""Times that are multiples of this are exact in both, so that ties are ties in both."""

GRAINS = (0, 1, 16, 64)
"""A world's times are multiples of so many ticks: the coarser, the more happens at once; 0: they are any numbers."""

CLIENT_LUCK = 0.6
CLIENT_API_LUCK = (0.3, -0.4)


@dataclass(frozen=True)
class Clients:
    """A closed stream whose lengths are given."""

    concurrency: int
    think_time_s: float
    jobs: list[Job]
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
    """Pools, the requests that come to them, what the control plane does, and when to look."""

    pools: list[PoolSpec | ApiSpec]
    jobs: list[Job]
    clients: list[Clients] = field(default_factory=list)
    balancer: int = state.LEAST_OUTSTANDING
    until_s: float = inf
    exact_ties: bool = True
    streams: list[StreamSpec] = field(default_factory=lambda: [StreamSpec()])
    targets: list[list[list[int]]] = field(default_factory=list)
    """Pools that may serve a stream's request by a strategy; all of them, by one, where nothing is said."""
    script: list[oracle_fleet.Event] = field(default_factory=list)

    @property
    def all_targets(self) -> list[list[list[int]]]:
        return self.targets or [[list(range(len(self.pools)))]] * len(self.streams)

    @property
    def end_s(self) -> float:
        """When control events end: a run that goes on to the end goes on at least to there."""
        return max((event[0] for event in self.script), default=0.0)

    @property
    def ends_open(self) -> bool:
        """True if at last every replica is open, so that nothing waits for ever."""
        last = {event[2]: event[1] for event in self.script if event[1] not in ("price", "rates", "close_api")}
        return set(last.values()) <= {"open"}


def make_plane(world: World, keep: Any = None) -> DataPlane:
    """The engine for a world, at time zero."""
    floats = {name: np.array([getattr(job, name) for job in world.jobs], np.float64) for name in ("arrival_s",)}
    names = ("prompt_tokens", "output_tokens", "priority", "stream")
    columns = {name: np.array([getattr(job, name) for job in world.jobs], np.int64) for name in names}
    luck, api_luck = iter([job.luck for job in world.jobs]), iter([job.api_luck for job in world.jobs])
    strategies = iter([job.strategy for job in world.jobs])
    return DataPlane(
        world.pools,
        world.streams,
        world.all_targets,
        blocks=blocks(**floats, **columns, size=7),
        clients=world.clients,
        choose=lambda streams: (
            np.zeros(DRAWS, np.int64) if streams.size == DRAWS else np.array([next(strategies) for _ in streams])
        ),
        luck=lambda n: np.full(n, CLIENT_LUCK) if n == DRAWS else np.array([next(luck) for _ in range(n)]),
        api_luck=lambda n: (
            np.tile(CLIENT_API_LUCK, (n, 1)) if n == DRAWS else np.array([next(api_luck) for _ in range(n)])
        ),
        balancer=world.balancer,
        keep=keep,
    )


def serve_fast(world: World, watch: Callable[[DataPlane], None] = lambda _: None) -> tuple[DataPlane, state.Records]:
    """The engine's run: the plane, and one row a request in order of arrival. `watch` looks on at control events."""
    kept: list[state.Records] = []
    plane = make_plane(world, kept.append)
    for event in world.script:
        if event[0] < world.until_s:
            plane.advance(event[0])
            watch(plane)
            steer(plane, world, event)
            watch(plane)
    plane.advance(world.until_s)
    plane.finish(max(plane.last_event_s, world.end_s) if world.until_s == inf else world.until_s)
    watch(plane)
    return plane, rows_of(kept)


def steer(plane: DataPlane, world: World, event: oracle_fleet.Event) -> None:
    """Apply a control event, if it makes sense as things are, to all ranks of the server."""
    now_s, verb, target, value = event
    if verb == "price":
        if target >= 0:
            plane.price(target, value * 3600.0, 1, now_s)
    elif verb == "rates":
        plane.rates(target, int(value))
    elif verb == "close_api":
        plane.close_api(target, bool(value))
    elif makes_sense(plane, world, verb, target):
        for rank in ranks_of(plane, world, target):
            steer_rank(plane, verb, rank, value, now_s)


def steer_rank(plane: DataPlane, verb: str, replica: int, value: float, now_s: float) -> None:
    {
        "start": lambda: plane.start(replica, now_s, hold=bool(value)),
        "open": lambda: plane.open(replica, now_s),
        "drain": lambda: plane.drain(replica, now_s),
        "hold": lambda: plane.hold(replica, bool(value), now_s),
        "lose": lambda: plane.lose(replica, now_s, down=bool(value)),
    }[verb]()


def makes_sense(plane: DataPlane, world: World, verb: str, replica: int) -> bool:
    """The oracle's `makes_sense`, asked of the engine."""
    life = plane.life(ranks_of(plane, world, replica)[0])
    return {
        "start": life in (state.OFF, state.DOWN),
        "open": life != state.OPEN,
        "drain": life in (state.OPEN, state.STARTING),
        "hold": life == state.OFF,
        "lose": True,
    }[verb]


def ranks_of(plane: DataPlane, world: World, replica: int) -> range:
    """The ranks of the server that a replica belongs to."""
    pool = int(plane.state.replicas["pool"][replica])
    first, spec = plane.first_replica[pool], world.pools[pool]
    many = spec.ranks if isinstance(spec, PoolSpec) else 1
    begin = first + (replica - first) // many * many
    return range(begin, begin + many)


def serve_slow(world: World) -> list[Job]:
    """The oracle's run: the jobs that came, in order of arrival. Worlds of near ties are not counted."""
    return fleet_after(world).came


def fleet_after(world: World, end_s: float | None = None) -> oracle_fleet.Fleet:
    """The oracle after its run, its books closed at `end_s`."""
    fleet = make_fleet(world)
    try:
        fleet.run(world.until_s, end_s)
    except oracle.NearTie:
        reject()
    return fleet


def make_fleet(world: World) -> oracle_fleet.Fleet:
    """The oracle for a world, with jobs of its own."""
    loops = [
        oracle_clients.Loop(clients.think_time_s, [0.0] * clients.concurrency, [copy(job) for job in clients.jobs])
        for clients in world.clients
    ]
    return oracle_fleet.Fleet(
        [as_pool(spec) for spec in world.pools],
        [copy(job) for job in world.jobs],
        [as_stream(spec) for spec in world.streams],
        [[[pools] for pools in strategies] for strategies in world.all_targets],
        [oracle_families.Strategy()] * len(world.all_targets[0]),
        loops,
        world.script,
        BALANCERS[world.balancer],
        exact_ties=world.exact_ties,
    )


def copy(job: Job) -> Job:
    return replace(job, attempts=[])


def as_pool(spec: PoolSpec | ApiSpec) -> oracle_fleet.Pool:
    """The engine's settings of a pool as the oracle's."""
    if isinstance(spec, ApiSpec):
        shared = set(oracle_api.Endpoint.__dataclass_fields__) - {"bill_by", "usd_per_token"}
        prices = tuple(tuple(row) for row in spec.rates_usd_per_token.tolist())
        settings = {name: getattr(spec, name) for name in shared}
        return oracle_fleet.Pool(oracle_api.Endpoint(**settings, bill_by=BILL_BY[spec.bill_by], usd_per_token=prices))
    shared = set(oracle.Server.__dataclass_fields__) - {"usd_per_s", "chunked", "prefix_cache", "sleep_slowdown", "sleep_step_tokens"}
    settings = {name: getattr(spec, name) for name in shared}
    usd_per_s, chunked = spec.usd_per_replica_hour / 3600.0, spec.scheduler == state.CHUNKED
    server = oracle.Server(**settings, usd_per_s=usd_per_s, chunked=chunked)
    return oracle_fleet.Pool(server, spec.replicas, spec.ranks)


def as_stream(spec: StreamSpec) -> oracle_clients.Stream:
    shared = ("timeout_s", "retries", "backoff_s", "backoff_factor", "backoff_max_s", "jitter", "resend_lost")
    retry_on = tuple(name for name in ("rejected", "timed_out", "failed") if getattr(spec, f"retry_{name}"))
    return oracle_clients.Stream(**{name: getattr(spec, name) for name in shared}, retry_on=retry_on)


def _ticks(grain: int, low: int, high: int) -> st.SearchStrategy[float]:
    """Seconds of about `low` to `high` ticks: whole grains, and at least one where `low` is not zero."""
    if not grain:
        return st.floats(low, high).map(lambda ticks: ticks * TICK_S)
    least = -(-low // grain)
    return st.integers(least, max(high // grain, least)).map(lambda grains: grains * grain * TICK_S)


@st.composite
def worlds(draw: st.DrawFn, *, drained: bool = False) -> World:
    """One or two pools of up to three replicas, up to 40 requests, often too little memory; `drained`: to the end."""
    grain = draw(st.sampled_from(GRAINS))
    pools: list[PoolSpec | ApiSpec] = [draw(_pools(grain)) for _ in range(draw(st.integers(1, 2)))]
    until_s = inf if drained else draw(st.one_of(st.just(inf), st.floats(0.01, 3.0)))
    balancer = draw(st.sampled_from(sorted(BALANCERS)))
    clients = draw(st.lists(_clients(grain), max_size=2))
    return World(pools, draw(_arrivals(grain)), clients, balancer, until_s, exact_ties=grain > 0)


@st.composite
def fault_worlds(draw: st.DrawFn, *, drained: bool = False) -> World:
    """Pools in tiers, with limits, and APIs; impatient clients; replicas that are lost, drained, held and opened.

    `drained`: to the end, at which every replica is open.
    """
    grain = draw(st.sampled_from(GRAINS))
    pools: list[PoolSpec | ApiSpec] = [
        draw(_limited_pools(grain)) for _ in range(draw(st.sampled_from([0, 1, 1, 2, 2])))
    ]
    pools += [draw(_apis(grain)) for _ in range(draw(st.integers(0 if pools else 1, 2)))]
    streams = [draw(_streams(grain)) for _ in range(draw(st.integers(1, 2)))]
    everywhere, strategies = st.permutations(range(len(pools))), draw(st.integers(1, 2))
    targets = [[draw(everywhere)[: draw(st.integers(1, len(pools)))] for _ in range(strategies)] for _ in streams]
    until_s = inf if drained else draw(st.one_of(st.just(inf), st.floats(0.01, 4.0)))
    return World(
        pools,
        draw(_arrivals(grain, most=25, streams=len(streams), strategies=strategies)),
        draw(st.lists(_clients(grain, streams=len(streams)), max_size=1)),
        draw(st.sampled_from(sorted(BALANCERS))),
        until_s,
        grain > 0,
        streams,
        targets,
        draw(_scripts(grain, pools, drained)),
    )


@st.composite
def _scripts(draw: st.DrawFn, grain: int, pools: list[PoolSpec | ApiSpec], drained: bool) -> list[oracle_fleet.Event]:
    """Control events in order of time, some at one time."""
    gpu = [r for p, r in _replicas(pools) if isinstance(pools[p], PoolSpec)]
    verbs = st.sampled_from(["drain", "open", "lose", "start", "hold", "cycle"] if gpu else ["rates"])
    pauses = st.just(0.0) | _ticks(grain, 1, 9000)
    others = st.sampled_from(["price", "rates", "close_api"])
    cycle = [("drain", 0.0), ("hold", 1.0), ("start", 1.0), ("open", 0.0)]
    now_s, script = 0.0, []
    for _ in range(draw(st.integers(0, 12))):
        now_s += draw(pauses)
        verb = draw(verbs if draw(st.integers(0, 3)) else others)
        if verb == "cycle":
            r, times_s = draw(st.sampled_from(gpu)), [now_s, now_s]
            times_s += [now_s + draw(pauses) for _ in range(2)]
            script += [(at_s, verb, r, value) for at_s, (verb, value) in zip(sorted(times_s), cycle, strict=True)]
        elif verb in ("price", "rates", "close_api"):
            wanted = PoolSpec if verb == "price" else ApiSpec
            some = [p for p, pool in enumerate(pools) if isinstance(pool, wanted)]
            value = draw(st.floats(0.1, 10.0)) if verb == "price" else float(draw(st.integers(0, 1)))
            script += [(now_s, verb, draw(st.sampled_from(some)), value)] if some else []
        else:
            script.append((now_s, verb, draw(st.sampled_from(gpu)), float(draw(st.integers(0, 1)))))
    script.sort(key=lambda event: event[0])
    if drained:
        script += [(max(event[0] for event in [(0.0,), *script]) + 1.0, "open", r, 0.0) for r in gpu]
    return script


def _replicas(pools: list[PoolSpec | ApiSpec]) -> list[tuple[int, int]]:
    """Pool and number of every replica, an API being one."""
    members = [p for p, pool in enumerate(pools) for _ in range(pool.replicas if isinstance(pool, PoolSpec) else 1)]
    return [(p, r) for r, p in enumerate(members)]


@st.composite
def _streams(draw: st.DrawFn, grain: int) -> StreamSpec:
    def seconds(low: int, high: int) -> float:
        return draw(_ticks(grain, low, high))

    return StreamSpec(
        timeout_s=seconds(1, 12_000) if draw(st.booleans()) else inf,
        retries=draw(st.integers(0, 3)),
        backoff_s=seconds(0, 3000),
        backoff_factor=draw(st.sampled_from([1.0, 2.0]) if grain else st.floats(1.0, 3.0)),
        backoff_max_s=seconds(0, 6000) if draw(st.booleans()) else inf,
        jitter=0.0 if grain else draw(st.floats(0.0, 1.0)),
        retry_rejected=draw(st.booleans()),
        retry_timed_out=draw(st.booleans()),
        retry_failed=draw(st.booleans()),
        resend_lost=draw(st.booleans()),
    )


_LIMITS = st.sampled_from([1, 2, 4, 8] + 3 * [oracle.NO_LIMIT])


@st.composite
def _limits(draw: st.DrawFn) -> dict[str, int]:
    spill_at, max_outstanding = sorted([draw(_LIMITS), draw(_LIMITS)])
    return {"tier": draw(st.integers(0, 2)), "spill_at": spill_at, "max_outstanding": max_outstanding}


@st.composite
def _limited_pools(draw: st.DrawFn, grain: int) -> PoolSpec:
    pool, ranks = draw(_pools(grain)), draw(st.sampled_from([1, 1, 2]))
    always_paid = draw(st.booleans())
    return replace(
        pool,
        replicas=ranks * draw(st.integers(1, 3 - ranks)),
        ranks=ranks,
        always_paid=always_paid,
        windows=2,
        **draw(_limits()),
    )


@st.composite
def _apis(draw: st.DrawFn, grain: int) -> ApiSpec:
    """An API whose times are whole ticks, or by luck; its limits are as small as the worlds."""

    def seconds(low: int, high: int) -> float:
        return draw(_ticks(grain, low, high))

    sigma = st.just(0.0) if grain else st.floats(0.0, 0.7)
    slow = st.integers(4, 10).map(lambda k: 2.0**k) if grain else st.floats(16.0, 1024.0)
    request_s = draw(st.sampled_from([0.0, 2.0**-8, 2.0**-5, 2.0**-2]))
    token_s = draw(st.sampled_from([0.0, 2.0**-13, 2.0**-9, 2.0**-6]))
    return ApiSpec(
        ttft_median_s=seconds(1, 3000),
        ttft_sigma=draw(sigma),
        tokens_per_s_median=draw(slow),
        tokens_per_s_sigma=draw(sigma),
        batch_window_s=seconds(1000, 4000) if draw(st.integers(0, 3)) == 0 else 0.0,
        cached_share=draw(st.floats(0.0, 1.0)),
        bill_by=draw(st.integers(0, 2)),
        requests_per_minute=60.0 / request_s if request_s else inf,
        tokens_per_minute=60.0 / token_s if token_s else inf,
        burst_s=seconds(1, draw(st.sampled_from([64, 12_000]))),
        waits=draw(st.booleans()),
        max_model_len=draw(st.sampled_from([100, oracle.NO_LIMIT])),
        rates_usd_per_token=np.array(draw(st.lists(st.floats(0.0, 5.0), min_size=6, max_size=6))).reshape(2, 3),
        **draw(_limits()),
    )


@st.composite
def _pools(draw: st.DrawFn, grain: int) -> PoolSpec:
    rows = draw(st.integers(1, 12))
    tokens = draw(st.integers(rows, 60))
    law = draw(_laws(rows, grain))
    capacity = draw(st.sampled_from([64, 160, 400, 100_000]))
    scheduler = draw(st.sampled_from([state.PREFILL_FIRST, state.CHUNKED]))
    usd_per_hour = 3600.0 * draw(st.floats(0.1, 10.0))
    longest = draw(st.sampled_from([100, oracle.NO_LIMIT]))
    return PoolSpec(draw(st.integers(1, 3)), law, capacity, usd_per_hour, scheduler, rows, tokens, longest)


@st.composite
def _laws(draw: st.DrawFn, rows: int, grain: int) -> StepTime:
    """A random step-time law, bent or straight; with a grain every step is a multiple of it.

    A front end that takes some of a request's own steps would divide ticks, so it comes only without them.
    """

    def number(low: int, high: int) -> float:
        return draw(_ticks(grain, low, high))

    edges = [float(draw(st.integers(50, 400))), inf] if draw(st.booleans()) else [inf]
    per_row = number(0, 9)
    base = np.array([number(1, 300) + per_row * np.arange(rows + 1.0) for _ in edges])
    kv = np.array([np.full(rows + 1, number(0, 3)) for _ in edges])
    base[:, 0] = kv[:, 0] = 0.0
    linear = np.cumsum([0.0, *(number(1, 40) for _ in range(draw(st.integers(2, 40))))])
    front_end_s = number(0, 400) if draw(st.booleans()) else 0.0
    front_end_steps = 0.0 if grain else draw(st.just(0.0) | st.floats(0, 3))
    return StepTime(base, kv, np.array(edges), linear, 2 * number(0, 2), front_end_s, front_end_steps)


@st.composite
def _arrivals(draw: st.DrawFn, grain: int, most: int = 40, streams: int = 1, strategies: int = 1) -> list[Job]:
    most_gap = 3000 if most == 40 else draw(st.sampled_from([100, 1000, 3000]))
    gaps = _ticks(grain, 0, most_gap)
    classes = draw(st.sampled_from([st.just(0), st.integers(0, 2)]))
    arrival_s, jobs = 0.0, []
    for _ in range(draw(st.integers(1, most))):
        arrival_s += draw(gaps)
        prompt_tokens, output_tokens = draw(_lengths())
        luck, stream, strategy = draw(st.floats(0, 0.999)), *(draw(_index(n)) for n in (streams, strategies))
        api_luck = (2.0 * luck - 1.0, 0.5 - luck)
        jobs.append(Job(arrival_s, prompt_tokens, output_tokens, draw(classes), luck, api_luck, stream, strategy))
    return jobs


def _index(many: int) -> st.SearchStrategy[int]:
    return st.integers(0, many - 1) if many > 1 else st.just(0)


@st.composite
def _clients(draw: st.DrawFn, grain: int, streams: int = 1) -> Clients:
    priority, stream = draw(st.integers(0, 2)), draw(_index(streams))
    think_time_s = draw(st.just(0.0) | _ticks(grain, 1, 2000))
    lengths = draw(st.lists(_lengths(), min_size=1, max_size=12))
    jobs = [Job(0.0, *length, priority, CLIENT_LUCK, CLIENT_API_LUCK, stream) for length in lengths]
    return Clients(draw(st.integers(1, 4)), think_time_s, jobs, stream, priority)


@st.composite
def _lengths(draw: st.DrawFn) -> tuple[int, int]:
    return draw(st.integers(1, 90)), draw(st.one_of(st.just(1), st.integers(1, 60)))
