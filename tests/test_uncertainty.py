"""What is not known: drawn anew for each replication, alike for all policies, and carried into the intervals."""

from __future__ import annotations

import os
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sim.load import load_scenario
from sim.outcomes.tables import OutcomeTable
from sim.results import Results
from sim.scenario import Scenario
from sim.simulation import simulate
from sim.streams import RandomStreams
from tests.golden import without_speed
from tests.small import chat, pool, scenario, steady_step_times

STEP_S = 0.01
API = {"name": "api", "kind": "api", "model": "Llama-3.1-8B", "tariff": "deepseek-2026-08"}


def one_client(folder: Path, spread: dict[str, Any], **changes: Any) -> Results:
    """One client that always has a request of 100 steps on one replica: latency and throughput follow from the step."""
    stream = chat(
        arrivals={"kind": "closed", "concurrency": 1},
        lengths={"kind": "constant", "prompt_tokens": 1, "output_tokens": 100},
        slo={},
    )
    fleet = [pool(replicas=1, step_time=steady_step_times(folder, STEP_S))]
    given = {"workload": [stream], "fleet": fleet, "uncertainty": spread, "replications": 60}
    return simulate(scenario(**(given | changes)))


def latencies(results: Results) -> list[float]:
    return [float(run.tally.latency_sum_s[0, 2] / run.tally.latency_count[0, 2]) for run in results.replications]


def factors(name: str, sd: float, replications: int, seed: int = 0) -> list[float]:
    """Lognormal factors of mean 1, as drawn from their named stream."""
    streams = (RandomStreams(seed, index) for index in range(replications))
    draws = (each.generator(f"uncertainty/{name}").standard_normal() for each in streams)
    return [exp(sd * draw - sd**2 / 2) for draw in draws]


def test_step_times_are_off_by_the_factor_that_was_drawn(tmp_path: Path) -> None:
    found = one_client(tmp_path, {"step_time": 0.2})
    (doubt,) = found.summary["uncertainty"]["sampled"]

    assert (doubt["kind"], doubt["sd"]) == ("step_time", 0.2)
    wanted = np.array(factors(f"step_time/{doubt['name']}", 0.2, 60)) * 100 * STEP_S
    assert latencies(found) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("spread", [0.05, 0.2])
def test_the_interval_is_as_wide_as_theory_says(spread: float, tmp_path: Path) -> None:
    """Between the 2.5 % and 97.5 % quantiles of the lognormal law: 60 draws tell each to about a third of an sd."""
    found = one_client(tmp_path, {"step_time": spread}).summary
    low, high = found["intervals"]["latency.e2e_s.mean"]

    assert np.log(high / low) / spread == pytest.approx(2 * 1.96, abs=1.0)
    assert low < 100 * STEP_S < high


def test_the_interval_does_not_shrink_with_more_replications(tmp_path: Path) -> None:
    few, many = (one_client(tmp_path, {"step_time": 0.1}, replications=runs).summary for runs in (20, 160))
    widths = [np.ptp(found["intervals"]["latency.e2e_s.mean"]) for found in (few, many)]

    assert widths[1] == pytest.approx(0.39, rel=0.25)
    assert 0.6 < widths[1] / widths[0] < 1.4


def test_nothing_changes_where_nothing_is_uncertain(tmp_path: Path) -> None:
    zeros = {"step_time": 0, "outcomes": 0, "router": 0, "load": 0, "prices": 0}
    plain = simulate(scenario(replications=3)).summary
    zero = simulate(scenario(replications=3, uncertainty=zeros)).summary

    assert without_speed(zero) == without_speed(plain)
    assert plain["uncertainty"] is None


def test_the_number_of_cores_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    given = scenario(replications=4, uncertainty={"step_time": "calibrated", "load": 0.2})
    several = without_speed(simulate(given).summary)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)

    assert without_speed(simulate(given).summary) == several


