"""Laws that hold in every run, whatever the workload."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import inf

import numpy as np
from hypothesis import given, settings

from sim.engine import state
from tests.random_worlds import worlds
from tests.test_exactness import QUIET
from tests.two_roads import World, make_plane, serve_fast

LAW = settings(max_examples=100, **QUIET)


def without_front_end(world: World) -> World:
    """The world as its replicas see it: a request is over when its last step is."""
    laws = [replace(pool.step_time, front_end_s=0.0, front_end_steps=0.0) for pool in world.pools]
    return replace(world, pools=[replace(pool, step_time=law) for pool, law in zip(world.pools, laws, strict=True)])


@LAW
@given(worlds())
def test_requests_in_are_requests_out(world: World) -> None:
    plane, rows = serve_fast(world)
    stream = plane.state.streams[0]
    in_flight = int(plane.state.run[0].in_flight)
    ended = stream.completed + stream.too_long + stream.no_replica
    assert stream.offered == ended + in_flight == len(rows) == len(np.unique(rows["request_id"]))


@LAW
@given(worlds(drained=True))
def test_tokens_in_are_tokens_out(world: World) -> None:
    plane, rows = serve_fast(world)
    done = rows[rows["status"] == state.COMPLETED]
    for tokens in ("prompt_tokens", "output_tokens"):
        assert plane.state.pools[tokens].sum() == plane.state.streams[tokens].sum() == done[tokens].sum()


@LAW
@given(worlds())
def test_kv_cache_never_holds_more_than_fits(world: World) -> None:
    plane = make_plane(world)
    for now_s in np.linspace(0.001, 3.0, 120):
        plane.advance(now_s)
        s = plane.state
        capacity = s.pools["capacity_blocks"][s.replicas["pool"]]
        places = s.pools["max_num_seqs"][s.replicas["pool"]]
        assert (s.replicas["blocks_used"] <= capacity).all()
        assert (s.replicas["seqs"] <= places).all()
        assert (s.replicas["rows"] <= s.replicas["seqs"]).all()


@LAW
@given(worlds(drained=True))
def test_an_empty_fleet_is_left_as_it_was_found(world: World) -> None:
    s = serve_fast(world)[0].state
    left = [s.replicas[name].sum() for name in ("rows", "seqs", "kv_tokens", "blocks_used", "waiting")]
    assert [*left, s.phase.sum(), s.seqs_of.sum(), s.outstanding.sum(), s.run[0].in_flight] == [0] * 9


@LAW
@given(worlds(drained=True))
def test_littles_law_holds_from_empty_to_empty(world: World) -> None:
    """The integral of the number in the system, read off the counters, is the sum of the times spent in it."""
    world = without_front_end(world)
    _, rows = serve_fast(world)
    done = rows[rows["status"] == state.COMPLETED]
    times = np.unique(np.concatenate([done["arrival_s"], done["finish_s"]]))
    plane = make_plane(world)
    area = 0.0
    for begin_s, end_s in pairwise(times):
        plane.advance(np.nextafter(begin_s, inf))
        area += float(plane.state.outstanding.sum() + plane.state.asleep.sum()) * (end_s - begin_s)
    np.testing.assert_allclose(area, (done["finish_s"] - done["arrival_s"]).sum(), rtol=1e-9, atol=1e-9)


@LAW
@given(worlds())
def test_replica_time_is_busy_and_idle(world: World) -> None:
    plane, _ = serve_fast(world)
    end_s = plane.last_event_s if world.until_s == inf else world.until_s
    s = plane.state
    time_s = s.work_s.sum(axis=1) + s.unused_s[:, :, state.OPEN].sum(axis=1)
    np.testing.assert_allclose(time_s, [pool.replicas * end_s for pool in world.pools], rtol=1e-9, atol=1e-12)


@LAW
@given(worlds())
def test_the_bill_is_the_sum_of_its_lines(world: World) -> None:
    plane, rows = serve_fast(world)
    s = plane.state
    end_s = plane.last_event_s if world.until_s == inf else world.until_s
    paid = (s.replicas["usd_per_s"] * end_s).sum()
    lines = s.ended_usd.sum() + s.unused_usd.sum()
    np.testing.assert_allclose([lines, rows["cost_usd"].sum()], [paid, s.ended_usd.sum()], rtol=1e-9, atol=1e-12)


@LAW
@given(worlds())
def test_doubling_all_prices_doubles_every_line(world: World) -> None:
    dear = [replace(pool, usd_per_replica_hour=2 * pool.usd_per_replica_hour) for pool in world.pools]
    once, twice = serve_fast(world)[0].state, serve_fast(replace(world, pools=dear))[0].state
    np.testing.assert_allclose(twice.ended_usd, 2 * once.ended_usd, rtol=1e-12)
    np.testing.assert_allclose(twice.unused_usd, 2 * once.unused_usd, rtol=1e-12, atol=1e-300)


@LAW
@given(worlds())
def test_pausing_the_clock_changes_nothing(world: World) -> None:
    """Control events only look: serving in small pieces gives the same bytes as serving in one."""
    kept: list[state.Records] = []
    plane = make_plane(world, kept.append)
    for now_s in np.linspace(0.0, min(world.until_s, 4.0), 50):
        plane.advance(now_s)
    plane.advance(world.until_s)
    plane.finish(plane.last_event_s if world.until_s == inf else world.until_s)
    _, rows = serve_fast(world)
    pieces = np.concatenate([state.records(state.ROW, 0), *kept])
    assert pieces[np.argsort(pieces["request_id"])].tobytes() == rows.tobytes()
