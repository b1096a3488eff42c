"""All that decides about a fleet, wired together: what begins, what is counted, and whose luck is whose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sim.control.clock import Clock
from sim.control.fleet_control import FleetControl
from sim.errors import EngineError
from sim.scenario import GpuPool, Scenario
from sim.streams import RandomStreams
from tests.fake_plane import FakePlane
from tests.small import chat, pool, scenario

API = {"name": "overflow", "kind": "api", "model": "Llama-3.1-8B", "tariff": "deepseek-2026-08"}
RUNS = {"up": {"median": "1h", "mean": "2h"}, "down": {"median": "20m", "mean": "30m"}}
ON_DEMAND = {"kind": "on-demand", "usd_per_gpu_hour": 3.0, "billing": {"unit": "1m", "minimum": "10m"}}


def spot(**changes: Any) -> dict[str, Any]:
    """Four spot servers."""
    offer = {"kind": "spot", "usd_per_gpu_hour": 1.0, "availability": RUNS | changes}
    return pool(name="spot", replicas=4, offer=offer)


def flaky(**changes: Any) -> dict[str, Any]:
    """Three servers that break down every other hour."""
    return pool(**{"name": "flaky", "replicas": 3, "failures": {"mtbf": "2h", "repair": "1h"}, **changes})


class Run:
    """A day of a fleet's control on a fake data plane that has nothing to do."""

    def __init__(self, *fleet: dict[str, Any], hours: float = 24.0, seed: int = 7, **changes: Any) -> None:
        forecast = changes.pop("forecast", None)
        self.scenario: Scenario = scenario(fleet=list(fleet), workload=[chat()], **changes)
        counts = [found.ranks if isinstance(found, GpuPool) else 1 for found in self.scenario.fleet]
        self.plane: Any = FakePlane(counts)
        clock = Clock(self.plane)
        self.control = FleetControl(self.scenario, self.plane, clock, RandomStreams(seed, 0), forecast)
        self.control.start()
        clock.run(until=hours * 3600.0)
        self.control.close(hours * 3600.0)

    def log_of(self, name: str) -> list[tuple[float, int, str]]:
        """What happened to the replicas of a pool, by their numbers in it."""
        index = [found.name for found in self.scenario.fleet].index(name)
        first, end = self.plane.first_replica[index : index + 2]
        return [(now_s, replica - first, life) for now_s, replica, life in self.plane.log if first <= replica < end]


def test_a_fleet_in_which_nothing_happens_is_paid_for_from_end_to_end() -> None:
    run = Run(pool(), pool(name="more", offer=ON_DEMAND, replicas=1), API)

    assert [(one.pool, one.server, one.begin_s, one.end_s) for one in run.control.paid] == [
        (0, 0, 0.0, 86_400.0),
        (0, 1, 0.0, 86_400.0),
        (1, 0, 0.0, 86_400.0),
    ]
    assert (run.control.peak_replicas, run.control.starts) == (3, 0)
    assert run.plane.log == []


def test_a_pool_that_scales_begins_with_its_fewest_and_the_others_off() -> None:
    run = Run(pool(autoscale={"max": 5}, replicas=2, offer=ON_DEMAND), hours=0.001)

    assert run.plane.lives == [2, 2, 0, 0, 0]


def test_a_schedule_is_followed_from_the_start_on_and_without_a_start_up() -> None:
    night = [{"hours": "00:00-06:00", "replicas": 1}]
    run = Run(pool(schedule=night, replicas=3, offer=ON_DEMAND))

    assert run.log_of("h100") == [
        *((0.0, number, life) for number in (1, 2) for life in ("draining", "off")),
        (6 * 3600.0, 1, "open"),
        (6 * 3600.0, 2, "open"),
    ]
    assert run.control.peak_replicas == 3


def test_idle_servers_are_given_up_tick_by_tick_down_to_the_fewest() -> None:
    scaling = {"min": 1, "max": 4, "cool_down": "1m", "max_step": 1}
    run = Run(pool(autoscale=scaling, replicas=4, offer=ON_DEMAND), hours=1)

    assert [(now_s, number) for now_s, number, life in run.log_of("h100") if life == "off"] == [
        (60.0, 3),
        (120.0, 2),
        (180.0, 1),
    ]


