"""Points of the space a plan is looked for in: a policy, and how many replicas of each pool in each block of hours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.scenario import ApiPool, GpuPool, Scenario, ScheduleAutoscale
from sim.scenario.planning import Purchase

if TYPE_CHECKING:
    from sim.planning.needs.blocks import WeekBlocks
    from sim.planning.search.options import Option

__all__ = ["Choice", "Kind", "Point", "Space", "choices_of", "is_by_block", "points_of", "restricted", "size_of"]

Kind = Literal["reserved", "on-demand", "spot", "api"]


class Choice(NamedTuple):
    """How a pool may be bought."""

    name: str
    kind: Kind
    least: int
    most: int
    """Fewest and most replicas; of an API 1 where it may be used."""
    by_block: bool = False
    """Whether the number may differ between blocks."""
    is_free: bool = True
    """Whether the plan decides on it; one that it does not stays as it is."""
    most_started: int | None = None
    """Most replicas launched where one block follows another."""


class Point(NamedTuple):
    """A policy and a fleet. P pools, H blocks."""

    option: int
    """Number of the policy option."""
    replicas: tuple[tuple[int, ...], ...]
    """By pool and block, [P][H]; of a pool with an autoscaler its most, of an API whether it is used."""

    def array(self) -> NDArray[np.int64]:
        """The replicas, [P, H]."""
        return np.array(self.replicas, np.int64).reshape(len(self.replicas), -1)

    def changed(self, pool: int, row: Sequence[int]) -> Point:
        """The same with other numbers of one pool."""
        rows = list(self.replicas)
        rows[pool] = tuple(int(number) for number in row)
        return Point(self.option, tuple(rows))


@dataclass(frozen=True)
class Space:
    """All points a plan may be."""

    options: tuple[Option, ...]
    choices: tuple[Choice, ...]
    """Of every pool of the fleet, in its order, [P]."""
    blocks: WeekBlocks

    def holds(self, point: Point) -> bool:
        """Whether a point is one of the space."""
        if not 0 <= point.option < len(self.options):
            return False
        return all(self._may_be(choice, row) for choice, row in zip(self.choices, point.replicas, strict=True))

    def _may_be(self, choice: Choice, row: Sequence[int]) -> bool:
        if min(row) < choice.least or max(row) > choice.most:
            return False
        if not choice.by_block:
            return len(set(row)) == 1
        return choice.most_started is None or self._most_started(row) <= choice.most_started

    def _most_started(self, row: Sequence[int]) -> int:
        return max((row[each.after] - row[each.before] for each in self.blocks.transitions), default=0)

    def nearest(self, option: int, replicas: NDArray[np.int64]) -> Point:
        """The point of the space at which these numbers [P, H] are had, or as near to them as it allows, rounded up."""
        rows = []
        for choice, row in zip(self.choices, replicas, strict=True):
            within = np.clip(row, choice.least, choice.most)
            rows.append(tuple(int(n) for n in (within if choice.by_block else np.full(len(row), within.max()))))
        point = Point(option, tuple(rows))
        return point if self.holds(point) else self._smoothed(point)

    def _smoothed(self, point: Point) -> Point:
        """Raise what comes before a steep rise, until no launch is larger than allowed."""
        rows = [list(row) for row in point.replicas]
        for choice, row in zip(self.choices, rows, strict=True):
            if choice.by_block and choice.most_started is not None:
                while self._most_started(row) > choice.most_started:
                    for each in self.blocks.transitions:
                        row[each.before] = max(row[each.before], row[each.after] - choice.most_started)
        return Point(point.option, tuple(map(tuple, rows)))


def choices_of(scenario: Scenario, most: Sequence[int]) -> tuple[Choice, ...]:
    """What may be bought of each pool of a scenario; `most` [P] counts where the plan does not say.

    Without pools in the plan all are free in number.
    """
    asked = {} if scenario.plan is None else scenario.plan.pools
    return tuple(
        _choice(pool, asked.get(pool.name, Purchase()), not asked or pool.name in asked, highest)
        for pool, highest in zip(scenario.fleet, most, strict=True)
    )


def _choice(pool: GpuPool | ApiPool, asked: Purchase, is_free: bool, highest: int) -> Choice:
    if isinstance(pool, ApiPool):
        most = 1 if asked.most is None else min(asked.most, 1)
        least = min(asked.least, most) if is_free else 1
        return Choice(pool.name, "api", least, most if is_free else 1, False, is_free)
    kind = pool.offer.kind
    if not is_free:
        return Choice(pool.name, kind, pool.most_replicas, pool.most_replicas, False, False)
    most = max(highest, asked.least) if asked.most is None else asked.most
    return Choice(pool.name, kind, asked.least, most, is_by_block(pool, asked), True, asked.most_started)


def is_by_block(pool: GpuPool, asked: Purchase) -> bool:
    """Whether the number of a pool follows the blocks of hours."""
    if pool.autoscale is not None and not isinstance(pool.autoscale, ScheduleAutoscale):
        return False
    return pool.offer.kind != "reserved" if asked.by_block is None else asked.by_block


def size_of(space: Space) -> int:
    """Most points there can be; those with too many launches at once are among them."""
    ways = [(each.most - each.least + 1) ** (space.blocks.count if each.by_block else 1) for each in space.choices]
    return int(len(space.options) * prod(ways))


def points_of(space: Space) -> Iterator[Point]:
    """Every point of the space, in order."""
    rows = [list(_rows(choice, space.blocks.count)) for choice in space.choices]
    for option in range(len(space.options)):
        for replicas in product(*rows):
            point = Point(option, replicas)
            if space.holds(point):
                yield point


def _rows(choice: Choice, blocks: int) -> Iterator[tuple[int, ...]]:
    numbers = range(choice.least, choice.most + 1)
    if choice.by_block:
        yield from product(numbers, repeat=blocks)
    else:
        yield from ((number,) * blocks for number in numbers)


def restricted(
    space: Space, *, kinds: Sequence[Kind], by_block: bool = False, options: Sequence[Option] | None = None
) -> Space:
    """The space in which only pools bought these ways may be had, the same in all hours unless `by_block`."""
    choices = [
        each._replace(by_block=each.by_block and by_block)
        if each.kind in kinds or not each.is_free
        else each._replace(least=0, most=0, by_block=False)
        for each in space.choices
    ]
    return Space(space.options if options is None else tuple(options), tuple(choices), space.blocks)
