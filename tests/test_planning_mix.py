"""The program that decides on a purchase: every fleet tried says the same, and its answers keep what they promise."""

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.planning.purchase.instance import Deferrable
from sim.planning.purchase.mix import bound, load, solve
from sim.planning.purchase.mix_model import capacity_per_replica
from sim.planning.purchase.mix_names import Names
from sim.planning.purchase.mix_solver import clean_stdout
from tests.tiny_purchases import WEEK, cheapest_by_trying, drawn_instance, instance_of, supply_of

NEAR = 1e-5
SEEDS = st.integers(0, 10**9)
FEW = settings(max_examples=25, deadline=None, derandomize=True)


def check_against_every_fleet(seeds):
    costs = []
    for seed in seeds:
        instance = drawn_instance(seed)
        mix, truth = solve(instance), cheapest_by_trying(instance)
        assert mix.is_feasible == np.isfinite(truth), seed
        assert mix.bound_usd <= truth, seed
        costs.append(truth)
        if mix.is_feasible:
            assert mix.usd_per_month == pytest.approx(truth, rel=NEAR, abs=1e-6), seed
            check_promises(instance, mix)
    return np.array(costs)


def check_promises(instance, mix):
    """An answer serves every request that is not given up, fits into its replicas and keeps what is asked."""
    flow = mix.flow_rps.sum(axis=(1, 2))
    np.testing.assert_allclose(flow + mix.late_rps, instance.rps, rtol=1e-5, atol=1e-6)
    month = instance.hours * 3600.0
    assert (mix.late_rps @ month).sum() <= (instance.late_share + 1e-5) * (instance.rps @ month).sum() + 1e-6
    for p, supply in enumerate(instance.supplies):
        assert (mix.replicas[p] >= min(supply.least, supply.most)).all()
        assert (mix.replicas[p] <= supply.most).all()
        if supply.kind != "api":
            room = capacity_per_replica(instance, supply) * mix.replicas[p]
            assert (load(instance, mix)[p] <= room + 1e-5).all()
    if instance.least_accuracy is not None:
        assert mix.accuracy >= instance.least_accuracy - 1e-5
    if instance.budget_usd is not None:
        assert mix.usd_per_month <= instance.budget_usd + 0.02
    assert mix.usd_by_supply.sum() == pytest.approx(mix.usd_per_month)


def test_every_fleet_tried_says_the_same():
    costs = check_against_every_fleet(range(40))
    assert 5 < np.isinf(costs).sum() < 20


@pytest.mark.long
def test_every_fleet_tried_says_the_same_hundreds_of_times():
    check_against_every_fleet(range(1000, 1600))


def test_same_instance_same_bytes():
    first, second = (vars(solve(drawn_instance(16))) for _ in range(2))
    assert all(np.array(first[name]).tobytes() == np.array(second[name]).tobytes() for name in first)


def test_what_a_solver_says_to_its_developers_goes_nowhere(capfd):
    with clean_stdout():
        os.write(1, b"a line of its own")
    os.write(1, b"an answer")
    assert capfd.readouterr() == ("an answer", "")


def test_a_baseline_is_reserved_and_the_peak_on_demand():
    reserved = supply_of("owned", "reserved", 1.0, blocks=2)
    rented = supply_of("rented", "on-demand", 1.8, blocks=2, by_block=True)
    mix = solve(instance_of([reserved, rented], [2.0, 5.0], transitions=()))
    assert mix.replicas.tolist() == [[2, 2], [0, 3]]
    assert mix.usd_per_month == pytest.approx(2 * WEEK + 3 * 1.8 * WEEK / 2)


def test_an_api_takes_what_does_not_fill_a_replica():
    pools = [supply_of("gpu", usd=2.0), supply_of("api", "api", 0.0, most=1)]
    work, tokens = np.array([[[1.0, 0.0]]]), np.array([[[0.0, 0.001]]])
    mix = solve(instance_of(pools, [2.1], work_s=work, usd_per_request=tokens))
    assert mix.replicas.tolist() == [[2], [1]]
    assert mix.usd_by_supply[1] == pytest.approx(0.1 * WEEK * 3600 * 0.001)


def test_launches_are_paid_for_and_limited():
    pool = supply_of(usd=2.0, blocks=2, by_block=True, start_up_hours=0.5)
    calm = solve(instance_of([pool], [1.0, 4.0]))
    assert calm.replicas.tolist() == [[1, 4]]
    assert calm.usd_per_month == pytest.approx(5 * WEEK + 3 * 30 * 0.5 * 2.0)
    slow = solve(instance_of([replace(pool, most_started=1)], [1.0, 4.0]))
    assert slow.replicas.tolist() == [[3, 4]]


