"""The bill of random fleets is price x paid time + tokens x rate, and follows prices and nothing else."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from sim.ledger import LINES
from sim.results import Results
from sim.scenario import ApiPool, Scenario
from sim.simulation import simulate
from tests.plain_bill import Dollars, World
from tests.plain_tariffs import Wall, label_at, token_rates
from tests.priced_scenarios import Fields, doubled, priced_scenarios, steady_scenarios
from tests.small import rows

FAST: dict[str, Any] = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
LONG = FAST | {"derandomize": False}
OTHER_NAMES = {"p0": "zeta", "p1": "alpha", "calls": "elsewhere"}
SLEEP_LINES = ("sleep_used", "sleep_wasted")
TIME_LINES = ("busy", *SLEEP_LINES, "lost_work", "timed_out", "idle", "starting", "draining", "down", "off")
ENDS = ("completed", "rejected", "timed_out", "failed", "unfinished")


def same(found: Dollars, owed: Dollars) -> None:
    """Equal to a billionth, of the sum where a part is small."""
    whole = sum(abs(usd) for usd in owed.values())
    for key in {*found, *owed}:
        assert found.get(key, 0.0) == pytest.approx(owed.get(key, 0.0), rel=1e-9, abs=1e-9 * max(whole, 1e-3)), key


def check_invoice(world: World) -> None:
    """Every line of the bill is what is owed for it, by pool and window."""
    apis = {pool.name for pool in world.scenario.fleet if isinstance(pool, ApiPool)}
    used = world.found(*TIME_LINES, "api")
    same({key: usd for key, usd in used.items() if key[0] not in apis}, world.time_usd())
    same({key: usd for key, usd in used.items() if key[0] in apis}, world.token_usd())
    same(world.found("minimum_billing"), world.rounding_usd())
    same(world.found("upfront"), world.upfront_usd())
    same(world.found("electricity"), world.electricity_usd())
    same(by_window(world.found("demand_charge")), by_window({("", k): usd for k, usd in world.demand_usd().items()}))
    assert sum(world.found("customer_charge").values()) == pytest.approx(world.customer_usd(), rel=1e-9)
    assert sum(world.found("training").values()) == pytest.approx(world.training_usd(), rel=1e-9)


def by_window(usd: Dollars) -> Dollars:
    """Pools put together."""
    sums: Dollars = {}
    for (_, window), value in usd.items():
        sums["", window] = sums.get(("", window), 0.0) + value
    return sums


def check_time_and_energy(world: World) -> None:
    """Servers are paid for as long as their ranks are in the buckets; energy and carbon follow from those."""
    ledger = world.ledger.groupby("pool")[["kwh", "carbon_kg"]].sum()
    spent = [column for column in world.buckets if str(column) in {f"{line}_s" for line in TIME_LINES}]
    for pool in world.gpu_pools:
        mine = world.buckets[world.buckets["pool"] == pool.name]
        paid_s = sum(end_s - begin_s for begin_s, end_s in world.spans(pool)) * pool.data_parallel
        assert float(mine[spent].to_numpy().sum()) == pytest.approx(paid_s, rel=1e-9, abs=1e-6)
        assert float(ledger["kwh"].get(pool.name, 0.0)) == pytest.approx(sum(world.kwh(pool)), rel=1e-9, abs=1e-12)
        assert float(ledger["carbon_kg"].get(pool.name, 0.0)) == pytest.approx(world.carbon_kg(pool), abs=1e-9)


def check_sums(world: World) -> None:
    """All ways to split the bill sum to it."""
    cost, ledger = world.results.summary["cost"], world.ledger
    total = cost["total_usd"]
    near = pytest.approx(total, rel=1e-9, abs=1e-9 * max(float(ledger["usd"].abs().sum()), 1e-3))

    assert set(ledger["line"]) <= set(LINES)
    assert float(ledger["usd"].sum()) == near
    for split in ("by_line", "by_pool", "by_window"):
        assert sum(cost[split].values()) == near, split
    used = {split: sum(cost[split].values()) for split in ("by_stream", "by_strategy", "by_class")}
    for split, usd in used.items():
        assert usd == pytest.approx(float(ledger[ledger["stream"].notna()]["usd"].sum()), rel=1e-9), split
        assert sum(cost["allocated"][split].values()) == (near if usd else 0.0), split


def check_requests(world: World) -> None:
    """Every request ends in one way, and carries what was spent on it; a call costs its tokens at their rates."""
    requests, summary = rows(world.results), world.results.summary
    assert requests["request_id"].tolist() == list(range(summary["requests"]["offered"]))
    ends = requests["status"].astype(str).str.split("_no|_too|_queue|_rate").str[0]
    for stream, found in summary["streams"].items():
        mine = ends[requests["stream"] == stream].value_counts()
        counted = {end: int(mine.get(end, 0)) for end in ENDS}
        assert {end: found[end] for end in ENDS[:-1]} | {"unfinished": counted["unfinished"]} == counted
        assert found["offered"] == sum(counted.values())
    spent = float(world.ledger[world.ledger["stream"].isin(summary["streams"])]["usd"].sum())
    assert float(requests["cost_usd"].sum()) == pytest.approx(spent, rel=1e-9, abs=1e-12)
    for pool in world.scenario.fleet:
        if isinstance(pool, ApiPool):
            check_calls(world.scenario, pool, requests[(requests["pool"] == pool.name) & (requests["attempts"] == 1)])


def check_sleep(world: World) -> None:
    """Sleep-time work has two lines and a stream of its own; what was used is what its preparations cost."""
    ledger, found = world.ledger, world.results.summary["sleep"]
    asleep = ledger[ledger["stream"] == "sleep"]
    assert set(asleep["line"]) == set(ledger["line"]) & set(SLEEP_LINES)
    account = world.results.replications[0].sleep
    if account is None:
        assert asleep.empty
        return
    near = pytest.approx(float(asleep["usd"].sum()), rel=1e-9, abs=1e-12)
    assert found["cost_usd"] == near
    assert found["wasted_usd"] == pytest.approx(sum(world.found("sleep_wasted").values()), rel=1e-9, abs=1e-12)
    assert float(account.used_usd.sum()) <= float(account.spent_usd.sum()) <= found["cost_usd"] * (1 + 1e-9) + 1e-12
    assert 0 <= account.used <= account.prepared <= account.jobs
    questions = [account.hits, account.stale, account.expired, account.late]
    assert (
        sum(int(each.sum()) for each in questions)
        <= int(account.asked.sum())
        <= world.results.summary["requests"]["offered"]
    )


def check_calls(scenario: Scenario, pool: ApiPool, calls: pd.DataFrame) -> None:
    """Answers of an API at the first attempt, where it can be told when they began."""
    tariff = pool.tariff
    waits = pool.rate_limit is not None and pool.rate_limit.when_full == "wait"
    if tariff.bill_by == "start" and waits:
        return
    wall = Wall(scenario, tariff)
    for call in calls[calls["status"] == "completed"].itertuples():
        at_s = call.arrival_s + (call.e2e_s if tariff.bill_by == "completion" else 0.0)
        fresh, cached, output = token_rates(tariff, label_at(tariff, wall, at_s))
        held = int(pool.cached_share * call.prompt_tokens)
        usd = (call.prompt_tokens - held) * fresh + held * cached + call.output_tokens * output
        assert call.cost_usd == pytest.approx(usd, rel=1e-9)


def check(fields: Fields) -> World:
    world = World(fields)
    check_invoice(world)
    check_time_and_energy(world)
    check_sums(world)
    check_requests(world)
    check_sleep(world)
    return world


def check_doubling(fields: Fields) -> None:
    """Twice the prices are twice the dollars, line by line, and nothing else."""
    once, twice = (simulate(Scenario.model_validate(each), keep_requests=True) for each in (fields, doubled(fields)))
    for table in ("ledger", "buckets", "stream_buckets", "latency"):
        expected, found = getattr(once, table), getattr(twice, table)
        usd = [column for column in expected if "usd" in str(column)]
        expected[usd] *= 2.0
        pd.testing.assert_frame_equal(found, expected, rtol=1e-12, atol=0.0)
    pd.testing.assert_frame_equal(
        rows(twice), rows(once).assign(cost_usd=lambda frame: 2.0 * frame["cost_usd"]), rtol=1e-12, atol=0.0
    )


@settings(max_examples=60, **FAST)
@given(fields=priced_scenarios())
def test_every_line_is_what_is_owed_for_it(fields: Fields) -> None:
    check(fields)


@settings(max_examples=20, **FAST)
@given(fields=priced_scenarios())
def test_twice_the_prices_are_twice_every_line_and_change_nothing_else(fields: Fields) -> None:
    check_doubling(fields)


def saved(results: Results, folder: Path) -> dict[str, bytes]:
    """The files of a results folder, but for the summary and the report, which know how fast the run was."""
    results.save(folder)
    files = [file for file in sorted(folder.iterdir()) if file.name not in ("summary.json", "report.html")]
    return {file.name: file.read_bytes() for file in files}


def without_speed(results: Results) -> dict[str, Any]:
    return results.summary | {"speed": None}


@settings(max_examples=6, **FAST)
@given(fields=priced_scenarios())
def test_the_same_seed_gives_the_same_bytes(fields: Fields) -> None:
    one, other = (simulate(Scenario.model_validate(fields | {"replications": 2}), keep_requests=True) for _ in range(2))
    with TemporaryDirectory() as first, TemporaryDirectory() as second:
        assert saved(one, Path(first)) == saved(other, Path(second))
    assert repr(without_speed(one)) == repr(without_speed(other))


def renamed(fields: Any) -> Any:
    """The same with other names of pools, wherever they stand."""
    if isinstance(fields, dict):
        return {key: renamed(value) for key, value in fields.items()}
    if isinstance(fields, list):
        return [renamed(value) for value in fields]
    return OTHER_NAMES.get(fields, fields) if isinstance(fields, str) else fields


@settings(max_examples=12, **FAST)
@given(fields=steady_scenarios())
def test_a_pool_by_another_name_costs_the_same(fields: Fields) -> None:
    one, other = (simulate(Scenario.model_validate(each), keep_requests=True) for each in (fields, renamed(fields)))
    for table in ("ledger", "buckets", "stream_buckets", "latency"):
        expected, found = getattr(one, table), getattr(other, table)
        if "pool" in expected:
            expected = expected.assign(pool=expected["pool"].map(renamed).astype("string"))
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert rows(one)["cost_usd"].tolist() == rows(other)["cost_usd"].tolist()


@pytest.mark.long
@settings(max_examples=3000, **LONG)
@given(fields=priced_scenarios())
def test_every_line_is_what_is_owed_for_it_in_three_thousand_worlds(fields: Fields) -> None:
    check(fields)


@pytest.mark.long
@settings(max_examples=500, **LONG)
@given(fields=priced_scenarios())
def test_twice_the_prices_are_twice_every_line_in_five_hundred_worlds(fields: Fields) -> None:
    check_doubling(fields)
