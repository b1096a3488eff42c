"""Dense numbers for contexts that have names of any kind."""

from __future__ import annotations

import numpy as np

from sim.workload.blocks import NOTHING, Integers

__all__ = ["Numbering"]


class Numbering:
    """Numbers names by their first appearance; memory grows with the names."""

    def __init__(self, first: int) -> None:
        """`first` is the number of the first name."""
        self._first = first
        self._numbers: dict[int, int] = {}

    def of(self, names: Integers) -> Integers:
        """The numbers of the next names, [n]; -1 stays what it is."""
        if (names == NOTHING).all():
            return names
        return np.fromiter(map(self._number, names.tolist()), np.int64, names.size)

    def _number(self, name: int) -> int:
        return self._numbers.setdefault(name, self._first + len(self._numbers)) if name != NOTHING else NOTHING

    @property
    def following(self) -> int:
        """The number that the next new name will get."""
        return self._first + len(self._numbers)
