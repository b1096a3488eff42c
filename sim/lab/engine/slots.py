"""Which row lies in which slot of the decoder: those that decode in the first slots, without holes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sim.lab.engine.jobs import NOWHERE, Row
from sim.lab.engine.prefixes import Prefixes

__all__ = ["Slots"]


@dataclass(eq=False)
class Slots:
    """Seats rows and moves them with as few copies as will do; at least one slot more than rows is needed.

    `copy(source, target, tokens)` copies the KV of a slot's first tokens; `seated(row)` is told of every row that comes
    to another slot.
    """

    count: int
    prefixes: Prefixes
    copy: Callable[[int, int, int], None]
    seated: Callable[[Row], None]
    at: list[Row | None] = field(init=False)

    def __post_init__(self) -> None:
        self.at = [None] * self.count

    def release(self, row: Row) -> None:
        """A row has lost its place; what is in its slot stays until the slot is used again."""
        if row.slot != NOWHERE:
            self.at[row.slot] = None
            row.slot = NOWHERE

    def rows(self, n: int) -> list[Row]:
        """Those in the first n slots, none of which is free."""
        return [row for row in self.at[:n] if row is not None]

    def arrange(self, batch: Sequence[Row], others: Sequence[Row]) -> None:
        """Seat all that are in the next step: those of the decode batch in slots 0 to n - 1, in any order.

        Rows that come on a prefix get a copy of it.
        """
        self._wake_prefixes([row for row in (*batch, *others) if row.slot == NOWHERE and row.held])
        n = len(batch)
        strays = [row for row in batch if row.slot == NOWHERE or row.slot >= n]
        if strays:
            wanted = set(batch)
            holes = [slot for slot in range(n) if self.at[slot] not in wanted]
            holes.sort(key=lambda slot: self.at[slot] is not None)
            for slot, row in zip(holes, sorted(strays, key=lambda row: row.slot == NOWHERE), strict=True):
                self._vacate(slot, n)
                self._seat(row, slot)
        for row in others:
            if row.slot == NOWHERE:
                self._seat(row, self._free(n))

    def _wake_prefixes(self, rows: Sequence[Row]) -> None:
        """A row that comes on a resting prefix takes over the slot that it rests in."""
        for row in rows:
            segment = row.segment
            if segment is not None and segment.slot is not None and self.prefixes.home(segment) is None:
                slot = segment.slot
                self.prefixes.wake(slot)
                self._give(row, slot)

    def _seat(self, row: Row, slot: int) -> None:
        """Put a row into a slot that belongs to nobody, with the KV that it has."""
        self._clear(slot)
        source = row.slot
        if source != NOWHERE:
            self.copy(source, slot, row.in_place)
            self.at[source] = None
        elif row.held and row.segment is not None:
            home = self.prefixes.home(row.segment)
            assert home is not None, "a prefix that rows come on is in a slot"
            self.copy(home, slot, row.held)
        self._give(row, slot)

    def _give(self, row: Row, slot: int) -> None:
        self.at[slot], row.slot = row, slot
        self.seated(row)

    def _vacate(self, slot: int, n: int) -> None:
        """Move the row that lies in a slot to one of n or more."""
        row = self.at[slot]
        if row is not None:
            self._seat(row, self._free(n))

    def _clear(self, slot: int) -> None:
        """What rests in a slot goes elsewhere if there is room, else it is lost."""
        segment = self.prefixes.resting.get(slot)
        if segment is None:
            return
        free = [other for other in range(self.count) if self.at[other] is None and other not in self.prefixes.resting]
        if free:
            self.copy(slot, free[-1], segment.rests)
            self.prefixes.rest(segment, free[-1], segment.rests)
        else:
            self.prefixes.wake(slot)

    def _free(self, n: int) -> int:
        """The first free slot of n or more, if possible one in which nothing rests."""
        free = [slot for slot in range(n, self.count) if self.at[slot] is None]
        return min(free, key=lambda slot: slot in self.prefixes.resting)
