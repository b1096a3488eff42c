"""Small worlds, and their runs on two roads: by the engine, and by the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from math import inf
from typing import Any

import numpy as np
from hypothesis import reject

from router.types import Rule
from sim.engine import state
from sim.engine.build import DRAWS
from sim.engine.plane import DataPlane
from sim.engine.specs import (
    ApiSpec,
    Corpus,
    Options,
    PoolSpec,
    RouteSpec,
    Scored,
    StrategySpec,
    StreamSpec,
    undecided,
)
from sim.workload.blocks import RequestBlock
from tests import oracle, oracle_api, oracle_balancers, oracle_choices, oracle_clients, oracle_families, oracle_fleet
from tests.oracle_contexts import Preparation
from tests.oracle_families import Job
from tests.worlds import rows_of

__all__ = [
    "CLIENT_API_LUCK",
    "CLIENT_LUCK",
    "Clients",
    "World",
    "fleet_after",
    "make_fleet",
    "make_plane",
    "serve_fast",
    "serve_slow",
]

BALANCERS: dict[int, Callable[[], oracle_balancers.RoundRobin]] = {
    state.ROUND_ROBIN: oracle_balancers.RoundRobin,
    state.LEAST_OUTSTANDING: oracle_balancers.LeastOutstanding,
    state.POWER_OF_TWO: oracle_balancers.PowerOfTwo,
}
BILL_BY = ("arrival", "start", "completion")
BLOCK_ROWS = 7
"""The engine gets requests by so many, so that a run has several blocks."""

CLIENT_LUCK = 0.6
CLIENT_API_LUCK = (0.3, -0.4)


@dataclass(frozen=True)
class Clients:
    """A closed stream whose requests are given."""

    concurrency: int
    think_time_s: float
    jobs: list[Job]
    stream: int = 0
    priority: int = 0

    @property
    def requests(self) -> int:
        return len(self.jobs)

    def draw(self, n: int) -> tuple[state.Integers, state.Integers]:
        return self._column("prompt_tokens", n), self._column("output_tokens", n)

    def draw_keys(self, n: int) -> state.Integers:
        return self._column("key", n)

    def _column(self, name: str, n: int) -> state.Integers:
        column = np.ones(n, np.int64)
        column[: len(self.jobs)] = [getattr(job, name) for job in self.jobs]
        return column


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
    targets: list[list[list[list[int]]]] = field(default_factory=list)
    """Pools that may serve a stage of a stream's request by a strategy; all of them where nothing is said."""
    script: list[oracle_fleet.Event] = field(default_factory=list)
    strategies: list[StrategySpec] = field(default_factory=lambda: [StrategySpec()])
    preparations: list[Preparation] = field(default_factory=list)
    """Sleep work that the script begins; it belongs to the last stream. Without any nothing is looked up."""
    affinity_slack: int = 0
    routes: list[RouteSpec] = field(default_factory=list)
    """Of each stream; where there are some every request has options."""
    one_corpus: bool = False
    """Blocks share one table of options; otherwise each brings its own."""

    @property
    def all_targets(self) -> list[list[list[list[int]]]]:
        everywhere = [[list(range(len(self.pools)))] * len(strategy.stages) for strategy in self.strategies]
        return self.targets or [everywhere] * len(self.streams)

    @property
    def end_s(self) -> float:
        """When control events end: a run that goes on to the end goes on at least to there."""
        return max((event[0] for event in self.script), default=0.0)

    @property
    def ends_open(self) -> bool:
        """True if at last every replica is open, so that nothing waits for ever."""
        about_replicas = ("start", "open", "drain", "hold", "lose")
        last = {event[2]: event[1] for event in self.script if event[1] in about_replicas}
        return set(last.values()) <= {"open"}


# The engine's road.


def make_plane(world: World, keep: Any = None) -> DataPlane:
    """The engine for a world, at time zero."""
    luck, api_luck = iter([job.luck for job in world.jobs]), iter([job.api_luck for job in world.jobs])
    books = _Books(world)
    return DataPlane(
        world.pools,
        world.streams,
        world.all_targets,
        strategies=world.strategies,
        blocks=_blocks(world.jobs),
        clients=[_Noted(clients, books) for clients in world.clients],
        score=books.score,
        luck=lambda n: np.full(n, CLIENT_LUCK) if n == DRAWS else np.array([next(luck) for _ in range(n)]),
        api_luck=lambda n: (
            np.tile(CLIENT_API_LUCK, (n, 1)) if n == DRAWS else np.array([next(api_luck) for _ in range(n)])
        ),
        balancer=world.balancer,
        affinity_slack=world.affinity_slack,
        keep=keep,
        prepares=bool(world.preparations),
        routes=world.routes,
    )


