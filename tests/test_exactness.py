"""The compiled engine gives every request the same fate, times and cost as the step-by-step oracle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from sim.engine import state
from sim.engine.plane import DataPlane
from tests.oracle import Job, Replica
from tests.oracle_fleet import Fleet
from tests.random_choices import choice_worlds
from tests.random_families import family_worlds
from tests.random_worlds import fault_worlds, worlds
from tests.two_roads import World, fleet_after, serve_fast, serve_slow

STATUS = {
    "completed": state.COMPLETED,
    "too_long": state.TOO_LONG,
    "no_replica": state.NO_REPLICA,
    "unfinished": state.UNFINISHED,
    "queue_full": state.QUEUE_FULL,
    "rate_limited": state.RATE_LIMITED,
    "timed_out": state.TIMED_OUT,
    "failed": state.FAILED,
}
LIVES = {
    "off": state.OFF,
    "starting": state.STARTING,
    "open": state.OPEN,
    "draining": state.DRAINING,
    "down": state.DOWN,
}
USES = {"busy": state.USED, "api": state.USED, "lost_work": state.LOST_WORK, "timed_out": state.GIVEN_UP}
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}


@settings(max_examples=300, **QUIET)
@given(worlds())
def test_engine_and_oracle_agree_on_every_request(world: World) -> None:
    assert_same(serve_fast(world)[1], serve_slow(world))


@settings(max_examples=300, **QUIET)
@given(fault_worlds())
def test_engine_and_oracle_agree_where_things_go_wrong(world: World) -> None:
    assert_same_run(world)


@pytest.mark.long
@settings(max_examples=20_000, **QUIET)
@given(worlds())
def test_engine_and_oracle_agree_on_many_worlds(world: World) -> None:
    assert_same(serve_fast(world)[1], serve_slow(world))


@pytest.mark.long
@settings(max_examples=20_000, **QUIET)
@given(fault_worlds())
def test_engine_and_oracle_agree_on_many_worlds_where_things_go_wrong(world: World) -> None:
    assert_same_run(world)


@settings(max_examples=250, **QUIET)
@given(family_worlds())
def test_engine_and_oracle_agree_on_families_contexts_and_sleep_work(world: World) -> None:
    assert_same_run(world)


@settings(max_examples=300, **QUIET)
@given(choice_worlds())
def test_engine_and_oracle_choose_the_same(world: World) -> None:
    assert_same_run(world)


@pytest.mark.long
@settings(max_examples=20_000, **QUIET)
@given(choice_worlds())
def test_engine_and_oracle_choose_the_same_in_many_worlds(world: World) -> None:
    assert_same_run(world)


@pytest.mark.long
@settings(max_examples=20_000, **QUIET)
@given(family_worlds())
def test_engine_and_oracle_agree_on_many_families_contexts_and_sleep_work(world: World) -> None:
    assert_same_run(world)


@pytest.mark.long
@settings(max_examples=3_000, **QUIET)
@given(family_worlds(every=True))
def test_engine_and_oracle_agree_where_everything_comes_together(world: World) -> None:
    assert_same_run(world)


def test_the_engine_runs_uncompiled_for_debugging() -> None:
    """The same worlds in plain Python: what a debugger steps through is what runs."""
    script = (
        "from hypothesis import given, seed, settings, strategies as st\n"
        "from tests.test_exactness import QUIET, assert_same_run\n"
        "from tests.random_choices import choice_worlds\n"
        "from tests.random_families import family_worlds\n"
        "from tests.random_worlds import fault_worlds, worlds\n"
        "from sim.engine.serve import serve\n"
        "assert not hasattr(serve, 'signatures')\n"
        "@seed(5)\n"
        "@settings(max_examples=25, database=None, **QUIET)\n"
        "@given(st.one_of(worlds(), fault_worlds(), family_worlds(), choice_worlds()))\n"
        "def check(world):\n"
        "    assert_same_run(world)\n"
        "check()\n"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    folder = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def assert_same_run(world: World) -> None:
    """Same requests, the same counts, and the same bill line by line."""
    plane, rows = serve_fast(world)
    fleet = fleet_after(world, float(plane.state.replicas["accrued_s"].max()))
    assert_same(rows, fleet.came)
    assert_same_answers(rows, fleet.came)
    assert_same_lives(plane, fleet)
    assert_same_counts(plane, fleet)
    assert_same_contexts(plane, fleet)
    assert_same_choices(plane, fleet)
    assert_same_time(plane, fleet)
    assert_same_uses(plane, fleet)


def assert_same_answers(rows: state.Records, jobs: list[Job]) -> None:
    """Whoever was answered: the same tokens read, found and said, in as many steps, with the same answer."""
    done = [i for i, job in enumerate(jobs) if job.status == "completed"]
    rows, attempts = rows[done], [jobs[i].attempts[-1] for i in done]
    for name in ("prompt_tokens", "output_tokens", "cached_tokens", "correct", "steps"):
        assert rows[name].tolist() == [getattr(attempt, name) for attempt in attempts], name
    assert rows["prepared"].tolist() == [attempt.job.prepared for attempt in attempts]
    np.testing.assert_array_equal(rows["p_correct"], [attempt.p_correct for attempt in attempts])


def assert_same_lives(plane: DataPlane, fleet: Fleet) -> None:
    """Replicas are in the same life, have been off since the same time, and have the same requests left."""
    for r, replica in enumerate(fleet.places):
        assert plane.state.outstanding[r] == replica.outstanding
        assert plane.state.asleep[r] == replica.asleep
        if isinstance(replica, Replica):
            assert plane.life(r) == LIVES[replica.life]
            assert replica.life != "off" or plane.ended_s(r) == pytest.approx(replica.ended_s, rel=1e-9)


def assert_same_counts(plane: DataPlane, fleet: Fleet) -> None:
    """Pools were sent, read, found, said and lost as much; streams asked and were answered as often."""
    for p, counts in enumerate(fleet.counts):
        for name in COUNTS:
            assert plane.state.pools[p][name] == counts[name], (p, name)
    for i, stream in enumerate(plane.state.streams):
        mine = [job for job in fleet.came + fleet.jobs_sent if job.stream == i]
        done = [job.attempts[-1] for job in mine if job.status == "completed"]
        assert stream.offered == len(mine)
        assert stream.attempts == sum(job.sendings for job in mine)
        for name in ("prompt_tokens", "output_tokens"):
            assert stream[name] == sum(getattr(attempt, name) for attempt in done), name
        for table, wanted in ENDED.items():
            usual = getattr(plane.state, table)[:, i].sum()
            assert usual == pytest.approx(sum(wanted(attempt) for attempt in done)), table


COUNTS = (
    "arrived",
    "completed",
    "prompt_tokens",
    "output_tokens",
    "cached_tokens",
    "preemptions",
    "recomputed_tokens",
    "branches",
    "attended_tokens",
)
ENDED = {
    "ended_requests": lambda attempt: 1,
    "ended_output_tokens": lambda attempt: attempt.output_tokens,
    "ended_known": lambda attempt: attempt.correct >= 0,
    "ended_correct": lambda attempt: attempt.correct == 1,
    "ended_p": lambda attempt: 0.0 if np.isnan(attempt.p_correct) else attempt.p_correct,
}


def assert_same_contexts(plane: DataPlane, fleet: Fleet) -> None:
    """What is prepared is the same, and requests found it as often."""
    for i, stream in enumerate(plane.state.streams):
        counts = fleet.contexts.counts.get(i, {})
        for name in ("asked", "hits", "stale", "expired", "late", "saved_tokens"):
            assert not fleet.preparations or stream[name] == counts.get(name, 0), name
    for number, prepared in fleet.contexts.table.items():
        row = plane.contexts[number]
        assert CONTEXT_STATES[row.state] == prepared.state
        assert row.hits == prepared.hits
        assert row.usd == pytest.approx(prepared.usd, rel=1e-9, abs=1e-12)
        if prepared.state == "ready":
            assert row.version == prepared.version
            assert [row.ready_s, row.expires_s] == pytest.approx([prepared.ready_s, prepared.expires_s], rel=1e-9)


def assert_same_choices(plane: DataPlane, fleet: Fleet) -> None:
    """Streams were given each strategy as often, as much was expected of it, and as much was learned."""
    found = {
        (i, a): [row[name] for name in ("count", "p", "cost_usd", "p_late", "e2e_s")]
        for i, rows in enumerate(plane.routing.chosen())
        for a, row in enumerate(rows)
        if row["count"]
    }
    assert found.keys() == fleet.chooser.chosen.keys()
    for pair, sums in fleet.chooser.chosen.items():
        assert found[pair] == pytest.approx(sums, rel=1e-9, abs=1e-12)
    if plane.state.run[0].learns:
        for (i, prepared, a), seen in fleet.chooser.seen.items():
            row = plane.routing.seen()[i, int(prepared), a]
            assert {name: int(row[name]) for name in row.dtype.names} == vars(seen)


CONTEXT_STATES = {state.UNPREPARED: "unprepared", state.PREPARING: "preparing", state.READY: "ready"}


def assert_same_time(plane: DataPlane, fleet: Fleet) -> None:
    """The same seconds and dollars of replicas for every pool and every line."""
    s, pools = plane.state, len(fleet.pools)
    seconds, usd = np.zeros((2, pools, state.LIVES)), np.zeros((2, pools, state.LIVES))
    work = np.zeros((2, 2, pools))
    seconds[0], usd[0], work[0] = s.unused_s.sum(axis=1), s.unused_usd.sum(axis=1), [s.work_s.sum(1), s.work_usd.sum(1)]
    for pool, replica in zip(fleet.pool_of, fleet.places, strict=True):
        for line in replica.seconds if isinstance(replica, Replica) else ():
            spent = (replica.seconds[line], replica.usd[line])
            if line == "busy":
                work[1, :, pool] += spent
            else:
                seconds[1, pool, LIVES["open" if line == "idle" else line]] += spent[0]
                usd[1, pool, LIVES["open" if line == "idle" else line]] += spent[1]
    for fast, slow in (seconds, usd, work):
        np.testing.assert_allclose(fast, slow, rtol=1e-9, atol=1e-9)


def assert_same_uses(plane: DataPlane, fleet: Fleet) -> None:
    """The same dollars for answers, for work lost with its replica, and for work that its client did not wait for."""
    usd = np.zeros(state.USES)
    for branch in (branch for job in fleet.came + fleet.jobs_sent for branch in job.branches):
        usd[USES[branch.line]] += branch.cost
    np.testing.assert_allclose(plane.state.ended_usd.sum(axis=(0, 1, 2, 3, 4)), usd, rtol=1e-9, atol=1e-9)


def assert_same(rows: state.Records, jobs: list[Job]) -> None:
    """Same fate, place, times and cost for every request."""
    assert rows["status"].tolist() == [STATUS[job.status] for job in jobs]
    assert rows["attempts"].tolist() == [job.sendings for job in jobs]
    assert rows["strategy"].tolist() == [job.strategy for job in jobs]
    assert rows["replica"].tolist() == [state.NONE if job.replica is None else job.replica for job in jobs]
    assert rows["preemptions"].tolist() == [job.preemptions for job in jobs]
    finish_s = [np.nan if job.finish_s is None else job.finish_s - job.arrival_s for job in jobs]
    ttft_s = [np.nan if job.first_token_s is None else job.first_token_s - job.arrival_s for job in jobs]
    done = rows["status"] == state.COMPLETED
    np.testing.assert_allclose((rows["first_token_s"] - rows["arrival_s"])[done], np.array(ttft_s)[done], rtol=1e-9)
    np.testing.assert_allclose(rows["finish_s"] - rows["arrival_s"], finish_s, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(rows["cost_usd"], [job.cost for job in jobs], rtol=1e-9, atol=1e-12)
