"""Points of a plan's space as scenarios, and the rule by which their figures keep a promise."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.control.schedule import replicas_at
from sim.errors import InputError
from sim.load import bundled_scenarios, dump_scenario, load_scenario
from sim.planning.needs.blocks import WeekBlocks
from sim.planning.search.analysis import analysed
from sim.planning.search.judge import Judged, Promise, Target, cannot_keep, keeps_promise, misses, promise_of
from sim.planning.search.moves import neighbours
from sim.planning.search.options import Option, policy_options, values_of
from sim.planning.search.point import Point, Space, choices_of, points_of, restricted, size_of
from sim.planning.search.realise import Refused, realised, schedule_windows
from sim.scenario import GpuPool, Scenario
from sim.scenario.planning import Targets
from tests.tiny_plans import tiny_scenario

SLO = Target("slo", "slo.attainment", 0.95)


def space_of(file: Path) -> Space:
    """The space of a scenario in a file."""
    scenario = load_scenario(file)
    assert scenario.plan is not None
    return analysed(policy_options(file, (), scenario.plan.vary)[0]).space


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """Two pools, an API and one policy, with a stream that names its pools."""
    made = tiny_scenario(6)
    made["workload"][0]["pools"] = ["own", "rented", "api"]
    made["plan"]["pools"]["rented"]["most_started"] = 1
    file = tmp_path_factory.mktemp("plans") / "plan.yaml"
    file.write_text(yaml.safe_dump(made), encoding="utf-8")
    return space_of(file)


def test_a_space_holds_all_its_points_once(space: Space) -> None:
    points = list(points_of(space))
    assert len(set(points)) == len(points) < size_of(space)
    assert all(space.holds(point) for point in points)
    rented = {point.replicas[1] for point in points}
    assert (0, 1) in rented
    assert (0, 2) not in rented, "most_started"
    assert all(len(set(point.replicas[0])) == 1 for point in points), "reserved ones stay"


def test_neighbours_are_points_of_the_space_and_lead_everywhere(space: Space) -> None:
    points = set(points_of(space))
    reached, edge = set(), {next(iter(points))}
    while edge:
        reached |= edge
        edge = {each for point in edge for each in neighbours(space, point, [1, 0])} - reached
    # Downward, sideways and to other policies; more replicas are the ladder's.
    assert reached <= points
    least = min(points, key=lambda point: point.array().sum())
    assert least in {each for point in points for each in neighbours(space, point, [0, 1])}


def test_a_point_is_a_scenario_that_can_be_written_down_and_read(space: Space, tmp_path: Path) -> None:
    file = tmp_path / "planned.yaml"
    for point in points_of(space):
        made = realised(space, point)
        if isinstance(made, Refused):
            assert not point.array().any()
            continue
        assert made.plan is None
        file.write_text(dump_scenario(made), encoding="utf-8")
        assert load_scenario(file) == made
        assert [pool.name for pool in made.fleet] == made.workload[0].pools
        rented = [pool for pool in made.fleet if pool.name == "rented"]
        for pool in rented:
            assert isinstance(pool, GpuPool)
            assert _in_hours(pool, made.start) == list(point.replicas[1])


def _in_hours(pool: GpuPool, start: datetime) -> list[int]:
    """Replicas wanted within each of the two blocks."""
    if pool.autoscale is None:
        return [pool.replicas] * 2
    assert pool.autoscale.kind == "schedule"
    day = start.replace(hour=0, minute=0)
    at = [day + timedelta(hours=8, minutes=30), day + timedelta(hours=9, minutes=30)]
    assert pool.replicas == replicas_at(pool.autoscale.windows, pool.autoscale.min, at[0])
    return [replicas_at(pool.autoscale.windows, pool.autoscale.min, each) for each in at]


def test_a_pool_that_is_left_out_and_named_refuses_the_point(tmp_path: Path) -> None:
    made = tiny_scenario(1)
    made["strategies"][1]["pool"] = "rented"
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump(made), encoding="utf-8")
    space = space_of(file)
    refused = realised(space, Point(0, ((1, 1), (0, 0))))
    assert isinstance(refused, Refused)
    assert "rented" in refused.why


def test_a_space_of_reserved_pools_has_no_others(space: Space) -> None:
    kept = [choice.name for choice in restricted(space, kinds=["reserved"]).choices if choice.most]
    assert kept == ["own"]


@settings(max_examples=15, deadline=None)
@given(
    days=st.lists(st.lists(st.integers(0, 3), min_size=24, max_size=24), min_size=1, max_size=7),
    start_up_s=st.sampled_from([0.0, 90.0, 240.0, 3600.0, 5400.0]),
)
def test_windows_have_every_hour_its_replicas_and_begin_early(days: list[list[int]], start_up_s: float) -> None:
    levels = [level for day in range(7) for level in days[day % len(days)]]
    if len(set(levels)) == 1:
        return
    windows = schedule_windows(levels, start_up_s)
    monday = datetime(2026, 3, 2)
    early_h = -(-start_up_s // 60) / 60.0
    for minute in range(0, 168 * 60, 29):
        hour = minute / 60.0
        coming = [levels[int(h) % 168] for h in np.arange(int(hour) + 1, hour + early_h + 1e-9)]
        rising = [b for a, b in pairwise([levels[int(hour)], *coming]) if b > a]
        wanted = replicas_at(windows, min(levels), monday + timedelta(minutes=minute))
        assert wanted == max([levels[int(hour)], *rising])


@pytest.mark.parametrize("name", [name for name in bundled_scenarios() if name != "month"])
def test_fleets_of_bundled_scenarios_are_bought_in_other_numbers(name: str, tmp_path: Path) -> None:
    scenario = load_scenario(name)
    block = np.arange(168) // 84
    blocks = WeekBlocks(("first", "second"), block, np.array([365.25, 365.25]), ())
    choices = choices_of(scenario, [3] * len(scenario.fleet))
    space = Space((Option({}, scenario),), choices, blocks)
    made = realised(space, space.nearest(0, np.array([[2, 3]] * len(choices))))
    assert isinstance(made, Scenario)
    file = tmp_path / "planned.yaml"
    file.write_text(dump_scenario(made), encoding="utf-8")
    assert load_scenario(file) == made
    for pool, choice in zip(made.fleet, choices, strict=True):
        assert pool.name == choice.name
        if isinstance(pool, GpuPool) and choice.is_free:
            assert pool.most_replicas == min(choice.most, 3)


def test_a_promise_is_kept_where_another_month_would_hardly_break_it() -> None:
    promise = Promise((SLO,), risk=0.05)
    assert keeps_promise(_judged([0.96, 0.961, 0.959, 0.96]), promise)
    assert not keeps_promise(_judged([0.99, 0.96, 0.93, 0.97]), promise)
    assert misses(_judged([0.94, 0.94]), promise) == {"slo": 1.0}
    assert not keeps_promise(Judged(refused="nothing to run on"), promise)


def test_a_budget_is_missed_from_above() -> None:
    promise = promise_of(Targets(slo=0.9, budget_usd_per_month=100.0))
    cheap = Judged({"usd_per_month": (90.0, 91.0, 92.0), "slo.attainment": (0.99, 0.99, 0.99)})
    assert keeps_promise(cheap, promise)
    assert misses(Judged({"usd_per_month": (100.0, 100.0)}), promise)["budget"] == 0.0
    assert misses(Judged({"usd_per_month": (101.0, 101.0)}), promise)["budget"] == 1.0


@settings(deadline=None)
@given(
    values=st.lists(st.floats(0.8, 1.0), min_size=1, max_size=4),
    rest=st.lists(st.floats(0.8, 1.0), min_size=1, max_size=6),
    risk=st.sampled_from([0.01, 0.05, 0.2, 0.5]),
)
def test_what_is_given_up_early_could_not_have_kept_its_promise(
    values: list[float], rest: list[float], risk: float
) -> None:
    promise = Promise((SLO,), risk)
    if cannot_keep(_judged(values), promise, len(values) + len(rest)):
        assert not keeps_promise(_judged([*values, *rest]), promise)


def test_one_late_replication_of_four_is_enough_to_give_up_early() -> None:
    assert cannot_keep(_judged([0.94]), Promise((SLO,), 0.05), 4)
    assert not cannot_keep(_judged([0.951]), Promise((SLO,), 0.05), 4)
    assert not cannot_keep(_judged([0.949]), Promise((SLO,), 0.05), 12), "eleven good ones may outweigh it"


def _judged(values: list[float]) -> Judged:
    return Judged({"usd_per_month": (1.0,) * len(values), "slo.attainment": tuple(values)})


def test_what_does_not_say_its_values_is_refused() -> None:
    with pytest.raises(InputError, match="LOW:HIGH:STEP"):
        values_of("router.above=0:1")
    with pytest.raises(InputError):
        values_of("router.above")