def test_others_can_do_without_capacity_that_goes_all_at_once():
    spot = supply_of("spot", "spot", 1.0, available=0.9, together=True)
    pools = [spot, supply_of("gpu", usd=3.0), supply_of("api", "api", 0.0, most=1)]
    work, tokens = np.array([[[1.0, 1.0, 0.0]]]), np.array([[[0.0, 0.0, 0.001]]])
    instance = instance_of(pools, [2.0], work_s=work, usd_per_request=tokens)
    mix = solve(instance)
    assert mix.replicas[:, 0].tolist() == [2, 0, 1]
    assert mix.usd_by_supply == pytest.approx([2 * 0.9 * WEEK, 0.0, 0.1 * 2.0 * WEEK * 3600 * 0.001])
    assert load(instance, mix)[0] == pytest.approx([2 * 0.9])
    assert solve(replace(instance, usd_per_request=tokens * 1e4)).replicas[:, 0].tolist() == [0, 2, 0]
    always_some = (replace(spot, together=False), *pools[1:])
    apart = solve(replace(instance, usd_per_request=tokens * 2.0, supplies=always_some))
    assert apart.replicas[:, 0].tolist() == [3, 0, 0]


def test_some_may_be_late_while_capacity_is_away():
    spot = supply_of("spot", "spot", 1.0, available=0.9, together=True)
    instance = instance_of([spot, supply_of("gpu", usd=3.0)], [3.0])
    assert solve(instance).replicas[:, 0].tolist() == [0, 3]
    eased = solve(replace(instance, away_late_share=0.04))
    assert eased.replicas[:, 0].tolist() == [1, 2]
    assert 0.1 - NEAR <= eased.late_rps.sum() <= 0.12 + NEAR
    assert solve(replace(instance, late_share=0.41)).replicas[:, 0].tolist() == [2, 0]
    assert solve(replace(instance, away_late_share=0.41)).replicas[:, 0].tolist() == [3, 0]


def test_an_api_takes_no_more_than_its_limit():
    api = supply_of("api", "api", 0.0, most=1, ceiling=np.array([0.5]))
    work, tokens = np.array([[[1.0, 2.0]]]), np.array([[[0.0, 0.0001]]])
    pools = [supply_of("gpu", usd=2.0), api]
    assert solve(instance_of(pools, [2.2], work_s=work, usd_per_request=tokens)).replicas.tolist() == [[2], [1]]
    assert solve(instance_of(pools, [2.3], work_s=work, usd_per_request=tokens)).replicas.tolist() == [[3], [0]]


def test_work_that_waits_fills_idle_replicas_first():
    pool = supply_of(usd=2.0, blocks=2, by_block=True)
    work = Deferrable(np.array([0.5 * WEEK / 2]), np.array([True, False]))
    with_room = solve(instance_of([pool], [0.5, 4.0], transitions=(), deferrable=work))
    assert with_room.replicas.tolist() == [[1, 4]]
    too_much = solve(instance_of([pool], [0.75, 4.0], transitions=(), deferrable=work))
    assert too_much.replicas.tolist() == [[2, 4]]
    assert too_much.deferred_hours.sum() == pytest.approx(0.5 * WEEK / 2)


def test_accuracy_is_bought_where_strategies_are_free():
    p_correct, work = np.array([[0.5, 0.9]]), np.array([[[1.0], [3.0]]])
    plain = instance_of([supply_of(most=99)], [10.0], p_correct=p_correct, work_s=work)
    assert solve(plain).replicas.item() == 10
    asked = solve(replace(plain, least_accuracy=0.7))
    assert asked.replicas.item() == 20
    assert asked.accuracy == pytest.approx(0.7)
    best = solve(replace(plain, goal="accuracy", budget_usd=25 * 2.0 * WEEK))
    assert best.replicas.item() == 25
    assert best.accuracy == pytest.approx(0.8, abs=NEAR)


def test_goodput_is_bought_as_far_as_the_budget_goes():
    instance = instance_of([supply_of(most=99)], [10.0], goal="goodput", budget_usd=4.5 * 2.0 * WEEK)
    mix = solve(instance)
    assert mix.flow_rps.sum() == pytest.approx(4.0, rel=NEAR)
    assert mix.late_rps.sum() == pytest.approx(6.0, rel=NEAR)


