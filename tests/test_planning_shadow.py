"""What a step of a target, a limit or a price is worth, checked on purchases small enough to do by hand."""

from dataclasses import replace

import numpy as np
import pytest

from sim.planning.purchase.fronts import best_for, front, worth_of_budget
from sim.planning.purchase.mix import solve
from sim.planning.purchase.mix_names import Names
from sim.planning.purchase.shadow import binding, break_even, shadow_prices, why_not
from sim.planning.purchase.shadow_steps import Step
from tests.tiny_purchases import WEEK, drawn_instance, instance_of, supply_of

GPU = 2.0 * WEEK


def by_name(instance, **others):
    prices = shadow_prices(instance, solve(instance), **others)
    return {(price.name, np.sign(price.step)): price for price in prices}


def two_strategies(**others):
    """0.5 right for a second of work, 0.9 right for three, ten requests a second."""
    shapes = {"p_correct": np.array([[0.5, 0.9]]), "work_s": np.array([[[1.0], [3.0]]])}
    return instance_of([supply_of(most=99)], [10.0], **shapes, **others)


def test_a_point_of_slo_saves_a_replica():
    price = by_name(instance_of([supply_of(most=999)], [100.5]))["slo", -1]
    assert price.usd == pytest.approx(GPU)
    assert price.text == "One point less of requests within their objectives saves $1,461 a month."


def test_whole_replicas_may_make_a_step_worth_nothing():
    price = by_name(instance_of([supply_of()], [2.5]))["slo", -1]
    assert price.usd == 0.0
    assert price.text == (
        "One point less of requests within their objectives saves nothing, because replicas are whole; "
        "20 points less of requests within their objectives save $1,461 a month."
    )


def test_a_point_of_accuracy_has_a_price_both_ways():
    prices = by_name(two_strategies(least_accuracy=0.7))
    assert prices["accuracy", -1].usd == 0.0
    assert "2 points less of right answers save $1,461" in prices["accuracy", -1].text
    assert prices["accuracy", 1].usd == pytest.approx(-GPU)


def test_a_policy_that_is_fixed_gives_what_it_gives():
    price = by_name(two_strategies(shares=np.full((1, 2, 1), 0.5), least_accuracy=0.6))["accuracy", 1]
    assert price.text == (
        "One point more of right answers changes nothing: as these strategies are chosen, 70% of answers are right."
    )


def test_more_budget_buys_right_answers():
    at_twenty = two_strategies(goal="accuracy", budget_usd=20 * GPU + 600.0)
    price = by_name(at_twenty)["budget_usd_per_month", 1]
    assert price.gains["accuracy"] == pytest.approx(0.02, abs=1e-5)
    assert price.text == "One more $1,000 a month buys 2 points of right answers."


def test_a_budget_step_that_buys_nothing_tells_what_would():
    price = by_name(two_strategies(least_accuracy=0.7))["budget_usd_per_month", 1]
    assert price.text == "One more $1,000 a month buys nothing: the first right answer more takes $1,461."


def test_a_pool_that_is_not_bought_has_a_price_at_which_it_would_be():
    instance = instance_of([supply_of("good", usd=2.0, most=99), supply_of("dear", usd=4.0, most=99)], [50.0])
    mix = solve(instance)
    assert break_even(instance, mix, 1) == pytest.approx(0.5, rel=1e-3)
    text = by_name(instance)["price.dear", -1].text
    assert text == "Dear is not bought; it would be if it were 50% cheaper."


@pytest.mark.parametrize("seed", [3, 16, 19, 27, 33, 38])
def test_at_its_break_even_a_pool_begins_to_pay(seed):
    from sim.planning.purchase.shadow_steps import with_price

    instance = replace(drawn_instance(seed), budget_usd=None)
    mix = solve(instance)
    for p in np.flatnonzero(mix.usd_by_supply == 0.0):
        share = break_even(instance, mix, p) or 0.0
        above, below = (solve(with_price(instance, p, f * share)).usd_per_month for f in (1.001, 0.9))
        assert above == pytest.approx(mix.usd_per_month, rel=3e-4)
        assert share == 0.0 or below < mix.usd_per_month


def test_limits_and_names_are_told():
    owned, rented = supply_of("owned", "reserved", 1.0, most=1), supply_of("rented", usd=3.0)
    prices = by_name(instance_of([owned, rented], [2.5]), names=Names(blocks=["noon"]))
    assert prices["most.owned", 1].usd == pytest.approx(2.0 * WEEK)
    assert prices["price.rented", -1].usd == pytest.approx(0.1 * 2 * 3.0 * WEEK)
    assert prices["load.noon", -1].text == "A tenth less load in noon saves nothing, because replicas are whole."


def test_a_step_of_the_caller_takes_the_place_of_ours():
    instance = instance_of([supply_of(most=99)], [10.0])
    tighter = Step("slo", -0.01, "share", "a looser promise", replace(instance, rps=instance.rps * 0.9))
    price = by_name(instance, others=[tighter])["slo", -1]
    assert (price.usd, price.text) == (pytest.approx(GPU), "A looser promise saves $1,461 a month.")


def test_nothing_is_worth_anything_where_there_is_no_mix():
    instance = instance_of([supply_of()], [50.0])
    mix = solve(instance)
    assert shadow_prices(instance, mix) == []
    assert binding(instance, mix) == ["no more than 9 replicas of h100"]


def test_the_runner_up_lost_by_its_price():
    instance = instance_of([supply_of("good", usd=2.0), supply_of("dear", usd=3.0)], [2.5])
    without = replace(instance, supplies=(supply_of("good", most=0), supply_of("dear", usd=3.0)))
    mix, other = solve(instance), solve(without)
    assert why_not(instance, mix, other) == (
        "It costs $2,192 a month more: $6,574 more for dear (3 replicas in the mean instead of 0), "
        "$4,383 less for good (0 replicas in the mean instead of 3)."
    )


def test_a_front_rises_from_the_cheapest_to_the_best():
    mixes = front(two_strategies(), points=5)
    assert [round(mix.usd_per_month / GPU) for mix in mixes] == [10, 15, 20, 25, 30]
    np.testing.assert_allclose([mix.accuracy for mix in mixes], [0.5, 0.6, 0.7, 0.8, 0.9], atol=1e-5)


def test_a_front_over_policies_leaves_out_the_worse():
    p_correct, shares = np.array([[0.5, 0.9]]), np.array([[[1.0], [0.0]]])
    direct = two_strategies(shares=shares)
    careful = two_strategies(shares=1.0 - shares)
    worse = replace(direct, p_correct=p_correct - 0.1)
    mixes = front([careful, worse, direct])
    assert [(round(mix.usd_per_month / GPU), round(mix.accuracy, 2)) for mix in mixes] == [(10, 0.5), (30, 0.9)]
    assert best_for([direct, worse, careful], 31 * GPU)[0] == 2
    assert worth_of_budget([direct, careful], 30 * GPU - 500.0).text == (
        "One more $1,000 a month buys 40 points of right answers."
    )
    assert "takes $29,220" in worth_of_budget([direct, careful], 10 * GPU).text
