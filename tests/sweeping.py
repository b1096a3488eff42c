"""Executors that stand in for the simulator, and workers that die, for tests of sweeps."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from sim.runs.executor import Done, Task
from sim.runs.outcome import Outcome
from sim.scenario import GpuPool, Scenario
from sim.scenario.demand import Poisson

__all__ = ["SCENARIO", "StandIn", "deadly", "linear", "settings_of"]

SCENARIO = Path(__file__).with_name("sweep.yaml")


def settings_of(scenario: Scenario) -> tuple[float, float, float]:
    """Replicas, arrivals a second and price of the small scenario."""
    pool, arrivals = scenario.fleet[0], scenario.workload[0].arrivals
    assert isinstance(pool, GpuPool)
    assert isinstance(arrivals, Poisson)
    return float(pool.replicas), arrivals.rps, float(pool.offer.usd_per_gpu_hour or 0.0)


def linear(scenario: Scenario) -> Outcome:
    """A bill of 10 a replica, 3 for each request a second and 1 for each dollar of price, and luck shared by all."""
    replicas, rps, price = settings_of(scenario)
    luck = np.random.default_rng(scenario.seed).normal(0.0, 5.0, scenario.replications)
    return Outcome({"cost.total_usd": [10.0 * replicas + 3.0 * rps + price + each for each in luck.tolist()]})


class StandIn:
    """Runs tasks by a law in place of the simulator, last come first done, two at a time."""

    def __init__(self, law: Callable[[Scenario], Outcome] = linear, *, stops_after: int | None = None) -> None:
        self.law, self.stops_after = law, stops_after
        self.tasks: list[Task] = []
        self._waiting: list[Task] = []

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= 2

    @property
    def is_busy(self) -> bool:
        return bool(self._waiting)

    def submit(self, task: Task) -> None:
        if len(self.tasks) == self.stops_after:
            raise KeyboardInterrupt
        self.tasks.append(task)
        self._waiting.append(task)

    def collect(self) -> list[Done]:
        task = self._waiting.pop()
        return [(task, self.law(task.scenario))]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.clear()


def deadly(scenario: Scenario) -> Outcome:
    """Kills its process by the name of the scenario: always, or where the file it names is not there yet."""
    if scenario.name == "always":
        os.kill(os.getpid(), signal.SIGKILL)
    once = Path(scenario.name)
    if once.is_absolute() and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome({"cost.total_usd": [float(scenario.seed)]})
