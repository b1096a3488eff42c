"""What the shipped calibration is worth: its errors on public measurements, and on runs that its fit did not use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pandas import DataFrame

from sim.calibration.learn import calibrate
from sim.hardware import load_catalogue
from sim.measurements import read_measurements
from sim.steptime.calibration import Calibration
from sim.steptime.calibration_file import load_calibration
from sim.validation.comparison import with_errors
from sim.validation.predict import compare

CATALOGUE = load_catalogue()


@pytest.fixture(scope="module")
def errors(shared: Path) -> DataFrame:
    """Absolute errors of every figure in the public measurements that were not saturated."""
    measurements = read_measurements([shared / "measurements"], CATALOGUE)
    rows = with_errors(compare(measurements, load_calibration(), CATALOGUE).rows)
    return rows[~rows["saturated"].astype(bool)].assign(error=lambda frame: frame["error"].abs())


def held_out(calibration: Calibration) -> dict[tuple[str, str], float]:
    """Median absolute errors on runs that were not saturated and that a fit did not use, by group and metric."""
    groups: list[dict[str, Any]] = calibration.held_out["groups"]
    means = (group for group in groups if group["statistic"] == "mean" and not group["saturated"])
    return {(group["group"], group["metric"]): group["median_abs_error"] for group in means}


def means_of(errors: DataFrame, kind: str, metric: str, statistic: str = "mean") -> DataFrame:
    rows = errors[(errors["kind"] == kind) & (errors["metric"] == metric) & (errors["statistic"] == statistic)]
    assert len(rows)
    return rows


@pytest.mark.parametrize(("metric", "most"), [("tpot_ms", 0.07), ("ttft_ms", 0.15)])
def test_closed_loops_of_pairs_in_the_fit_are_met(metric: str, most: float, errors: DataFrame) -> None:
    rows = means_of(errors, "closed-loop", metric)

    assert len(rows[rows["seen"]]) > 1600
    assert rows[rows["seen"]]["error"].median() <= most


def test_steps_are_met_within_2_percent(errors: DataFrame) -> None:
    for _, rows in means_of(errors, "step-table", "step_ms").groupby("configuration"):
        assert rows["error"].mean() <= 0.02


@pytest.mark.parametrize("metric", ["ttft_ms", "e2e_s"])
@pytest.mark.parametrize(("statistic", "most"), [("mean", 0.02), ("p99", 0.05)])
def test_poisson_arrivals_on_step_tables_are_met(statistic: str, most: float, metric: str, errors: DataFrame) -> None:
    assert means_of(errors, "poisson", metric, statistic)["error"].max() <= most


@pytest.mark.parametrize("metric", ["tpot_ms", "e2e_s"])
def test_logs_of_a_server_are_met(metric: str, errors: DataFrame) -> None:
    assert means_of(errors, "open-loop", metric)["error"].max() <= 0.05


def test_every_public_run_is_predicted(errors: DataFrame) -> None:
    assert errors["error"].notna().all()


@pytest.mark.parametrize(
    ("group", "metric", "most"),
    [("seen", "tpot_ms", 0.07), ("seen", "ttft_ms", 0.15), ("unseen", "tpot_ms", 0.16)],
)
def test_runs_that_the_shipped_fit_did_not_use_are_met(group: str, metric: str, most: float) -> None:
    assert held_out(load_calibration())[group, metric] <= most


@pytest.mark.long
def test_the_shipped_errors_come_out_of_the_public_measurements(shared: Path) -> None:
    again = calibrate(read_measurements([shared / "measurements"], CATALOGUE), CATALOGUE)

    assert held_out(again) == pytest.approx(held_out(load_calibration()), abs=0.01)
