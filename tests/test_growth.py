"""The shape of a rate: growth, weekly factors and special days, by the local clock and exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sim.errors import ScenarioError
from sim.load import dump_scenario, load_scenario
from sim.scenario import Daily, Gamma, Poisson, Stream
from sim.streams import RandomStreams
from sim.workload.arrivals import arrival_times, poisson_times, renewal_times
from sim.workload.blocks import until
from sim.workload.daily import cumulative_rate
from sim.workload.shape import MONTH_S, Shape
from tests.small import chat

HOUR, DAY = 3600.0, 86_400.0
MONDAY = datetime(2026, 1, 5)
WEEK_OF_HOURS = [1.0 + hour % 24 if hour < 120 else 0.0 for hour in range(168)]


def stream(arrivals: Any = None, **changes: Any) -> Stream:
    return Stream.model_validate(chat(arrivals=arrivals or {"kind": "poisson", "rps": 2.0}, **changes))


def expected(of: Stream, days: float, start: datetime = MONDAY, time_zone: str = "UTC") -> tuple[Any, Any]:
    """Times and expected requests up to them."""
    shape = Shape.of(of)
    parts = list(cumulative_rate(of.arrivals, start, time_zone, days * DAY, shape))
    return np.concatenate([part.time_s for part in parts]), np.concatenate([part.requests for part in parts])


def hourly(of: Stream, days: float, start: datetime = MONDAY, time_zone: str = "UTC") -> list[float]:
    """Expected requests in each hour of the run."""
    time_s, requests = expected(of, days, start, time_zone)
    return np.diff(np.interp(np.arange(0, days * DAY + 1, HOUR), time_s, requests)).tolist()


def times(of: Stream, days: float, rows: int = 65_536, start: datetime = MONDAY, time_zone: str = "UTC") -> Any:
    random = RandomStreams(1, 0).generator("chat/arrivals")
    blocks = arrival_times(
        of.arrivals,
        random,
        days * DAY,
        start=start,
        time_zone=time_zone,
        shape=Shape.of(of),
        rows=rows,
    )
    return np.concatenate([np.empty(0), *blocks])


@pytest.mark.parametrize("per_month", [0.1, -0.3, 1e-9, 0.0, 5.0])
def test_growth_is_compound_and_its_integral_exact(per_month: float) -> None:
    time_s, requests = expected(stream(growth={"per_month": per_month}), days=61)
    rate = math.log1p(per_month) / MONTH_S
    exact = 2.0 * (np.expm1(rate * time_s) / rate if rate else time_s)

    assert requests == pytest.approx(exact, rel=1e-12, abs=1e-9)


def test_a_month_of_growth_makes_one_into_one_and_a_tenth() -> None:
    hours = hourly(stream(growth={"per_month": 0.1}), days=31)
    month_h = 30.4375 * 24

    assert hours[int(month_h)] / hours[0] == pytest.approx(1.1 ** (int(month_h) / month_h))


@pytest.mark.parametrize("arrivals", [Poisson(rps=3), Gamma(rps=3, cv=2.5)], ids=["poisson", "gamma"])
def test_requests_follow_growth(arrivals: Any) -> None:
    arrival_s = times(stream(arrivals, growth={"per_month": 1.0}), days=10)
    cv = getattr(arrivals, "cv", 1.0)
    halves = np.histogram(arrival_s, bins=[0, 5 * DAY, 10 * DAY])[0]
    growth = math.log(2) / 30.4375
    exact = [3 * DAY * (math.exp(growth * end) - math.exp(growth * (end - 5))) / growth for end in (5, 10)]

    assert halves == pytest.approx(exact, abs=4 * cv * math.sqrt(exact[1]))


def test_burstiness_survives_the_shape() -> None:
    gaps = np.diff(times(stream(Gamma(rps=5, cv=2.5), weekly={"sat": 0.5}, growth={"per_month": 0.1}), days=4))

    assert gaps.std() / gaps.mean() == pytest.approx(2.5, rel=0.02)


@pytest.mark.parametrize("arrivals", [Poisson(rps=5), Gamma(rps=5, cv=2.5)], ids=["poisson", "gamma"])
def test_without_a_shape_the_steady_kinds_are_as_ever(arrivals: Any) -> None:
    random = RandomStreams(1, 0).generator("chat/arrivals")
    steady = poisson_times(5, random) if isinstance(arrivals, Poisson) else renewal_times(5, 2.5, random)

    assert times(stream(arrivals), 0.5).tolist() == np.concatenate(list(until(DAY / 2, steady))).tolist()


def test_a_shape_of_ones_changes_next_to_nothing() -> None:
    plain, shaped = (times(stream(weekly=weekly), 0.5) for weekly in ({}, {"mon": 1.0}))

    assert shaped == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_block_size_does_not_change_shaped_arrivals(rows: int) -> None:
    of = stream(Gamma(rps=0.1, cv=2), growth={"per_month": 0.2}, weekly=WEEK_OF_HOURS)

    assert times(of, 0.4, rows).tolist() == times(of, 0.4).tolist()


def test_weekday_factors_follow_the_local_date() -> None:
    of = stream(Poisson(rps=1), weekly={"sat": 0.5, "sun": 0.0})
    hours = hourly(of, 4, datetime(2026, 1, 9), "Pacific/Auckland")

    assert [sum(hours[day * 24 : day * 24 + 24]) / DAY for day in range(4)] == pytest.approx([1.0, 0.5, 0.0, 1.0])


def test_a_week_of_hours_follows_the_local_clock() -> None:
    of = stream(Poisson(rps=1 / HOUR), weekly=WEEK_OF_HOURS)

    assert hourly(of, 7) == pytest.approx(WEEK_OF_HOURS)


@pytest.mark.parametrize(("day", "lost"), [(datetime(2026, 3, 8), 2), (datetime(2026, 11, 1), None)])
def test_the_hours_of_a_week_are_skipped_or_come_twice_as_clocks_change(day: datetime, lost: int | None) -> None:
    """In New York 02:00 is left out on 8 March 2026, and 01:00 comes twice on 1 November."""
    factors = [float(hour % 24) for hour in range(168)]
    of = stream(Poisson(rps=1 / HOUR), weekly=factors)
    clock = [hour for hour in range(24) if hour != lost] if lost else [0, 1, 1, *range(2, 24)]

    found = hourly(of, len(clock) / 24, day, "America/New_York")

    assert found == pytest.approx(clock)


def test_a_special_day_lasts_from_midnight_to_midnight_there() -> None:
    of = stream(Poisson(rps=1 / HOUR), special_days=[{"date": "2026-03-08", "factor": 3.0}])
    hours = hourly(of, 3, datetime(2026, 3, 7, 22), "America/New_York")

    assert hours[:27] == pytest.approx([1.0] * 2 + [3.0] * 23 + [1.0] * 2)


def test_special_hours_may_cross_midnight_and_meet_others() -> None:
    days = [
        {"date": date(2026, 1, 5), "factor": 2.0, "hours": "22:00-03:00"},
        {"date": date(2026, 1, 6), "factor": 0.5, "hours": "02:30-04:00"},
    ]
    hours = hourly(stream(Poisson(rps=1 / HOUR), special_days=days), 2)

    assert hours[20:30] == pytest.approx([1, 1, 2, 2, 2, 2, 1.5, 0.5, 1, 1])


def test_a_run_that_starts_within_a_minute_still_meets_the_hour() -> None:
    of = stream(Poisson(rps=1.0), weekly=[0.0] * 8 + [1.0] + [0.0] * 159)
    time_s, requests = expected(of, 1, datetime(2026, 1, 5, 7, 59, 30))

    assert np.interp([30, 31, 3630, 3700], time_s, requests) == pytest.approx([0, 1, 3600, 3600])


def test_daily_arrivals_take_a_shape_on_top() -> None:
    daily = Daily(mean_rps=2.0, amplitude=0.6, weekday_factors={"tue": 0.5})
    plain = hourly(stream(daily), 2)
    shaped = hourly(stream(daily, weekly={"tue": 3.0}, special_days=[{"date": "2026-01-05", "factor": 2}]), 2)

    assert np.array(shaped) / plain == pytest.approx([2.0] * 24 + [3.0] * 24)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"growth": {"per_month": -1}}, "greater than or equal to -0.99"),
        ({"weekly": [1.0] * 24}, "weekly is no week of hours: it has 24 factors; give 168"),
        ({"weekly": {"monday": 1.0}}, "Input should be 'mon', 'tue'"),
        ({"special_days": [{"date": "27.11.2026", "factor": 2}]}, "27.11.2026 is not a date; give a local date such"),
        ({"special_days": [{"date": datetime(2026, 1, 1, 3), "factor": 2}]}, "is not a date"),
        ({"special_days": [{"date": "2026-11-27", "factor": 2, "hours": "8-20"}]}, "HH:MM-HH:MM"),
    ],
)
def test_a_shape_that_makes_no_sense_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        stream(**changes)


@pytest.mark.parametrize("key", ["growth", "weekly", "special_days"])
def test_arrivals_without_a_rate_have_no_shape(key: str) -> None:
    value = {"growth": {"per_month": 0.1}, "weekly": {"mon": 2}, "special_days": [{"date": "2026-11-27", "factor": 2}]}
    with pytest.raises(ValidationError, match=f"{key}: {key} cannot be given with closed arrivals"):
        stream({"kind": "closed", "concurrency": 3}, **{key: value[key]})


# In a file


FILE = """\
name: grown
horizon: 1h
forecast: {error: 0.2, correlation: 2h, bias: -0.1, window: 10m}
workload:
  - name: chat
    arrivals: {kind: poisson, rps: 2.0}
    lengths: {kind: constant, prompt_tokens: 200, output_tokens: 50}
    growth: {per_month: 0.10}
    weekly: {sat: 0.5, sun: 0.25}
    special_days:
      - {date: 2026-11-27, factor: 1.8, hours: "08:00-20:00"}
      - {date: 2026-12-25, factor: 0.2}
    client: {timeout: 30s, retries: 2, backoff: 500ms, retry_on: [rejected, failed], on_loss: fail}
  - name: crowd
    arrivals: {kind: clients, clients: [{name: a, rps: 2, cv: 3, distribution: weibull}]}
    lengths: {kind: constant, prompt_tokens: 200, output_tokens: 50}
    weekly: [WEEK]
