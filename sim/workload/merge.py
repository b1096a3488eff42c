"""Merge of sorted streams of blocks into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sim.workload.blocks import RequestBlock

__all__ = ["merge_blocks"]


def merge_blocks(sources: Sequence[Iterator[RequestBlock]]) -> Iterator[RequestBlock]:
    """All requests of the sources in order of time, then of source, with one block of each source in memory.

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
class _Head:
    """The block of a source that is being used up, from row `used` on."""

    source: Iterator[RequestBlock]
    block: RequestBlock
    used: int = 0

    @classmethod
    def of(cls, source: Iterator[RequestBlock]) -> _Head | None:
        block = next(source, None)
        return None if block is None else cls(source, block)

    @property
    def left(self) -> int:
        return len(self.block.arrival_s) - self.used

    @property
    def last_s(self) -> float:
        return float(self.block.arrival_s[-1])

    def refill(self) -> bool:
        block = next(self.source, None)
        if block is None:
            return False
        self.block, self.used = block, 0
        return True

    def rows_until(self, time_s: float, *, inclusive: bool) -> int:
        side = "right" if inclusive else "left"
        # The stubs know `side` only as a literal.
        return int(np.searchsorted(self.block.arrival_s[self.used :], time_s, side=side))  # type: ignore[call-overload]

    def take(self, rows: int) -> RequestBlock:
        start, self.used = self.used, self.used + rows
        return self.block if rows == len(self.block.arrival_s) else _rows(self.block, slice(start, self.used))


def _take(heads: list[_Head]) -> list[RequestBlock]:
    """Every row that no later block can precede.

    The head that ends first sets the bound. Rows at the bound itself go out if their source comes before that
    one, and wait if it comes after, because the next block of that head may hold more rows of the same
    instant.
    """
    first = min(range(len(heads)), key=lambda index: heads[index].last_s)
    bound_s = heads[first].last_s
    return [head.take(head.rows_until(bound_s, inclusive=index <= first)) for index, head in enumerate(heads)]


def _interleave(parts: list[RequestBlock]) -> RequestBlock:
    filled = [part for part in parts if len(part.arrival_s)]
    if len(filled) == 1:
        return filled[0]
    joined = RequestBlock._make(map(np.concatenate, zip(*filled, strict=True)))
    return _rows(joined, np.argsort(joined.arrival_s, kind="stable"))


def _rows(block: RequestBlock, chosen: slice | np.ndarray) -> RequestBlock:
    return RequestBlock._make(column[chosen] for column in block)
