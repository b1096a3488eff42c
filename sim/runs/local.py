"""Runs in processes of this machine, by joblib's loky; one that is killed costs no more than what it was running."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections import Counter, deque
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sim.runs.executor import Done, Task
from sim.runs.outcome import Outcome, attempt

if TYPE_CHECKING:
    from sim.scenario import Scenario

__all__ = ["Local", "attempt_here", "compile_here"]

_MOST_LOSSES = 3
"""Times that a task may be under way when a process dies. At the last one it was alone, so that it is to blame."""
_IDLE_S = 60
"""After so long without work a process ends."""
_LOOKS_UP_S = 1.0
"""How often a process looks whether the one that started it is still there."""
_QUEUED = 2
"""Tasks submitted for each process: one that it runs, and one so that it need not wait."""


class Local:
    """Processes of this machine, one thread each; they stay for the next runs of this program.

    When a process dies, all that was under way is lost, as it is not known which task it was. These tasks are run
    again; those that are lost again, alone. One that is lost alone has failed.
    """

    def __init__(self, workers: int) -> None:
        """Nothing is started yet."""
        self._workers = workers
        self._pool: Any = None
        self._flight: dict[Future[Outcome], Task] = {}
        self._suspects: deque[Task] = deque()
        self._losses: Counter[str] = Counter()

    @property
    def is_full(self) -> bool:
        """Whether all processes have enough to do, or a task is to be alone."""
        is_watched = any(self._losses[task.key] == _MOST_LOSSES - 1 for task in self._flight.values())
        return is_watched or bool(self._suspects) or len(self._flight) >= _QUEUED * self._workers

    @property
    def is_busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._flight or self._suspects)

    def submit(self, task: Task) -> None:
        """Have a task done by the next process that is free."""
        if self._pool is None:
            compile_here()
            self._pool = _pool(self._workers)
        try:
            future = self._pool.submit(attempt_here, task.scenario)
        except BrokenProcessPool:
            # It died while nobody looked; what it was doing is seen to when that is collected.
            self._pool = _pool(self._workers)
            future = self._pool.submit(attempt_here, task.scenario)
        self._flight[future] = task

    def collect(self) -> list[Done]:
        """What has ended."""
        done: list[Done] = []
        while self.is_busy and not done:
            if not self._flight:
                self.submit(self._suspects.popleft())
            ended, _ = wait(self._flight, return_when=FIRST_COMPLETED)
            if any(_is_lost(future) for future in ended):
                done = self._after_a_death()
            else:
                done = [(self._flight.pop(future), future.result()) for future in ended]
        return done

    def _after_a_death(self) -> list[Done]:
        """What was done all the same; the rest is run again, unless it was lost too often."""
        wait(self._flight, return_when=ALL_COMPLETED)
        flight, self._flight = self._flight, {}
        self._pool = _pool(self._workers)
        done = [(task, future.result()) for future, task in flight.items() if not _is_lost(future)]
        for task in (task for future, task in flight.items() if _is_lost(future)):
            self._losses[task.key] += 1
            losses = self._losses[task.key]
            if losses == _MOST_LOSSES:
                done.append((task, Outcome({}, f"its process died {losses} times; it may want more memory", True)))
            elif losses == _MOST_LOSSES - 1:
                self._suspects.append(task)
            else:
                self.submit(task)
        return done

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After an error the processes are ended at once."""
        if error is not None and self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
            self._pool = None
            self._flight.clear()


def _is_lost(future: Future[Outcome]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def compile_here() -> None:
    """Compile the engine, if need be, before there are processes that would all do it; they find it on disk."""
    from sim.engine.warm import compile_engine
    from sim.simulation import tell_of_compiling

    compile_engine(tell_of_compiling)


def _pool(workers: int) -> Any:
    """Processes with one thread for linear algebra.

    There is one set of them in a program; joblib's own calls take it over only where it is of joblib's kind.
    """
    from joblib.executor import get_memmapping_executor

    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return get_memmapping_executor(workers, timeout=_IDLE_S, initializer=_begin, env=threads)


def attempt_here(scenario: Scenario) -> Outcome:
    """The outcome of a scenario in a process of the pool."""
    outcome = attempt(scenario)
    _freeze()
    return outcome


@cache
def _freeze() -> None:
    """Put what is loaded for all runs out of the garbage collector's sight, once.

    loky has it look through everything every second, which took a tenth of the time.
    """
    gc.collect()
    gc.freeze()


def _begin() -> None:
    """In a process of the pool: Ctrl-C is for the one that asked for it, and without that one it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOKS_UP_S)
    os._exit(1)
