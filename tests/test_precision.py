"""`--precision`: replications are added until figures are known so closely, and the first ones stay the same."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from sim.cli import run as command
from sim.errors import InputError
from sim.precision import Precision
from sim.results import Results
from sim.simulation import simulate
from tests.golden import without_speed
from tests.small import chat, pool, scenario

E2E = ("latency.e2e_s.mean",)
BUSY = {"workload": [chat(arrivals={"kind": "poisson", "rps": 8.0})], "fleet": [pool(replicas=1)], "horizon": "1m"}


def precise(wanted: float, figures: tuple[str, ...] = E2E, most: int = 60, **changes: object) -> Results:
    return simulate(scenario(**(BUSY | changes)), precision=Precision(wanted, figures, most))


def test_the_half_width_is_at_most_what_was_wanted_of_the_mean() -> None:
    found = precise(0.01)
    low, high = found.summary["intervals"]["latency.e2e_s.mean"]
    mean = found.summary["latency"]["e2e_s"]["mean"]

    assert found.summary["precision"]["reached"]
    assert (high - low) / 2 <= 0.01 / 1.01 * mean
    assert 10 < found.summary["replications"] == len(found.replications) < 60


def test_the_first_replications_are_those_of_a_run_without_it() -> None:
    found, plain = precise(0.01), simulate(scenario(**(BUSY | {"replications": 3})))

    for one, other in zip(plain.replications, found.replications[:3], strict=True):
        assert one.tally.usd.tolist() == other.tally.usd.tolist()
        assert np.array_equal(one.tally.histogram, other.tally.histogram)


def test_it_ends_at_the_most_replications_and_says_so() -> None:
    found = precise(0.0005, most=12).summary

    assert (found["replications"], found["precision"]["reached"]) == (12, False)
    assert "12 replications do not tell latency.e2e_s.mean to 0.0005" in found["warnings"][-1]


def test_shares_are_wanted_as_they_are_and_what_does_not_vary_needs_no_more() -> None:
    figures = precise(0.05, ()).summary["precision"]["figures"]

    assert list(figures) == ["cost.total_usd", "latency.e2e_s.mean", "slo.attainment"]
    assert figures["slo.attainment"]["wanted"] == 0.05
    assert figures["cost.total_usd"]["half_width"] == 0.0


def test_a_figure_that_is_not_there_is_never_reached() -> None:
    found = precise(0.05, ("quality.accuracy",), most=11).summary

    assert not found["precision"]["reached"]
    assert "nothing is there to measure of quality.accuracy" in found["warnings"][-1]


def test_the_number_of_cores_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    several = without_speed(precise(0.01).summary)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)

    assert without_speed(precise(0.01).summary) == several


@pytest.mark.parametrize(
    ("wanted", "figures", "most", "rule"),
    [
        (0.0, E2E, 60, "is no precision"),
        (1.0, E2E, 60, "is no precision"),
        (0.1, E2E, 9, "is fewer than the 10"),
        (0.1, ("latency.e2e.mean",), 60, "is no headline figure"),
    ],
)
def test_what_cannot_be_had_is_refused(wanted: float, figures: tuple[str, ...], most: int, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        precise(wanted, figures, most)


def test_a_scenario_with_more_replications_than_allowed_is_refused() -> None:
    with pytest.raises(InputError, match="more than the 60"):
        precise(0.1, replications=61)


def test_the_command_takes_it_and_refuses_parts_of_it_alone(capsys: pytest.CaptureFixture[str]) -> None:
    short = ["simulate", "starter", "--set", "horizon=2m", "--set", "warm_up=0", "--json"]
    short[1] = "quickstart"
    assert command([*short, "--precision", "0.5", "--precision-of", "cost.total_usd"]) == 0
    found = json.loads(capsys.readouterr().out)["precision"]

    assert (found["wanted"], found["replications"], list(found["figures"])) == (0.5, 10, ["cost.total_usd"])
    assert command([*short, "--precision-of", "cost.total_usd"]) == 2
    assert "says nothing without --precision" in capsys.readouterr().err
