"""A fleet for each setting: sized by the planner's formulas, with room that is tuned beside the policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import InputError
from sim.runs import Job, Outcome, Runner, Store, scenarios_side_by_side
from sim.scenario import GpuPool, Scenario
from sim.tune.space import Range

if TYPE_CHECKING:
    from sim.load import ScenarioFile

__all__ = ["HEADROOM", "ROOM", "fleet_in_words", "fleet_of", "fleet_runner", "sizes_fleets"]

HEADROOM = "headroom"
"""The key by which the room of a fleet is tuned; no key of the scenario."""
ROOM = Range(HEADROOM, 0.7, 1.4)
"""Factor on the load that a fleet is sized for: formulas err on either side."""


def sizes_fleets(scenario: Scenario, asked: bool | None) -> bool:
    """Whether fleets are sized: as was asked for, else where the scenario says what may be bought."""
    return scenario.plan is not None if asked is None else asked


def fleet_runner(source: Path | str, workers: int | None, store: Store | None) -> Runner:
    """A runner of jobs that buys each of them the fleet it needs; those without a headroom keep the scenario's own."""
    from sim.load import ScenarioFile

    file = ScenarioFile(source)
    sized: dict[tuple[str, ...], Scenario | Outcome] = {}

    def run(jobs: Sequence[Job]) -> Iterator[Outcome]:
        for job in jobs:
            if job.overrides not in sized:
                sized[job.overrides] = _bought(file, job.overrides)
        found = [_seeded(sized[job.overrides], job) for job in jobs]
        outcomes = scenarios_side_by_side([one for one in found if not isinstance(one, Outcome)], workers, store=store)
        for one in found:
            yield one if isinstance(one, Outcome) else next(outcomes)

    return run


def fleet_of(source: Path | str, overrides: Sequence[str]) -> Scenario:
    """The scenario with overrides, a headroom among them or not, and its fleet.

    Raises:
        InputError: where the scenario refuses them, or no fleet will do.
    """
    from sim.load import ScenarioFile

    return _sized(ScenarioFile(source), overrides)


def fleet_in_words(scenario: Scenario) -> dict[str, int | str]:
    """Servers by pool of GPUs: a number, or the fewest and most of one that changes."""
    return {pool.name: _servers(pool) for pool in scenario.fleet if isinstance(pool, GpuPool)}


def _servers(pool: GpuPool) -> int | str:
    return pool.replicas if pool.autoscale is None else f"{pool.autoscale.min} to {pool.autoscale.max}"


def _bought(file: ScenarioFile, overrides: Sequence[str]) -> Scenario | Outcome:
    try:
        return _sized(file, overrides)
    except InputError as error:
        return Outcome({}, str(error))


def _sized(file: ScenarioFile, overrides: Sequence[str]) -> Scenario:
    """On the scenario's own seed, so that a setting has one fleet whatever seed it runs on."""
    room = {key: value for key, value in (text.split("=", 1) for text in overrides) if key == HEADROOM}
    scenario = file.scenario([text for text in overrides if not text.startswith(f"{HEADROOM}=")])
    if not room:
        return scenario
    from sim.planning.search.sizing import sized

    return sized(scenario, headroom=float(room[HEADROOM]))


def _seeded(scenario: Scenario | Outcome, job: Job) -> Scenario | Outcome:
    if isinstance(scenario, Outcome):
        return scenario
    changes: Mapping[str, Any] = {"seed": job.seed, "replications": job.replications}
    return scenario.model_copy(update=changes)
