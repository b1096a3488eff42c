"""The benchmarks at toy size: they run, and their reference tells the same story as the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cases import CASES, Case, scenario_of
from benchmarks.choosing import STRATEGIES, choosing
from benchmarks.comparing import DAY
from benchmarks.long_run import Seen, first_with, long_run
from benchmarks.measured import calibration_figures
from benchmarks.routing import routing_figures
from benchmarks.serving import bare_total_s, blocks_of, measure_serving, serve_blocks
from benchmarks.startup import help_s
from benchmarks.sweeping import sweeping
from sim.engine.state import E2E, TPOT
from sim.fleet import build_fleet
from sim.load import load_scenario
from sim.scenario import ConstantLengths


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_case_serves_its_requests(case: Case) -> None:
    served = measure_serving(case, requests=10_000, runs=1)

    assert served.requests == pytest.approx(10_000, rel=0.1)
    assert min(served.best_rps, served.workload_ns, served.engine_ns, served.bare_ns or 1.0) > 0


def test_the_reference_does_the_same_work_as_the_engine() -> None:
    """Where no budget, limit or priority binds, one replica gives every request the same time in both."""
    scenario = scenario_of(CASES[0], 5_000)
    stream = scenario.workload[0].model_copy(update={"lengths": ConstantLengths(prompt_tokens=40, output_tokens=30)})
    short = scenario.model_copy(update={"workload": [stream]})
    blocks = list(blocks_of(short))
    sums_s = serve_blocks(short, blocks).state.latency_sum_s[0]
    law = build_fleet(short).pools[0].step_time
    front_end_s = sum(len(block.arrival_s) for block in blocks) * law.front_end_s + law.front_end_steps * sums_s[TPOT]

    assert bare_total_s(short, blocks) == pytest.approx(sums_s[E2E] - front_end_s, rel=1e-9)


def test_choosing_is_measured_beside_the_same_requests_without_a_choice() -> None:
    rows = choosing(requests=2_000, runs=1)

    assert [row["strategies"] for row in rows] == 2 * [1, *STRATEGIES]
    assert [row["ratio"] for row in rows[::3]] == [1.0, 1.0]
    assert min(row["requests_per_s"] for row in rows) > 0


def test_the_long_run_measures_a_process_of_its_own() -> None:
    figures = long_run(20_000)

    assert figures["requests"] == pytest.approx(20_000, rel=0.1)
    assert 0 < figures["first_tenth_peak_gb"] <= figures["peak_gb"]


def test_a_tenth_of_the_long_run_is_a_tenth_of_its_requests() -> None:
    """Reports come densely at first, so a tenth of the reports would be next to none of the run."""
    seen = [Seen(0.0, 0, 0.1), Seen(0.1, 1, 0.1), Seen(0.2, 2, 0.1), Seen(10.0, 100, 0.2), Seen(99.0, 1000, 0.2)]

    assert first_with(seen, 0.1 * seen[-1].requests).requests == 100


def test_the_command_answers() -> None:
    assert help_s(runs=1) > 0


def test_calibrating_is_timed_with_and_without_errors_held_out() -> None:
    figures = calibration_figures([Path(__file__).parent / "data" / "measurements" / "closed-loop.csv"])

    assert figures["figures"] >= 6
    assert min(figures.values()) > 0


def test_routing_is_measured_from_features_and_from_texts() -> None:
    figures = routing_figures(requests=2_000, runs=1, singles=20)["figures"]

    assert set(figures) == {"from features", "from texts", "one request, features", "one request, text"}
    assert all(value > 0 for row in figures.values() for value in row.values())


def test_a_sweep_is_measured_by_one_process_and_by_several_with_the_same_results() -> None:
    figures = sweeping(points=3, replications=1, workers=1)

    assert (figures["points"], figures["kept_run"], figures["alike"]) == (3, 0, True)
    assert figures["efficiency"] > 0


def test_the_what_if_that_is_measured_is_a_day_of_ten_requests_a_second(tmp_path: Path) -> None:
    (tmp_path / "day.yaml").write_text(DAY, encoding="utf-8")
    day = load_scenario(tmp_path / "day.yaml")

    (chat,) = day.workload
    assert day.horizon == 86_400.0
    assert getattr(chat.arrivals, "mean_rps", None) == 10.0
