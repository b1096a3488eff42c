"""Servers that break down by chance while they run, and their repair."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import simpy

from sim.control.clock import Clock
from sim.control.moments import until
from sim.control.servers import Servers
from sim.scenario import Failures

__all__ = ["Breakdowns"]


class Breakdowns:
    """Lets one server of a pool fail after exponential times of running, and mends it after exponential repairs.

    Failures strike at the instants of a Poisson process of rate 1 / mtbf, and those that find the server off do
    nothing. As the exponential law has no memory, that is the same as a clock that runs only while the server does;
    and the instants are the same whatever the autoscaler does.
    """

    def __init__(self, servers: Servers, number: int, failures: Failures, random: np.random.Generator) -> None:
        self.failures = 0
        self._servers, self._number, self._law, self._random = servers, number, failures, random

    def run(self, clock: Clock) -> Generator[simpy.Event]:
        """The process."""
        while True:
            yield from until(clock, clock.now + self._random.exponential(self._law.mtbf))
            if self._servers.fail(self._number):
                self.failures += 1
                yield from until(clock, clock.now + self._random.exponential(self._law.repair))
                self._servers.repair(self._number)
