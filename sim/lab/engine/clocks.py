"""The clock that an engine goes by: the real one, or one on which a step takes what a law says."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

__all__ = ["Clock", "RealClock", "StepWork", "VirtualClock", "undisturbed"]

_SPIN_S = 0.001
"""Sleeping is less exact than this."""


class StepWork(NamedTuple):
    """What a step does, as in `StepRecord`."""

    decode_rows: int
    kv_tokens: int
    prompt_tokens: int
    pairs: int
    slices: int = 0
    """Slices of prompts of more than one token: one alone is read with the decodes."""


class Clock(Protocol):
    """Seconds since it was last restarted."""

    def now_s(self) -> float: ...

    def restart(self) -> None: ...

    def step_done(self, work: StepWork) -> None:
        """A step has done its work."""

    def wait_until(self, instant_s: float) -> None: ...


class RealClock:
    """The machine's monotonic clock."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._zero_s = time.perf_counter()

    def now_s(self) -> float:
        return time.perf_counter() - self._zero_s

    def step_done(self, work: StepWork) -> None:
        """It has gone on by itself."""

    def wait_until(self, instant_s: float) -> None:
        """Sleep, but for the last millisecond, which is spun away."""
        left_s = instant_s - self.now_s()
        if left_s > _SPIN_S:
            time.sleep(left_s - _SPIN_S)
        while self.now_s() < instant_s:
            pass


class VirtualClock:
    """Stands still but for steps, which take what a law says, and waits."""

    def __init__(self, step_s: Callable[[StepWork], float]) -> None:
        self._step_s = step_s
        self.restart()

    def restart(self) -> None:
        self._now_s = 0.0

    def now_s(self) -> float:
        return self._now_s

    def step_done(self, work: StepWork) -> None:
        self._now_s += self._step_s(work)

    def wait_until(self, instant_s: float) -> None:
        self._now_s = max(self._now_s, instant_s)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keeps the garbage collector from stopping a step."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
