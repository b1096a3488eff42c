"""The lab's engine schedules as the simulator's replica does, and says what each job would say alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from sim.lab.engine.clocks import StepWork, VirtualClock
from sim.lab.engine.engine import Engine, EngineSettings, Job, JobRecord
from sim.lab.engine.loops import run_all, run_closed_loop, run_open_loop
from sim.steptime import StepTime
from tests import oracle, oracle_families
from tests.fake_decoder import FakeDecoder
from tests.oracle import BLOCK_TOKENS, NO_LIMIT, NearTie, Server
from tests.oracle_clients import Loop, Stream
from tests.oracle_families import Branch, Stage, Strategy
from tests.oracle_fleet import Fleet, Pool
from tests.random_worlds import GRAINS, TICK_S
from tests.worlds import flat_law

SOLOS = 12
"""Of so many jobs of a world it is seen what they say alone."""
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}


class Watched(oracle.Replica):
    """Notes what its steps are made of."""

    def begin_step(self, now_s: float) -> None:
        super().begin_step(now_s)
        if self.step_end_s < inf:
            slices = [branch for branch in self.prefilling if branch.chunk]
            pairs = sum(branch.prefilled + i for branch in slices for i in range(1, branch.chunk + 1))
            kv_tokens = sum(row.kv_tokens + 1 for row in self.rows_in_step)
            self.noted.append((now_s, len(self.rows_in_step), kv_tokens, self.prompt_tokens, pairs))

    @property
    def noted(self) -> list[tuple[float, int, int, int, int]]:
        return self.__dict__.setdefault("_noted", [])


class OneReplica(Fleet):
    def build(self, server: object) -> Watched:
        assert isinstance(server, Server)
        return Watched(server, exact_ties=self.exact_ties)


@dataclass
class World:
    """One replica, and who comes to it: jobs at their times, or clients in a closed loop."""

    server: Server
    jobs: list[oracle_families.Job]
    strategies: list[Strategy]
    timeout_s: float = inf
    concurrency: int = 0
    exact_ties: bool = True
    fleet: Fleet = field(init=False)

    def run(self) -> list[oracle_families.Job]:
        """The oracle's run: requests in order of arrival. Worlds of near ties are not counted."""
        loops = [Loop(0.0, [0.0] * self.concurrency, self.jobs)] if self.concurrency else []
        jobs = [] if loops else self.jobs
        streams = [Stream(self.timeout_s)]
        self.fleet = OneReplica(
            [Pool(self.server)], jobs, streams, strategies=self.strategies, loops=loops, exact_ties=self.exact_ties
        )
        try:
            came = self.fleet.run()
        except NearTie:
            reject()
        assert all(job.status != "unfinished" for job in came)
        return came

    @property
    def steps(self) -> list[tuple[float, int, int, int, int]]:
        (replica,) = self.fleet.places
        assert isinstance(replica, Watched)
        return replica.noted

    def holds(self, job: oracle_families.Job) -> bool:
        """Whether a request can be served at all."""
        tokens = job.prompt_tokens + job.output_tokens
        capacity = self.server.kv_capacity_tokens // BLOCK_TOKENS
        return tokens <= self.server.max_model_len and oracle.blocks(tokens - 1) <= capacity

    def engine(self) -> Engine:
        server = self.server
        decoder = FakeDecoder(server.max_num_seqs + len(self.jobs) + 1, capacity=min(server.max_model_len - 1, 512))
        settings = EngineSettings(
            max_num_seqs=server.max_num_seqs,
            max_num_batched_tokens=server.max_num_batched_tokens,
            kv_capacity_tokens=server.kv_capacity_tokens,
            scheduler="chunked" if server.chunked else "prefill-first",
            sleep_step_tokens=server.sleep_step_tokens,
        )
        return Engine(decoder, settings, VirtualClock(self.step_s))

    def step_s(self, work: StepWork) -> float:
        law = self.server.step_time
        if work.prompt_tokens:
            return law.mixed_step_s(*work)
        return law.decode_step_s(work.decode_rows, work.kv_tokens)


