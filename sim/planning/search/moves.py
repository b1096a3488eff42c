"""Points near a point: some replicas less or more of a pool, an exchange of one pool for another, another policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sim.planning.search.point import Choice, Point, Space

__all__ = ["lowered", "neighbours", "raised"]

_LARGE = 6
"""From so many replicas on, larger steps are tried as well."""


def neighbours(space: Space, point: Point, busiest: Sequence[int]) -> list[Point]:
    """Points near one, each once; `busiest` are the blocks [H], the fullest first."""
    found = [*lowered(space, point), *_exchanged(space, point, busiest), *_shifted(space, point)]
    found += [Point(option, point.replicas) for option in range(len(space.options)) if option != point.option]
    return [each for each in dict.fromkeys(found) if each != point and space.holds(each)]


def lowered(space: Space, point: Point) -> Iterator[Point]:
    """With fewer replicas of one pool, in one block or in all of them."""
    return _stepped(space, point, -1)


def raised(space: Space, point: Point) -> Iterator[Point]:
    """With more replicas of one pool, in one block or in all of them."""
    return (each for each in _stepped(space, point, 1) if space.holds(each))


def _stepped(space: Space, point: Point, sign: int) -> Iterator[Point]:
    rows = point.array()
    for pool, choice in enumerate(space.choices):
        if not choice.is_free:
            continue
        for step in _steps(int(rows[pool].max())):
            for mask in _masks(choice, rows.shape[1]):
                yield _moved(space, point, {pool: sign * step * mask})


def _steps(number: int) -> list[int]:
    return [1] if number < _LARGE else [1, max(number // 8, 2), number // 3]


def _masks(choice: Choice, blocks: int) -> list[NDArray[np.int64]]:
    """All blocks at once, and each by itself where the number may differ."""
    whole = np.ones(blocks, np.int64)
    if not choice.by_block or blocks == 1:
        return [whole]
    return [whole, *np.eye(blocks, dtype=np.int64)]


def _moved(space: Space, point: Point, changes: dict[int, NDArray[np.int64]]) -> Point:
    """Numbers changed and kept within what may be bought."""
    for pool, change in changes.items():
        choice = space.choices[pool]
        row = np.clip(np.array(point.replicas[pool]) + change, choice.least, choice.most)
        point = point.changed(pool, row.tolist())
    return point


def _exchanged(space: Space, point: Point, busiest: Sequence[int]) -> Iterator[Point]:
    """One replica of a pool given up for one of another, in all blocks or in the busiest of them."""
    rows = point.array()
    blocks = rows.shape[1]
    for given, choice in enumerate(space.choices):
        if not choice.is_free or not rows[given].any():
            continue
        for taken, other in enumerate(space.choices):
            if taken == given or not other.is_free:
                continue
            for mask in _parts(other, busiest, blocks):
                yield _moved(space, point, {given: -_given(choice, mask, blocks), taken: mask})


def _parts(choice: Choice, busiest: Sequence[int], blocks: int) -> list[NDArray[np.int64]]:
    if not choice.by_block:
        return [np.ones(blocks, np.int64)]
    return [np.isin(np.arange(blocks), busiest[:count]).astype(np.int64) for count in range(1, blocks + 1)]


def _given(choice: Choice, mask: NDArray[np.int64], blocks: int) -> NDArray[np.int64]:
    return mask if choice.by_block else np.ones(blocks, np.int64)


def _shifted(space: Space, point: Point) -> Iterator[Point]:
    """A replica of one block in another one instead."""
    blocks = point.array().shape[1]
    for pool, choice in enumerate(space.choices):
        if choice.by_block and choice.is_free:
            unit = np.eye(blocks, dtype=np.int64)
            yield from (
                _moved(space, point, {pool: unit[b] - unit[a]}) for a in range(blocks) for b in range(blocks) if a != b
            )
