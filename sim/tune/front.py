"""Which settings are better than which: by several objectives, and by a constraint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.tune.space import Value

__all__ = ["Setting", "Tried", "front_of", "spread"]

Setting = dict[str, Value]


class Tried(NamedTuple):
    """A setting with what it came to; the less a loss, the better."""

    setting: Setting
    losses: tuple[float, ...]
    """One by objective; none of them finite where it was refused or has nothing to measure."""
    excess: float = 0.0
    """By how much the constraint is missed; none where it is met."""


def front_of(tried: Sequence[Tried]) -> list[Tried]:
    """The settings that meet the constraint and that no other such setting is better than, best first objective first.

    Better is: worse in no objective, and better in one. Of equals the first is taken. Where none meets the constraint,
    the one that misses it least.

    >>> front_of([Tried({}, (1.0, 3.0)), Tried({}, (2.0, 1.0)), Tried({}, (2.0, 2.0)), Tried({}, (0.0, 0.0), 0.1)])
    [Tried(setting={}, losses=(1.0, 3.0), excess=0.0), Tried(setting={}, losses=(2.0, 1.0), excess=0.0)]
    """
    known = [each for each in tried if np.all(np.isfinite(each.losses))]
    met = [each for each in known if each.excess <= 0.0]
    if not met:
        return sorted(known, key=lambda each: each.excess)[:1]
    losses = np.array([each.losses for each in met])
    on_front = [place for place in range(len(met)) if not _is_beaten(losses, place)]
    return sorted((met[place] for place in on_front), key=lambda each: each.losses)


def _is_beaten(losses: NDArray[np.float64], place: int) -> bool:
    mine = losses[place]
    better = np.all(losses <= mine, axis=1) & np.any(losses < mine, axis=1)
    same_before = np.all(losses[:place] == mine, axis=1)
    return bool(better.any() or same_before.any())


def spread(front: Sequence[Tried], most: int) -> list[Tried]:
    """At most so many points of a front, its ends and those that lie evenly between them.

    >>> [point.losses for point in spread([Tried({}, (float(n),)) for n in range(10)], 3)]
    [(0.0,), (4.0,), (9.0,)]
    """
    if len(front) <= most:
        return list(front)
    places = np.linspace(0, len(front) - 1, most).round().astype(int) if most > 1 else [0]
    return [front[place] for place in dict.fromkeys(int(place) for place in places)]
