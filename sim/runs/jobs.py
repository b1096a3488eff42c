"""Settings of a scenario, or scenarios, run side by side; what is done is kept where there is a store for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sim.errors import EngineError, InputError
from sim.runs.executor import Executor, InProcess, Task, executor_of
from sim.runs.keys import content_key
from sim.runs.outcome import Outcome, run_scenario
from sim.runs.store import Memory, Store

if TYPE_CHECKING:
    from sim.load import ScenarioFile
    from sim.scenario import Scenario

__all__ = ["Job", "Run", "Runner", "resolved", "run_all", "run_job", "scenarios_side_by_side", "side_by_side"]


class Job(NamedTuple):
    """A setting to simulate."""

    overrides: tuple[str, ...]
    seed: int
    replications: int


class Run(NamedTuple):
    """A run that has ended."""

    place: int
    """Which of those asked for."""
    key: str
    """What stands for it; empty where the scenario was refused before there was anything to run."""
    outcome: Outcome
    is_kept: bool
    """Whether it came from a store."""


Runner = Callable[[Sequence[Job]], Iterator[Outcome]]
"""Gives the outcomes of jobs, in their order."""


def run_all(scenarios: Iterable[Scenario | Outcome], executor: Executor, store: Store | None = None) -> Iterator[Run]:
    """The runs of scenarios, as they end: those in the store at once, and none twice.

    A scenario that was refused before stands there as its outcome. Scenarios are asked for as there is room.
    """
    known = Memory() if store is None else store
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, scenario in enumerate(scenarios):
        if isinstance(scenario, Outcome):
            yield Run(place, "", scenario, False)
            continue
        key = content_key(scenario)
        if key not in places and (found := known.get(key)) is not None:
            yield Run(place, key, found, store is not None)
            continue
        places[key].append(place)
        if len(places[key]) > 1:
            continue
        while executor.is_full:
            yield from _collected(executor, places, known)
        executor.submit(Task(key, scenario))
    while executor.is_busy:
        yield from _collected(executor, places, known)


def _collected(executor: Executor, places: dict[str, list[int]], known: Store | Memory) -> Iterator[Run]:
    done = executor.collect()
    for task, outcome in done:
        known.put(task.key, outcome)
    for task, outcome in done:
        yield from (Run(place, task.key, outcome, False) for place in places.pop(task.key))


def side_by_side(
    source: Path | str, workers: int | None = None, kept: Store | None = None, *, executor: Executor | None = None
) -> Runner:
    """A runner of jobs of one scenario, in as many processes as there are cores unless `workers` says how many.

    Raises:
        EngineError: where a run failed by a fault of ours, or its processes died.
    """
    from sim.load import ScenarioFile

    file = ScenarioFile(source)
    chosen = executor or executor_of(workers)

    def run(jobs: Sequence[Job]) -> Iterator[Outcome]:
        alone = InProcess(threads=None) if executor is None and len(jobs) < 2 else chosen
        yield from _in_order([resolved(file, job) for job in jobs], alone, kept)

    return run


def resolved(file: ScenarioFile, job: Job) -> Scenario | Outcome:
    """The scenario of a job; its outcome where it is refused."""
    try:
        return file.scenario([*job.overrides, f"seed={job.seed}", f"replications={job.replications}"])
    except InputError as error:
        return Outcome({}, str(error))


def run_job(source: Path | str, job: Job) -> Outcome:
    """Simulate a setting; one that the scenario does not allow is refused, and says why."""
    from sim.load import ScenarioFile

    scenario = resolved(ScenarioFile(source), job)
    return scenario if isinstance(scenario, Outcome) else run_scenario(scenario)


def scenarios_side_by_side(
    scenarios: Sequence[Scenario],
    workers: int | None = None,
    *,
    store: Store | None = None,
    executor: Executor | None = None,
) -> Iterator[Outcome]:
    """The outcomes of scenarios in their order, in as many processes as there are cores unless `workers` says.

    Raises:
        EngineError: where a run failed by a fault of ours, or its processes died.
    """
    own = InProcess(threads=None) if len(scenarios) < 2 else executor_of(workers)
    return _in_order(scenarios, executor or own, store)


def _in_order(scenarios: Sequence[Scenario | Outcome], executor: Executor, store: Store | None) -> Iterator[Outcome]:
    early: dict[int, Outcome] = {}
    place = 0
    with executor:
        for run in run_all(scenarios, executor, store):
            if run.outcome.is_failed:
                raise EngineError(run.outcome.refused)
            early[run.place] = run.outcome
            while place in early:
                yield early.pop(place)
                place += 1
