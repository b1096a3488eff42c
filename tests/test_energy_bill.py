"""Electricity and carbon worked out by hand: time of use, PUE, the month's highest power, the customer's day."""

from __future__ import annotations

from typing import Any

import pytest

from sim.results import Results
from sim.simulation import simulate
from tests.small import chat, pool, scenario
from tests.test_bills import bill, empty

POWER = {"busy_w": 700.0, "idle_w": 200.0, "pue": 1.5}
FREE = {"kind": "reserved", "usd_per_gpu_hour": 0.0}


def site(replicas: int = 10, **fields: Any) -> dict[str, Any]:
    """Servers of one GPU that draw 300 W each at the meter while they are on and idle, and cost nothing else."""
    return pool(replicas=replicas, offer=FREE, power=POWER, **fields)


def tariff(base: float, *windows: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"kind": "windows", "usd_per_kwh": base, "windows": list(windows), **fields}


def demand(usd_per_kw: float, **fields: Any) -> dict[str, Any]:
    return {"name": "demand", "usd_per_kw_month": usd_per_kw, **fields}


def switched(*windows: tuple[str, int], otherwise: int) -> list[dict[str, Any]]:
    """A schedule: so many servers are on in each window, and `otherwise` outside."""
    return [{"hours": hours, "replicas": n} for hours, n in [*windows, ("00:00-24:00", otherwise)]]


def usd(results: Results, line: str) -> float:
    return bill(results, "line").get(line, 0.0)


def test_energy_is_paid_by_time_of_use_and_with_the_losses_of_the_site() -> None:
    peak = {"name": "peak", "hours": "16:00-21:00", "usd_per_kwh": 0.40}
    results = empty(horizon="24h", fleet=[site(electricity=tariff(0.10, peak))])

    # Ten times 200 W, times 1.5: 3 kW; five hours at 40 cents and nineteen at 10.
    assert bill(results, "window") == pytest.approx({"peak": 5 * 3 * 0.40, "base": 19 * 3 * 0.10})
    assert bill(results, "line") == pytest.approx({"electricity": 11.70})
    assert results.summary["energy"]["kwh"] == pytest.approx(72.0)


def test_servers_that_are_off_draw_nothing() -> None:
    fleet = [site(electricity=tariff(0.10), schedule=switched(("06:00-18:00", 10), otherwise=4))]

    assert usd(empty(horizon="24h", fleet=fleet), "electricity") == pytest.approx(12 * (3.0 + 1.2) * 0.10)


def test_servers_that_work_draw_more() -> None:
    results = simulate(scenario(workload=[chat()], fleet=[site(2, electricity=tariff(0.10))], horizon="10m"))
    busy_h = float(results.buckets["busy_s"].sum()) / 3600.0

    assert busy_h > 0.05
    assert usd(results, "electricity") == pytest.approx((busy_h * 1.05 + (2 / 6 - busy_h) * 0.30) * 0.10)


def test_a_day_of_23_hours_has_23_hours_of_energy() -> None:
    night = {"name": "night", "hours": "00:00-06:00", "usd_per_kwh": 0.05}
    fleet = [site(electricity=tariff(0.10, night))]
    results = empty(horizon="23h", start="2026-03-29", time_zone="Europe/Berlin", fleet=fleet)

    assert bill(results, "window") == pytest.approx({"night": 5 * 3 * 0.05, "base": 18 * 3 * 0.10})


def test_a_price_below_zero_earns_money() -> None:
    market = {"kind": "series", "usd_per_mwh": [50.0, -20.0], "step": "1h"}

    assert usd(empty(horizon="2h", fleet=[site(electricity=market)]), "electricity") == pytest.approx(0.15 - 0.06)


def test_demand_is_the_highest_mean_of_a_quarter_of_an_hour() -> None:
    on = switched(("12:05-12:10", 10), otherwise=5)
    fleet = [site(schedule=on, electricity=tariff(0.0, demand=[demand(20.0)]))]
    results = empty(horizon="24h", fleet=fleet)

    # Five minutes at 3 kW and ten at 1.5 kW are 2 kW for a quarter of an hour; the run is a day of January's 31.
    assert bill(results, "line") == pytest.approx({"demand_charge": 2.0 * 20.0 / 31})


def test_quarters_of_an_hour_are_those_of_the_clock() -> None:
    """From seven minutes past on: the first quarter is what is left of one, the others begin at :15, :30 and so on."""
    on = switched(("12:15-12:30", 10), otherwise=5)
    fleet = [site(schedule=on, electricity=tariff(0.0, demand=[demand(20.0)]))]
    results = empty(start="2026-01-05T12:07:00", horizon="60m", fleet=fleet)

    assert usd(results, "demand_charge") == pytest.approx(3.0 * 20.0 / (31 * 24))


