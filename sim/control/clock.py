"""Simulated time: SimPy runs what decides, and before each of its events the data plane serves what comes first."""

from __future__ import annotations

from collections.abc import Callable

import simpy

from sim.engine.plane import DataPlane

__all__ = ["Clock"]


class Clock(simpy.Environment):
    """A SimPy environment whose processes find the data plane served up to their own time.

    A control event at time t sees everything that happened before t and nothing that happens at t or later.
    `watch` is called with the time of each control event before it is processed; it changes nothing in the run.
    """

    def __init__(self, plane: DataPlane, watch: Callable[[float], object] | None = None) -> None:
        # A whole number here would have the engine compiled once more, for whole times.
        super().__init__(initial_time=0.0)
        self.plane = plane
        self._watch = watch

    def step(self) -> None:
        """Serve up to the next control event, then process it."""
        self.plane.advance(self.peek())
        if self._watch is not None:
            self._watch(self.peek())
        super().step()

    def run_to(self, horizon_s: float | None) -> float:
        """Run to the horizon, or without one until all work is done; gives back the time of the end, in seconds."""
        if horizon_s is not None:
            self.run(until=horizon_s)
            return horizon_s
        while True:
            self.plane.advance(self.peek())
            if self.plane.is_drained and self.plane.last_event_s <= self.peek():
                return max(self.plane.last_event_s, self.now)
            self.step()
