"""Short stories of strategies, with times worked out by hand: oracle and engine tell both.

A decode step takes a second, a prompt token a quarter of one.
"""

from __future__ import annotations

import pytest

from sim.engine import state
from sim.engine.specs import StageSpec, StepSpec, StrategySpec
from tests.oracle_families import RIGHT, Job, Score, Step, answer_of, plurality
from tests.oracle_luck import length
from tests.stories import ROADS, Tell, Told, seats
from tests.two_roads import World


def vote(samples: int, **how: object) -> StrategySpec:
    return StrategySpec((StageSpec(per_group=samples, **how),), (StepSpec(vote=True),))  # type: ignore[arg-type]


@ROADS
def test_a_vote_reads_its_prompt_once(tell: Tell) -> None:
    """The leader reads 33 tokens in 8.25 s; the other two find 32 of them and read one each, beside its second token.

    That step ends at 9.75; the leader has its five tokens three steps later, the others after one more.
    """
    world = World([seats(3)], [Job(0.0, 33, 5)], strategies=[vote(3)])
    assert tell(world) == [Told(8.25, 13.75, 33, 0, 15, -1, 1)]


@ROADS
def test_without_a_whole_block_there_is_nothing_to_share(tell: Tell) -> None:
    """Four prompt tokens: a second, then all begin again beside the leader's second token, for a second each."""
    world = World([seats(3)], [Job(0.0, 4, 2)], strategies=[vote(3)])
    assert tell(world) == [Told(1.0, 5.0, 4, 0, 6, -1, 1)]


@pytest.mark.parametrize("scheduler", [state.PREFILL_FIRST, state.CHUNKED])
@ROADS
def test_the_last_row_makes_room_for_itself_and_goes_on(tell: Tell, scheduler: int) -> None:
    """A prompt of two whole blocks, on three; the leader says one token, at 8 s, and the other branch three.

    So as to have something to read that one finds one block, not two: with its first token, at 12 s, it has filled the
    third, and has no room for the next. Then it finds both blocks and reads that token only: 12.25 and 13.25 s.
    """
    key = 3
    assert [length(key, 0, j, 3, 1.0, 100) for j in range(2)] == [1, 3]
    pool = seats(2, kv_capacity_tokens=3 * 16, scheduler=scheduler)
    world = World([pool], [Job(0.0, 32, 3, key=key)], strategies=[vote(2, sigma=1.0)])
    assert tell(world) == [Told(8.0, 13.25, 32, 0, 1 + 3, -1, 1)]


@ROADS
def test_the_two_shortest_end_a_stage_and_free_the_rest(tell: Tell) -> None:
    """Branches of 4, 15 and 6 tokens: the leader's prompt is read at 1, the others' at 4, so they end at 6 and at 9.

    The longest has six tokens by then. A request that waits for all of the memory begins at once.
    """
    key = 67
    assert [length(key, 0, j, 8, 1.0, 100) for j in range(3)] == [4, 15, 6]
    pool = seats(3, kv_capacity_tokens=4 * 16)
    world = World([pool], [Job(0.0, 4, 8, key=key), Job(0.5, 49, 1, strategy=1)])
    world.strategies = [vote(3, sigma=1.0, wait_for=2), StrategySpec()]
    assert tell(world)[0] == Told(1.0, 9.0, 4, 0, 4 + 6 + 6, -1, 1)
    assert tell(world)[1].first_token_s == 9.0 + 49 / 4


@ROADS
def test_the_second_stage_finds_the_solution_it_looks_at(tell: Tell) -> None:
    """Two solutions of 16 tokens end at 24.5, their KV of 48 tokens stays; each verifier reads one token of its 49.

    That takes half a second, and three more tokens three.
    """
    stages = (StageSpec(per_group=2), StageSpec(groups=2, extends=True, tokens_factor=0.25))
    world = World([seats(2)], [Job(0.0, 33, 16)], strategies=[StrategySpec(stages)])
    assert tell(world) == [Told(8.25, 28.0, 33 + 2 * 49, 2 * 48, 2 * 16 + 2 * 4, -1, 1)]


@ROADS
def test_a_solution_on_another_pool_is_read_from_the_beginning(tell: Tell) -> None:
    """The verifiers run elsewhere: 98 tokens, in one step, and three more tokens."""
    stages = (StageSpec(per_group=2), StageSpec(groups=2, extends=True, tokens_factor=0.25))
    world = World([seats(2), seats(2)], [Job(0.0, 33, 16)], strategies=[StrategySpec(stages)])
    world.targets = [[[[0], [1]]]]
    assert tell(world) == [Told(8.25, 24.5 + 24.5 + 3.0, 33 + 2 * 49, 0, 40, -1, 1)]


@ROADS
def test_a_check_whose_prompt_begins_differently_is_read_from_the_beginning(tell: Tell) -> None:
    """As on another pool, though it runs where the solutions were written."""
    stages = (StageSpec(per_group=2), StageSpec(groups=2, extends=True, apart=True, tokens_factor=0.25))
    world = World([seats(2)], [Job(0.0, 33, 16)], strategies=[StrategySpec(stages)])
    assert tell(world) == [Told(8.25, 24.5 + 24.5 + 3.0, 33 + 2 * 49, 0, 40, -1, 1)]


@ROADS
def test_a_cascade_goes_on_while_it_is_not_sure(tell: Tell) -> None:
    """Three tokens for the cheap answer, at 3 s; then four for the better one, for which the prompt is read again."""
    cascade = StrategySpec((StageSpec(), StageSpec(step=1)), (StepSpec(), StepSpec()))
    unsure = [Score(3, 0.0, 0.0, escalates=True), Score(4, 1.0, 0.9)]
    sure = [Score(3, 0.0, 0.0), Score(4, 1.0, 0.9)]
    world = World([seats(1)], [Job(0.0, 4, 1, scores=(unsure, unsure)), Job(10.0, 4, 1, scores=(sure, sure))])
    world.strategies = [cascade]
    assert tell(world) == [Told(1.0, 7.0, 8, 0, 7, 1, 2), Told(11.0, 13.0, 4, 0, 3, 0, 1)]


@ROADS
def test_agreement_ends_a_vote_early(tell: Tell) -> None:
    """All are right. The leader's three tokens end at 5, when the others have two."""
    right = [Score(3, 1.0, 1.0)]
    world = World([seats(3)], [Job(0.0, 4, 1, scores=(right, right))], strategies=[vote(3, agree=1)])
    assert tell(world) == [Told(1.0, 5.0, 4, 0, 3 + 2 + 2, 1, 1)]


def test_the_answer_given_most_often_wins_and_of_equals_the_first() -> None:
    assert plurality([2, RIGHT, RIGHT, None]) == (RIGHT, 2 / 3)
    assert plurality([2, RIGHT]) == (2, 1 / 2)
    assert plurality([None, None]) == (None, 0.0)


def test_a_branch_that_is_right_once_is_right_wherever_chances_are_better() -> None:
    answers = {p: [answer_of(7, j, p, Step()) == RIGHT for j in range(200)] for p in (0.3, 0.6)}
    assert all(better or not worse for worse, better in zip(answers[0.3], answers[0.6], strict=True))
    assert 40 < sum(answers[0.3]) < 80
