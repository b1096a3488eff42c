"""Months ahead: loads that walk at random, purchases that last, and what waiting costs."""

from datetime import date
from itertools import product

import numpy as np
import pytest

from sim.planning.months.year import load_paths, year_ahead
from sim.planning.months.year_choice import chosen
from sim.planning.months.year_costs import at_load, costs_of
from sim.planning.months.year_words import next_purchase, year_document
from sim.planning.purchase.mix import attempt, relaxed_usd, solve
from sim.planning.purchase.shadow_steps import with_supply
from sim.scenario.planning import Growing
from tests.tiny_purchases import WEEK, drawn_instance, instance_of, supply_of


def owned_and_rented(rps=1.5, **others):
    pools = [
        supply_of("owned", "reserved", 1.0, most=20),
        supply_of("rented", usd=2.5, most=20, by_block=True, blocks=1),
    ]
    return instance_of(pools, [rps], **others)


def ahead(instance, *, months=6, risk=0.05, seed=5, **growing):
    names = {name: growing.pop(name) for name in ("terms", "limited", "now", "usd_factor") if name in growing}
    return year_ahead(instance, Growing(months=months, **growing), risk=risk, seed=seed, **names)


def test_loads_grow_in_the_middle_and_walk_around_it():
    loads = np.log(load_paths(Growing(months=24, per_year=0.5, error=0.3), seed=1, paths=20_000))
    np.testing.assert_allclose(np.median(loads, axis=0), np.log(1.5) * np.arange(1, 25) / 12, atol=1e-12)
    np.testing.assert_allclose(loads.std(axis=0), 0.3 * np.sqrt(np.arange(1, 25) / 12), rtol=0.02)
    again = load_paths(Growing(months=24, per_year=0.5, error=0.3), seed=1, paths=20_000)
    assert again.tobytes() == np.exp(loads).tobytes() or np.allclose(np.log(again), loads, rtol=0, atol=1e-12)


def test_a_load_that_stays_costs_the_same_each_month():
    instance = owned_and_rented()
    year = ahead(instance, error=0.0)
    assert year.total_usd == pytest.approx(6 * solve(instance).usd_per_month)
    assert (year.purchases, year.waiting_usd) == ([], (0.0, 0.0, 0.0))
    assert next_purchase(year).startswith("No reserved replica more pays within 6 months")


@pytest.mark.parametrize("seed", range(6))
def test_without_error_every_sequence_of_fleets_tried_says_the_same(seed):
    random = np.random.default_rng(seed)
    blocks = 2
    pools = [
        supply_of("owned", "reserved", random.uniform(0.8, 1.6), most=9, blocks=blocks),
        supply_of("rented", usd=2.0, most=9, by_block=True, blocks=blocks),
    ]
    instance = instance_of(pools, random.uniform(0.3, 2.5, blocks), transitions=())
    growing = Growing(months=4, per_year=5.0, error=0.0, lead_months=int(random.integers(0, 4)))
    year = year_ahead(instance, growing, risk=0.05, seed=1)
    at, loads = at_load(instance), load_paths(growing, 1)[0]
    usd = [[_month_usd(at(load), fleet) for fleet in range(7)] for load in loads]
    now = int(solve(instance).replicas[0, 0])
    best = min(
        sum(usd[month][fleet] for month, fleet in enumerate(fleets))
        for fleets in product(range(now, 7), repeat=4)
        if list(fleets) == sorted(fleets) and all(f == now for f in fleets[: max(growing.lead_months - 1, 0)])
    )
    assert year.total_usd == pytest.approx(best, rel=1e-4)


def _month_usd(instance, fleet):
    mix = attempt(with_supply(instance, 0, least=fleet, most=fleet))
    return np.inf if mix is None else mix.usd_per_month


def test_where_nothing_else_serves_the_fleet_is_bought_for_the_risk():
    instance = instance_of([supply_of("owned", "reserved", 1.0, most=50)], [8.0])
    for risk in (0.02, 0.2):
        year = ahead(instance, risk=risk, error=0.5, lead_months=1)
        loads = 8.0 * load_paths(Growing(months=6, error=0.5), seed=5)
        for month in year.months:
            fleet = month.pools["owned"]
            assert (loads[:, month.month - 1] > fleet * 1.02).mean() <= risk
    assert "more load than anything else can carry" in next_purchase(year)


def test_a_purchase_waits_until_it_is_busy_enough():
    year = ahead(owned_and_rented(1.0), months=12, per_year=1.0, error=0.0, lead_months=2)
    first = year.purchases[0]
    assert (first.pool, first.replicas, first.month, first.decide_by) == ("owned", 1, 2, 0)
    early = instance_of(
        [
            supply_of("owned", "reserved", 1.0, most=9, blocks=2),
            supply_of("rented", usd=1.6, most=9, by_block=True, blocks=2),
        ],
        [1.0, 0.55],
        transitions=(),
    )
    year = ahead(early, months=12, per_year=1.2, error=0.0, lead_months=2)
    assert [each.month for each in year.purchases] == [10]
    assert year.purchases[0].pays_from == pytest.approx(1.0 / 0.55, abs=0.05)
    text = next_purchase(year, date(2026, 3, 2))
    assert text.startswith(
        "Order 1 more replica of owned by the end of November 2026, so that it serves from January 2027"
    )


