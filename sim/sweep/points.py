"""The points of a sweep: every combination of what is varied, or each alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Literal, NamedTuple

from sim.errors import InputError
from sim.sweep.space import MOST_POINTS, Axis, Settings

__all__ = ["Design", "Point", "check_axes", "count_of", "points_of"]

Design = Literal["grid", "one-at-a-time"]


class Point(NamedTuple):
    """One combination of settings."""

    number: int
    """From 0, in the order in which they are told."""
    places: tuple[int | None, ...]
    """Which option it has on each axis; None where the scenario is left as it is."""
    settings: Settings


def check_axes(axes: Sequence[Axis], design: Design) -> None:
    """Refuse axes that make no sweep.

    Raises:
        InputError: where there is nothing to vary, a key is varied twice, or there are too many points.
    """
    if not axes:
        raise InputError("the sweep", "varies nothing", "add such as --vary fleet.0.replicas=1:4:1, or --points FILE")
    if design == "one-at-a-time" and any(axis.is_list for axis in axes):
        raise InputError("--points", "are a list of their own", "use --design grid, or --vary instead")
    keys = [key for axis in axes for key in dict.fromkeys(key for option in axis.options for key in option.settings)]
    for key in keys:
        if keys.count(key) > 1:
            raise InputError(key, "is varied twice", "give it once")
    if (count := count_of(axes, design)) > MOST_POINTS:
        rule = f"are more than the {MOST_POINTS:,} that a sweep may have"
        raise InputError(f"{count:,} points", rule, "vary fewer keys, widen steps, or use --design one-at-a-time")


def count_of(axes: Sequence[Axis], design: Design) -> int:
    """How many points there are."""
    sizes = [len(axis.options) for axis in axes]
    return prod(sizes) if design == "grid" else 1 + sum(sizes)


def points_of(axes: Sequence[Axis], design: Design) -> Iterator[Point]:
    """The points in their order: of a grid the last axis first; else the scenario as it is, then axis by axis."""
    for number, places in enumerate(_grid(axes) if design == "grid" else _alone(axes)):
        settings: dict[str, str] = {}
        for axis, place in zip(axes, places, strict=True):
            settings |= {} if place is None else axis.options[place].settings
        yield Point(number, places, settings)


def _grid(axes: Sequence[Axis]) -> Iterator[tuple[int | None, ...]]:
    return product(*(range(len(axis.options)) for axis in axes))


def _alone(axes: Sequence[Axis]) -> Iterator[tuple[int | None, ...]]:
    """Each option with all other axes left as they are."""
    as_it_is: tuple[int | None, ...] = (None,) * len(axes)
    yield as_it_is
    for index, axis in enumerate(axes):
        for place in range(len(axis.options)):
            yield (*as_it_is[:index], place, *as_it_is[index + 1 :])
