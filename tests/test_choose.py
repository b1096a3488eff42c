"""The rule of choice: in numpy for a gateway, compiled in the engine, and the same in both."""

from __future__ import annotations

from dataclasses import replace
from math import erf, inf, nan, sqrt
from typing import Any

import numba
import numpy as np
import pytest
from numba import config

from router.choose import Choices, Estimates, Stakes, Switch, choose, estimates_of, explain, normal_cdf, thompson
from router.errors import RouterError
from router.types import Load, Prices, Rule, Scores
from sim.engine import state
from sim.engine.choose import pick
from sim.engine.plane import DataPlane
from sim.engine.specs import (
    ApiSpec,
    Corpus,
    Options,
    PoolSpec,
    RouteSpec,
    Scored,
    StageSpec,
    StrategySpec,
    StreamSpec,
    undecided,
)
from sim.errors import EngineError
from sim.workload.blocks import RequestBlock, plain_block
from tests.worlds import flat_law, pool_of, rows_of

BATCHES, ROWS = (100, 1000) if not config.DISABLE_JIT else (10, 50)
PRICES = Prices(np.array([1e-6, 1e-6]), np.array([1e-5, 1e-5]))
LOAD = Load(*(np.array(column) for column in ([0.5, 0.5], [1e-4, 1e-4], [0.01, 0.01], [1.0, 1.0])))


# The rule in numpy.


def two_ways(p: tuple[float, float] = (0.5, 0.9), tokens: tuple[float, float] = (100.0, 1000.0)) -> Estimates:
    """A request with a short answer and a long one."""
    return Estimates(*(np.array([column]) for column in (p, tokens, tokens, (0.3, 0.3))))


def chosen(estimates: Estimates, stakes: Stakes, load: Load | None = None, **more: Any) -> Choices:
    return choose(Rule.UTILITY, estimates, [500], PRICES, load, stakes, **more)


def test_the_longer_answer_is_taken_where_its_gain_is_worth_its_tokens() -> None:
    # 0.4 more chance to be right for 900 tokens at 1e-5 dollars.
    assert chosen(two_ways(), Stakes(0.9 * 0.009 / 0.4)).strategy.tolist() == [0]
    assert chosen(two_ways(), Stakes(1.1 * 0.009 / 0.4)).strategy.tolist() == [1]
    assert chosen(two_ways(), Stakes(1.1 * 0.009 / 0.4, mu=1.2)).strategy.tolist() == [0]


def test_an_answer_that_will_be_late_is_worth_less() -> None:
    stakes = Stakes(1.0, lateness_usd=1.0, e2e_slo_s=5.0)
    assert chosen(two_ways(), stakes).strategy.tolist() == [1]
    late = chosen(two_ways(), stakes, LOAD)
    assert late.strategy.tolist() == [0]
    np.testing.assert_allclose(late.terms.e2e_s, [[0.5 + 0.05 + 1.0, 0.5 + 0.05 + 10.0]])
    np.testing.assert_allclose(late.terms.p_late[0, 1], 0.5 * (1 + erf(np.log(10.55 / 5.0) / 0.3 / sqrt(2))), atol=1e-6)
    assert chosen(two_ways(), replace(stakes, e2e_slo_s=inf), LOAD).terms.p_late.tolist() == [[0.0, 0.0]]


def test_the_first_of_equals_is_taken_and_what_is_not_known_is_worth_nothing() -> None:
    assert chosen(two_ways((0.5, 0.5), (100.0, 100.0)), Stakes(1.0)).strategy.tolist() == [0]
    assert chosen(two_ways((nan, 0.2)), Stakes(1.0)).strategy.tolist() == [1]
    assert chosen(two_ways((nan, nan)), Stakes(1.0)).strategy.tolist() == [0]


def test_only_what_is_available_is_taken() -> None:
    assert chosen(two_ways(), Stakes(0.0), available=[False, True]).strategy.tolist() == [1]
    with pytest.raises(RouterError, match="no strategy"):
        chosen(two_ways(), Stakes(0.0), available=[False, False])


