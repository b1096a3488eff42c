"""Merge of sorted streams of blocks into one.

Blocks are named tuples of columns, the first of which is a time that does not decrease.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from sim.workload.columns import joined, rows_of, taken

__all__ = ["merge_blocks"]

_Block = TypeVar("_Block", bound=tuple[Any, ...])


def merge_blocks(sources: Sequence[Iterator[_Block]]) -> Iterator[_Block]:
    """All rows of the sources in order of time, then of source, with one block of each source in memory.

    Blocks of a source that is alone, from the start or because the others have ended, pass through uncopied.
    """
    heads = [head for source in sources if (head := _Head.of(source)) is not None]
    while len(heads) > 1:
        yield _interleave(_take(heads))
        heads = [head for head in heads if head.left or head.refill()]
    for head in heads:
        yield head.take(head.left)
        yield from head.source


@dataclass
class _Head(Generic[_Block]):
    """The block of a source that is being used up, from row `used` on."""

    source: Iterator[_Block]
    block: _Block
    used: int = 0

    @classmethod
    def of(cls, source: Iterator[_Block]) -> _Head[_Block] | None:
        block = next(source, None)
        return None if block is None else cls(source, block)

    @property
    def left(self) -> int:
        return len(self.block[0]) - self.used

    @property
    def last_s(self) -> float:
        return float(self.block[0][-1])

    def refill(self) -> bool:
        block = next(self.source, None)
        if block is None:
            return False
        self.block, self.used = block, 0
        return True

    def rows_until(self, time_s: float, *, inclusive: bool) -> int:
        side = "right" if inclusive else "left"
        # The stubs know `side` only as a literal.
        return int(np.searchsorted(self.block[0][self.used :], time_s, side=side))  # type: ignore[call-overload]

    def take(self, rows: int) -> _Block:
        start, self.used = self.used, self.used + rows
        return self.block if rows == len(self.block[0]) else rows_of(self.block, slice(start, self.used))


def _take(heads: list[_Head[_Block]]) -> list[_Block]:
    """Every row that no later block can precede.

    The head that ends first sets the bound. Rows at the bound itself go out if their source comes before that
    one, and wait if it comes after, because the next block of that head may hold more rows of the same
    instant.
    """
    first = min(range(len(heads)), key=lambda index: heads[index].last_s)
    bound_s = heads[first].last_s
    return [head.take(head.rows_until(bound_s, inclusive=index <= first)) for index, head in enumerate(heads)]


def _interleave(parts: list[_Block]) -> _Block:
    filled = [part for part in parts if len(part[0])]
    if len(filled) == 1:
        return filled[0]
    together = joined(filled)
    return taken(together, np.argsort(together[0], kind="stable"))
