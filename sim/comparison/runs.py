"""Both sides run in one pool of threads, replication by replication."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from sim.engine.warm import compile_engine
from sim.replication import Replication
from sim.scenario import Scenario
from sim.simulation import Progress, Simulation, check_warm_up, side_by_side, tell_of_compiling

__all__ = ["Side", "run_all"]


@dataclass(frozen=True)
class Side:
    """A scenario and its replications."""

    scenario: Scenario
    simulation: Simulation
    runs: list[Replication]


def run_all(scenarios: list[Scenario], progress: Callable[[Progress], None] | None) -> tuple[list[Side], float]:
    """Each scenario with its replications, and the seconds it all took.

    They run on the same threads, those of all scenarios by turns: the first of each, then the second of each. All have
    as many.
    """
    count = len(scenarios)
    prepared = [Simulation(scenario, _told(progress, n, count)) for n, scenario in enumerate(scenarios)]
    compile_engine(tell_of_compiling)
    begun_s = time.perf_counter()
    wanted = [partial(side.run, index) for index in range(scenarios[0].replications) for side in prepared]
    done = side_by_side(wanted)
    wall_s = time.perf_counter() - begun_s
    sides = [Side(side.scenario, side, done[n::count]) for n, side in enumerate(prepared)]
    for side in sides:
        check_warm_up(side.scenario, side.runs)
    return sides, wall_s


def _told(progress: Callable[[Progress], None] | None, place: int, count: int) -> Callable[[Progress], None] | None:
    """Progress of one scenario told as that of all: each replication has a number of its own."""
    if progress is None:
        return None
    told = progress

    def tell(step: Progress) -> None:
        told(replace(step, replication=step.replication * count + place, replications=step.replications * count))

    return tell
