"""Prompts that jobs share: whose KV is kept, who uses it, what goes first, and in which slot it lies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sim.lab.engine.jobs import BLOCK_TOKENS, NOWHERE, Row

__all__ = ["Prefixes", "Segment"]


@dataclass(eq=False, slots=True)
class Segment:
    """The KV of a family's prompt; `users` are the rows that refer to it, in the order in which they came.

    `slot`: where its first `rests` tokens lie while no row that holds them is in a slot.
    """

    family: int
    tokens: int
    blocks: int
    users: list[Row] = field(default_factory=list)
    used: int = 0
    slot: int | None = None
    rests: int = 0


class Prefixes:
    """Segments by family. Blocks of one that nobody uses count as free; the least recently used goes first."""

    def __init__(self) -> None:
        self.segments: dict[int, Segment] = {}
        self.resting: dict[int, Segment] = {}
        """By slot, what would be lost if it were overwritten."""
        self.used_blocks = 0
        self._uses = 0

    def publish(self, row: Row, share: Literal["blocks", "tokens"]) -> None:
        """A leader has read its prompt: have its family share its whole blocks, or all its tokens."""
        more = row.prompt_tokens // BLOCK_TOKENS
        tokens = row.prompt_tokens if share == "tokens" else more * BLOCK_TOKENS
        if tokens and row.family not in self.segments:
            segment = self.segments[row.family] = Segment(row.family, tokens, more)
            self.refer(row, segment, more)

    def refer(self, row: Row, segment: Segment, shared_blocks: int) -> None:
        """Have a row use a segment, so many blocks of it."""
        if not segment.users:
            self.used_blocks += segment.blocks
        segment.users.append(row)
        row.segment, row.shared_blocks = segment, shared_blocks

    def let_go(self, row: Row) -> None:
        """A row uses its segment no more; what the last of them holds rests in its slot."""
        segment, row.segment, row.shared_blocks = row.segment, None, 0
        if segment is None:
            return
        segment.users.remove(row)
        if not segment.users:
            self.used_blocks -= segment.blocks
            self._uses += 1
            segment.used = self._uses
        if row.slot != NOWHERE and _holder(segment) is None:
            self.rest(segment, row.slot, min(segment.tokens, row.in_common))

    def shrink(self, most_blocks: int) -> None:
        """Forget what was not used for longest until no more blocks than these are kept for nobody."""
        spare = sorted((each for each in self.segments.values() if not each.users), key=lambda each: each.used)
        kept = sum(each.blocks for each in spare)
        for segment in spare:
            if kept <= most_blocks:
                return
            kept -= segment.blocks
            self.forget(segment.family)

    def forget(self, family: int) -> None:
        """Nobody will ask for this segment again, or its memory is needed."""
        segment = self.segments.get(family)
        if segment is not None and not segment.users:
            del self.segments[family]
            if segment.slot is not None:
                self.resting.pop(segment.slot, None)

    # Where a segment lies.

    def has(self, segment: Segment, tokens: int) -> bool:
        """Whether the KV of its first tokens is still somewhere."""
        holder = _holder(segment)
        return (holder.in_common if holder else segment.rests if segment.slot is not None else 0) >= tokens

    def home(self, segment: Segment) -> int | None:
        """The slot of the row that holds most of it; None where it rests, or is lost."""
        holder = _holder(segment)
        return holder.slot if holder else None

    def rest(self, segment: Segment, slot: int, tokens: int) -> None:
        """The KV of its first tokens is in a slot that belongs to no row."""
        if segment.slot is not None:
            self.resting.pop(segment.slot, None)
        segment.slot, segment.rests = slot, tokens
        self.resting[slot] = segment

    def wake(self, slot: int) -> None:
        """What rests in a slot is overwritten, or belongs to a row from now on."""
        segment = self.resting.pop(slot, None)
        if segment is not None:
            segment.slot = None


def _holder(segment: Segment) -> Row | None:
    seated = [row for row in segment.users if row.slot != NOWHERE]
    return max(seated, key=lambda row: row.in_common, default=None)
