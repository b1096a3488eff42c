"""The clock of a measurement: an engine that has nothing to do polls, and does not sleep."""

from __future__ import annotations

from sim.lab.engine.clocks import RealClock

__all__ = ["PollingClock"]


class PollingClock(RealClock):
    """The machine's monotonic clock; who waits keeps its core.

    A process that sleeps finds its core slowed down or its caches taken when it wakes: on two cores the steps after a
    sleep of 10 ms took twice as long as others. How an idle machine wakes is no property of a step.
    """

    def wait_until(self, instant_s: float) -> None:
        """Look at the clock until it is time."""
        while self.now_s() < instant_s:
            pass
