"""Keeps the number of a pool's servers where a rule wants it."""

from __future__ import annotations

from collections.abc import Generator
from itertools import count
from typing import Protocol

import simpy

from sim.control.clock import Clock
from sim.control.moments import until
from sim.control.servers import Servers
from sim.scenario.autoscale import Scaling

__all__ = ["Autoscaler", "Rule"]

_LAST_DIGITS_S = 1e-6


class Rule(Protocol):
    """Says how many servers would do."""

    def desired(self, now_s: float) -> int:
        """Servers wanted from now on, whatever the limits."""


class Autoscaler:
    """Asks a rule at every tick, and follows it within the limits.

    More servers are launched at once; fewer are kept only after the cool-down since the last change, or since the
    start of the run. With `wakes` a request at the pool is reason enough for one server.
    """

    def __init__(self, servers: Servers, scaling: Scaling, rule: Rule, *, wakes: bool = False) -> None:
        self._servers, self._scaling, self._rule, self._wakes = servers, scaling, rule, wakes
        self._changed_s = 0.0

    def run(self, clock: Clock) -> Generator[simpy.Event]:
        """The process."""
        for tick in count(1):
            yield from until(clock, tick * self._scaling.tick)
            self.tick(float(clock.now))

    def tick(self, now_s: float) -> None:
        """Look at the pool and decide."""
        before = self._servers.wanted
        wanted = self._within_limits(self._rule.desired(now_s), before)
        cooling = now_s - self._changed_s < self._scaling.cool_down - _LAST_DIGITS_S
        if wanted == before or (wanted < before and cooling):
            return
        self._changed_s = now_s
        self._servers.want(wanted)

    def _within_limits(self, desired: int, before: int) -> int:
        scaling = self._scaling
        awake = int(self._wakes and self._servers.outstanding > 0)
        wanted = min(max(desired, scaling.min, awake), scaling.max)
        if scaling.max_step is None:
            return wanted
        return min(max(wanted, before - scaling.max_step), before + scaling.max_step)
