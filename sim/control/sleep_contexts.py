"""The contexts that are there at a moment, as somebody sees them who watches them come, change and go."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from sim.engine.state import Floats, Integers, Records
from sim.workload.blocks import APPEARS, ENDS, ContextBlock

__all__ = ["LIVE", "LiveContexts"]

LIVE = np.dtype(
    [
        ("stream", "i8"),
        ("version", "i8"),
        ("tokens", "i8"),
        ("questions", "i8"),
        ("appeared_s", "f8"),
        ("saving_tokens", "f8"),  # output tokens that a question needs less once it is prepared
        ("gained", "f8"),  # chance of a right answer that it then has more
        ("question_factor", "f8"),  # questions expected on it, as a multiple of the mean
        ("is_live", "?"),
    ]
)
"""What is known of a context."""

_FIRST_ROWS = 1024


class LiveContexts:
    """Follows a flow of what happens to contexts of so many streams.

    `effects(stream, context_id, predictability)` says what preparing contexts of a stream saves their questions, what
    they gain, and how many questions they get as a multiple of the mean, [n] each.
    """

    def __init__(
        self,
        blocks: Iterator[ContextBlock],
        streams: int,
        effects: Callable[[int, Integers, Floats], tuple[Floats, Floats, Floats]],
    ) -> None:
        self.rows: Records = np.zeros(_FIRST_ROWS, LIVE)
        """All contexts so far, by their number; of type LIVE."""
        self.ids: Integers = np.zeros(0, np.int64)
        """Those that are there, in the order of their appearance."""
        self.appeared, self.ended = np.zeros(streams, np.int64), np.zeros(streams, np.int64)
        """How many have, by stream."""
        self.lived_s = np.zeros(streams)
        """Time that those which have ended were there, by stream."""
        self._blocks, self._effects = blocks, effects
        self._held: ContextBlock | None = None

    def take(self, now_s: float) -> None:
        """Take note of all that has happened up to and at `now_s`."""
        while (block := next(self._blocks, None) if self._held is None else self._held) is not None:
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
        self.rows = _longer(self.rows, int(block.context_id.max()) + 1)
        ends = block.kind == ENDS
        self._tell(_rows(block, ~ends))
        self._appear(_rows(block, block.kind == APPEARS))
        self._end(_rows(block, ends))

    def _tell(self, block: ContextBlock) -> None:
        ids = block.context_id
        # Of several rows of one context the last one stands.
        for name in ("stream", "version", "tokens", "questions"):
            self.rows[name][ids] = getattr(block, name)
        for stream in np.unique(block.stream).tolist():
            mine = block.stream == stream
            found = self._effects(stream, ids[mine], block.predictability[mine])
            for name, effect in zip(("saving_tokens", "gained", "question_factor"), found, strict=True):
                self.rows[name][ids[mine]] = effect

    def _appear(self, block: ContextBlock) -> None:
        self.rows["appeared_s"][block.context_id] = block.at_s
        self.rows["is_live"][block.context_id] = True
        self.appeared += np.bincount(block.stream, minlength=self.appeared.size)
        self.ids = np.concatenate((self.ids, block.context_id))

    def _end(self, block: ContextBlock) -> None:
        self.rows["is_live"][block.context_id] = False
        lived_s = block.at_s - self.rows["appeared_s"][block.context_id]
        self.ended += np.bincount(block.stream, minlength=self.ended.size)
        self.lived_s += np.bincount(block.stream, lived_s, minlength=self.lived_s.size)


def _rows(block: ContextBlock, which: slice | NDArray[np.bool_]) -> ContextBlock:
    return ContextBlock._make(column[which] for column in block)


def _longer(rows: Records, size: int) -> Records:
    """The same with room for `size` rows, twice as many as before at least; as it is where there is room."""
    if size <= rows.size:
        return rows
    more = np.zeros(max(size, 2 * rows.size), rows.dtype)
    more[: rows.size] = rows
    return more
