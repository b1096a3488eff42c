"""Moments of simulated time: waiting for one, and telling two apart."""

from __future__ import annotations

from collections.abc import Generator

import simpy

__all__ = ["SAME_INSTANT_S", "until"]

SAME_INSTANT_S = 1e-6
"""Times that differ by less differ by rounding alone."""


def until(clock: simpy.Environment, at_s: float) -> Generator[simpy.Event]:
    """Wait for `at_s`, or not at all if it has passed, and let whoever records at that instant go first.

    What is recorded at an instant is about the time before it; what is decided there is about the time after.
    """
    yield clock.timeout(max(at_s - clock.now, 0.0))
    yield clock.timeout(0.0)
