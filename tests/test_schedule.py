"""Replicas switched by the clock on the wall, and what that does to requests and to the bill."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.control.schedule import edges_s, replicas_at
from sim.scenario import GpuPool
from sim.simulation import simulate
from tests.small import chat, pool, rows, scenario, steady_step_times

UTC, NEW_YORK = ZoneInfo("UTC"), ZoneInfo("America/New_York")
MONDAY = datetime(2026, 1, 5)
SPRING_FORWARD, FALL_BACK = datetime(2026, 3, 8), datetime(2026, 11, 1)
NIGHT = {"hours": "22:00-06:00", "replicas": 0}


def scheduled(*windows: dict[str, Any], replicas: int = 4) -> GpuPool:
    return GpuPool.model_validate(pool(replicas=replicas, schedule=list(windows)))


def open_at(of: GpuPool, moment: datetime) -> int:
    return replicas_at(of.schedule, of.replicas, moment)


def edge_hours(of: GpuPool, start: datetime, zone: ZoneInfo, hours: float = 48.0) -> list[float]:
    """Edges of the first hours, in hours since the start."""
    return [edge / 3600 for edge in takewhile(lambda edge: edge < hours * 3600, edges_s(of.schedule, start, zone))]


@pytest.mark.parametrize(("hour", "minute", "replicas"), [(7, 59, 4), (8, 0, 2), (19, 59, 2), (20, 0, 4), (0, 0, 4)])
def test_a_window_holds_from_its_start_up_to_its_end(hour: int, minute: int, replicas: int) -> None:
    day = scheduled({"hours": "08:00-20:00", "replicas": 2})

    assert open_at(day, MONDAY.replace(hour=hour, minute=minute)) == replicas


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_starts() -> None:
    monday_night = scheduled(NIGHT | {"days": ["mon"]})
    times = [(5, 5), (5, 22), (6, 5), (6, 6), (6, 22)]

    assert [open_at(monday_night, datetime(2026, 1, day, hour)) for day, hour in times] == [4, 0, 0, 4, 4]


def test_the_first_window_that_holds_wins() -> None:
    day = scheduled({"hours": "08:00-20:00", "replicas": 3}, {"hours": "12:00-13:00", "replicas": 1})
    noon_first = scheduled({"hours": "12:00-13:00", "replicas": 1}, {"hours": "08:00-20:00", "replicas": 3})
    half_past_twelve = MONDAY.replace(hour=12, minute=30)

    assert (open_at(day, half_past_twelve), open_at(noon_first, half_past_twelve)) == (3, 1)


def test_a_whole_day_may_be_a_window() -> None:
    sunday = scheduled({"hours": "00:00-24:00", "days": ["sun"], "replicas": 1})

    assert [open_at(sunday, datetime(2026, 1, day, 12)) for day in (3, 4, 5)] == [4, 1, 4]


def test_edges_come_every_day_at_the_same_local_time() -> None:
    assert edge_hours(scheduled(NIGHT), MONDAY, UTC) == [6, 22, 30, 46]


def test_the_start_need_not_be_midnight() -> None:
    assert edge_hours(scheduled(NIGHT), MONDAY.replace(hour=21), UTC, 24) == [1, 9]


def test_without_windows_there_are_no_edges() -> None:
    assert list(edges_s([], MONDAY, UTC)) == []


def test_a_day_of_23_hours_ends_a_night_an_hour_sooner() -> None:
    assert {5, 21} < set(edge_hours(scheduled(NIGHT), SPRING_FORWARD, NEW_YORK, 23))


def test_a_day_of_25_hours_ends_a_night_an_hour_later() -> None:
    assert {7, 23} < set(edge_hours(scheduled(NIGHT), FALL_BACK, NEW_YORK, 25))


def replicas_by_quarter(of: GpuPool, start: datetime, zone: ZoneInfo, hours: int) -> list[tuple[int, int]]:
    """Replicas every quarter of an hour: as left by the last edge, and as the clock on the wall says."""
    origin = start.replace(tzinfo=zone).timestamp()
    edges = [0.0, *takewhile(lambda edge: edge < hours * 3600, edges_s(of.schedule, start, zone))]

    def at(since_start_s: float) -> int:
        return open_at(of, datetime.fromtimestamp(origin + since_start_s, zone))

    quarters = [900.0 * quarter for quarter in range(4 * hours)]
    return [(at(max(edge for edge in edges if edge <= second)), at(second)) for second in quarters]


quarters_of_day = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")


@given(
    begin=quarters_of_day,
    end=quarters_of_day,
    start=st.sampled_from([MONDAY, SPRING_FORWARD, FALL_BACK]),
    zone=st.sampled_from(["UTC", "America/New_York", "America/Havana", "Asia/Kolkata"]),
)
def test_between_edges_nothing_changes_whatever_the_clock_does(
    begin: str, end: str, start: datetime, zone: str
) -> None:
    if begin == end:
        return
    one = scheduled({"hours": f"{begin}-{end}", "replicas": 1})

    for left, right in replicas_by_quarter(one, start, ZoneInfo(zone), 30):
        assert left == right


def on_a_schedule(folder: Path, offer: str, arrivals: Sequence[tuple[float, int]], **changes: Any) -> Any:
    """Results of single requests (arrival, output tokens) on one replica that is off from 01:00 to 02:00.

    Steps take a second, so a request of n output tokens takes n seconds.
    """
    trace = folder / "trace.csv"
    lines = [f"{arrival_s},1,{tokens}" for arrival_s, tokens in arrivals]
    trace.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *lines]) + "\n", encoding="utf-8")
    stream = chat(arrivals={"kind": "trace", "path": str(trace), "format": "nightshift"}, lengths=None)
    one = pool(
        replicas=1,
        offer={"kind": offer, "usd_per_gpu_hour": 3.0},
        step_time=steady_step_times(folder, 1.0),
        schedule=[{"hours": "01:00-02:00", "replicas": 0}],
    )
    given = {"horizon": "3h", "workload": [stream], "fleet": [one], **changes}
    return simulate(scenario(**given), keep_requests=True)


def test_on_demand_costs_nothing_while_it_is_off(tmp_path: Path) -> None:
    results = on_a_schedule(tmp_path, "on-demand", [(10.0, 5)])
    fleet, cost = results.summary["fleet"], results.summary["cost"]

    assert (fleet["gpu_hours"], cost["total_usd"]) == pytest.approx((2.0, 6.0), rel=1e-12)


def test_reserved_pays_on(tmp_path: Path) -> None:
    results = on_a_schedule(tmp_path, "reserved", [(10.0, 5)])
    fleet, cost = results.summary["fleet"], results.summary["cost"]

    assert (fleet["gpu_hours"], cost["total_usd"]) == pytest.approx((3.0, 9.0), rel=1e-12)


def test_a_replica_that_is_switched_off_finishes_what_it_has_and_is_paid_until_then(tmp_path: Path) -> None:
    results = on_a_schedule(tmp_path, "on-demand", [(3590.0, 100)])

    assert rows(results)["e2e_s"].tolist() == pytest.approx([100.0])
    assert results.summary["fleet"]["gpu_hours"] * 3600 == pytest.approx(7200 + 90)
    assert results.summary["cost"]["by_line"]["busy"] == pytest.approx(100 * 3.0 / 3600)


def test_requests_that_find_no_open_replica_are_rejected_and_count_as_misses(tmp_path: Path) -> None:
    arrivals = [(3599.0, 2), (3600.0, 2), (7199.0, 2), (7200.0, 2)]
    results = on_a_schedule(tmp_path, "on-demand", arrivals)

    assert rows(results)["status"].tolist() == [
        "completed",
        "rejected_no_replica",
        "rejected_no_replica",
        "completed",
    ]
    assert results.summary["requests"]["rejected_by"]["no_replica"] == 2
    assert results.summary["slo"]["attainment"] == 0.5


def test_the_peak_counts_replicas_that_were_ever_on_together() -> None:
    def by_hour(hours: str) -> dict[str, Any]:
        windows = [{"hours": hours, "replicas": 3}, {"hours": "00:00-24:00", "replicas": 1}]
        return pool(name=hours, replicas=4, schedule=windows)

    in_turn = scenario(horizon="4h", fleet=[by_hour("00:00-01:00"), by_hour("01:00-02:00")], workload=[chat()])

    assert simulate(in_turn).summary["fleet"]["peak_replicas"] == 4


def test_the_night_follows_local_time(tmp_path: Path) -> None:
    changes = {"time_zone": "America/New_York", "start": FALL_BACK, "horizon": "4h"}
    results = on_a_schedule(tmp_path, "on-demand", [(10.0, 5)], **changes)

    # On this day the hour from one to two comes twice.
    assert results.summary["fleet"]["gpu_hours"] == pytest.approx(2.0)


def test_buckets_tell_how_many_replicas_accept_work(tmp_path: Path) -> None:
    buckets = on_a_schedule(tmp_path, "on-demand", [(10.0, 5)], bucket="30m").buckets

    assert buckets["accepting_replicas"].tolist() == [1, 1, 0, 0, 1, 1]