def world(seed: int, *, impatient: bool = False, closed: bool = False) -> World:
    """Up to 40 requests, some of them families that share a prompt, on a replica with often too little memory."""
    rng = np.random.default_rng(seed)
    grain = int(rng.choice(GRAINS))
    server = Server(
        step_time=random_law(rng, grain),
        kv_capacity_tokens=int(rng.choice([160, 256, 400, 100_000])),
        chunked=bool(rng.integers(2)),
        max_num_seqs=(rows := int(rng.integers(1, 13))),
        max_num_batched_tokens=int(rng.integers(rows, 61)),
        max_model_len=int(rng.choice([100, NO_LIMIT])),
        prefix_cache=False,
        sleep_step_tokens=int(rng.choice([1, 8, NO_LIMIT])),
    )
    strategies = (
        [Strategy()] if closed else [Strategy([Stage(per_group=k, sigma=0.7, most_tokens=300)]) for k in (1, 1, 2, 5)]
    )
    return World(
        server,
        random_jobs(rng, grain, len(strategies)),
        strategies,
        timeout_s=ticks(rng, grain, 1, 12_000) if impatient else inf,
        concurrency=int(rng.integers(1, 7)) if closed else 0,
        exact_ties=grain > 0,
    )


def random_law(rng: np.random.Generator, grain: int) -> StepTime:
    per_row = ticks(rng, grain, 0, 9)
    base = ticks(rng, grain, 1, 300) + per_row * np.arange(13.0)
    kv = np.full(13, ticks(rng, grain, 0, 3))
    base[0] = kv[0] = 0.0
    linear = np.cumsum([0.0, *(ticks(rng, grain, 1, 40) for _ in range(20))])
    pair_s, slice_s = 2 * ticks(rng, grain, 0, 2), ticks(rng, grain, 0, 30)
    return StepTime(base[None], kv[None], np.array([inf]), linear, pair_s, slice_s=slice_s)


def random_jobs(rng: np.random.Generator, grain: int, strategies: int) -> list[oracle_families.Job]:
    most_gap, classes = int(rng.choice([300, 3000])), int(rng.choice([1, 3]))
    arrival_s, jobs = 0.0, []
    for key in range(int(rng.integers(1, 41))):
        arrival_s += ticks(rng, grain, 0, most_gap)
        prompt, output = int(rng.integers(1, 91)), int(rng.choice([1, rng.integers(1, 61)]))
        strategy, priority = int(rng.integers(strategies)), int(rng.integers(classes))
        jobs.append(oracle_families.Job(arrival_s, prompt, output, priority, strategy=strategy, key=key))
    return jobs


