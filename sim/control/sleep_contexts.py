"""The contexts that are there at a moment, as somebody sees them who watches them come, change and go."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sim.engine.state import Floats, Integers, Records
from sim.workload.contexts import APPEARS, CHANGES, ENDS, ContextBlock

__all__ = ["LIVE", "LiveContexts"]

LIVE = np.dtype(
    [
        ("stream", "i8"),
        ("version", "i8"),
        ("tokens", "i8"),
        ("predictability", "f8"),
        ("appeared_s", "f8"),
        ("is_live", "?"),
    ]
)
"""What is known of a context."""

_FIRST_ROWS = 1024


class LiveContexts:
    """Follows a flow of context rows. `seen(ids)` is called with contexts that have just appeared or changed."""

    def __init__(self, blocks: Iterator[ContextBlock], seen: Callable[[Integers], None] = lambda ids: None) -> None:
        self.rows: Records = np.zeros(_FIRST_ROWS, LIVE)
        """All contexts so far, by their number; of type LIVE."""
        self.ids: Integers = np.zeros(0, np.int64)
        """Those that are there, in the order of their appearance."""
        self._blocks, self._seen = blocks, seen
        self._held: ContextBlock | None = None

    def take(self, now_s: float) -> None:
        """Take note of all that has happened up to and at `now_s`."""
        while (block := self._held or next(self._blocks, None)) is not None:
            known = int(np.searchsorted(block.at_s, now_s, side="right"))
            self._note(_rows(block, slice(0, known)))
            self._held = _rows(block, slice(known, None)) if known < block.at_s.size else None
            if self._held is not None:
                break
        self.ids = self.ids[self.rows["is_live"][self.ids]]

    def _note(self, block: ContextBlock) -> None:
        """A context appears before it changes, and ends last: the rows of a kind can be noted together."""
        if not block.at_s.size:
            return
        self.rows = longer(self.rows, int(block.context_id.max()) + 1)
        new, ends = block.kind == APPEARS, block.kind == ENDS
        told = new | (block.kind == CHANGES)
        ids = block.context_id[told]
        # Of several rows of one context the last one stands.
        for name in ("stream", "version", "tokens", "predictability"):
            self.rows[name][ids] = getattr(block, name)[told]
        self.rows["appeared_s"][block.context_id[new]] = block.at_s[new]
        self.rows["is_live"][block.context_id[new]] = True
        self.rows["is_live"][block.context_id[ends]] = False
        self.ids = np.concatenate((self.ids, block.context_id[new]))
        self._seen(np.unique(ids))


def _rows(block: ContextBlock, which: slice) -> ContextBlock:
    return ContextBlock(*(column[which] for column in block))


def longer(rows: Records, size: int) -> Records:
    """The same with room for `size` rows, twice as many as before at least; as it is where there is room."""
    if size <= rows.size:
        return rows
    more = np.zeros(max(size, 2 * rows.size), rows.dtype)
    more[: rows.size] = rows
    return more
