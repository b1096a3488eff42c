"""What is expected to come, read off scenarios, beside what does come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sim.planning.needs.demand import demand_of
from sim.planning.service.estimate import Estimator
from sim.simulation import simulate
from sim.streams import RandomStreams
from sim.workload.workload import build_workload
from tests.small import chat, scenario

HOUR_S = 3600.0


def test_a_daily_swing_is_read_hour_by_hour() -> None:
    arrivals = {"kind": "daily", "mean_rps": 5.0, "peak_hour": 12, "amplitude": 0.5, "burstiness_cv": 1.5}
    found = demand_of(scenario(workload=[chat(arrivals=arrivals)], horizon="7d", start="2026-03-02T00:00:00"))

    by_hour = found.mean_rps[0].reshape(7, 24)
    assert by_hour.mean() == pytest.approx(5.0, rel=1e-3)
    assert int(by_hour[2].argmax()) in (11, 12)
    assert by_hour[0, 12] == pytest.approx(5.0 * (1 + 0.5 * np.cos(np.pi / 24)), rel=2e-3)
    assert np.all(found.peak_rps >= found.mean_rps)
    assert found.clump[0] == 1.5**2
    assert found.hours.sum() == pytest.approx(730.5)


def test_what_comes_is_what_was_expected_on_contexts_too() -> None:
    contexts = {"queries": {"kind": "geometric", "mean": 4}, "think_time": "2m", "tokens": 800, "lead": "5m"}
    streams = [
        chat(arrivals={"kind": "poisson", "rps": 3.0}, contexts=contexts),
        chat(name="other", arrivals={"kind": "poisson", "rps": 1.0}, weekly={"mon": 0.5, "tue": 2.0}),
    ]
    world = scenario(workload=streams, horizon="36h", start="2026-03-02T00:00:00")
    found = demand_of(world)

    comes = np.zeros((2, 36))
    for replication in range(4):
        for block in build_workload(world, RandomStreams(1, replication)).blocks():
            for stream in range(2):
                mine = block.arrival_s[block.stream == stream]
                comes[stream] += np.histogram(mine, np.arange(37) * HOUR_S)[0] / HOUR_S / 4
    expected = np.array([(found.rps[:, found.begin_s // HOUR_S == hour]).mean(axis=1) for hour in range(36)]).T
    assert comes[:, 1:].mean(axis=1) == pytest.approx(expected[:, 1:].mean(axis=1), rel=0.02)
    assert comes[:, :12].mean(axis=1) == pytest.approx(expected[:, :12].mean(axis=1), rel=0.04)


def test_hours_are_those_of_the_local_clock() -> None:
    """On 8 March 2026 New York skips an hour: no window of the run lies in Sunday 02:00-03:00."""
    found = demand_of(scenario(horizon="48h", start="2026-03-07T12:00:00", time_zone="America/New_York"))
    sunday = 24 * 6
    assert found.hours[sunday + 2] == 0.0
    assert found.hours[sunday + 3] > 0.0
    assert found.hour[0] == 24 * 5 + 12


def test_a_trace_is_counted_and_ends_the_time(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    rows = [f"{60.0 * minute:.1f},100,20" for minute in range(120)]
    trace.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *rows]), encoding="utf-8")
    stream = chat(arrivals={"kind": "trace", "path": str(trace), "format": "nightshift"})
    del stream["lengths"]
    found = demand_of(scenario(workload=[stream], horizon=None))

    assert found.horizon_s == pytest.approx(7200.0, abs=301.0)
    assert float(found.rps[0] @ found.seconds) == pytest.approx(120.0)


def test_closed_arrivals_have_no_rate() -> None:
    found = demand_of(scenario(workload=[chat(arrivals={"kind": "closed", "concurrency": 4})]))
    assert np.isnan(found.rps).all()


def test_clients_that_wait_ask_at_about_the_rate_of_a_run() -> None:
    world = scenario(
        workload=[chat(arrivals={"kind": "closed", "concurrency": 60, "think_time": "1s"})],
        horizon="20m",
        replications=2,
    )
    estimate = Estimator(world)
    summary = simulate(world).summary
    rps = summary["requests"]["completed"] / summary["horizon_s"]
    assert estimate.instance(world).rps[0, 0] == pytest.approx(rps, rel=0.15)
    assert estimate.instance(world, optimistic=True).rps[0, 0] == 0.0


def test_the_warm_up_does_not_count() -> None:
    found = demand_of(scenario(horizon="1h", warm_up="20m"))
    assert float(found.counts @ found.seconds) == pytest.approx(2400.0)
