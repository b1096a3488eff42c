"""Where runs are run: in this process, in others beside it (`local`), or on a cluster (`ray_cluster`)."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from sim.runs.outcome import Outcome, attempt

if TYPE_CHECKING:
    from sim.scenario import Scenario

__all__ = ["Done", "Executor", "InProcess", "Task", "executor_of"]


class Task(NamedTuple):
    """A run to do."""

    key: str
    scenario: Scenario


Done = tuple[Task, Outcome]


class Executor(Protocol):
    """Takes tasks and gives back what came of them, in whatever order they end; none is lost."""

    @property
    def is_full(self) -> bool:
        """Whether something should be collected before more is submitted."""

    @property
    def is_busy(self) -> bool:
        """Whether there is something to collect."""

    def submit(self, task: Task) -> None:
        """Have a task done."""

    def collect(self) -> list[Done]:
        """Wait for at least one task to end, and give those that have."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; after an error what is under way is dropped."""


class InProcess:
    """Runs each task where it is submitted, on one thread unless said otherwise (None: one a core)."""

    def __init__(self, threads: int | None = 1) -> None:
        """Nothing is begun."""
        self._threads = threads
        self._done: list[Done] = []

    @property
    def is_full(self) -> bool:
        """After each task."""
        return bool(self._done)

    @property
    def is_busy(self) -> bool:
        """The same."""
        return bool(self._done)

    def submit(self, task: Task) -> None:
        """Run it."""
        self._done.append((task, attempt(task.scenario, self._threads)))

    def collect(self) -> list[Done]:
        """What was run."""
        done, self._done = self._done, []
        return done

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to end."""


def executor_of(workers: int | None = None, ray: str | None = None) -> Executor:
    """As many processes as there are cores unless `workers` says how many, or the cluster of Ray at that address.

    Raises:
        InputError: where Ray is wanted and is missing, or does not answer.
    """
    if ray is not None:
        from sim.runs.ray_cluster import OnRay

        return OnRay(ray, workers)
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        return InProcess()
    from sim.runs.local import Local

    return Local(workers)
