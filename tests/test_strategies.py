"""Ways to answer: what a scenario may say of them, and the stages and steps they are to the engine."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sim.engine.specs import DIRECT_SPEC, StageSpec, StepSpec, StrategySpec
from sim.engine.state import NO_LIMIT
from sim.errors import InputError
from sim.fleet import Fleet, build_fleet
from sim.scenario import Scenario, Strategy
from sim.strategies import (
    Plurality,
    output_multiples,
    strategy_spec,
    strategy_specs,
    tree_stages,
    verification_compute,
    verify_stages,
)
from tests.small import chat, pool, scenario

VOTE = {"name": "vote8", "kind": "vote", "samples": 8}
CHECK = {"name": "check", "kind": "verify", "solutions": 4, "verifications": 8}
TREE = {"name": "search", "kind": "tree", "width": 4, "branch": 3, "depth": 5}
CASCADE = {"name": "both", "kind": "cascade", "steps": ["vote8", "check", "direct"]}
PLACED = [{"name": "direct"}, {"name": "think", "kind": "think", "budget_tokens": 1000}, VOTE, CHECK, TREE]
BIG = pool(name="big", model="Llama-3.1-70B", tensor_parallel=4)


def parsed(fields: dict[str, Any]) -> Strategy:
    """A strategy as a scenario holds it."""
    found: Strategy = TypeAdapter(Strategy).validate_python(fields)
    return found


def spec(*fields: dict[str, Any], **pluralities: Plurality) -> StrategySpec:
    """The last of these strategies as work."""
    strategies = [parsed(each) for each in fields]
    return strategy_spec(strategies[-1], strategies, pluralities)


def complaint(**changes: Any) -> str:
    """What the small scenario says when it is changed so that it no longer holds."""
    with pytest.raises(ValidationError) as caught:
        scenario(**changes)
    return str(caught.value)


def fleet(*strategies: dict[str, Any], **changes: Any) -> Fleet:
    """The fleet of a small and a large model for these strategies."""
    return build_fleet(scenario(fleet=[pool(), BIG], strategies=list(strategies), **changes))


def test_the_contract_needs_no_kind_for_a_direct_answer() -> None:
    assert parsed({"name": "direct", "pool": "h100"}) == parsed({"name": "direct", "kind": "direct", "pool": "h100"})


@pytest.mark.parametrize("fields", PLACED[:2])
def test_one_sequence_is_one_branch(fields: dict[str, Any]) -> None:
    assert spec(fields) == StrategySpec(stages=(StageSpec(),), steps=(StepSpec(),)) == DIRECT_SPEC


def test_a_vote_is_one_prompt_with_many_answers() -> None:
    voting = StepSpec(vote=True, wrong_answers=7, skew=2.0, blank_share=0.1)

    assert spec(VOTE, vote8=Plurality(7, 2.0, 0.1)) == StrategySpec((StageSpec(per_group=8, sigma=0.35),), (voting,))


@pytest.mark.parametrize(
    ("stop", "agree", "wait_for"), [(None, 0, NO_LIMIT), ({"agree": 3}, 3, NO_LIMIT), ({"shortest": 5}, 0, 5)]
)
def test_a_vote_may_end_before_its_slowest_branch(stop: dict[str, int] | None, agree: int, wait_for: int) -> None:
    (stage,) = spec(VOTE | {"stop": stop}).stages

    assert (stage.agree, stage.wait_for) == (agree, wait_for)


def test_every_solution_is_verified_by_a_group_that_reads_it() -> None:
    solve, check = spec(CHECK | {"instruction_tokens": 90, "length_sigma": 0}).stages

    assert solve == StageSpec(per_group=4)
    assert check == StageSpec(groups=4, per_group=8, extends=True, prompt_tokens=90, tokens_factor=2.0)
    assert spec(CHECK | {"own_prompt": True}).stages[1].apart


@given(
    solutions=st.integers(1, 256),
    verifications=st.integers(1, 64),
    length_ratio=st.sampled_from([0.5, 1.0, 2.0, 3.25]),
)
def test_verifying_costs_s_times_one_plus_lambda_v_solutions(
    solutions: int, verifications: int, length_ratio: float
) -> None:
    work = StrategySpec(stages=verify_stages(solutions, verifications, length_ratio))

    assert output_multiples(work) == [verification_compute(solutions, verifications, length_ratio)]
    assert output_multiples(work) == [solutions * (1 + length_ratio * verifications)]


def test_a_tree_widens_once_and_then_keeps_its_width() -> None:
    stages = spec(TREE).stages

    assert [(stage.groups, stage.per_group, stage.extends) for stage in stages] == [(1, 12, False), *[(4, 3, True)] * 4]
    assert {stage.tokens_factor for stage in stages} == {1 / 5}


@given(width=st.integers(1, 64), branch=st.integers(1, 64), depth=st.integers(1, 64))
def test_a_tree_writes_as_much_as_its_paths_at_any_depth(width: int, branch: int, depth: int) -> None:
    work = StrategySpec(stages=tree_stages(width, branch, depth))

    assert output_multiples(work) == [pytest.approx(width * branch)]


@given(width=st.integers(1, 64), branch=st.integers(1, 64), depth=st.integers(1, 64))
def test_every_path_of_a_tree_goes_on_from_a_branch_that_there_is(width: int, branch: int, depth: int) -> None:
    stages = tree_stages(width, branch, depth)

    assert all(after.groups <= before.branches for before, after in pairwise(stages))


def test_a_cascade_takes_the_stages_of_its_steps_in_turn() -> None:
    cascade = spec(*PLACED, CASCADE | {"escalate_below": 0.7})
    alone = [spec(each) for each in (VOTE, CHECK, PLACED[0])]

    assert [stage.step for stage in cascade.stages] == [0, 1, 1, 2]
    assert [stage.branches for stage in cascade.stages] == [8, 4, 32, 1]
    assert [(step.vote, step.agreement_below) for step in cascade.steps] == [(True, 0.7), (False, 0), (False, 0)]
    assert output_multiples(cascade) == [multiple for each in alone for multiple in output_multiples(each)]


def test_strategies_keep_their_order_and_a_vote_alone_never_goes_on() -> None:
    specs = strategy_specs([parsed(each) for each in (CASCADE, *PLACED)])

    assert [len(each.steps) for each in specs] == [3, 1, 1, 1, 1, 1]
    assert specs[3].steps[0].agreement_below == 0.0


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (VOTE | {"samples": 5000}, "less than or equal to 4096"),
        (VOTE | {"stop": {"agree": 9}}, "stop.agree: 9 must be at most samples (8); lower it, or raise samples"),
        (VOTE | {"stop": {"shortest": 9}}, "stop.shortest: 9 must be at most samples (8)"),
        (VOTE | {"stop": {"agree": 2, "shortest": 2}}, "shortest: 2 cannot be given with agree; keep one of them"),
        (VOTE | {"stop": {}}, "stop stops nothing; give `agree` or `shortest`, or leave `stop` out"),
        (VOTE | {"pool": "h100", "model": "M"}, "model: M cannot be given with pool; keep one of them"),
        (CHECK | {"verifications": 20_000}, "20000 of each of 4 solutions makes 80000, more than 65536"),
        (CHECK | {"verifier_pool": "a", "verifier_model": "b"}, "b cannot be given with verifier_pool"),
        (TREE | {"width": 2000}, "width: 2000 with branch 3 makes 6000 branches a level, more than 4096"),
        (CASCADE | {"steps": ["direct"]}, "at least 2 items"),
        (CASCADE | {"confidence_auc": 0.4}, "greater than or equal to 0.5"),
        (CASCADE | {"pool": "h100"}, "Extra inputs"),
        ({"name": "think", "kind": "think"}, "budget_tokens"),
    ],
)
def test_what_no_strategy_can_do_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parsed(fields)

    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("strategies", "told"),
    [
        ([VOTE | {"model": "Llama-3.1-70B"}], "strategies.0.model: Llama-3.1-70B is served by no pool"),
        ([CHECK | {"verifier_pool": "h200"}], "strategies.0.verifier_pool: h200 is no pool of the fleet"),
        ([CHECK | {"verifier_model": "gpt"}], "strategies.0.verifier_model: gpt is served by no pool"),
        ([VOTE, CASCADE | {"steps": ["vote8", "chek"]}], "strategies.1.steps.1: chek is no strategy of the scenario"),
        (
            [VOTE, CASCADE | {"steps": ["vote8", "both"]}],
            "strategies.1.steps.1: both is a cascade; name the strategies",
        ),
        ([VOTE, CASCADE | {"steps": ["vote8", "vote8"]}], "strategies.1.steps.1: vote8 is given twice; leave it out"),
    ],
)
def test_strategies_name_what_there_is(strategies: list[dict[str, Any]], told: str) -> None:
    assert told in complaint(strategies=strategies)


def test_streams_need_no_model_where_every_strategy_says_where_it_runs() -> None:
    small, large = {"name": "small", "pool": "h100"}, {"name": "large", "model": "Llama-3.1-70B"}
    cascade = {"name": "both", "kind": "cascade", "steps": ["small", "large"]}

    assert fleet(small, large, cascade).targets == [[[[0]], [[1]], [[0], [1]]]]
    assert "give each strategy a pool or model" in complaint(
        fleet=[pool(), BIG], strategies=[small, {"name": "any"}, cascade | {"steps": ["small", "any"]}]
    )


def test_verifications_may_run_elsewhere_than_solutions() -> None:
    here, there = CHECK | {"pool": "h100"}, CHECK | {"name": "there", "pool": "h100", "verifier_model": BIG["model"]}

    assert fleet(here, there).targets == [[[[0], [0]], [[0], [1]]]]


def test_a_verifier_need_not_be_the_model_that_must_answer_but_one_of_the_pools() -> None:
    strategy = CHECK | {"verifier_pool": "big"}

    assert fleet(strategy, workload=[chat(model="Llama-3.1-8B")]).targets == [[[[0], [1]]]]
    with pytest.raises(InputError, match="cannot be verified by strategy 'check'"):
        fleet(strategy, workload=[chat(pools=["h100"])])


def test_what_a_cascade_may_go_on_to_must_be_able_to_answer() -> None:
    small, large = {"name": "small", "pool": "h100"}, {"name": "large", "pool": "big"}
    cascade = {"name": "both", "kind": "cascade", "steps": ["small", "large"]}
    chats = [chat(pools=["h100"])]

    assert fleet(small, large, cascade, workload=chats).targets == [[[[0]], [[]], [[0], []]]]
    with pytest.raises(InputError, match="cannot be answered by strategy 'large'"):
        fleet(small, large, cascade, workload=chats, router={"policy": "always", "strategy": "both"})


def test_hidden_work_has_pools_of_its_own_and_leaves_the_others_alone() -> None:
    seen = fleet({"name": "direct", "pool": "h100"}, CHECK | {"pool": "h100"})
    whole = seen.with_hidden(seen.streams[0], [DIRECT_SPEC], [1])

    assert whole.targets == [[[[0]], [[0], [0]], [[]]], [[[]], [[], []], [[1]]]]
    assert (len(whole.streams), len(whole.strategy_specs), len(whole.strategies)) == (2, 3, 2)


def test_a_scenario_without_strategies_answers_directly_from_any_pool() -> None:
    alone = build_fleet(scenario())

    assert (alone.strategy_specs, alone.targets) == ([DIRECT_SPEC], [[[[0]]]])


def test_what_an_engine_keeps_and_yields_reaches_its_pool() -> None:
    engine = {"prefix_cache": False, "sleep_slowdown": 0.1, "sleep_step_tokens": 256}
    (found,) = build_fleet(scenario(fleet=[pool(engine=engine)])).pools

    assert {key: getattr(found, key) for key in engine} == engine


def test_a_training_changes_strategies_that_there_are_and_is_paid_for_one_way() -> None:
    training = {"name": "tuned", "usd": 5000, "over": "365d", "strategies": ["direct"], "class": "tuned"}
    strategies = [{"name": "direct"}, VOTE, CASCADE | {"steps": ["direct", "vote8"]}]

    assert trained(strategies, training).training[0].class_name == "tuned"
    assert "strategies.0: both is no strategy" in complaint(
        strategies=strategies, training=[training | {"strategies": ["both"]}]
    )
    assert "over_requests: 5 cannot be given with over" in complaint(
        strategies=strategies, training=[training | {"over_requests": 5}]
    )
    assert "over is missing; add `over: 365d`, or `over_requests`" in complaint(
        strategies=strategies, training=[{key: value for key, value in training.items() if key != "over"}]
    )


def trained(strategies: list[dict[str, Any]], *training: dict[str, Any]) -> Scenario:
    return scenario(strategies=strategies, training=list(training))
