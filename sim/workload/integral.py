"""The integral of a rate at any time, from its parts in order of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from sim.workload.daily import CumulativeRate

__all__ = ["Integral"]


class Integral:
    """Expected requests up to a time, linear between the marks of its parts, and flat after the last of them.

    Only the parts from the latest `begin_s` on are kept, so times must not go back behind it.
    """

    def __init__(self, parts: Iterator[CumulativeRate]) -> None:
        self._coming = parts
        self._parts = deque([next(parts)])

    def between(self, begin_s: float, end_s: float) -> float:
        """Expected requests from `begin_s`, which must not decrease from call to call, to `end_s`."""
        while self._parts[0].time_s[-1] < begin_s and self._follows(self._parts[0]):
            self._parts.popleft()
        return self._at(end_s) - self._at(begin_s)

    def _at(self, time_s: float) -> float:
        for part in self._parts:
            if time_s <= part.time_s[-1]:
                return _read(part, time_s)
        while self._follows(self._parts[-1]):
            if time_s <= self._parts[-1].time_s[-1]:
                break
        return _read(self._parts[-1], time_s)

    def _follows(self, part: CumulativeRate) -> bool:
        """Whether there is a part after this one; it is fetched where needed."""
        if part is not self._parts[-1]:
            return True
        following = next(self._coming, None)
        if following is not None:
            self._parts.append(following)
        return following is not None


def _read(part: CumulativeRate, time_s: float) -> float:
    return float(np.interp(time_s, part.time_s, part.requests))
