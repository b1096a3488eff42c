"""How far each key moves a figure: what stands in a tornado chart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.stats import Estimate, estimate, paired_difference
from sim.sweep.sweep import Answer, Sweep

__all__ = ["Basis", "Effect", "Level", "effects_of"]

Basis = Literal["as it is", "mean over the others"]
"""Where all other keys stand while one is moved."""

_ROUNDING = 1e-12

Series = NDArray[np.float64]
_Others = tuple[int | None, ...]


class Level(NamedTuple):
    """A figure at one value of a key."""

    label: str
    place: int | None
    """Which option of the axis; None for the scenario as it is."""
    mean: Estimate


class Effect(NamedTuple):
    """What a key does to a figure."""

    axis: int
    basis: Basis
    combinations: int
    """Of the other keys, over which the mean is taken."""
    levels: list[Level]
    least: int
    """Which level has the lowest mean."""
    most: int
    """Which has the highest."""
    swing: Estimate
    """From the lowest to the highest, paired replication by replication."""

    @property
    def is_certain(self) -> bool:
        """Whether the interval of the swing leaves out zero."""
        return bool(self.swing.low > 0.0)


def effects_of(sweep: Sweep, figure: str) -> list[Effect]:
    """What each axis does to a figure, the one that moves it most first; without those of which too little is known.

    One key is moved, and the others are as in the scenario where the sweep has that, else every combination of them
    counts alike, as far as all values of the key were answered there. All points meet the same requests with the same
    luck, so that the difference of two is taken in each replication, and its interval is over those.
    """
    series = {answer.point.places: _finite(answer, figure) for answer in sweep.answers}
    known = {places: values for places, values in series.items() if values.size}
    found = [effect for index in range(len(sweep.axes)) if (effect := _effect(sweep, index, known)) is not None]
    return sorted(found, key=lambda effect: (-effect.swing.mean, effect.axis))


def _finite(answer: Answer, figure: str) -> Series:
    values = answer.series(figure)
    return values if np.isfinite(values).any() else np.empty(0)


def _effect(sweep: Sweep, axis: int, known: Mapping[_Others, Series]) -> Effect | None:
    basis, combinations = _combinations(sweep, axis, known)
    if not combinations:
        return None
    runs = min(values.size for each in combinations for values in each.values())
    series = {place: np.mean([each[place][:runs] for each in combinations], axis=0) for place in combinations[0]}
    options = sweep.axes[axis].options
    levels = [
        Level(_as_it_is(sweep, axis) if place is None else options[place].label, place, estimate(values.tolist()))
        for place, values in series.items()
    ]
    means = [level.mean.mean for level in levels]
    if len(levels) < 2 or not np.isfinite(means).all():
        return None
    least, most = int(np.argmin(means)), int(np.argmax(means))
    ends = [series[levels[place].place].tolist() for place in (most, least)]
    swing = _rounded(paired_difference(*ends), max(map(abs, means)))
    return Effect(axis, basis, len(combinations), levels, least, most, swing)


def _as_it_is(sweep: Sweep, axis: int) -> str:
    number = sweep.standing[axis]
    return "as it is" if number is None or sweep.axes[axis].numbers() is None else f"{number:g} (as it is)"


def _rounded(swing: Estimate, scale: float) -> Estimate:
    """Nothing at all where it is no more than rounding."""
    return Estimate(0.0, 0.0, 0.0) if swing.mean <= _ROUNDING * scale else swing


def _combinations(
    sweep: Sweep, axis: int, known: Mapping[_Others, Series]
) -> tuple[Basis, list[dict[int | None, Series]]]:
    """What was answered at each value of the key, by combination of the others."""
    by_others: defaultdict[_Others, dict[int | None, Series]] = defaultdict(dict)
    for places, values in known.items():
        by_others[(*places[:axis], *places[axis + 1 :])][places[axis]] = values
    if sweep.plan.design == "one-at-a-time":
        return "as it is", [_without_twice(sweep, axis, by_others[(None,) * (len(sweep.axes) - 1)])]
    base = (*sweep.base[:axis], *sweep.base[axis + 1 :])
    if None not in base and len(by_others[base]) > 1:
        return "as it is", [by_others[base]]
    whole = [each for each in by_others.values() if len(each) == len(sweep.axes[axis].options)]
    return "mean over the others", whole


def _without_twice(sweep: Sweep, axis: int, levels: dict[int | None, Series]) -> dict[int | None, Series]:
    """The scenario as it is, unless it stands among the values of the key."""
    if sweep.base[axis] in levels and sweep.base[axis] is not None:
        return {place: values for place, values in levels.items() if place is not None}
    return levels
