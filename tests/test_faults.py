"""Whatever fails, is reclaimed, times out and is tried again: every request is accounted for once, and every dollar."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings

from sim.engine import state
from sim.engine.plane import DataPlane
from sim.engine.specs import StreamSpec
from tests.oracle import Job
from tests.random_families import family_worlds
from tests.random_worlds import fault_worlds
from tests.test_exactness import QUIET
from tests.two_roads import World, serve_fast
from tests.worlds import flat_law, pool_of

COUNTED = ("completed", "too_long", "no_replica", "queue_full", "rate_limited", "timed_out", "failed")


@settings(max_examples=100, **QUIET)
@given(fault_worlds())
def test_the_books_are_right_whatever_fails(world: World) -> None:
    check(world)


@settings(max_examples=50, **QUIET)
@given(fault_worlds(drained=True))
def test_nothing_is_left_behind_whatever_fails(world: World) -> None:
    check(world)


@pytest.mark.long
@settings(max_examples=1000, **QUIET)
@given(fault_worlds())
def test_the_books_are_right_in_a_thousand_runs(world: World) -> None:
    check(world)


@pytest.mark.long
@settings(max_examples=1000, **QUIET)
@given(fault_worlds(drained=True))
def test_nothing_is_left_behind_in_a_thousand_runs(world: World) -> None:
    check(world)


@settings(max_examples=100, **QUIET)
@given(family_worlds())
def test_the_books_are_right_whatever_strategies_and_contexts_do(world: World) -> None:
    check(world)


@settings(max_examples=50, **QUIET)
@given(family_worlds(drained=True))
def test_nothing_is_left_of_strategies_and_contexts(world: World) -> None:
    check(world)


@pytest.mark.long
@settings(max_examples=2000, **QUIET)
@given(family_worlds(drained=True))
def test_nothing_is_left_of_strategies_and_contexts_in_thousands_of_runs(world: World) -> None:
    check(world)


@settings(max_examples=50, **QUIET)
@given(family_worlds())
def test_looking_on_changes_no_strategy(world: World) -> None:
    assert_looking_on_changes_nothing(world)


@settings(max_examples=50, **QUIET)
@given(fault_worlds())
def test_looking_on_changes_nothing_whatever_fails(world: World) -> None:
    assert_looking_on_changes_nothing(world)


def assert_looking_on_changes_nothing(world: World) -> None:
    """Control events that only look: serving in small pieces gives the same bytes as serving in one."""
    looks = [(float(now_s), "price", -1, 0.0) for now_s in np.linspace(0.0, min(world.until_s, 4.0), 50)]
    script = sorted([*world.script, *looks], key=lambda event: event[0])
    pieces = serve_fast(replace(world, script=script), watch=assert_consistent)[1]
    assert pieces.tobytes() == serve_fast(world)[1].tobytes()


@pytest.mark.parametrize("resend", [False, True])
def test_a_crowd_is_lost_at_once(resend: bool) -> None:
    """More requests than the engine first has room for, and more than it first keeps rows for, end in one instant."""
    many, law = 70_000, flat_law(4, 1.0)
    stream = StreamSpec(
        timeout_s=10.0, retry_timed_out=False, retry_rejected=False, retry_failed=False, resend_lost=resend
    )
    world = World([pool_of(law, replicas=2)], [Job(0.0, 4, 3)] * many, streams=[stream])
    world.script = [(0.5, "lose", 1, 1.0), (1.5, "drain", 0, 0.0), (1.75, "lose", 0, 0.0)]
    _, rows = serve_fast(world)
    assert set(rows["status"]) == {state.NO_REPLICA if resend else state.FAILED}
    assert np.bincount(rows["attempts"]).tolist() == ([0, 0, many // 2, many // 2] if resend else [0, many])
    assert rows["cost_usd"].sum() == pytest.approx(0.5 + 1.75)


def check(world: World) -> None:
    """Run a world, looking on at every control event, and hold its end to every law."""
    plane, rows = serve_fast(world, watch=assert_consistent)
    assert_every_request_ends_once(plane, rows)
    assert_every_dollar_is_somebodys(plane, rows)
    assert_time_is_paid_once(plane, world)
    if world.until_s == inf and not (rows["status"] == state.UNFINISHED).any():
        assert_nothing_is_left(plane)
    if world.until_s == inf and world.ends_open:
        assert not (rows["status"] == state.UNFINISHED).any()


def assert_consistent(plane: DataPlane) -> None:
    """Counters are what the lists say, KV blocks are no more than there are, and nobody waits for an idle replica."""
    s = plane.state
    taken = s.requests["stream"] != state.NONE
    held = taken & (s.calls["place"] == state.HELD)
    for r, replica in enumerate(s.replicas):
        if s.pools[replica.pool].is_api:
            continue
        waiting, prefilling = listed(s, s.waiting_head, r), listed(s, s.prefill_head, r)
        rows = [int(key) & 0xFFFFFF for key in s.heap[r, : replica.rows]]
        everything = waiting + prefilling + rows + np.flatnonzero(held & (s.requests["replica"] == r)).tolist()
        begins = replica.mode != state.IDLE or replica.waking or replica.life not in (state.OPEN, state.DRAINING)
        assert begins or not everything
        asleep = s.requests["priority"][everything] == state.SLEEP
        assert len(set(everything)) == len(everything)
        assert [s.outstanding[r], s.asleep[r]] == [(~asleep).sum(), asleep.sum()]
        assert (len(waiting), len(prefilling)) == (replica.waiting, replica.seqs - replica.rows)
        assert set(s.requests["replica"][everything]) <= {r}
        by_class = np.bincount(s.requests["priority"][prefilling + rows], minlength=state.CLASSES)
        assert by_class.tolist() == s.seqs_of[r].tolist()
        assert replica.sleep_rows == (s.requests["priority"][rows] == state.SLEEP).sum()
        assert replica.blocks_used >= 0
        assert replica.cached_blocks >= 0
        assert replica.blocks_used + replica.cached_blocks <= s.pools[replica.pool].capacity_blocks
        assert replica.seqs <= s.pools[replica.pool].max_num_seqs
        assert (s.phase[r] >= 0).all()
        assert s.phase[r].sum() == replica.rows
        assert s.accepting[r] != state.OPEN_TO_ALL or replica.life == state.OPEN
        assert replica.life in (state.OPEN, state.DRAINING) or not prefilling + rows
        assert_segments_are_counted(s, r, prefilling + rows)


def assert_segments_are_counted(s: state.State, r: int, admitted: list[int]) -> None:
    """A segment has the users and children that refer to it; those that nobody uses are what is cached."""
    segments = s.segments
    mine = np.flatnonzero(segments["replica"] == r) if segments.size else np.zeros(0, np.int64)
    users, children = np.zeros((2, segments.size), np.int64)
    for slot in admitted:
        at = s.branches[slot].segment if s.requests[slot].special else state.NONE
        while at != state.NONE:
            users[at] += 1
            at = segments[at].parent
    for at in mine:
        if segments[at].parent != state.NONE:
            children[segments[at].parent] += 1
            assert segments[segments[at].parent].replica == r
    assert segments["users"][mine].tolist() == users[mine].tolist()
    assert segments["children"][mine].tolist() == children[mine].tolist()
    assert (segments["blocks"][mine] > 0).all()
    assert s.replicas[r].cached_blocks == segments["blocks"][mine][users[mine] == 0].sum()


def listed(s: state.State, head: state.Integers, r: int) -> list[int]:
    """Slots in the three lists of a replica, by class."""
    slots: list[int] = []
    for slot in head[r]:
        while slot != state.NONE:
            slots.append(int(slot))
            slot = s.requests[slot].next
    return slots


def assert_every_request_ends_once(plane: DataPlane, rows: state.Records) -> None:
    """Offered = completed + rejected + timed out + failed + unfinished, a row for each, and counters that agree."""
    streams = plane.state.streams[: sleep_stream(plane)]
    assert len(np.unique(rows["request_id"])) == len(rows) == streams["offered"].sum()
    unfinished = (rows["status"] == state.UNFINISHED).sum()
    assert streams["offered"].sum() == sum(streams[name].sum() for name in COUNTED) + unfinished
    for name in COUNTED:
        assert streams[name].sum() == (rows["status"] == getattr(state, name.upper())).sum()
    assert streams["attempts"].sum() == rows["attempts"].sum()
    assert (streams["retried"] <= streams["attempts"] - streams["offered"]).all()
    done = rows[rows["status"] == state.COMPLETED]
    for tokens in ("prompt_tokens", "output_tokens"):
        assert streams[tokens].sum() == done[tokens].sum()
        of_stages = plane.state.pools[tokens].sum()
        assert (
            of_stages == done[tokens].sum() if plane.state.stages["is_first"].all() else of_stages >= done[tokens].sum()
        )
    assert (done["finish_s"] >= done["first_token_s"]).all()
    assert (done["first_token_s"] >= done["arrival_s"]).all()


def sleep_stream(plane: DataPlane) -> int:
    """Index of the stream of sleep work for contexts; the number of streams where there is none."""
    hidden = int(plane.state.run[0].sleep_stream)
    return plane.state.streams.size if hidden == state.NONE else hidden


def assert_every_dollar_is_somebodys(plane: DataPlane, rows: state.Records) -> None:
    """What requests cost is the busy time of replicas and the bill of APIs, in every pool and tariff window."""
    s = plane.state
    bill_usd = s.work_usd + (s.billed_tokens * s.rates_usd).sum(axis=2)
    np.testing.assert_allclose(s.ended_usd.sum(axis=(1, 2, 3, 5)), bill_usd, rtol=1e-9, atol=1e-9)
    jobs_usd = s.ended_usd[:, sleep_stream(plane) :].sum()
    np.testing.assert_allclose(rows["cost_usd"].sum() + jobs_usd, bill_usd.sum(), rtol=1e-9, atol=1e-9)
    assert (rows["cost_usd"] >= -1e-12).all()
    assert (s.prompt_s <= s.work_s * (1 + 1e-9)).all()


def assert_time_is_paid_once(plane: DataPlane, world: World) -> None:
    """Paid time is busy or has one name of unused time; always paid replicas are paid always."""
    s = plane.state
    end_s = max(plane.last_event_s, world.end_s) if world.until_s == inf else world.until_s
    gpus = s.pools["is_api"][s.replicas["pool"]] == 0
    always = gpus & (s.replicas["always_paid"] == 1)
    paid_s = s.work_s.sum() + s.unused_s.sum()
    assert paid_s <= gpus.sum() * end_s * (1 + 1e-9) + 1e-9
    assert paid_s >= always.sum() * end_s * (1 - 1e-9) - 1e-9


def assert_nothing_is_left(plane: DataPlane) -> None:
    """Once all is over, the fleet is as it was found."""
    s = plane.state
    left = [s.replicas[name].sum() for name in ("rows", "seqs", "kv_tokens", "blocks_used", "waiting", "ghosts")]
    left += [s.phase.sum(), s.seqs_of.sum(), s.outstanding.sum(), s.asleep.sum(), s.run[0].in_flight, s.run[0].timers]
    left += [s.requests.size - s.run[0].slots_free, (s.requests["stream"] != state.NONE).sum()]
    kept = s.segments[s.segments["replica"] != state.NONE]
    left += [kept["users"].sum(), (kept["owner"] != state.NONE).sum()]
    assert left == [0] * len(left)