def ticks(rng: np.random.Generator, grain: int, low: int, high: int) -> float:
    """Seconds of about `low` to `high` ticks: whole grains, and at least one where `low` is not zero."""
    if not grain:
        return float(rng.uniform(low, high)) * TICK_S
    least = -(-low // grain)
    return int(rng.integers(least, max(high // grain, least) + 1)) * grain * TICK_S


def number(branch: Branch) -> int:
    return branch.number * 10 + branch.index


def as_job(branch: Branch) -> Job:
    """A branch for the engine, at its length."""
    prompt = tuple(np.random.default_rng(branch.number).integers(0, 50, branch.prompt_tokens).tolist())
    leader = None if branch.leader is None else number(branch.leader)
    return Job(
        number(branch),
        prompt,
        fixed_tokens=branch.output_tokens,
        temperature=1.0,
        seed=number(branch),
        priority=branch.priority,
        prefix_of=leader,
    )


def assert_same(world: World, engine: Engine, records: Sequence[JobRecord], branches: Sequence[Branch]) -> None:
    """Times, tokens found and preemptions of every branch, and all steps."""
    for record, branch in zip(records, branches, strict=True):
        assert record.first_token_s == pytest.approx(branch.first_token_s, rel=1e-9)
        assert record.finish_s == pytest.approx(branch.end_s, rel=1e-9)
        told = record.preemptions, record.cached_tokens, record.output_tokens
        assert told == (branch.preemptions, branch.cached_tokens, branch.output_tokens)
    assert [tuple(step[2:6]) for step in engine.steps] == [step[1:] for step in world.steps]
    assert np.allclose([step.begin_s for step in engine.steps], [step[0] for step in world.steps], rtol=1e-9, atol=0.0)


def assert_says_what_it_would_alone(jobs: Sequence[Job], records: Sequence[JobRecord]) -> None:
    alone = Engine(FakeDecoder(2), EngineSettings(1, 10_000, 10_000), VirtualClock(lambda work: 1.0))
    by_itself = run_all(alone, [replace(job, prefix_of=None) for job in jobs])
    assert [record.tokens for record in records] == [record.tokens for record in by_itself]


def check_open_loop(world: World) -> None:
    branches = [branch for job in world.run() for branch in job.branches if job.status != "too_long"]
    engine, jobs = world.engine(), [as_job(branch) for branch in branches]
    records = run_open_loop(engine, jobs, [branch.job.arrival_s for branch in branches])
    assert_same(world, engine, records, branches)
    assert_says_what_it_would_alone(jobs[-SOLOS:], records[-SOLOS:])


def check_closed_loop(world: World) -> None:
    world.jobs = [job for job in world.jobs if world.holds(job)]
    branches = [job.branches[0] for job in world.run()]
    engine, jobs = world.engine(), [as_job(branch) for branch in branches]
    assert_same(world, engine, run_closed_loop(engine, jobs, world.concurrency), branches)


def check_impatient(world: World) -> None:
    came = [job for job in world.run() if job.status != "too_long"]
    engine = world.engine()
    records = serve_impatient(engine, came, world.timeout_s)
    for job in came:
        told = [records[number(branch)] for branch in job.branches]
        answered_s = max(record.finish_s for record in told)
        all_said = all(record.status == "completed" for record in told)
        assert (all_said and answered_s <= job.arrival_s + world.timeout_s) == (job.status == "completed")
        if job.status == "completed":
            assert answered_s == pytest.approx(job.finish_s, rel=1e-9)
    assert [tuple(step[2:6]) for step in engine.steps] == [step[1:] for step in world.steps]


def serve_impatient(engine: Engine, came: Sequence[oracle_families.Job], timeout_s: float) -> dict[int, JobRecord]:
    """An open loop whose clients go away; one that goes during a step is seen at its end."""
    coming, there = list(came), list[oracle_families.Job]()
    while coming or not engine.idle:
        now_s = engine.clock.now_s()
        while coming and coming[0].arrival_s <= now_s:
            there.append(job := coming.pop(0))
            for branch in job.branches:
                engine.submit(as_job(branch), job.arrival_s)
        for job in [job for job in there if job.arrival_s + timeout_s < now_s]:
            there.remove(job)
            for branch in job.branches:
                engine.cancel(number(branch))
        if not engine.idle:
            engine.step()
        elif coming:
            engine.clock.wait_until(coming[0].arrival_s)
    return {record.job_id: record for record in engine.finished}


seeds = st.integers(0, 2**32)


@settings(max_examples=200, **QUIET)
@given(seeds)
def test_engine_and_oracle_agree_on_every_request_and_step(seed: int) -> None:
    check_open_loop(world(seed))


@settings(max_examples=100, **QUIET)
@given(seeds)
def test_engine_and_oracle_agree_on_a_closed_loop(seed: int) -> None:
    check_closed_loop(world(seed, closed=True))


@settings(max_examples=100, **QUIET)
@given(seeds)
def test_engine_and_oracle_agree_where_clients_go_away(seed: int) -> None:
    check_impatient(world(seed, impatient=True))


def test_the_last_row_makes_room_for_itself_and_goes_on() -> None:
    """The story in `test_families.py`: a branch that finds half of its prompt has no room for its second token."""
    server = Server(flat_law(2, 1.0, token_s=0.25), kv_capacity_tokens=48, chunked=False, max_num_seqs=2)
    world = World(server, [oracle_families.Job(0.0, 32, 3, key=3)], [Strategy([Stage(per_group=2, sigma=1.0)])])
    check_open_loop(world)
    assert [branch.preemptions for branch in world.fleet.came[0].branches] == [0, 1]


@pytest.mark.long
@settings(max_examples=10_000, **QUIET)
@given(seeds)
def test_engine_and_oracle_agree_on_many_worlds(seed: int) -> None:
    check_open_loop(world(seed))
    check_closed_loop(world(seed, closed=True))
    check_impatient(world(seed, impatient=True))