def _blocks(jobs: Sequence[Job]) -> Iterator[RequestBlock]:
    """Requests as the engine takes them."""
    for first in range(0, len(jobs), BLOCK_ROWS):
        mine = jobs[first : first + BLOCK_ROWS]
        columns = {name: [getattr(job, name) for job in mine] for name in _PLAIN_COLUMNS}
        columns["context_id"], columns["version"] = zip(*(job.context or (-1, 0) for job in mine), strict=True)
        columns["question_id"] = [-1] * len(mine)
        arrival_s = np.array([job.arrival_s for job in mine])
        yield RequestBlock(arrival_s=arrival_s, **{name: np.array(column) for name, column in columns.items()})


_PLAIN_COLUMNS = (
    "prompt_tokens",
    "output_tokens",
    "stream",
    "priority",
    "key",
    "prefix_tokens",
    "keep_tokens",
)


class _Books:
    """Knows which requests the engine asks about: the next ones to arrive, or those of the clients that drew last."""

    def __init__(self, world: World) -> None:
        self.world, self.left, self.drawn = world, iter(world.jobs), [Job(0.0, 1, 1)]
        self.table: Corpus | None = None
        self.scored = 0

    def score(self, block: RequestBlock) -> Scored:
        rows = len(block.key)
        asked = [next(self.left) for _ in range(rows)] if rows < DRAWS else self.drawn + [Job(0.0, 1, 1)] * rows
        steps = max(len(strategy.steps) for strategy in self.world.strategies)
        ways = 2 if self.world.preparations else 1
        if self.world.routes:
            return undecided(self._options(asked[:rows], steps, ways))
        return _scored(asked[:rows], steps, ways)

    def _options(self, asked: Sequence[Job], steps: int, ways: int) -> Options:
        """Rows of the one table of all requests that arrive, or of a table that has just these."""
        if len(asked) < DRAWS and self.world.one_corpus:
            self.table = self.table or _corpus(self.world.jobs, steps, ways)
            self.scored += len(asked)
            return Options(self.table, np.arange(self.scored - len(asked), self.scored))
        known = [job for job in asked if job.options]
        return Options(_corpus(known, steps, ways), np.minimum(np.arange(len(asked)), len(known) - 1))


class _Noted:
    """Clients whose draws are noted."""

    def __init__(self, clients: Clients, books: _Books) -> None:
        self._clients, self._books = clients, books

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clients, name)

    def draw(self, n: int) -> tuple[state.Integers, state.Integers]:
        self._books.drawn = list(self._clients.jobs)
        return self._clients.draw(n)


def _scored(jobs: Sequence[Job], steps: int, ways: int) -> Scored:
    shape = (len(jobs), ways, steps)
    tokens, escalates = np.ones(shape, np.int64), np.zeros(shape, np.int64)
    p_sample, p_correct = np.full(shape, np.nan), np.full(shape, np.nan)
    for i, job in enumerate(jobs):
        for way in range(ways):
            scores = job.scores[way] if job.scores else [oracle_families.Score(job.output_tokens)] * steps
            for k, score in enumerate(scores):
                at = (i, way, k)
                tokens[at], escalates[at] = score.output_tokens, score.escalates
                p_sample[at], p_correct[at] = score.p_sample, score.p_correct
    return Scored(np.array([job.strategy for job in jobs]), tokens, p_sample, p_correct, escalates)


def _corpus(jobs: Sequence[Job], steps: int, ways: int) -> Corpus:
    """The options of these requests, a row each."""
    options = [job.options or () for job in jobs]
    estimates = np.array([[[each.estimates[way] for each in row] for way in range(ways)] for row in options])
    p, tokens, path_tokens, sd = (np.ascontiguousarray(estimates[..., i]) for i in range(4))
    shape = (len(jobs), len(options[0]), ways, steps)
    output_tokens, escalates = np.ones(shape, np.int64), np.zeros(shape, np.int64)
    p_sample, p_correct = np.full(shape, np.nan), np.full(shape, np.nan)
    for i, row in enumerate(options):
        for a, option in enumerate(row):
            for way in range(ways):
                for k, score in enumerate(option.scores[way]):
                    at = (i, a, way, k)
                    output_tokens[at], escalates[at] = score.output_tokens, score.escalates
                    p_sample[at], p_correct[at] = score.p_sample, score.p_correct
    return Corpus(p, tokens, path_tokens, sd, output_tokens, p_sample, p_correct, escalates)


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
    elif verb == "mu":
        plane.routing.set_mu(value, [target])
    elif verb == "prepare":
        prepare(plane, world.preparations[target], now_s)
    elif makes_sense(plane, world, verb, target):
        for rank in ranks_of(plane, world, target):
            steer_rank(plane, verb, rank, value, now_s)