def test_pools_of_one_setup_are_off_together_and_others_are_not() -> None:
    pools = [pool(name=name, **more) for name, more in (("a", {}), ("b", {}), ("c", {"gpu": "A100-80GB-SXM"}))]
    found = simulate(scenario(fleet=pools, replications=2, uncertainty={"step_time": "calibrated"})).summary
    doubts = found["uncertainty"]["sampled"]

    assert ["H100-SXM" in doubt["name"] for doubt in doubts] == [True, False]
    trust = found["fleet"]["step_times"]["a"]
    assert doubts[0]["sd"] == pytest.approx(trust["tpot_error"] / 0.6745, rel=1e-3)


def test_a_file_of_its_own_is_taken_at_its_word_and_that_is_told(tmp_path: Path) -> None:
    found = one_client(tmp_path, {"step_time": "calibrated"}, replications=20).summary

    assert found["uncertainty"] is None
    assert found["warnings"] == [
        "pool h100 has step times from a file of its own, which are taken as exact; "
        "give `uncertainty.step_time` as a number"
    ]


def test_rates_of_arrivals_vary_as_much_as_was_said() -> None:
    runs = simulate(scenario(replications=200, horizon="2m", uncertainty={"load": 0.3})).replications
    offered = np.array([run.tally.streams[0, 0] for run in runs])
    theory = np.sqrt((0.3 * 240) ** 2 + 240)

    assert offered.mean() == pytest.approx(240, abs=4 * theory / np.sqrt(200))
    assert offered.std(ddof=1) == pytest.approx(theory, rel=0.2)


