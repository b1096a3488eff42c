"""Timing on a machine that others may share: several runs of the same work, pinned to one core."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time
from typing import Any

__all__ = ["Timing", "one_core", "timed"]


@dataclass(frozen=True)
class Timing:
    """Wall and CPU seconds of each run."""

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]

    @property
    def best_s(self) -> float:
        return min(self.wall_s)

    @property
    def median_s(self) -> float:
        return median(self.wall_s)


def timed(work: Callable[[], Any], runs: int) -> Timing:
    """The times of `runs` runs of the work."""
    pairs = [_once(work) for _ in range(runs)]
    return Timing(tuple(wall for wall, _ in pairs), tuple(cpu for _, cpu in pairs))


def _once(work: Callable[[], Any]) -> tuple[float, float]:
    wall_s, cpu_s = perf_counter(), process_time()
    work()
    return perf_counter() - wall_s, process_time() - cpu_s


@contextmanager
def one_core() -> Iterator[None]:
    """Keeps the process on one core meanwhile, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
