"""Fleets that follow the load against one that is sized for the peak, on the same requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.month import Report, month, tenths
from benchmarks.servegen import FLEETS, POOL, compare_fleets, servegen_day
from benchmarks.table import fleet_tables, month_table
from tests.small import chat, pool

CLIENTS = Path(__file__).parent / "data" / "clients"
SHORT_DAY = {
    "name": "short-day",
    "horizon": "4h",
    "replications": 5,
    "workload": [
        {
            "name": "language",
            "arrivals": {"kind": "clients", "path": CLIENTS / "day.rates.csv", "tokens": CLIENTS / "day.tokens.csv"},
            "slo": {"ttft": "2s", "tpot": "100ms"},
        }
    ],
    "forecast": {"error": 0.15, "correlation": "10m"},
}
SCALING = {"min": 1, "max": 8, "tick": "15s", "start_up": "1m", "cool_down": "5m"}
SCALED: dict[str, dict[str, Any]] = {
    "queue": {"kind": "queue", "target_outstanding": 16, "average": "1m"},
    "busy": {"kind": "busy", "target_busy": 0.35, "average": "1m"},
    "predictive": {"kind": "predictive", "rps_per_replica": 4.5},
}
FIXED = "fixed"


@pytest.fixture(scope="module")
def short_day() -> dict[str, Any]:
    """A day of four hours, of three clients whose rate goes from 4 to 24 requests a second and back, with bursts."""
    fleets = {FIXED: {"replicas": 7}} | {
        name: {"autoscale": scaling | SCALING, "replicas": 2} for name, scaling in SCALED.items()
    }
    return compare_fleets(SHORT_DAY, POOL, fleets)


@pytest.mark.parametrize("name", SCALED)
def test_a_fleet_that_follows_the_load_costs_less(short_day: dict[str, Any], name: str) -> None:
    less = short_day["differences"][name]["usd"]

    assert less["low"] < less["mean"] < less["high"] < -0.2 * short_day["fleets"][FIXED]["usd"]["mean"]


@pytest.mark.parametrize("name", SCALED)
def test_it_keeps_nearly_all_promises(short_day: dict[str, Any], name: str) -> None:
    kept = short_day["fleets"][name]["attainment"]

    assert 0.97 < kept["low"] <= kept["mean"] <= kept["high"] <= 1.0
    assert short_day["differences"][name]["attainment"]["high"] < 0.0


@pytest.mark.parametrize("name", SCALED)
def test_servers_come_with_the_load_and_go_with_it(short_day: dict[str, Any], name: str) -> None:
    """The rate is lowest in the first and the last hour; a rule that chased bursts would launch many more."""
    first, second, third, last = short_day["by_hour"][name]

    assert min(second, third) > 1.5 * max(first, last)
    assert 5 <= short_day["fleets"][name]["starts"] <= 40


def test_all_fleets_meet_the_same_requests(short_day: dict[str, Any]) -> None:
    asked = [row["requests"] for row in short_day["fleets"].values()]

    assert len(set(asked[0])) == 5
    assert asked == [asked[0]] * 4


def test_a_fixed_fleet_has_the_same_bill_whatever_comes(short_day: dict[str, Any]) -> None:
    fixed, queue = short_day["fleets"][FIXED]["usd"], short_day["fleets"]["queue"]["usd"]

    assert (fixed["low"], fixed["high"]) == pytest.approx((7 * 4 * 2.50 * 4,) * 2)
    assert short_day["differences"]["queue"]["usd"]["mean"] == pytest.approx(queue["mean"] - fixed["mean"])
    assert short_day["by_hour"][FIXED] == pytest.approx([7.0] * 4)


def test_an_autoscaler_that_may_not_move_is_a_fixed_fleet() -> None:
    day = {"name": "still", "horizon": "20m", "replications": 2, "workload": [chat()]}
    offer = {"kind": "on-demand", "usd_per_gpu_hour": 2.0}
    still = {"autoscale": {"min": 2, "max": 2, "kind": "queue", "target_outstanding": 1}}
    found = compare_fleets(day, pool(offer=offer), {FIXED: {}, "still": still})

    assert all(one == {"mean": 0.0, "low": 0.0, "high": 0.0} for one in found["differences"]["still"].values())


def test_the_tables_tell_it(short_day: dict[str, Any]) -> None:
    fleets, differences, by_hour = fleet_tables(short_day)

    assert (fleets.row_count, differences.row_count, by_hour.row_count) == (4, 3, 4)
    assert "±" in str(list(fleets.columns[1].cells)[1])


def test_the_month_measures_a_process_of_its_own() -> None:
    figures = month("90m")

    assert figures["requests"] > 100_000
    assert len(figures["tenths"]) == 10
    assert 0 < figures["tenths"][0]["resident_gb"] <= figures["peak_gb"]
    assert month_table(figures).row_count == 2


def test_tenths_are_those_of_the_requests() -> None:
    reports = [Report(0.0, 0, 0.1), Report(1.0, 10, 0.2), Report(1.5, 95, 0.3), Report(3.0, 100, 0.4)]
    found = tenths(reports)

    assert found[0] == {"requests_per_s": pytest.approx(10.0), "resident_gb": 0.2}
    assert found[-1] == {"requests_per_s": pytest.approx(5 / 1.5), "resident_gb": 0.4}


@pytest.mark.long
def test_the_servegen_day_costs_less_with_fleets_that_follow_it(shared: Path) -> None:
    figures = servegen_day(shared / "traces" / "servegen", replications=5)
    fixed = figures["against"]

    assert figures["requests"] > 2_000_000
    assert figures["fleets"][fixed]["worst_hour"]["mean"] > 0.99
    for name in ("queue", "busy", "predictive"):
        assert figures["differences"][name]["usd"]["high"] < 0.0
        kept = figures["fleets"][name]["attainment"]
        assert 0.99 < kept["low"] <= kept["high"] <= 1.0
        # Hindsight knows how small a fixed fleet keeps as many promises over the day; it still costs more.
        assert figures["fleets"][name]["usd"]["high"] < figures["fleets"]["fixed, for the day"]["usd"]["mean"]
    assert set(FLEETS) == set(figures["fleets"])