fleet:
  - name: h100
    gpu: H100-SXM
    model: Llama-3.1-8B
    replicas: 2
    offer: {kind: reserved, usd_per_gpu_hour: 2.10}
""".replace("WEEK", ", ".join(["1.5"] * 168))


def test_a_file_with_everything_is_read_and_written_back(scenario_file: Callable[[str], Path], tmp_path: Path) -> None:
    first = load_scenario(scenario_file(FILE))
    again = tmp_path / "again.yaml"
    again.write_text(dump_scenario(first))

    assert load_scenario(again) == first
    assert first.workload[0].special_days[0].date == date(2026, 11, 27)
    assert (first.workload[0].client.timeout, first.forecast.bias) == (30.0, -0.1)


@pytest.mark.parametrize(
    ("written", "instead", "told"),
    [
        ("per_month: 0.10", "per_month: -2", "scenario.yaml:8  workload.0.growth.per_month: -2 must be at least -0.99"),
        ("{sat: 0.5", "{sta: 0.5", "scenario.yaml:9  workload.0.weekly.sta: is not accepted, did you mean 'sat'?"),
        ("2026-12-25", "christmas", "12  workload.0.special_days.1.date: christmas is not a date; give a local date"),
        ("[1.5, ", "[", "17  workload.1.weekly: is no week of hours: it has 167 factors; give 168, from Monday"),
        ("retries: 2", "retrys: 2", "13  workload.0.client.retrys: unknown key, did you mean 'retries'?"),
        ("[rejected, failed]", "[lost]", "13  workload.0.client.retry_on.0: lost is not accepted"),
        ("cv: 3", "cv: 0", "15  workload.1.arrivals.clients.0.cv: 0 must be above 0; raise it"),
    ],
)
def test_a_fault_is_told_with_its_line(
    scenario_file: Callable[[str], Path], written: str, instead: str, told: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(scenario_file(FILE.replace(written, instead, 1)))
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