def test_a_trace_is_played_faster_or_slower(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("arrival_s,prompt_tokens,output_tokens\n0,10,5\n100,10,5\n", encoding="utf-8")
    trace = chat(arrivals={"kind": "trace", "path": str(file), "format": "nightshift"}, lengths=None)
    given = scenario(workload=[trace], horizon=None, replications=5, uncertainty={"load": 0.5})
    ends_s = [float(run.tally.seconds[0]) for run in simulate(given).replications]
    sd = np.sqrt(np.log1p(0.25))

    assert ends_s == pytest.approx([100 / factor for factor in factors("load/chat", sd, 5)], abs=2.0)


def test_prices_of_an_api_move_and_what_is_sent_does_not() -> None:
    given = {"fleet": [API], "replications": 5, "start": "2026-09-07"}
    fixed = [float(run.tally.usd[0]) for run in simulate(scenario(**given)).replications]
    moved = [float(run.tally.usd[0]) for run in simulate(scenario(**given, uncertainty={"prices": 0.4})).replications]

    assert np.divide(moved, fixed) == pytest.approx(factors("prices/api", 0.4, 5), rel=1e-9)


@pytest.mark.parametrize(
    "offer",
    [
        {"kind": "spot", "usd_per_gpu_hour": 1.0},
        {"kind": "spot", "tariff": {"kind": "windows", "usd_per_gpu_hour": 1.0}},
        {"kind": "spot", "tariff": {"kind": "series", "usd_per_gpu_hour": [1.0], "step": "1h", "repeat": True}},
    ],
)
def test_prices_of_spot_gpus_move_and_contracts_do_not(offer: dict[str, Any]) -> None:
    fleet = [pool(name="spot", offer=offer), pool(name="own")]
    summary = simulate(scenario(fleet=fleet, replications=1, uncertainty={"prices": 0.4})).summary
    (factor,) = factors("prices/spot", 0.4, 1)

    assert summary["pools"]["spot"]["usd"] == pytest.approx(2 * factor / 12, rel=1e-6)
    assert summary["pools"]["own"]["usd"] == pytest.approx(2 * 2.0 / 12, rel=1e-6)


def test_policies_meet_the_same_draws() -> None:
    """A dearer fleet of twice the size sees the same loads."""
    spread = {"load": 0.3, "step_time": "calibrated"}
    few, many = (simulate(scenario(fleet=[pool(replicas=n)], replications=4, uncertainty=spread)) for n in (1, 2))

    assert [run.tally.streams[0, 0] for run in few.replications] == [
        run.tally.streams[0, 0] for run in many.replications
    ]


def learned(**changes: Any) -> Scenario:
    short = ["horizon=10m", "warm_up=0", "replications=12"]
    return load_scenario("quickstart", [*short, *(f"uncertainty.{key}={value}" for key, value in changes.items())])


def test_outcomes_of_a_table_vary_by_more_than_luck() -> None:
    plain, drawn = (simulate(learned(**spread)) for spread in ({}, {"outcomes": "fitted"}))
    accuracy = [[float(run.tally.answers[..., 3].sum() / run.tally.answers[..., 2].sum()) for run in each.replications]
                for each in (plain, drawn)]  # fmt: skip

    assert np.std(accuracy[1]) > np.std(accuracy[0])
    (doubt,) = drawn.summary["uncertainty"]["sampled"]
    assert 0.002 < doubt["sd"] < 0.05


def test_curves_are_shifted_by_the_error_of_their_fit() -> None:
    stream = chat(questions={"kind": "curves", "class": "arithmetic"})
    given = {
        "workload": [stream],
        "replications": 40,
        "strategies": [{"name": "think", "kind": "think", "budget_tokens": 150}],
    }
    found = simulate(scenario(**given, uncertainty={"outcomes": "fitted"}))
    expected = [float(run.tally.answers[..., 4].sum() / run.tally.answers[..., 2].sum()) for run in found.replications]

    # The points left out of the fit are off by 0.050 in accuracy.
    assert np.std(expected, ddof=1) == pytest.approx(0.050, rel=0.5)
    assert found.summary["uncertainty"]["split"]["quality.accuracy"]["not_known"] > 0.5


def test_a_router_that_is_off_decides_differently() -> None:
    plain, off = (simulate(learned(**spread)) for spread in ({}, {"router": 0.5}))
    shares = [[float(run.tally.answers[0, 0, 0] / run.tally.answers[0, :, 0].sum()) for run in each.replications]
              for each in (plain, off)]  # fmt: skip

    assert np.std(shares[1]) > 2 * np.std(shares[0])
    assert {doubt["name"] for doubt in off.summary["uncertainty"]["sampled"]} <= set(off.summary["strategies"])


def test_calibration_errors_held_out_come_from_the_file() -> None:
    sampled = simulate(learned(router="held-out")).summary["uncertainty"]["sampled"]

    assert all(0.01 < doubt["sd"] < 1.0 and "held-out questions" in doubt["source"] for doubt in sampled)


def test_a_table_of_drawn_contexts_holds_their_questions() -> None:
    table = OutcomeTable(
        correct={"a": np.arange(10.0).reshape(2, 5)},
        tokens={"a": np.arange(10.0).reshape(2, 5)},
        first=np.array([0, 2, 3, 5]),
        by_id={7: 0, 8: 2, 9: 4},
        has_prepared=True,
        questions=tuple("abcde"),
    )
    drawn = table.drawn(np.array([2, 0, 2]))

    assert drawn.questions == ("d", "e", "a", "b", "d", "e")
    assert drawn.first.tolist() == [0, 2, 4, 6]
    assert drawn.correct["a"].tolist() == [[3, 4, 0, 1, 3, 4], [8, 9, 5, 6, 8, 9]]
    assert drawn.by_id == {7: 2, 9: 1}
    assert drawn.drawn_from is not None
    assert drawn.drawn_from.tolist() == [3, 4, 0, 1, 3, 4]


def test_the_split_of_the_variance_tells_what_it_comes_of(tmp_path: Path) -> None:
    found = one_client(tmp_path, {"step_time": 0.1}).summary["uncertainty"]["split"]["latency.e2e_s.mean"]

    assert found["not_known"] > 0.95
    assert found["by"]["step_time"] == pytest.approx(found["not_known"])


def test_few_replications_are_warned_of(tmp_path: Path) -> None:
    found = one_client(tmp_path, {"step_time": 0.1}, replications=1).summary

    assert "1 replication draws what is not known too seldom" in found["warnings"][0]
    assert found["uncertainty"]["split"] is None


@pytest.mark.parametrize(
    "given", [{"step_time": "measured"}, {"step_time": 3}, {"outcomes": 0.1}, {"router": True}, {"load": -0.1}]
)
def test_what_is_no_spread_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        scenario(uncertainty=given)
