"""Policy and fleet searched together: every setting has a fleet that was sized for it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from sim import commands
from sim.cli import run
from sim.errors import InputError
from sim.load import load_scenario
from sim.runs import Job
from sim.scenario import GpuPool, Scenario
from sim.tune import Plan
from sim.tune.fleets import HEADROOM, fleet_in_words, fleet_of, fleet_runner

SCENARIO = Path(__file__).with_name("tune.yaml")


def two_for_each(scenario: Scenario, *, headroom: float = 1.0) -> Scenario:
    """In place of the planner: two servers, times the headroom."""
    servers = round(2 * headroom)
    if servers > 4:
        raise InputError(servers, "are more than there are", "ask for less")
    fleet = [pool.model_copy(update={"replicas": servers}) for pool in scenario.fleet if isinstance(pool, GpuPool)]
    return scenario.model_copy(update={"fleet": fleet, "plan": None})


@pytest.fixture(autouse=True)
def sizing(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("sim.planning.search.sizing")
    module.sized = two_for_each  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sim.planning.search.sizing", module)


def bills(overrides: Sequence[str], seed: int = 1) -> list[float]:
    (outcome,) = fleet_runner(SCENARIO, 1, None)([Job((*overrides, "horizon=4m"), seed, 1)])
    return list(outcome.figures["cost.total_usd"])


def with_a_plan(folder: Path) -> Path:
    """The scenario of the tests with a section on what may be bought."""
    file = folder / "planned.yaml"
    tree = yaml.safe_load(SCENARIO.read_text(encoding="utf-8")) | {"plan": {"targets": {"slo": 0.5}}}
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return file


def test_headroom_buys_servers_and_seeds_change_no_fleet() -> None:
    assert bills([f"{HEADROOM}=1.5"]) == pytest.approx([1.5 * bills([f"{HEADROOM}=1.0"])[0]])
    assert bills([f"{HEADROOM}=1.0"], seed=1) == pytest.approx(bills([f"{HEADROOM}=1.0"], seed=2))


def test_without_headroom_the_scenario_keeps_its_own_fleet() -> None:
    assert fleet_in_words(fleet_of(SCENARIO, [])) == fleet_in_words(load_scenario(SCENARIO))


def test_a_fleet_that_cannot_be_had_is_refused_and_the_others_run() -> None:
    jobs = [Job((f"{HEADROOM}={room}", "horizon=4m"), 1, 1) for room in (9.0, 1.0, 8.0, 1.5)]
    found = list(fleet_runner(SCENARIO, 1, None)(jobs))

    assert [outcome.refused is not None for outcome in found] == [True, False, True, False]
    assert "18 are more than there are" in str(found[0].refused)


def test_policy_and_fleet_are_searched_together(tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    plan = Plan(trials=6, replications=1, fresh=2, most_points=2, overrides=("horizon=4m",))
    found = commands.tune(with_a_plan(tmp_path), plan, out=out, workers=1)

    assert found["vary"][-1] == "headroom=0.7:1.4"
    assert (found["objectives"][0]["name"], found["slo"]) == ("bill", 0.5)
    point = found["points"][1]
    kept = load_scenario(out / "point-1.yaml")
    servers = round(2 * point["settings"][HEADROOM])
    assert (set(point["fleet"].values()), fleet_in_words(kept), kept.plan) == ({servers}, point["fleet"], None)
    assert any("sized by formulas" in note for note in found["notes"])


def test_the_terminal_tells_fleets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--trials", "3", "--fresh", "2", "--points", "3", "--workers", "1", "--set", "horizon=4m"]
    assert run(["tune", str(SCENARIO), "--fleet", *small]) == 0
    told = capsys.readouterr().out
    name = load_scenario(SCENARIO).fleet[0].name

    assert "headroom=" in told
    assert f"; {name} " in told


def test_no_fleet_means_the_scenarios_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--trials", "2", "--fresh", "2", "--points", "1", "--workers", "1", "--set", "horizon=4m", "--json"]
    assert run(["tune", str(with_a_plan(tmp_path)), "--no-fleet", *small]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)

    assert (found["fleet"], [text for text in found["vary"] if HEADROOM in text]) == (False, [])


def test_headroom_without_a_fleet_is_refused() -> None:
    with pytest.raises(InputError, match="is room of a fleet that is bought"):
        commands.tune(SCENARIO, Plan(vary=("headroom=0.5:2",)))