def test_the_last_quarter_of_a_run_counts_as_well() -> None:
    fleet = [site(schedule=switched(("00:45-01:00", 10), otherwise=5), electricity=tariff(0.0, demand=[demand(20.0)]))]

    assert usd(empty(horizon="1h", fleet=fleet), "demand_charge") == pytest.approx(3.0 * 20.0 / (31 * 24))


def test_each_charge_has_its_own_hours_and_they_add_up() -> None:
    on = switched(("12:00-12:15", 10), otherwise=5)
    charges = [demand(20.0), {"name": "peak", "hours": "16:00-21:00", "usd_per_kw_month": 10.0}]
    results = empty(horizon="24h", fleet=[site(schedule=on, electricity=tariff(0.0, demand=charges))])

    assert bill(results, "window") == pytest.approx({"demand": 3.0 * 20.0 / 31, "peak": 1.5 * 10.0 / 31})


def test_each_month_has_a_highest_power_of_its_own() -> None:
    on = switched(("12:00-12:15", 10), otherwise=5)
    on[0] |= {"days": ["sat"]}
    electricity = tariff(0.0, demand=[demand(20.0)])
    fleet = [site(schedule=on, electricity=electricity)]
    results = empty(start="2026-01-31", horizon="48h", fleet=fleet)

    # Saturday is the last day of January, with 3 kW at noon; Sunday the first of February, which has 28 days.
    assert usd(results, "demand_charge") == pytest.approx(3.0 * 20.0 / 31 + 1.5 * 20.0 / 28)


def test_pools_of_one_tariff_are_behind_one_meter() -> None:
    """At noon one pool is at its highest and at six the other; what is charged is the higher of the sums."""
    electricity = tariff(0.0, demand=[demand(31.0)])
    noon = site(name="noon", electricity=electricity, schedule=switched(("12:00-13:00", 10), otherwise=2))
    six = site(name="six", electricity=electricity, schedule=switched(("18:00-19:00", 8), otherwise=2))
    results = empty(horizon="24h", fleet=[noon, six])

    # 3 kW and 0.6 kW at noon are more than 0.6 kW and 2.4 kW at six.
    assert bill(results, "pool") == pytest.approx({"noon": 3.0, "six": 0.6})


def test_the_customer_charge_is_by_the_day_and_once_a_meter() -> None:
    electricity = tariff(0.0, usd_per_day=3.0)
    fleet = [site(3, name="a", electricity=electricity), site(1, name="b", electricity=electricity)]
    results = empty(horizon="36h", fleet=fleet)

    assert bill(results, "line") == pytest.approx({"customer_charge": 4.50})
    assert bill(results, "pool") == pytest.approx({"a": 4.50 * 3 / 4, "b": 4.50 / 4})


def test_the_whole_bill_of_a_site() -> None:
    peak = {"name": "peak", "hours": "16:00-21:00", "usd_per_kwh": 0.40}
    electricity = tariff(0.10, peak, demand=[demand(31.0)], usd_per_day=2.0)
    results = empty(horizon="24h", fleet=[site(electricity=electricity)])

    lines = {"electricity": 11.70, "demand_charge": 3.0, "customer_charge": 2.0}
    assert bill(results, "line") == pytest.approx(lines)
    assert results.summary["cost"]["total_usd"] == pytest.approx(16.70)


def test_carbon_is_that_of_the_hour() -> None:
    dirty = {"name": "evening", "hours": "17:00-22:00", "g_co2_per_kwh": 400.0}
    carbon = {"kind": "windows", "g_co2_per_kwh": 100.0, "windows": [dirty]}
    results = empty(horizon="24h", fleet=[site(carbon=carbon)])

    # 3 kW: five hours at 400 g and nineteen at 100 g.
    kg = 3 * (5 * 0.4 + 19 * 0.1)
    assert results.summary["energy"]["carbon_kg"] == pytest.approx(kg)
    assert float(results.ledger["carbon_kg"].sum()) == pytest.approx(kg)
    evening = results.buckets.query("begin_s == 17 * 3600")
    assert evening["carbon_kg"].tolist() == [pytest.approx(1.2)]


def test_carbon_of_a_table_goes_by_month_and_local_hour() -> None:
    rows = [
        {"months": [1], "g_co2_per_kwh": [float(hour) for hour in range(24)]},
        {"months": list(range(2, 13)), "g_co2_per_kwh": [100.0] * 24},
    ]
    fleet = [site(carbon={"kind": "table", "rows": rows})]
    results = empty(start="2026-01-31T22:00", horizon="3h", time_zone="Asia/Kolkata", fleet=fleet)

    assert results.summary["energy"]["carbon_kg"] == pytest.approx(3 * (22 + 23 + 100) / 1e3)
