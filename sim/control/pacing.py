"""Keeps what routed requests cost to a budget, by the multiplier at which their router counts costs."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import count
from typing import NamedTuple, Protocol

import simpy

from router.pacing import next_multiplier
from sim.control.clock import Clock
from sim.control.moments import until
from sim.engine.plane import DataPlane

__all__ = ["Budget", "Pace", "Pacer"]


class Budget(Protocol):
    """What routed requests may cost, and how it is kept."""

    @property
    def usd_per_hour(self) -> float: ...
    @property
    def tick(self) -> float:
        """Seconds."""
        ...

    @property
    def step(self) -> float: ...
    @property
    def mu_max(self) -> float: ...


class Pace(NamedTuple):
    """Where a budget stands at a moment."""

    at_s: float
    mu: float
    """The multiplier from then on."""
    spent_usd: float
    """So far."""
    allowed_usd: float
    """So far."""


class Pacer:
    """At every tick raises the multiplier where more was spent since the last one than allowed, and else lowers it.

    The law is a gateway's (`router.pacing.next_multiplier`). As long as mu touches neither bound, the logarithms add
    up: over n ticks the mean of spent / allowed differs from 1 by ln(mu_end / mu_begin) / (step n), whatever the
    requests are like. A request counts as spent once
    it has ended. Where the budget allows more than the streams would spend anyway, mu stays 1 and changes nothing.
    """

    def __init__(self, plane: DataPlane, budget: Budget, streams: Sequence[int]) -> None:
        """`streams` are those that the budget is for, by number."""
        self._plane, self._budget, self._streams = plane, budget, list(streams)
        self.history: list[Pace] = [Pace(0.0, 1.0, 0.0, 0.0)]
        plane.routing.set_mu(1.0, self._streams)

    def run(self, clock: Clock) -> Generator[simpy.Event]:
        """The process."""
        for tick in count(1):
            yield from until(clock, tick * self._budget.tick)
            self.tick(float(clock.now))

    def tick(self, now_s: float) -> None:
        """Look at what was spent since the last tick, and set the multiplier for the next."""
        budget, last = self._budget, self.history[-1]
        spent_usd = float(self._plane.routing.spent_usd()[self._streams].sum())
        allowed_usd = budget.usd_per_hour * (now_s - last.at_s) / 3600.0
        mu = next_multiplier(last.mu, spent_usd - last.spent_usd, allowed_usd, budget.step, budget.mu_max)
        pace = Pace(now_s, mu, spent_usd, last.allowed_usd + allowed_usd)
        self.history.append(pace)
        self._plane.routing.set_mu(pace.mu, self._streams)