def test_what_waiting_costs_is_paired():
    year = ahead(owned_and_rented(1.0), months=12, per_year=1.0, error=0.2)
    mean, low, high = year.waiting_usd
    assert mean > 0.0
    assert low < mean < high
    assert "Buying nothing more would cost" in next_purchase(year)


def test_the_budget_is_broken_more_often_as_the_load_grows():
    instance = owned_and_rented(2.0, budget_usd=3.5 * WEEK)
    chances = [month.p_over_budget for month in ahead(instance, months=12, per_year=1.0, error=0.2).months]
    assert chances == sorted(chances)
    assert chances[0] < 0.2 < 0.9 < chances[-1]


def test_commitments_lapse_where_the_load_shrinks():
    year = ahead(owned_and_rented(6.0), months=6, per_year=-0.9, error=0.0, terms={"owned": 3})
    assert [month.pools["owned"] for month in year.months][:3] == [6.0, 6.0, 6.0]
    assert year.lapses[0].month == 4
    assert year.months[-1].pools["owned"] < 6.0


def test_pools_by_the_hour_alone_need_no_purchase():
    year = ahead(instance_of([supply_of(most=9)], [1.5]), per_year=0.5)
    assert next_purchase(year) == "Nothing has to be bought ahead: every pool is paid for by the hour."
    assert len(year_document(year, date(2026, 1, 1))["months"]) == 6


def test_a_limit_that_somebody_set_does_not_grow():
    instance = instance_of([supply_of("owned", "reserved", 1.0, most=2)], [1.5])
    assert ahead(instance, per_year=3.0, error=0.0, limited=("owned",)).months[-1].p_short == 1.0
    assert ahead(instance, per_year=3.0, error=0.0).months[-1].p_short == 0.0
    assert ahead(instance_of([supply_of(most=1)], [5.0])) is None


@pytest.mark.parametrize("seed", range(20))
def test_fleets_of_months_are_the_best_of_all_sequences(seed):
    random = np.random.default_rng(seed)
    months, fleets = 4, np.array([[1], [0], [2], [3]])
    usd = random.uniform(1.0, 10.0, (months, 4))
    term, lead = int(random.integers(1, 6)), int(random.integers(0, 4))
    choice = chosen(usd, fleets, [term], lead)
    best = min(
        usd[np.arange(months), list(picks)].sum()
        for picks in product(range(4), repeat=months)
        if _can_be_bought(fleets[list(picks), 0], term, lead)
    )
    assert usd[np.arange(months), choice.fleets].sum() == pytest.approx(best)


def _can_be_bought(counts, term, lead):
    """Whether purchases, each lasting a term, can make up these counts; one replica is there and lasts a term."""
    bought = []
    for month, count in enumerate(counts):
        lasting = (1 if month < term else 0) + sum(n for m, n in bought if month - m < term)
        new = count - lasting
        if new < 0 or (new > 0 and month + 1 < lead and not (month > 0 and month % term == 0)):
            return False
        bought.append((month, new))
    return True


def test_a_table_in_parts_of_replicas_is_near_the_one_in_whole_ones(monkeypatch):
    instance = owned_and_rented(8.0)
    loads = np.array([0.8, 1.0, 1.3, 1.7])
    whole = costs_of(at_load(instance), loads)
    monkeypatch.setattr("sim.planning.months.year_costs._LARGE", 0)
    parts = costs_of(at_load(instance), loads)
    np.testing.assert_allclose(parts.usd, whole.usd, rtol=0.1)
    assert relaxed_usd(instance) <= solve(instance).usd_per_month


def test_a_plan_that_is_carried_out_is_where_the_year_begins():
    instance = owned_and_rented(1.5)
    plain, priced = ahead(instance, error=0.0), ahead(instance, error=0.0, usd_factor=0.9)
    assert priced.total_usd == pytest.approx(0.9 * plain.total_usd)
    fewer = ahead(instance, error=0.0, now={"owned": 0}, lead_months=3)
    assert [month.pools["owned"] for month in fewer.months] == [0.0, 0.0, 2.0, 2.0, 2.0, 2.0]
    assert (fewer.purchases[0].month, fewer.purchases[0].replicas) == (3, 2)


def test_same_seed_same_year():
    first, second = (ahead(drawn_instance(4), per_year=0.4, error=0.2, seed=3) for _ in range(2))
    assert repr(first) == repr(second)
