"""Short stories of sleep work and what it prepares, with times worked out by hand: oracle and engine tell both.

A prompt token takes a quarter of a second, a decode step a second.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.engine.specs import StrategySpec, StreamSpec
from tests.oracle_contexts import Preparation
from tests.oracle_families import Job, Score
from tests.stories import ROADS, Tell, seats
from tests.two_roads import World, fleet_after, serve_fast

SLEEP = 2


def two_at_once() -> list[Job]:
    """Sleep work of four prompt and six output tokens, and a request that comes while it says its third."""
    return [Job(0.0, 4, 6, SLEEP), Job(2.5, 4, 2)]


@ROADS
def test_a_sleep_row_stands_aside_and_goes_on_where_it_was(tell: Tell) -> None:
    """At 3 it has three tokens. The request has its two at 4 and 5; then one token read again gives the fourth."""
    sleeper, request = tell(World([seats(2)], two_at_once()))
    assert (request.first_token_s, request.finish_s) == (4.0, 5.0)
    assert sleeper.finish_s == 5.25 + 2.0


@ROADS
def test_sleep_work_may_stay_where_it_slows_nobody_down_too_much(tell: Tell) -> None:
    """Beside a prompt of a second a row would double the step, to read its last token again takes a quarter more."""
    sleeper, request = tell(World([seats(2, sleep_slowdown=0.5)], two_at_once()))
    assert (request.first_token_s, request.finish_s) == (4.25, 5.25)
    assert sleeper.finish_s == 6.25


@ROADS
def test_sleep_work_alone_is_read_in_small_steps(tell: Tell) -> None:
    """Of 20 tokens eight are read when the request comes: it waits for no more than that step."""
    world = World([seats(2, sleep_step_tokens=8)], [Job(0.0, 20, 1, SLEEP), Job(0.5, 4, 1)])
    sleeper, request = tell(world)
    assert request.finish_s == 8 / 4 + 4 / 4
    assert sleeper.finish_s == (20 + 4) / 4


@ROADS
def test_where_whole_prompts_are_read_a_sleep_row_stands_aside_too(tell: Tell) -> None:
    sleeper, request = tell(World([seats(2, scheduler=0)], two_at_once()))
    assert (request.first_token_s, request.finish_s) == (4.0, 5.0)
    assert sleeper.finish_s == 5.25 + 2.0


@ROADS
def test_sleep_work_is_nothing_to_the_balancer_of_others(tell: Tell) -> None:
    """Both replicas have one of them, the first sleep work: the request goes there and begins at the next step."""
    jobs = [Job(0.0, 4, 9, SLEEP), Job(0.0, 4, 9), Job(1.5, 4, 1)]
    assert tell(World([seats(1, replicas=2)], jobs))[2].finish_s == 3.0


def preparing() -> World:
    """A context is read from 0 to 4. The first question finds it read and is answered at 9, then the notes go on."""
    known = ([Score(5)], [Score(1)])
    questions = [(2.0, 0), (20.0, 0), (40.0, 1), (200.0, 0)]
    jobs = [Job(at_s, 20, 5, context=(0, version), prefix_tokens=16, scores=known) for at_s, version in questions]
    world = World([seats(2)], jobs, streams=[StreamSpec(), StreamSpec()], strategies=[StrategySpec()] * 2)
    world.preparations = [Preparation(0, 0, 16, 3, notes_tokens=4, lasts_s=100.0, strategy=1)]
    world.script = [(0.0, "prepare", 0, 0.0)]
    return world


@ROADS
def test_a_prepared_context_needs_fewer_tokens(tell: Tell) -> None:
    """Too early, in time, too late for the version, too late: only the second reads notes and says one token."""
    told = tell(preparing())
    assert [each.output_tokens for each in told] == [5, 1, 5, 5]
    assert [each.prompt_tokens for each in told] == [20, 24, 20, 20]


def test_contexts_count_what_their_questions_found() -> None:
    world = preparing()
    plane, fleet = serve_fast(world)[0], fleet_after(world)
    found = {"asked": 4, "hits": 1, "late": 1, "stale": 1, "expired": 1, "saved_tokens": 4}
    assert dict(fleet.contexts.counts[0]) == found
    assert {name: plane.state.streams[0][name] for name in found} == found
    assert plane.contexts[0].hits == 1
    assert plane.contexts[0].ready_s == 9.0 + 1.25


@pytest.mark.parametrize("load", [2, 4, 8])
def test_sleep_work_delays_requests_by_no_more_than_a_step(load: int) -> None:
    """Paired runs, with and without sleep work: first tokens come at most one sleep step later where it yields at once."""
    requests = [Job(8.0 * n / load, 4, 3) for n in range(40)]
    asleep = [Job(5.0 * n, 40, 10, SLEEP) for n in range(8)]
    pool = seats(64, sleep_step_tokens=8)
    alone = serve_fast(World([pool], requests))[1]
    both = sorted([*requests, *asleep], key=lambda job: job.arrival_s)
    rows = serve_fast(World([pool], [replace(job) for job in both]))[1]
    beside = rows[rows["priority"] == 0]
    longest_step_s = 1.0 + 8 / 4
    assert (beside["first_token_s"] - alone["first_token_s"]).max() <= longest_step_s