def test_the_minimum_is_billed_for_each_short_life() -> None:
    windows = [{"hours": "00:01-24:00", "replicas": 0}]
    run = Run(pool(schedule=windows, replicas=1, offer=ON_DEMAND))

    assert [(one.end_s, one.rounding_s) for one in run.control.paid] == [(60.0, 540.0)]


class Rising:
    """A request a second more each hour."""

    def rps(self, begin_s: float, end_s: float) -> NDArray[np.float64]:
        return np.array([end_s / 3600.0])


def test_a_forecast_is_followed_before_the_load_comes() -> None:
    scaling = {"kind": "predictive", "max": 4, "rps_per_replica": 1.0, "tick": "30s", "start_up": "10m"}
    run = Run(pool(autoscale=scaling, replicas=1, offer=ON_DEMAND), hours=3, forecast=Rising())

    opened = [now_s for now_s, _, life in run.log_of("h100") if life == "open"]
    assert opened == pytest.approx([3600.0 - 30.0, 7200.0 - 30.0, 10_800.0 - 30.0], abs=31.0)
    assert all(at_s <= hour * 3600.0 for at_s, hour in zip(opened, (1, 2, 3), strict=True))


def test_without_a_forecast_nothing_can_be_predicted() -> None:
    with pytest.raises(EngineError, match="scales by a forecast"):
        Run(pool(autoscale={"kind": "predictive", "max": 4, "rps_per_replica": 1.0}, replicas=1))


def test_spot_servers_come_and_go_together_or_each_for_itself() -> None:
    together = {now_s for now_s, _, _ in Run(spot()).log_of("spot")}
    apart = {now_s for now_s, _, _ in Run(spot(together=False)).log_of("spot")}

    assert 4 < len(together) < len(apart)


def test_reclaims_failures_and_starts_are_counted() -> None:
    run = Run(spot(), flaky())
    lost = sum(life == "down" for _, _, life in run.log_of("flaky"))
    started = sum(life == "starting" for _, _, life in run.plane.log)

    assert run.control.failures == lost > 0
    assert run.control.starts == started > 0
    assert run.control.reclaims > 0


def test_a_pool_that_is_added_changes_nothing_elsewhere() -> None:
    alone, beside = Run(spot(), flaky()), Run(pool(), flaky(), API, spot(), flaky(name="other"))

    assert alone.log_of("spot") == beside.log_of("spot")
    assert alone.log_of("flaky") == beside.log_of("flaky")
    assert beside.log_of("other") != beside.log_of("flaky")


def test_another_seed_has_other_luck() -> None:
    assert Run(spot()).log_of("spot") == Run(spot()).log_of("spot") != Run(spot(), seed=8).log_of("spot")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), together=st.booleans(), least=st.integers(0, 2))
def test_what_is_paid_for_is_what_the_plane_was_on_whatever_happens(seed: int, together: bool, least: int) -> None:
    scaling = {"min": least, "max": 4, "start_up": "5m", "cool_down": "10m"}
    windows = [{"hours": f"{hour:02}:00-{hour + 1:02}:00", "replicas": 2 + hour % 3} for hour in range(0, 24, 3)]
    on_demand = flaky(offer=ON_DEMAND, autoscale=scaling | {"kind": "schedule", "windows": windows}, replicas=least)
    run = Run(spot(together=together) | {"failures": {"mtbf": "3h", "repair": "30m"}}, on_demand, seed=seed)

    for index, name in enumerate(("spot", "flaky")):
        mine = [one for one in run.control.paid if one.pool == index]
        assert sum(one.end_s - one.begin_s for one in mine) == pytest.approx(seconds_on(run.log_of(name), 4, 86_400.0))
        for number in range(4):
            edges = [edge for one in mine if one.server == number for edge in (one.begin_s, one.end_s)]
            assert edges == sorted(edges)


def seconds_on(log: list[tuple[float, int, str]], replicas: int, end_s: float) -> float:
    """Replica seconds that were neither off nor down."""
    since_s, total_s = dict.fromkeys(range(replicas), 0.0), 0.0
    for now_s, replica, life in [*log, *((end_s, replica, "off") for replica in range(replicas))]:
        if life in ("off", "down"):
            total_s += now_s - since_s.pop(replica, now_s)
        else:
            since_s.setdefault(replica, now_s)
    return total_s