def prepare(plane: DataPlane, work: Preparation, now_s: float) -> None:
    """Send sleep work for a context, unless the same is under way."""
    now = plane.contexts[work.context : work.context + 1]
    if np.any((now["state"] == state.PREPARING) & (now["version"] == work.version)):
        return
    columns = (work.context, work.version, work.prompt_tokens, work.output_tokens, work.notes_tokens, work.key)
    arrays = [np.array([column]) for column in columns]
    plane.prepare(*arrays, lasts_s=work.lasts_s, strategy=work.strategy, now_s=now_s)


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


# The oracle's road.


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
    affinity = partial(oracle_balancers.PrefixAffinity, world.affinity_slack)
    return oracle_fleet.Fleet(
        [as_pool(spec) for spec in world.pools],
        [copy(job) for job in world.jobs],
        [as_stream(spec) for spec in world.streams],
        world.all_targets,
        [as_strategy(spec) for spec in world.strategies],
        loops,
        world.script,
        affinity if world.balancer == state.PREFIX_AFFINITY else BALANCERS[world.balancer],
        world.preparations,
        [as_route(world, stream) for stream in range(len(world.routes))],
        world.exact_ties,
    )


def copy(job: Job) -> Job:
    return replace(job, attempts=[])


def as_pool(spec: PoolSpec | ApiSpec) -> oracle_fleet.Pool:
    """The engine's settings of a pool as the oracle's."""
    if isinstance(spec, ApiSpec):
        prices = tuple(tuple(row) for row in spec.rates_usd_per_token.tolist())
        settings = _shared(spec, oracle_api.Endpoint, but=("bill_by", "usd_per_token"))
        return oracle_fleet.Pool(oracle_api.Endpoint(**settings, bill_by=BILL_BY[spec.bill_by], usd_per_token=prices))
    settings = _shared(spec, oracle.Server, but=("usd_per_s", "chunked"))
    usd_per_s, chunked = spec.usd_per_replica_hour / 3600.0, spec.scheduler == state.CHUNKED
    server = oracle.Server(**settings, usd_per_s=usd_per_s, chunked=chunked)
    return oracle_fleet.Pool(server, spec.replicas, spec.ranks)


def as_stream(spec: StreamSpec) -> oracle_clients.Stream:
    retry_on = tuple(name for name in ("rejected", "timed_out", "failed") if getattr(spec, f"retry_{name}"))
    return oracle_clients.Stream(**_shared(spec, oracle_clients.Stream, but=("retry_on",)), retry_on=retry_on)


def as_route(world: World, stream: int) -> oracle_choices.Route:
    spec, targets = world.routes[stream], world.all_targets[stream]
    every = range(len(world.strategies)) if spec.strategies is None else spec.strategies
    settings = _shared(spec, oracle_choices.Route, but=("rule", "strategies", "lateness_usd", "e2e_slo_s"))
    return oracle_choices.Route(
        rule=Rule(spec.rule),
        strategies=sorted(a for a in every if all(targets[a])),
        lateness_usd=spec.value_usd if spec.lateness_usd is None else spec.lateness_usd,
        e2e_slo_s=world.streams[stream].e2e_slo_s if spec.e2e_slo_s is None else spec.e2e_slo_s,
        **settings,
    )


def as_strategy(spec: StrategySpec) -> oracle_families.Strategy:
    stages = [oracle_families.Stage(**_shared(stage, oracle_families.Stage)) for stage in spec.stages]
    steps = [oracle_families.Step(**_shared(step, oracle_families.Step)) for step in spec.steps]
    return oracle_families.Strategy(stages, steps)


def _shared(spec: object, kind: Any, but: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of `kind` that the engine's settings call the same."""
    return {each.name: getattr(spec, each.name) for each in fields(kind) if each.name not in but}
