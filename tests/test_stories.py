"""Short stories of faults, limits and impatient clients, with answers worked out by hand: oracle and engine tell both.

A replica has one seat and costs 1 $/s; a request of 4 prompt and n output tokens, alone there, takes n seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest

from sim.engine import state
from sim.engine.specs import ApiSpec, PoolSpec, StreamSpec
from tests.oracle import Job
from tests.two_roads import Clients, World, serve_fast, serve_slow
from tests.worlds import flat_law, pool_of

Told = list[tuple[str, int, int | None, float | None, float]]
"""Of each request: its end, how often it was sent, its last place, when it ended, what it cost."""

NAMES = ["completed", "too_long", "no_replica", "unfinished", "queue_full", "rate_limited", "timed_out", "failed"]
PATIENT = StreamSpec(retry_rejected=False, retry_timed_out=False, retry_failed=False)
HASTY = replace(PATIENT, timeout_s=2.0)


def slow(world: World) -> Told:
    return [(job.status, job.sendings, job.replica, job.finish_s, job.cost) for job in serve_slow(world)]


def fast(world: World) -> Told:
    _, rows = serve_fast(world)
    return [
        (
            NAMES[row["status"]],
            int(row["attempts"]),
            None if row["replica"] == state.NONE else int(row["replica"]),
            None if np.isnan(row["finish_s"]) else float(row["finish_s"]),
            float(row["cost_usd"]),
        )
        for row in rows
    ]


@pytest.fixture(params=[slow, fast])
def tell(request: pytest.FixtureRequest) -> Callable[[World], Told]:
    road: Callable[[World], Told] = request.param
    return road


def seat(**settings: Any) -> PoolSpec:
    return pool_of(flat_law(1, 1.0, token_s=0.25), **settings)


def api(**settings: Any) -> ApiSpec:
    """First token after a second, two tokens a second; 1 $ a prompt token and 10 $ an output token, then double."""
    rates = np.array([[1.0, 0.5, 10.0], [2.0, 1.0, 20.0]])
    return ApiSpec(**{"rates_usd_per_token": rates, "ttft_median_s": 1.0, "tokens_per_s_median": 2.0} | settings)


def told(*ends: tuple[Any, ...]) -> Told:
    """The expected story, costs but for rounding."""
    return [(*end[:4], pytest.approx(end[4])) for end in ends]


Tell = Callable[[World], Told]


def test_a_client_who_waits_too_long_leaves_the_queue(tell: Tell) -> None:
    world = World([seat()], [Job(0.0, 4, 3), Job(0.5, 4, 3, stream=1), Job(0.5, 4, 2)], streams=[PATIENT, HASTY])
    assert tell(world) == told(
        ("completed", 1, 0, 3.0, 3.0), ("timed_out", 1, 0, 2.5, 0.0), ("completed", 1, 0, 5.0, 2.0)
    )


def test_those_behind_a_client_who_leaves_the_queue_may_fit(tell: Tell) -> None:
    """The second needs more memory than there is, and nobody overtakes it; the third begins when it has left."""
    pool = pool_of(flat_law(2, 1.0, token_s=0.25), kv_capacity_tokens=64)
    jobs = [Job(0.0, 4, 20), Job(0.5, 60, 4, stream=1), Job(0.5, 4, 3)]
    assert [end[:4] for end in tell(World([pool], jobs, streams=[PATIENT, HASTY]))] == [
        ("completed", 1, 0, 21.0),
        ("timed_out", 1, 0, 2.5),
        ("completed", 1, 0, 7.0),
    ]


@pytest.mark.parametrize(("timeout_s", "leaves_s"), [(2.5, 3.0), (2.0, 3.0), (1.75, 2.0), (0.5, 1.0)])
def test_a_ghost_keeps_its_seat_until_the_step_ends(tell: Tell, timeout_s: float, leaves_s: float) -> None:
    hasty = replace(HASTY, timeout_s=timeout_s)
    world = World([seat()], [Job(0.0, 4, 8, stream=1), Job(0.25, 4, 3)], streams=[PATIENT, hasty])
    assert tell(world) == told(("timed_out", 1, 0, timeout_s, leaves_s), ("completed", 1, 0, leaves_s + 3.0, 3.0))


def test_an_answer_at_the_deadline_is_in_time(tell: Tell) -> None:
    assert tell(World([seat()], [Job(0.0, 4, 2)], streams=[HASTY])) == told(("completed", 1, 0, 2.0, 2.0))


def test_a_last_token_in_time_that_is_seen_too_late_is_too_late(tell: Tell) -> None:
    law = replace(flat_law(1, 1.0, token_s=0.25), front_end_s=0.5)
    world = World([pool_of(law)], [Job(0.0, 4, 2), Job(0.0, 4, 1, stream=1)], streams=[HASTY, PATIENT])
    assert tell(world) == told(("timed_out", 1, 0, 2.0, 2.0), ("completed", 1, 0, 3.5, 1.0))


def test_a_client_tries_again_after_backing_off(tell: Tell) -> None:
    again = replace(HASTY, retries=2, backoff_s=0.5, backoff_factor=2.0, retry_timed_out=True)
    world = World([seat()], [Job(0.0, 4, 5), Job(0.5, 4, 2, stream=1)], streams=[PATIENT, again])
    assert tell(world) == told(("completed", 1, 0, 5.0, 5.0), ("completed", 3, 0, 8.0, 1.0 + 2.0))
    world.jobs[0] = Job(0.0, 4, 4)
    assert tell(world) == told(("completed", 1, 0, 4.0, 4.0), ("completed", 3, 0, 8.0, 2.0 + 2.0))
    world.jobs[0] = Job(0.0, 4, 3)
    assert tell(world) == told(("completed", 1, 0, 3.0, 3.0), ("completed", 2, 0, 5.0, 2.0))


def test_a_rejected_client_tries_again_until_a_replica_opens(tell: Tell) -> None:
    again = replace(PATIENT, retries=5, backoff_s=1.0, backoff_factor=2.0, backoff_max_s=2.0, retry_rejected=True)
    script = [(0.0, "drain", 0, 0.0), (5.5, "open", 0, 0.0)]
    world = World([seat()], [Job(0.0, 4, 2), Job(0.0, 10**6, 2)], streams=[again], script=script)
    world.pools[0] = seat(max_model_len=100)
    assert tell(world) == told(("completed", 5, 0, 9.0, 2.0), ("too_long", 1, None, 0.0, 0.0))


def test_what_a_lost_replica_had_is_sent_again(tell: Tell) -> None:
    script = [(1.5, "lose", 0, 1.0)]
    jobs = [Job(0.0, 4, 3), Job(0.0, 4, 3), Job(0.5, 4, 2)]
    assert tell(World([seat(replicas=2)], jobs, streams=[PATIENT], script=script)) == told(
        ("completed", 2, 1, 6.0, 4.5), ("completed", 1, 1, 3.0, 3.0), ("completed", 2, 1, 8.0, 2.0)
    )


def test_what_a_lost_replica_had_has_failed_where_it_is_not_sent_again(tell: Tell) -> None:
    final = replace(PATIENT, resend_lost=False)
    script = [(1.5, "lose", 0, 0.0), (4.0, "open", 0, 0.0)]
    jobs = [Job(0.0, 4, 3)]
    assert tell(World([seat()], jobs, streams=[final], script=script)) == told(("failed", 1, 0, 1.5, 1.5))
    again = replace(final, retries=1, backoff_s=3.0, retry_failed=True)
    assert tell(World([seat()], jobs, streams=[again], script=script)) == told(("completed", 2, 0, 7.5, 4.5))
    resent = replace(PATIENT, resend_lost=True)
    assert tell(World([seat()], jobs, streams=[resent], script=script)) == told(("no_replica", 2, None, 1.5, 1.5))


def test_a_request_that_is_sent_again_for_the_fleet_keeps_its_deadline(tell: Tell) -> None:
    script = [(1.5, "lose", 0, 0.0)]
    world = World([seat(replicas=2)], [Job(0.0, 4, 2)], streams=[HASTY], script=script)
    assert tell(world) == told(("timed_out", 2, 1, 2.0, 1.5 + 1.0))


def test_requests_spill_over_to_the_next_tier_and_back_when_that_is_full_too(tell: Tell) -> None:
    pools = [seat(spill_at=1), seat(tier=1, spill_at=1, max_outstanding=1)]
    jobs = [Job(0.0, 4, 3), Job(0.25, 4, 3), Job(0.5, 4, 3)]
    assert tell(World(pools, jobs, streams=[PATIENT])) == told(
        ("completed", 1, 0, 3.0, 3.0), ("completed", 1, 1, 3.25, 3.0), ("completed", 1, 0, 6.0, 3.0)
    )


def test_a_full_fleet_refuses(tell: Tell) -> None:
    world = World(
        [seat(spill_at=1, max_outstanding=1)], [Job(0.0, 4, 3), Job(0.5, 4, 3), Job(3.0, 4, 1)], streams=[PATIENT]
    )
    assert tell(world) == told(
        ("completed", 1, 0, 3.0, 3.0), ("queue_full", 1, None, 0.5, 0.0), ("queue_full", 1, None, 3.0, 0.0)
    )


def test_a_replica_that_is_off_holds_requests_until_it_opens(tell: Tell) -> None:
    script = [(0.0, "drain", 0, 0.0), (0.0, "hold", 0, 1.0), (1.0, "start", 0, 1.0), (3.0, "open", 0, 0.0)]
    world = World([seat()], [Job(0.5, 4, 3), Job(0.5, 4, 3, stream=1)], streams=[PATIENT, HASTY], script=script)
    assert tell(world) == told(("completed", 1, 0, 6.0, 3.0), ("timed_out", 1, 0, 2.5, 0.0))


def test_a_draining_replica_ends_what_it_has(tell: Tell) -> None:
    script = [(1.0, "drain", 0, 0.0)]
    jobs = [Job(0.0, 4, 3), Job(0.5, 4, 3), Job(1.0, 4, 3)]
    assert tell(World([seat()], jobs, streams=[PATIENT], script=script)) == told(
        ("completed", 1, 0, 3.0, 3.0), ("completed", 1, 0, 6.0, 3.0), ("no_replica", 1, None, 1.0, 0.0)
    )


def test_an_api_answers_at_its_own_pace(tell: Tell) -> None:
    jobs = [Job(0.0, 4, 3), Job(0.0, 4, 1)]
    assert tell(World([api(cached_share=0.5)], jobs, streams=[PATIENT])) == told(
        ("completed", 1, 0, 2.0, 33.0), ("completed", 1, 0, 1.0, 13.0)
    )


def test_an_api_refuses_above_its_rate_limit(tell: Tell) -> None:
    jobs = [Job(0.0, 4, 3), Job(0.5, 4, 3), Job(1.0, 4, 3)]
    assert tell(World([api(requests_per_minute=60.0, burst_s=1.0)], jobs, streams=[PATIENT])) == told(
        ("completed", 1, 0, 2.0, 34.0), ("rate_limited", 1, None, 0.5, 0.0), ("completed", 1, 0, 3.0, 34.0)
    )


def test_an_api_may_let_requests_wait_instead(tell: Tell) -> None:
    jobs = [Job(0.0, 4, 3), Job(0.5, 4, 3), Job(0.5, 4, 3, stream=1)]
    hasty = replace(PATIENT, timeout_s=1.0)
    world = World([api(requests_per_minute=60.0, burst_s=1.0, waits=True)], jobs, streams=[PATIENT, hasty])
    assert tell(world) == told(
        ("completed", 1, 0, 2.0, 34.0), ("completed", 1, 0, 3.0, 34.0), ("timed_out", 1, 0, 1.5, 0.0)
    )


def test_an_api_limits_tokens_too(tell: Tell) -> None:
    jobs = [Job(0.0, 4, 4), Job(0.0, 4, 4), Job(0.0, 4, 4)]
    world = World([api(tokens_per_minute=480.0, burst_s=2.0, waits=True)], jobs, streams=[PATIENT])
    assert [end[3] for end in tell(world)] == [2.5, 2.5, 3.5]


def test_a_burst_shorter_than_a_request_raises_no_limit(tell: Tell) -> None:
    jobs = [Job(0.0, 4, 4), Job(0.0, 4, 4), Job(0.0, 4, 4)]
    for limit in ({"requests_per_minute": 60.0}, {"tokens_per_minute": 480.0}):
        world = World([api(burst_s=0.25, waits=True, **limit)], jobs, streams=[PATIENT])
        assert [end[3] for end in tell(world)] == [2.5, 3.5, 4.5]


def test_clients_that_go_before_their_turn_take_none_of_the_rate_limit(tell: Tell) -> None:
    jobs = [Job(0.0, 4, 3), Job(0.5, 4, 3, stream=1), Job(0.5, 4, 3, stream=1), Job(0.5, 4, 3)]
    hasty = replace(PATIENT, timeout_s=0.25)
    world = World([api(requests_per_minute=60.0, burst_s=1.0, waits=True)], jobs, streams=[PATIENT, hasty])
    assert tell(world) == told(
        ("completed", 1, 0, 2.0, 34.0),
        ("timed_out", 1, 0, 0.75, 0.0),
        ("timed_out", 1, 0, 0.75, 0.0),
        ("completed", 1, 0, 3.0, 34.0),
    )


def test_an_api_bills_what_it_has_said_when_its_client_goes(tell: Tell) -> None:
    assert tell(World([api()], [Job(0.0, 4, 8)], streams=[HASTY])) == told(("timed_out", 1, 0, 2.0, 4.0 + 30.0))


def test_a_batch_that_is_late_expires_unbilled(tell: Tell) -> None:
    batch = api(ttft_median_s=3.0, batch_window_s=2.0)
    assert tell(World([batch], [Job(0.0, 4, 3)], streams=[PATIENT])) == told(("timed_out", 1, 0, 2.0, 0.0))
    batch = api(ttft_median_s=3.0, batch_window_s=4.0)
    assert tell(World([batch], [Job(0.0, 4, 3)], streams=[PATIENT])) == told(("completed", 1, 0, 3.0, 34.0))


@pytest.mark.parametrize(
    ("bill_by", "usd"),
    [(state.BILL_ARRIVAL, [34.0, 34.0]), (state.BILL_START, [34.0, 68.0]), (state.BILL_COMPLETION, [68.0, 68.0])],
)
def test_an_api_bills_by_the_moment_it_says(tell: Tell, bill_by: int, usd: list[float]) -> None:
    spec = api(bill_by=bill_by, requests_per_minute=60.0, burst_s=1.0, waits=True)
    world = World([spec], [Job(0.0, 4, 3), Job(0.5, 4, 3)], streams=[PATIENT], script=[(0.75, "rates", 0, 1.0)])
    assert [end[4] for end in tell(world)] == usd


def test_a_closed_api_goes_on_with_what_it_has(tell: Tell) -> None:
    script = [(0.5, "close_api", 0, 1.0), (2.0, "close_api", 0, 0.0)]
    jobs = [Job(0.0, 4, 3), Job(1.0, 4, 3), Job(2.0, 4, 3)]
    assert [end[:4] for end in tell(World([api()], jobs, streams=[PATIENT], script=script))] == [
        ("completed", 1, 0, 2.0),
        ("no_replica", 1, None, 1.0),
        ("completed", 1, 0, 4.0),
    ]


def test_the_price_of_time_changes_with_the_clock(tell: Tell) -> None:
    world = World([seat()], [Job(0.0, 4, 3)], streams=[PATIENT], script=[(1.25, "price", 0, 3.0)])
    assert tell(world) == told(("completed", 1, 0, 3.0, 1.25 + 3.0 * 1.75))


def test_a_closed_loop_client_goes_on_after_every_end(tell: Tell) -> None:
    """He gives up on the second at 3.5, but his replica lets go of it at 4.5, and he does not think so long."""
    hasty, jobs = replace(HASTY, resend_lost=False), [Job(0.0, 4, tokens) for tokens in (1, 8, 4, 2, 1)]
    script = [(4.75, "lose", 0, 0.0), (8.0, "open", 0, 0.0)]
    world = World([seat()], [], [Clients(1, 0.5, jobs)], streams=[hasty], script=script)
    assert tell(world) == told(
        ("completed", 1, 0, 1.0, 1.0),
        ("timed_out", 1, 0, 3.5, 3.0),
        ("failed", 1, 0, 4.75, 0.25),
        ("no_replica", 1, None, 5.25, 0.0),
        ("no_replica", 1, None, 6.75, 0.0),
    )


def test_a_ghost_is_tried_again_when_its_replica_has_let_go_of_it(tell: Tell) -> None:
    again = replace(HASTY, retries=1, backoff_s=0.25, retry_timed_out=True)
    world = World([seat()], [Job(0.5, 4, 8)], streams=[again])
    assert tell(world) == told(("timed_out", 2, 0, 5.5, 6.0))


def test_a_ghost_at_the_end_is_unfinished(tell: Tell) -> None:
    world = World([seat()], [Job(0.0, 4, 8)], streams=[HASTY], until_s=2.5)
    assert tell(world) == told(("unfinished", 1, 0, None, 2.5))


def test_what_is_under_way_at_the_end_is_unfinished(tell: Tell) -> None:
    jobs = [Job(0.0, 4, 8), Job(0.5, 4, 8)]
    assert tell(World([seat()], jobs, streams=[PATIENT], until_s=1.5)) == told(
        ("unfinished", 1, 0, None, 1.5), ("unfinished", 1, 0, None, 0.0)
    )


def test_a_run_without_end_is_over_when_nothing_can_happen(tell: Tell) -> None:
    script = [(0.0, "drain", 0, 0.0), (0.0, "hold", 0, 1.0)]
    world = World([seat()], [Job(0.5, 4, 3)], streams=[PATIENT], script=script, until_s=inf)
    assert tell(world) == told(("unfinished", 1, 0, None, 0.0))
