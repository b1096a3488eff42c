"""Keeps the number of a pool's servers where a rule wants it."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from itertools import count
from typing import Protocol

import simpy

from sim.control.clock import Clock
from sim.control.moments import SAME_INSTANT_S, until
from sim.control.servers import Servers
from sim.scenario.autoscale import Scaling

__all__ = ["Autoscaler", "Rule"]


class Rule(Protocol):
    """Says how many servers would do."""

    def desired(self, now_s: float) -> int:
        """Servers wanted from now on, whatever the limits."""


class Autoscaler:
    """Asks a rule at every tick, and follows it within the limits.

    More servers are launched at once; fewer are kept only after the cool-down since the last change, or since the
    start of the run, and no fewer than were asked for at any tick within it: a lull between two bursts takes none
    away. With `wakes` a request at the pool is reason enough for one server.
    """

    def __init__(self, servers: Servers, scaling: Scaling, rule: Rule, *, wakes: bool = False) -> None:
        self._servers, self._scaling, self._rule, self._wakes = servers, scaling, rule, wakes
        self._changed_s = 0.0
        self._asked: deque[tuple[float, int]] = deque()
        """When how many were asked for, within the cool-down."""

    def run(self, clock: Clock) -> Generator[simpy.Event]:
        """The process."""
        for tick in count(1):
            yield from until(clock, tick * self._scaling.tick)
            self.tick(float(clock.now))

    def tick(self, now_s: float) -> None:
        """Look at the pool and decide."""
        before = self._servers.wanted
        desired = self._rule.desired(now_s)
        wanted = self._within_limits(max(desired, min(self._most_asked(now_s, desired), before)), before)
        if wanted == before or (wanted < before and self._is_within_cool_down(self._changed_s, now_s)):
            return
        self._changed_s = now_s
        self._servers.want(wanted)

    def _most_asked(self, now_s: float, desired: int) -> int:
        self._asked.append((now_s, desired))
        while not self._is_within_cool_down(self._asked[0][0], now_s) and len(self._asked) > 1:
            self._asked.popleft()
        return max(number for _, number in self._asked)

    def _is_within_cool_down(self, then_s: float, now_s: float) -> bool:
        return now_s - then_s < self._scaling.cool_down - SAME_INSTANT_S

    def _within_limits(self, desired: int, before: int) -> int:
        scaling = self._scaling
        awake = int(self._wakes and self._servers.outstanding > 0)
        wanted = min(max(desired, scaling.min, awake), scaling.max)
        if scaling.max_step is None:
            return wanted
        return min(max(wanted, before - scaling.max_step), before + scaling.max_step)