@pytest.mark.parametrize(
    ("rule", "threshold", "wanted"),
    [(Rule.DIFFICULTY, 0.5, 0), (Rule.DIFFICULTY, 0.51, 1), (Rule.GAIN, 0.41, 0), (Rule.GAIN, 0.39, 1)],
)
def test_a_threshold_switches_to_the_strong_strategy(rule: Rule, threshold: float, wanted: int) -> None:
    given: tuple[Any, ...] = (two_ways(), [500], PRICES, None, Stakes(0.0))
    switch = Switch(cheap=0, strong=1, threshold=threshold)
    assert choose(rule, *given, switch=switch).strategy.tolist() == [wanted]
    only_other = [a != wanted for a in range(2)]
    assert choose(rule, *given, switch=switch, available=only_other).strategy.tolist() == [1 - wanted]
    with pytest.raises(RouterError, match="cheap and strong"):
        choose(rule, *given)


def test_thompson_draws_have_the_mean_and_the_spread_of_what_was_seen() -> None:
    normals = np.random.default_rng(0).standard_normal(200_000)
    drawn = thompson(np.full(200_000, 30), np.full(200_000, 10), normals)
    beta = np.random.default_rng(1).beta(31, 11, 200_000)
    assert drawn.mean() == pytest.approx(beta.mean(), abs=1e-3)
    assert drawn.std() == pytest.approx(beta.std(), rel=0.01)


def test_the_normal_law_is_right_to_a_tenth_of_a_millionth() -> None:
    x = np.linspace(-9.0, 9.0, 10_001)
    exact = [0.5 * (1.0 + erf(each / sqrt(2.0))) for each in x]
    np.testing.assert_allclose(normal_cdf(x), exact, atol=1e-7)


def test_scores_become_estimates_and_a_choice_explains_itself() -> None:
    scores = Scores(np.array([[0.5, 0.9]]), np.log([[100.0, 1000.0]]), np.array([[0.0, 0.2]]))
    estimates = estimates_of(scores, path_share=[1.0, 0.25])
    np.testing.assert_allclose(estimates.tokens, [[100.0, 1000.0 * np.exp(0.02)]])
    np.testing.assert_allclose(estimates.path_tokens / estimates.tokens, [[1.0, 0.25]])
    line = explain(chosen(two_ways(), Stakes(0.1)), 0, ["direct", "think"])
    assert line == (
        "think: 0.0795 USD = 0.09 value - 0.0105 cost - 0 lateness; "
        "next direct: 0.0485 USD = 0.05 value - 0.0015 cost - 0 lateness"
    )


# The rule in the engine.


def test_the_numbers_of_the_rules_are_those_of_the_router() -> None:
    numbers = (state.BY_UTILITY, state.BY_DIFFICULTY, state.BY_GAIN, state.BY_BANDIT)
    assert numbers == (Rule.UTILITY, Rule.DIFFICULTY, Rule.GAIN, Rule.BANDIT)


