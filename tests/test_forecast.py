"""The forecast: the rates themselves, with errors of the size, length and bias they are said to have."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sim.scenario import Client, ForecastError, Scenario, Stream
from sim.streams import RandomStreams
from sim.workload.forecast import Forecast, build_forecast
from tests.small import chat, scenario

HOUR, DAY = 3600.0, 86_400.0
PERFECT = {"error": 0.0}
RATES = Path(__file__).parent / "data" / "clients" / "rates.csv"


def of(*arrivals: dict[str, Any], forecast: dict[str, Any] | None = None, **changes: Any) -> Scenario:
    streams = [chat(name=f"s{index}", arrivals=kind, **changes) for index, kind in enumerate(arrivals)]
    return scenario(horizon="30d", workload=streams, forecast=PERFECT if forecast is None else forecast)


def forecast(scenario: Scenario, seed: int = 1, replication: int = 0) -> Forecast:
    return build_forecast(scenario, RandomStreams(seed, replication))


def factors(seed: int = 1, ticks: int = 4000, **law: Any) -> np.ndarray:
    """What the forecast of a steady rate is off by, window after window."""
    found = forecast(of({"kind": "poisson", "rps": 2.0}, forecast=law), seed)
    return np.array([found.rps(300.0 * tick, 300.0 * tick + 600)[0] for tick in range(ticks)]) / 2


# The truth


def test_steady_streams_are_expected_at_their_rate() -> None:
    found = forecast(of({"kind": "poisson", "rps": 2.0}, {"kind": "gamma", "rps": 3.0, "cv": 4.0}))

    assert found.rps(0, 60).tolist() == pytest.approx([2.0, 3.0])
    assert found.rps(5 * DAY + 7, 50 * DAY).tolist() == pytest.approx([2.0, 3.0])


def test_a_daily_rate_is_expected_by_the_clock() -> None:
    found = forecast(of({"kind": "daily", "mean_rps": 2.0, "peak_hour": 12, "amplitude": 0.5}))
    hours = np.array([found.rps(hour * HOUR, (hour + 1) * HOUR)[0] for hour in range(48)])
    centre = np.arange(48) + 0.5

    exact = 2 * (1 + 0.5 * np.cos((centre - 12) * math.pi / 12) * np.sinc(1 / 24))
    assert hours == pytest.approx(exact, rel=1e-5)


def test_growth_and_special_days_are_known_beforehand() -> None:
    shape = {"growth": {"per_month": 0.1}, "special_days": [{"date": "2026-01-06", "factor": 3}]}
    found = forecast(of({"kind": "poisson", "rps": 2.0}, {"kind": "clients", "path": str(RATES)}, **shape))
    month_s = 30.4375 * DAY

    ahead = found.rps(0, 2 * DAY)
    assert ahead[0] == pytest.approx(4 * 1.1 ** (DAY / month_s), rel=3e-3)
    assert found.rps(30.4375 * DAY - 60, 30.4375 * DAY + 60)[0] == pytest.approx(2.2, rel=1e-6)


def test_clients_are_expected_as_their_table_says() -> None:
    table = {"kind": "clients", "path": str(RATES), "begin": "5m", "scale": 2.0}
    found = forecast(of(table, {**table, "repeat": False}, {**table, "busiest": 1}))

    assert found.rps(0, 300).tolist() == pytest.approx([5.0, 5.0, 4.0])
    assert found.rps(0, 900).tolist() == pytest.approx([(5 * 300 + 8 * 600) / 900] * 2 + [(4 * 300 + 8 * 600) / 900])
    assert found.rps(2700, 3300).tolist() == pytest.approx([5.0, 0.0, 4.0])


def test_a_trace_is_expected_as_it_will_be(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    arrivals = [0, 10, 299.5, 300, 1000, 1000, 1000, 5000]
    file.write_text("arrival_s,prompt_tokens,output_tokens\n" + "".join(f"{second},5,5\n" for second in arrivals))
    trace = {"kind": "trace", "path": str(file), "format": "nightshift", "speed": 2.0}
    found = forecast(of(trace, forecast=PERFECT | {"window": "150s"}, lengths=None))

    counts = [found.rps(150.0 * window, 150.0 * window + 150)[0] * 150 for window in range(20)]
    assert counts == pytest.approx([3, 1, 0, 3] + [0] * 12 + [1] + [0] * 3)
    assert found.rps(1e7, 2e7).tolist() == [0.0]


def test_closed_streams_have_no_forecast() -> None:
    found = forecast(of({"kind": "closed", "concurrency": 3}, {"kind": "poisson", "rps": 2.0})).rps(0, 60)

    assert (math.isnan(found[0]), found[1]) == (True, 2.0)


# Its errors


def test_errors_have_their_size_and_no_bias() -> None:
    logs = np.log(factors(error=0.3, correlation="5m", ticks=20_000))

    assert logs.std() == pytest.approx(0.3, rel=0.03)
    assert np.exp(logs).mean() == pytest.approx(1.0, abs=0.02)


def test_errors_last_as_long_as_they_are_said_to() -> None:
    logs = np.log(factors(error=0.3, correlation="1h", ticks=40_000))
    found = [np.corrcoef(logs[lag:], logs[:-lag])[0, 1] for lag in (1, 6, 12, 24)]

    assert found == pytest.approx([math.exp(-lag / 12) for lag in (1, 6, 12, 24)], abs=0.05)


def test_errors_without_correlation_know_nothing_of_each_other() -> None:
    logs = np.log(factors(error=0.3, correlation=0, ticks=20_000))

    assert np.corrcoef(logs[1:], logs[:-1])[0, 1] == pytest.approx(0, abs=0.03)


def test_a_bias_is_on_top() -> None:
    assert factors(error=0.0, bias=0.25, ticks=3).tolist() == pytest.approx([1.25] * 3)


def test_every_run_begins_with_an_error_of_full_size() -> None:
    first = np.log([factors(seed, 1, error=0.3)[0] for seed in range(600)])

    assert (first.mean(), first.std()) == pytest.approx((-0.045, 0.3), abs=0.05)


def test_errors_follow_seed_and_stream_and_not_who_asks() -> None:
    world = of({"kind": "poisson", "rps": 2.0}, {"kind": "poisson", "rps": 2.0}, forecast={})
    often, seldom, other = forecast(world), forecast(world), forecast(world, replication=1)
    each_minute = [often.rps(60.0 * tick, 60.0 * tick + 60).tolist() for tick in range(601)]

    assert seldom.rps(36_000, 36_060).tolist() == each_minute[600]
    assert each_minute[0] == each_minute[4] != each_minute[5]
    assert other.rps(0, 60).tolist() != each_minute[0]
    assert len(set(each_minute[0])) == 2


def test_another_stream_changes_no_error() -> None:
    alone = of({"kind": "poisson", "rps": 2.0}, forecast={})
    joined = of({"kind": "poisson", "rps": 2.0}, {"kind": "gamma", "rps": 1.0, "cv": 2}, forecast={})

    assert forecast(alone).rps(0, 60)[0] == forecast(joined).rps(0, 60)[0]


@pytest.mark.parametrize("law", [{"error": -1}, {"error": 4}, {"bias": -1.5}, {"window": 0}, {"correlation": "-1h"}])
def test_impossible_errors_are_refused(law: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ForecastError.model_validate(law)


# What clients do


def test_a_client_waits_for_ever_and_never_retries_unless_told() -> None:
    client = Stream.model_validate(chat()).client

    assert (client.timeout, client.retries, client.on_loss) == (None, 0, "resend")
    assert client.retry_on == ["rejected", "timed_out", "failed"]
    assert (client.backoff, client.backoff_factor, client.backoff_max, client.jitter) == (1.0, 2.0, 60.0, 0.5)


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ({"retries": 2, "retry_on": []}, "retry_on is empty, so nothing is ever retried; name some of rejected"),
        ({"backoff": "2m"}, r"backoff_max: 1m must be at least backoff \(2m\); raise it, or lower backoff"),
        ({"backoff_factor": 0.5}, "greater than or equal to 1"),
        ({"jitter": 1.5}, "less than or equal to 1"),
        ({"timeout": 0}, "longer than zero"),
        ({"retry_on": ["lost"]}, "Input should be 'rejected', 'timed_out' or 'failed'"),
        ({"retries": -1}, "greater than or equal to 0"),
        ({"on_loss": "retry"}, "Input should be 'resend' or 'fail'"),
    ],
)
def test_a_client_that_makes_no_sense_is_refused(client: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Client.model_validate(client)
