"""Blocks of hours: a partition of the week, few, and along what changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.planning.needs.blocks import WeekBlocks, Windows, blocks_of
from sim.planning.needs.demand import Demand, demand_of
from sim.scenario.quantities import parse_hours
from sim.scenario.shape import WEEKDAYS
from tests.small import chat, pool, scenario

WEEK = {"horizon": "7d", "start": "2026-03-02T00:00:00"}


def demand(**changes: object) -> Demand:
    return demand_of(scenario(**(WEEK | changes)))


def hours_of(windows: Windows) -> list[int]:
    """Hours of the week that windows hold, as often as they do."""
    found = []
    for days, hours in windows:
        begin_s, end_s = parse_hours(hours)
        length = ((end_s - begin_s) // 3600 - 1) % 24 + 1
        for day in days:
            first = 24 * WEEKDAYS.index(day) + begin_s // 3600
            found += [(first + hour) % 168 for hour in range(length)]
    return found


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), min_size=1, max_size=30))
def test_windows_hold_every_hour_of_a_block_once(runs: list[tuple[int, int]]) -> None:
    block = np.resize(np.concatenate([np.full(length, number) for length, number in runs]), 168)
    found = WeekBlocks.of("abcd", block, DEMAND)
    for number in range(4):
        assert sorted(hours_of(found.windows(number))) == np.flatnonzero(block == number).tolist()


DEMAND = demand()


def test_blocks_of_a_plan_are_its_own_and_the_rest() -> None:
    plan = {
        "blocks": [
            {"name": "office", "hours": "08:00-18:00", "days": ["mon", "tue", "wed", "thu", "fri"]},
            {"name": "night", "hours": "22:00-06:00"},
        ]
    }
    world = scenario(plan=plan, **WEEK)
    found = blocks_of(world, demand_of(world))

    assert found.names == ("office", "night", "rest")
    assert found.hours_per_month == pytest.approx(np.array([50, 56, 62]) / 168 * 730.5)
    assert found.windows(0) == [(["mon", "tue", "wed", "thu", "fri"], "08:00-18:00")]
    assert found.windows(1) == [(list(WEEKDAYS), "22:00-06:00")]
    changes = {(change.before, change.after): change.times_per_month for change in found.transitions}
    assert changes[2, 0] == pytest.approx(5 / 168 * 730.5)
    assert changes[1, 2] == pytest.approx(7 / 168 * 730.5)


def test_a_steady_load_is_one_block() -> None:
    found = blocks_of(scenario(**WEEK), DEMAND)
    assert found.count == 1
    assert found.hours_per_month == pytest.approx([730.5])
    assert found.transitions == ()


def test_found_blocks_are_few_and_leave_little_idle() -> None:
    quiet = {"sat": 0.4, "sun": 0.3}
    arrivals = {"kind": "daily", "mean_rps": 5.0, "peak_hour": 15, "amplitude": 0.8, "weekday_factors": quiet}
    world = scenario(workload=[chat(arrivals=arrivals)], **WEEK)
    load = demand_of(world)
    found = blocks_of(world, load)

    assert 3 <= found.count <= 6
    peaks = np.array([load.mean_rps[0][found.block == number].max() for number in range(found.count)])
    assert load.mean_rps[0].mean() / peaks[found.block].mean() > 0.75
    kinds = {name.split()[0] for name in found.names}
    assert kinds == {"weekdays", "weekends"}


def test_a_price_that_follows_the_clock_makes_blocks() -> None:
    tariff = {
        "kind": "windows",
        "usd_per_gpu_hour": 1.0,
        "windows": [{"name": "peak", "hours": "11:00-19:00", "usd_per_gpu_hour": 4.0}],
    }
    world = scenario(fleet=[pool(offer={"kind": "on-demand", "tariff": tariff})], **WEEK)
    from sim.planning.service.estimate import Estimator

    found = Estimator(world).blocks
    assert sorted(found.names) == ["11-19", "19-11"]


def test_a_day_stands_for_all_days() -> None:
    arrivals = {"kind": "daily", "mean_rps": 5.0, "amplitude": 0.8}
    world = scenario(workload=[chat(arrivals=arrivals)], horizon="24h", start="2026-03-02T00:00:00")
    found = blocks_of(world, demand_of(world))

    assert found.hours_per_month.sum() == pytest.approx(730.5)
    assert all(set(days) == set(WEEKDAYS) for number in range(found.count) for days, _ in found.windows(number))
