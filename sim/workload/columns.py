"""Named tuples of columns of one length: rows chosen, joined and cut, whatever the columns are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from sim.workload.blocks import Integers

__all__ = ["in_pieces", "joined", "rows_of", "taken"]

_Columns = TypeVar("_Columns", bound=tuple[Any, ...])


def rows_of(columns: _Columns, rows: slice) -> _Columns:
    """A run of rows, uncopied."""
    return type(columns)(*(column[rows] for column in columns))


def taken(columns: _Columns, places: Integers) -> _Columns:
    """The rows at these places, copied."""
    return type(columns)(*(column.take(places) for column in columns))


def joined(parts: Sequence[_Columns]) -> _Columns:
    """One part after the other; a part that is alone is not copied."""
    return parts[0] if len(parts) == 1 else type(parts[0])(*map(np.concatenate, zip(*parts, strict=True)))


def in_pieces(columns: _Columns, rows: int) -> Iterator[_Columns]:
    """All rows, so many at a time, uncopied."""
    for first in range(0, len(columns[0]), rows):
        yield rows_of(columns, slice(first, first + rows))
