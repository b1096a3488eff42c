"""Spot capacity that comes and goes: notice, drain, loss, and a new start when it is there again."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

import simpy

from sim.control.clock import Clock
from sim.control.moments import until
from sim.control.servers import Servers

__all__ = ["SpotCapacity"]


class SpotCapacity:
    """Takes servers away at the end of each run of availability, and gives them back at the end of each gap.

    At the end of a run comes the notice, and the servers drain; what is not done when the notice is over is lost. They
    come back at the end of the gap, which is counted from the notice, but not before the notice is over.
    """

    def __init__(
        self, servers: Servers, numbers: Sequence[int], runs: Iterator[tuple[bool, float]], notice_s: float
    ) -> None:
        """`numbers` are the servers that come and go together; `runs` tells whether they are there and how long."""
        self.reclaims = 0
        """Servers that were on when their notice came."""
        self.numbers = list(numbers)
        self._servers, self._runs, self._notice_s = servers, runs, notice_s
        self.there, self._until_s = next(runs)
        """Whether they are there at time zero."""

    def run(self, clock: Clock) -> Generator[simpy.Event]:
        """The process."""
        there, edge_s = self.there, self._until_s
        for is_there, length_s in self._runs:
            yield from until(clock, edge_s)
            if there:
                self.reclaims += self._servers.withdraw(self.numbers)
                yield from until(clock, edge_s + self._notice_s)
                self._servers.take(self.numbers)
            else:
                self._servers.give(self.numbers)
            there, edge_s = is_there, edge_s + length_s
