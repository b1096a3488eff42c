"""Short stories of contexts whose beginnings are read once, with times worked out by hand: oracle and engine tell both.

A prompt token takes a quarter of a second, a decode step a second.
"""

from __future__ import annotations

from sim.engine import state
from tests.oracle_families import Job
from tests.stories import ROADS, Tell, seats
from tests.two_roads import World


def ask(at_s: float, context: int, own_tokens: int = 1, *, tokens: int = 32, version: int = 0) -> Job:
    """A question of so many tokens on a document, and one token for an answer."""
    return Job(at_s, tokens + own_tokens, 1, context=(context, version), prefix_tokens=tokens, keep_tokens=tokens)


def waits(tell: Tell, world: World) -> list[float]:
    return [told.finish_s - job.arrival_s for told, job in zip(tell(world), world.jobs, strict=True)]


@ROADS
def test_a_second_question_reads_only_its_own_tokens(tell: Tell) -> None:
    world = World([seats(1)], [ask(0.0, 0, 10), ask(100.0, 0, 6), ask(200.0, 0, 6, version=1)])
    assert waits(tell, world) == [42 / 4, 6 / 4, 38 / 4]
    assert [told.cached_tokens for told in tell(world)] == [0, 32, 0]


@ROADS
def test_a_pool_may_keep_nothing(tell: Tell) -> None:
    world = World([seats(1, prefix_cache=False)], [ask(0.0, 0), ask(100.0, 0)])
    assert waits(tell, world) == [33 / 4, 33 / 4]


@ROADS
def test_what_was_not_used_for_longest_goes_first(tell: Tell) -> None:
    """Six blocks: A and B take two each, A is asked again, C needs three of which one is B's; so A is there, B not."""
    world = World([seats(1, kv_capacity_tokens=96)], [ask(100.0 * n, context) for n, context in enumerate("ABACAB")])
    for job in world.jobs:
        job.context = ("ABC".index(str(job.context[0])), 0) if job.context else None
    assert waits(tell, world) == [33 / 4, 33 / 4, 1 / 4, 33 / 4, 1 / 4, 33 / 4]


@ROADS
def test_a_conversation_goes_on_from_its_last_answer(tell: Tell) -> None:
    """30 tokens and an answer of 19 leave KV of 48; the next question of 60 tokens reads the other twelve."""
    first = Job(0.0, 30, 19, context=(0, 0), keep_tokens=49)
    second = Job(100.0, 60, 1, context=(0, 0), prefix_tokens=49, keep_tokens=61)
    assert waits(tell, World([seats(1)], [first, second])) == [30 / 4 + 18, 12 / 4]


@ROADS
def test_text_that_has_changed_is_forgotten(tell: Tell) -> None:
    """Only 16 of 48 tokens are still the same for the second, so the third finds no more than those."""
    jobs = [ask(0.0, 0, tokens=48), ask(100.0, 0, 33, tokens=16), ask(200.0, 0, tokens=48)]
    assert waits(tell, World([seats(1)], jobs)) == [49 / 4, 33 / 4, 33 / 4]


@ROADS
def test_questions_go_where_their_context_is(tell: Tell) -> None:
    """The turn is the second replica's, but the first has the context; with more to do by two it is left alone."""
    jobs = [ask(0.0, 0), ask(100.0, 0), ask(200.0, 0), Job(200.0, 4, 1), ask(200.0, 0)]
    world = World([seats(1, replicas=2)], jobs, balancer=state.PREFIX_AFFINITY, affinity_slack=0)
    assert [told.cached_tokens for told in tell(world)] == [0, 32, 32, 0, 32]


@ROADS
def test_a_question_that_leaves_no_room_for_its_answer_is_admitted_again(tell: Tell) -> None:
    """Of a context of two blocks a prompt that is all of it finds one, and fills the third that there is.

    With its first token, at 4 s, it has no room for the next. Then that is all it reads, and it finds both blocks.
    """
    pool = seats(1, kv_capacity_tokens=3 * 16, scheduler=state.PREFILL_FIRST)
    questions = [Job(100.0 * n, 32, 3 if n else 1, context=(0, 0), prefix_tokens=32, keep_tokens=32) for n in range(2)]
    world = World([pool], questions)
    assert waits(tell, world) == [32 / 4, 16 / 4 + 1 / 4 + 1]
    assert [told.cached_tokens for told in tell(world)] == [0, 16]
