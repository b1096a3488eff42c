"""A plan of a small space is the best of all its points in the simulator, and no bound is above what a point costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sim.load import load_scenario
from sim.planning.search.aim import Aim
from sim.planning.search.analysis import Analysis, analysed
from sim.planning.search.judge import Judged, Promise, promise_of
from sim.planning.search.options import policy_options
from sim.planning.search.point import points_of
from sim.planning.search.request import EFFORTS
from sim.planning.search.search import Found, Search
from sim.planning.search.simulated import Task, run_task
from sim.planning.search.trials import Trial, Trials, seeds_of
from tests.tiny_plans import write_tiny

REPLICATIONS = 2


class Remembering:
    """A runner that runs each task once: what the search asks for and what the enumeration asks for is the same."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, int], Judged] = {}

    def __call__(self, tasks: Sequence[Task], workers: int | None = None) -> Iterator[Judged]:
        for task in tasks:
            key = task.scenario.model_dump_json(), task.seed
            if key not in self.known:
                self.known[key] = run_task(task)
            yield self.known[key]


def searched(file: Path, runner: Remembering) -> tuple[Analysis, Promise, Search, Found]:
    """The planner's own search."""
    scenario = load_scenario(file)
    assert scenario.plan is not None
    options, _ = policy_options(file, (), scenario.plan.vary)
    analysis, promise = analysed(options), promise_of(scenario.plan.targets)
    trials = Trials(analysis.space, promise, seeds_of(scenario.seed, REPLICATIONS), runner=runner)
    search = Search(analysis, trials, Aim("cheapest"), EFFORTS["normal"])
    return analysis, promise, search, search.run()


def enumerated(analysis: Analysis, promise: Promise, seed: int, runner: Remembering) -> list[Trial]:
    """Every point of the space, judged by all replications."""
    seeds = seeds_of(seed, REPLICATIONS)
    return Trials(analysis.space, promise, seeds, first=REPLICATIONS, runner=runner).of(list(points_of(analysis.space)))


def check(number: int, folder: Path) -> tuple[int, int]:
    """Hold the plan of a scenario against all plans; gives back how many there are, and how many were tried."""
    runner = Remembering()
    analysis, promise, search, found = searched(write_tiny(number, folder), runner)
    trials = enumerated(analysis, promise, number, runner)
    keeping = [trial for trial in trials if trial.keeps]
    assert {t.point: t.keeps for t in trials if t.point in search.trials.known} == {
        point: trial.keeps for point, trial in search.trials.known.items()
    }, "ending a trial early changes no verdict"
    if not keeping:
        assert found.best is None
        return len(trials), len(search.trials.known)
    best = min(keeping, key=lambda trial: (Aim("cheapest").rank(trial.judged), trial.point))
    assert found.best is not None
    assert found.best.point == best.point
    assert found.proof.is_proven
    for trial in keeping:
        usd = trial.judged.mean("usd_per_month")
        assert search.starts[trial.point.option].bound_usd <= usd * (1.0 + 1e-9)
        assert analysis.bound_of(trial.point) <= usd * (1.0 + 1e-9)
    return len(trials), len(search.trials.known)


@pytest.mark.parametrize("number", [3, 9])
def test_a_plan_is_the_best_of_all_in_the_simulator(number: int, tmp_path: Path) -> None:
    points, tried = check(number, tmp_path)
    assert tried < points


@pytest.mark.long
@pytest.mark.parametrize("number", range(30))
def test_thirty_plans_are_the_best_of_all_in_the_simulator(number: int, tmp_path: Path) -> None:
    check(number, tmp_path)