@numba.njit
def pick_all(choices: Any, routes: Any, prompt_tokens: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = pick(choices[i], routes[i], prompt_tokens[i])


def test_the_engine_picks_as_the_router_does_in_100_000_states() -> None:
    random, taken = np.random.default_rng(7), np.zeros((4, 8), np.int64)
    for batch in range(BATCHES):
        rule, load = Rule(batch % 4), batch % 8 < 6
        choices, routes, prompt_tokens = a_batch(random, rule, load)
        out = np.zeros(ROWS, np.int64)
        pick_all(choices, routes, prompt_tokens, out)
        wanted = by_router(choices, routes, prompt_tokens)
        np.testing.assert_array_equal(out, wanted)
        taken[rule] += np.bincount(out, minlength=8)
    assert np.all((taken > 0).sum(axis=1) >= 2)


def a_batch(random: np.random.Generator, rule: Rule, load: bool) -> tuple[Any, Any, Any]:
    """Requests with 2 to 8 strategies, some unknown or not available, some exactly equal."""
    strategies = int(random.integers(2, 9))
    choices = np.zeros((ROWS, strategies), state.CHOICE)
    spread = {
        "p": random.random((ROWS, strategies)),
        "tokens": random.lognormal(5.0, 1.5, (ROWS, strategies)),
        "sd": random.random((ROWS, strategies)),
        "usd_per_prompt_token": random.lognormal(-14.0, 1.0, (ROWS, strategies)),
        "usd_per_output_token": random.lognormal(-12.0, 1.0, (ROWS, strategies)),
        "wait_s": random.exponential(1.0, (ROWS, strategies)) * random.integers(0, 2, (ROWS, strategies)),
        "prompt_s_per_token": random.exponential(1e-4, (ROWS, strategies)),
        "tpot_s": random.exponential(0.02, (ROWS, strategies)),
    }
    for name, column in spread.items():
        choices[name] = column
    choices["path_tokens"] = choices["tokens"] * random.random((ROWS, strategies))
    choices["p"][random.random((ROWS, strategies)) < 0.05] = nan
    alike = np.flatnonzero(random.random(ROWS) < 0.2)
    choices[alike, strategies - 1] = choices[alike, 0]
    choices["available"] = random.random((ROWS, strategies)) < 0.8
    choices["available"][np.arange(ROWS), random.integers(0, strategies, ROWS)] = 1
    routes = np.zeros(ROWS, state.ROUTE)
    routes["rule"], routes["load"] = rule, load
    routes["mu"] = 1.0 + random.exponential(2.0, ROWS)
    routes["value_usd"], routes["lateness_usd"] = random.exponential(0.02, (2, ROWS))
    routes["e2e_slo_s"] = np.where(random.random(ROWS) < 0.2, inf, random.lognormal(1.0, 1.0, ROWS))
    routes["cheap"], routes["strong"] = random.permutation(strategies)[:2]
    routes["threshold"] = random.random()
    return choices.view(np.recarray), routes.view(np.recarray), random.integers(1, 4000, ROWS)


def by_router(choices: Any, routes: Any, prompt_tokens: Any) -> Any:
    route, load = routes[0], None
    if route.load:
        load = Load(choices["wait_s"], choices["prompt_s_per_token"], choices["tpot_s"], np.ones(1))
    return choose(
        Rule(route.rule),
        Estimates(choices["p"], choices["tokens"], choices["path_tokens"], choices["sd"]),
        prompt_tokens,
        Prices(choices["usd_per_prompt_token"], choices["usd_per_output_token"]),
        load,
        Stakes(*(routes[name] for name in ("value_usd", "lateness_usd", "e2e_slo_s", "mu"))),
        available=choices["available"] != 0,
        switch=Switch(int(route.cheap), int(route.strong), float(route.threshold)),
    ).strategy


# What the engine knows when it picks: small worlds, each with one thing that decides.

GAIN_P = (0.4, 0.9)


def corpus(
    p: tuple[float, ...] = GAIN_P, tokens: tuple[int, ...] = (10, 100), rows: int = 1, real: tuple[int, ...] = ()
) -> Corpus:
    """Rows all alike; `real` tokens where they are other than expected."""
    ways = len(p)
    estimates = [np.tile(np.array(column, float), (rows, 1, 1)) for column in (p, tokens, tokens, [0.2] * ways)]
    shape = (rows, ways, 1, 1)
    lengths = np.broadcast_to(np.reshape(real or tokens, (1, ways, 1, 1)), shape)
    chance = np.broadcast_to(np.reshape(p, (1, ways, 1, 1)), shape)
    return Corpus(*estimates, lengths, chance, chance, np.zeros(shape, np.int64))


def strategies_of(
    arrival_s: list[float],
    pools: list[PoolSpec | ApiSpec],
    route: RouteSpec,
    options: Corpus | None = None,
    targets: list[list[list[int]]] | None = None,
    until: Any = None,
    strategies: list[StrategySpec] | None = None,
) -> list[int]:
    """The strategies of requests with a prompt of 100 tokens, in order."""
    table, kept = options or corpus(), list[Any]()
    block = plain_block(np.array(arrival_s), np.full(len(arrival_s), 100), np.ones(len(arrival_s), np.int64))
    plane = DataPlane(
        pools,
        [StreamSpec()],
        [targets or [[[0]]] * table.p.shape[2]],
        strategies=strategies or [StrategySpec()] * table.p.shape[2],
        blocks=iter([block]),
        score=lambda _: undecided(Options(table, np.zeros(len(arrival_s), np.int64))),
        keep=kept.append,
        routes=[route],
    )
    if until is not None:
        until(plane)
    plane.advance(inf)
    plane.finish(plane.last_event_s)
    return list(rows_of(kept)["strategy"])


GPU = pool_of(flat_law(4, 0.01), usd_per_replica_hour=3600.0)
"""A step of 10 ms costs a cent; of four rows, each a quarter of one. 90 tokens more cost 22.5 cents."""


def test_a_price_that_rises_makes_answers_shorter_where_the_stream_minds_it() -> None:
    def dearer(plane: DataPlane) -> None:
        plane.advance(50.0)
        plane.price(0, 36_000.0, 0, 50.0)

    minds = RouteSpec(value_usd=1.0)
    assert strategies_of([0.0, 49.0, 51.0], [GPU], minds, until=dearer) == [1, 1, 0]
    assert strategies_of([0.0, 49.0, 51.0], [GPU], replace(minds, price=False), until=dearer) == [1, 1, 1]

    def dear_on_average(plane: DataPlane) -> None:
        plane.routing.set_mean_price(0, 36_000.0)

    assert strategies_of([0.0], [GPU], replace(minds, price=False), until=dear_on_average) == [0]
    assert strategies_of([0.0], [GPU], minds, until=dear_on_average) == [1]


def test_a_replica_with_much_to_do_gives_shorter_answers_where_time_is_promised() -> None:
    # Alone a long answer takes 1.0 s. A fifth request waits for one of the first four, and would be late.
    route = RouteSpec(value_usd=1.0, e2e_slo_s=1.6)
    busy = pool_of(flat_law(4, 0.01, row_s=0.002), usd_per_replica_hour=0.0)
    arrivals = [0.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]
    assert strategies_of(arrivals, [busy], replace(route, load=False)) == [1] * 7
    found = strategies_of(arrivals, [busy], route)
    assert found[:3] == [1, 1, 1]
    assert found[-1] == 0


def test_a_strategy_whose_pools_take_nobody_is_not_chosen_unless_none_is_left() -> None:
    small = replace(GPU, max_outstanding=1)
    targets = [[[0]], [[1]]]
    route = RouteSpec(value_usd=10.0)
    assert strategies_of([0.0, 0.0, 0.0], [replace(GPU), small], route, targets=targets) == [1, 0, 0]
    both = [replace(GPU, max_outstanding=1), small]
    assert strategies_of([0.0, 0.0, 0.0], both, route, targets=targets) == [1, 0, 1]


def test_an_api_bills_the_prompt_of_every_sample_and_a_replica_reads_it_once() -> None:
    rates = np.array([[0.001, 0.0, 0.0]])
    api = ApiSpec(rates_usd_per_token=rates, ttft_median_s=1.0, tier=0)
    vote = StrategySpec((StageSpec(per_group=4),))
    given: dict[str, Any] = {"options": corpus((0.5, 0.9), (10, 10)), "strategies": [StrategySpec(), vote]}
    # Four prompts of 100 tokens cost 30 cents more than one.
    assert strategies_of([0.0], [api], RouteSpec(value_usd=0.7), **given) == [0]
    assert strategies_of([0.0], [api], RouteSpec(value_usd=0.8), **given) == [1]
    reads = pool_of(flat_law(4, 1e-9, token_s=0.001), usd_per_replica_hour=3600.0)
    assert strategies_of([0.0], [reads], RouteSpec(value_usd=0.01), **given) == [1]


def test_streams_keep_to_what_they_are_allowed() -> None:
    assert strategies_of([0.0], [GPU], RouteSpec(value_usd=9.0, strategies=[0])) == [0]
    assert strategies_of([0.0], [GPU], RouteSpec(strategies=[1])) == [1]
    nowhere = [[[0]], [[]]]
    assert strategies_of([0.0], [GPU], RouteSpec(value_usd=9.0), targets=nowhere) == [0]


def test_what_comes_of_a_choice_is_what_the_table_has_and_not_what_was_expected() -> None:
    kept: list[Any] = []
    plane = DataPlane(
        [GPU],
        [StreamSpec()],
        [[[[0]], [[0]]]],
        strategies=[StrategySpec()] * 2,
        blocks=iter([plain_block(np.array([0.0]), np.array([100]), np.array([1]))]),
        score=lambda _: undecided(Options(corpus(real=(3, 7)), np.zeros(1, np.int64))),
        keep=kept.append,
        routes=[RouteSpec(value_usd=1.0)],
    )
    plane.advance(inf)
    plane.finish(plane.last_event_s)
    (row,) = rows_of(kept)
    assert (row["strategy"], row["output_tokens"], row["p_correct"]) == (1, 7, 0.9)
    (count, p, cost_usd, p_late, e2e_s) = plane.routing.chosen()[0, 1]
    assert (count, p, p_late) == (1, 0.9, 0.0)
    assert e2e_s == pytest.approx(100 * 0.01, rel=1e-6)
    assert cost_usd == pytest.approx(100 * 1e-9 + 100 * 0.01 / 4, rel=1e-6)
    assert plane.routing.spent_usd()[0] == pytest.approx(float(row["cost_usd"]))


def test_a_bandit_finds_the_better_strategy_and_without_feedback_does_not() -> None:
    rng, requests = np.random.default_rng(3), 3000
    table = corpus((0.3, 0.8), (10, 10))

    def shares(feedback: float) -> float:
        block = plain_block(
            np.arange(requests) * 1.0,
            np.full(requests, 100),
            np.ones(requests, np.int64),
            key=rng.integers(0, 1 << 62, requests),
        )
        plane = DataPlane(
            [GPU],
            [StreamSpec()],
            [[[[0]], [[0]]]],
            strategies=[StrategySpec()] * 2,
            blocks=iter([block]),
            score=lambda _: undecided(Options(table, np.zeros(requests, np.int64))),
            routes=[RouteSpec(rule=state.BY_BANDIT, value_usd=1.0, feedback=feedback)],
        )
        plane.advance(inf)
        seen = plane.routing.seen()[0, 0]
        assert seen["ended"].sum() == requests
        assert (seen["right"] + seen["wrong"]).sum() == pytest.approx(feedback * requests, rel=0.1)
        return float(plane.routing.chosen()[0, 1]["count"]) / requests

    assert shares(1.0) > 0.97
    assert shares(0.2) > 0.9
    assert shares(0.0) == pytest.approx(0.5, abs=0.05)


def test_one_table_for_many_blocks_is_taken_over_once() -> None:
    table = corpus(rows=5)
    times_s = iter(np.arange(4.0))

    def some() -> Any:
        for at_s in times_s:
            yield plain_block(np.array([at_s]), np.array([100]), np.array([1]))

    held: list[Any] = []
    plane = DataPlane(
        [GPU],
        [StreamSpec()],
        [[[[0]], [[0]]]],
        strategies=[StrategySpec()] * 2,
        blocks=some(),
        score=lambda _: held.append(plane.state.option_output_tokens) or undecided(Options(table, np.array([3]))),
    )
    plane.advance(inf)
    assert len({id(array) for array in held[1:]}) == 1
    assert plane.state.option_p is table.p


@pytest.mark.parametrize("wrong", ["row", "shape", "strategies"])
def test_options_that_do_not_fit_are_our_fault(wrong: str) -> None:
    table = corpus() if wrong != "strategies" else corpus((0.1, 0.2, 0.3), (1, 2, 3))
    if wrong == "shape":
        table = table._replace(p_sample=np.zeros((1, 2, 2, 1)))

    def score(block: RequestBlock) -> Scored:
        return undecided(Options(table, np.array([1 if wrong == "row" else 0])))

    plane = DataPlane(
        [GPU],
        [StreamSpec()],
        [[[[0]], [[0]]]],
        strategies=[StrategySpec()] * 2,
        blocks=iter([plain_block(np.array([0.0]), np.array([100]), np.array([1]))]),
        score=score,
    )
    with pytest.raises(EngineError, match="options"):
        plane.advance(inf)