def test_of_equal_mixes_the_surest_is_taken():
    pools = [supply_of(kind, kind, 2.0) for kind in ("spot", "on-demand", "reserved")]
    assert solve(instance_of(pools, [2.5])).replicas[:, 0].tolist() == [0, 0, 3]


def test_replicas_that_cost_nothing_are_not_bought_in_vain():
    assert solve(instance_of([supply_of(usd=0.0, most=50)], [2.5])).replicas.item() == 3


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"least_accuracy": 0.6}, "an accuracy of at least 60%"),
        ({"budget_usd": 1000.0}, "a budget of $1,000 a month"),
        ({"rps": np.array([[12.0]])}, "no more than 9 replicas of h100"),
        ({"work_s": np.full((1, 1, 1), np.inf)}, "no pool can serve stream 1"),
        ({"deferrable": Deferrable(np.array([np.inf]), np.array([True]))}, "the work that waits for cheap hours"),
        (
            {"rps": np.array([[12.0]]), "budget_usd": 1000.0},
            "together: a budget of $1,000 a month; no more than 9 replicas of h100",
        ),
    ],
)
def test_what_stands_in_the_way_is_named(changes, text):
    plain = instance_of([supply_of()], [3.0], p_correct=np.array([[0.5]]))
    mix = solve(replace(plain, **changes))
    assert (mix.is_feasible, mix.binding) == (False, (text,))
    assert mix.bound_usd == np.inf


def test_what_keeps_it_from_being_cheaper_is_named():
    owned = supply_of("owned", "reserved", 1.0, most=1)
    mix = solve(instance_of([owned, supply_of("rented", usd=3.0)], [2.5]), explain=True, names=Names(blocks=["noon"]))
    assert mix.binding == (
        "no more than 1 replica of owned (without it $2,922 a month less)",
        "the load in noon, when rented is 75% as full as it may be",
    )


@FEW
@given(SEEDS, st.floats(0.01, 1000.0))
def test_dearer_prices_scale_the_optimum(seed, factor):
    instance = replace(drawn_instance(seed), budget_usd=None)
    supplies = tuple(
        replace(s, usd_per_hour=s.usd_per_hour * factor, usd_per_month=s.usd_per_month * factor)
        for s in instance.supplies
    )
    dearer = replace(instance, supplies=supplies, usd_per_request=instance.usd_per_request * factor)
    assert solve(dearer).usd_per_month == pytest.approx(factor * solve(instance).usd_per_month, rel=NEAR)


@FEW
@given(SEEDS, st.floats(0.0, 0.5))
def test_more_late_requests_never_cost_more(seed, more):
    instance = drawn_instance(seed)
    eased = replace(instance, late_share=min(instance.late_share + more, 1.0))
    assert solve(eased).usd_per_month <= solve(instance).usd_per_month * (1 + NEAR) + 1e-6


@FEW
@given(SEEDS)
def test_twice_the_load_never_costs_less(seed):
    instance = drawn_instance(seed)
    doubled = replace(instance, rps=2.0 * instance.rps)
    assert solve(doubled).usd_per_month >= solve(instance).usd_per_month * (1 - NEAR) - 1e-6


@FEW
@given(SEEDS, SEEDS)
def test_one_more_supply_never_costs_more(seed, other):
    instance = drawn_instance(seed)
    random = np.random.default_rng(other)
    blocks = instance.hours.size
    extra = supply_of("extra", usd=random.uniform(0.5, 3.0), most=5, blocks=blocks, by_block=bool(random.integers(2)))
    shape = (*instance.work_s.shape[:2], 1)
    work = np.concatenate([instance.work_s, random.uniform(0.2, 1.5, shape)], axis=2)
    tokens = np.concatenate([instance.usd_per_request, np.zeros(shape)], axis=2)
    waiting = instance.deferrable
    if waiting is not None:
        waiting = replace(waiting, work_hours=np.append(waiting.work_hours, np.inf))
    larger = replace(
        instance, supplies=(*instance.supplies, extra), work_s=work, usd_per_request=tokens, deferrable=waiting
    )
    assert solve(larger).usd_per_month <= solve(instance).usd_per_month * (1 + NEAR) + 1e-6


@FEW
@given(SEEDS)
def test_the_bound_is_never_above_the_answer(seed):
    instance = drawn_instance(seed)
    mix = solve(instance)
    assert mix.bound_usd <= mix.usd_per_month
    assert bound(instance) == pytest.approx(mix.bound_usd, rel=1e-6)
    relaxed = replace(instance, supplies=tuple(replace(s, ceiling=None) for s in instance.supplies))
    assert bound(relaxed) <= mix.usd_per_month
