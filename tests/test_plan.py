"""`nightshift plan`: goals, budgets, confirmation, interrupts, files, refusals; most with a law for the simulator."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sim.cli import run
from sim.errors import InputError
from sim.load import load_scenario
from sim.plan import plan
from sim.planning.search.judge import Judged
from sim.planning.search.request import PlanRequest, Progress
from sim.planning.search.simulated import Task
from sim.planning.search.trials import seed_of
from sim.scenario import AlwaysRouter, GpuPool, Scenario
from tests.tiny_plans import tiny_scenario

QUICK = PlanRequest(effort="quick")
HOURS = 730.5


class StandIn:
    """In place of the simulator a law: in each hour so many replicas are needed, or some requests are late."""

    def __init__(self, need: tuple[int, int] = (1, 2), *, unlucky: int = -1, stops_after: int = 10**9) -> None:
        self.need, self.unlucky, self.stops_after = need, unlucky, stops_after
        self.tasks: list[Task] = []

    def __call__(self, tasks: Sequence[Task], workers: int | None = None) -> Iterator[Judged]:
        for task in tasks:
            if len(self.tasks) >= self.stops_after:
                raise KeyboardInterrupt
            self.tasks.append(task)
            yield self.judged(task)

    def judged(self, task: Task) -> Judged:
        replicas = np.array([_hours(pool) for pool in task.scenario.fleet if isinstance(pool, GpuPool)]).sum(axis=0)
        api = any(pool.kind == "api" for pool in task.scenario.fleet)
        thinks = isinstance(task.scenario.router, AlwaysRouter) and task.scenario.router.strategy == "think"
        need = np.array(self.need) + thinks + (task.seed == self.unlucky)
        share = np.minimum((replicas + api) / need, 1.0)
        usd = sum(_usd(pool) for pool in task.scenario.fleet if isinstance(pool, GpuPool)) + 4000.0 * api
        luck = np.random.default_rng(task.seed).uniform(0.0, 0.002)
        figures = {
            "usd_per_month": usd,
            "slo.attainment": float(share.mean()) - luck,
            "slo.goodput_rps": float(share.mean()) * 10.0,
            "quality.accuracy": 0.8 if thinks else 0.5,
            "offered": 100.0,
        }
        for block in range(2):
            figures |= {f"blocks.{block}.measured_offered": 50.0, f"blocks.{block}.measured_met": 50.0 * share[block]}
        return Judged({name: (float(value),) for name, value in figures.items()})


def _hours(pool: GpuPool) -> list[int]:
    if pool.autoscale is None or pool.autoscale.kind != "schedule":
        return [pool.most_replicas] * 2
    counts = [pool.autoscale.min, pool.autoscale.min]
    for window in pool.autoscale.windows:
        counts[int(window.start_s >= 8.5 * 3600)] = window.replicas
    return counts


def _usd(pool: GpuPool) -> float:
    paid = [pool.most_replicas] * 2 if pool.offer.kind == "reserved" else _hours(pool)
    return float(np.mean(paid)) * (pool.offer.usd_per_gpu_hour or 0.0) * HOURS


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The plan of two pools, two hours and two policies."""
    return plan(_written(tmp_path_factory.mktemp("desk"), {}), QUICK, runner=StandIn())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two pools, two hours, two policies, no target of accuracy."""
    return _written(tmp_path, {})


def _written(folder: Path, targets: dict[str, Any], **changes: Any) -> Path:
    made = tiny_scenario(1)
    made["plan"]["targets"] = {"slo": 0.95, "risk": 0.05} | targets
    made["plan"] |= changes
    made["fleet"][1]["offer"]["usd_per_gpu_hour"] = 3.0
    file = folder / "desk.yaml"
    file.write_text(yaml.safe_dump(made), encoding="utf-8")
    return file


def test_the_cheapest_plan_that_keeps_its_promise_is_found(found: dict[str, Any]) -> None:
    bought = {pool["name"]: list(pool["replicas_by_block"].values()) for pool in found["plan"]["pools"]}
    assert bought == {"own": [1, 1], "rented": [0, 1]}
    assert found["plan"]["settings"] == {"router.strategy": "direct"}
    assert found["verified"]["keeps_promise"]
    assert found["proof"]["is_proven"]
    assert found["plan"]["monthly_usd"] == pytest.approx((2.0 + 1.5) * HOURS)


def test_the_planned_scenario_runs_as_it_is_written(found: dict[str, Any], tmp_path: Path) -> None:
    written = tmp_path / "planned.yaml"
    written.write_text(found["plan"]["scenario_yaml"], encoding="utf-8")
    assert isinstance(load_scenario(written), Scenario)


def test_the_same_seed_gives_the_same_plan(found: dict[str, Any], file: Path) -> None:
    assert _timeless(plan(file, QUICK, runner=StandIn())) == _timeless(found)


def _timeless(found: dict[str, Any]) -> str:
    analytic = {key: value for key, value in found["analytic"].items() if key != "wall_s"}
    return json.dumps({key: value for key, value in found.items() if key != "speed"} | {"analytic": analytic})


def test_a_better_policy_is_bought_where_accuracy_is_asked_for(tmp_path: Path) -> None:
    found = plan(_written(tmp_path, {"accuracy": 0.25}), PlanRequest(effort="quick", accuracy=0.3), runner=StandIn())
    assert found["targets"]["accuracy"] == 0.3
    assert found["verified"]["accuracy"] >= 0.3


def test_a_budget_alone_asks_for_the_most_right_answers(file: Path) -> None:
    rich = PlanRequest(effort="quick", budget_usd_per_month=8000.0)
    found = plan(file, rich, runner=StandIn())
    assert found["goal"] == "accuracy"
    assert found["verified"]["accuracy"] == pytest.approx(0.8)
    assert found["verified"]["p_over_budget"] == 0.0
    assert found["plan"]["monthly_usd"] <= 8000.0


def test_a_budget_that_is_too_small_says_what_it_takes(file: Path) -> None:
    with pytest.raises(InputError, match=r"\$2,557 a month"):
        plan(file, PlanRequest(effort="quick", goal="cheapest", budget_usd_per_month=1500.0), runner=StandIn())


def test_a_promise_that_nothing_keeps_is_refused_with_the_nearest_plan(file: Path) -> None:
    with pytest.raises(InputError, match="the nearest, at"):
        plan(file, QUICK, runner=StandIn(need=(9, 9)))


def test_a_plan_that_breaks_on_the_fresh_seed_is_mended(file: Path) -> None:
    fresh = seed_of(1, "confirmation")
    found = plan(file, QUICK, runner=StandIn(unlucky=fresh))
    assert found["verified"]["keeps_promise"]
    assert found["plan"]["monthly_usd"] > (2.0 + 1.5) * HOURS
    assert any("broke it on the fresh seed" in note for note in found["notes"])


def test_baselines_are_held_to_the_same_promise(found: dict[str, Any]) -> None:
    by_name = {each["name"]: each for each in found["baselines"]}
    reserved = by_name["all reserved, sized for the peak"]
    assert reserved["keeps_promise"]
    assert reserved["saving_usd"]["mean"] == pytest.approx((4.0 - 3.5) * HOURS)
    rented = by_name["all on-demand, sized for the peak"]
    assert rented["saving_usd"]["mean"] == pytest.approx((6.0 - 3.5) * HOURS)


def test_an_interrupt_gives_the_best_so_far(file: Path) -> None:
    found = plan(file, QUICK, runner=StandIn(stops_after=12))
    assert found["interrupted"]
    assert found["plan"] is not None
    with pytest.raises(KeyboardInterrupt):
        plan(file, QUICK, runner=StandIn(stops_after=0))


def test_the_analytic_answer_comes_without_a_simulation(file: Path) -> None:
    told: list[dict[str, Any]] = []
    runner = StandIn()
    found = plan(file, PlanRequest(analytic_only=True), progress=Progress(told.append), runner=runner)
    assert told == [found]
    assert not runner.tasks
    assert found["analytic"]["bound_usd"] <= found["analytic"]["monthly_usd"]


def test_a_request_without_meaning_is_refused() -> None:
    for request in (PlanRequest(slo=1.5), PlanRequest(budget_usd_per_month=-1.0), PlanRequest(replications=1)):
        with pytest.raises(InputError):
            plan("quickstart", request)


def test_the_command_writes_a_plan_that_can_be_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = tiny_scenario(3)
    made["plan"]["pools"]["rented"]["most"] = 1
    made["warm_up"], made["plan"]["growing"] = "1m", {"months": 3, "per_year": 0.5}
    file = tmp_path / "desk.yaml"
    file.write_text(yaml.safe_dump(made), encoding="utf-8")
    out = tmp_path / "out"
    asked = ["plan", str(file), "--effort", "quick", "--replications", "2", "--workers", "1", "--slo", "0.9"]
    assert run([*asked, "--out", str(out), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found == json.loads((out / "plan.json").read_text(encoding="utf-8"))
    assert {"plan.json", "plan.yaml", "points.parquet"} <= {path.name for path in out.iterdir()}
    assert len(found["year"]["months"]) == 3
    assert run(["simulate", str(out / "plan.yaml"), "--json"]) == 0
    summary = json.loads(capfd.readouterr().out)
    usd = summary["cost"]["usd_per_hour"] * HOURS
    assert usd == pytest.approx(found["plan"]["monthly_usd"], rel=0.05)


def test_bad_input_is_told_without_a_trace(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = _written(tmp_path, {}, pools={"own": {"most": 0}})
    assert run(["plan", str(file), "--json"]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "leaves nothing to buy" in captured.err
