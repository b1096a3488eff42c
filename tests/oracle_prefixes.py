"""A replica's prefix cache, said plainly: which segments of KV there are, who uses them, and which go first."""

from __future__ import annotations

from dataclasses import dataclass, field

BLOCK_TOKENS = 16

Key = tuple[object, ...]
"""What a segment holds: ("context", id, version, prepared), ("group", request, stage, group) or ("branch", ...)."""


@dataclass(eq=False)
class Segment:
    """The first `tokens` tokens of whatever begins like this; the first of them lie in its parents."""

    key: Key
    tokens: int
    blocks: int
    """Its own, beyond its parent's."""
    parent: Segment | None = None
    users: int = 0
    """Branches that refer to it, or to one that goes on from it."""
    children: int = 0
    used: int = 0
    """When it was used last, counted in uses."""

    @property
    def chain(self) -> list[Segment]:
        """It, its parent, and so on."""
        return [self, *(self.parent.chain if self.parent else ())]

    @property
    def resting_blocks(self) -> int:
        """Blocks of the chain that nobody uses now."""
        return sum(segment.blocks for segment in self.chain if not segment.users)

    @property
    def is_spare(self) -> bool:
        return not self.users and not self.children


@dataclass
class PrefixCache:
    segments: dict[Key, Segment] = field(default_factory=dict)
    uses: int = 0

    @property
    def used_blocks(self) -> int:
        return sum(segment.blocks for segment in self.segments.values() if segment.users)

    @property
    def cached_blocks(self) -> int:
        return sum(segment.blocks for segment in self.segments.values() if not segment.users)

    def make(self, key: Key, tokens: int, blocks: int, parent: Segment | None) -> Segment:
        """A new segment, which nobody uses yet."""
        segment = self.segments[key] = Segment(key, tokens, blocks, parent)
        if parent:
            parent.children += 1
        self.touch(segment)
        return segment

    def refer(self, segment: Segment) -> None:
        for each in segment.chain:
            each.users += 1

    def release(self, segment: Segment) -> None:
        for each in segment.chain:
            each.users -= 1
            if not each.users:
                self.touch(each)

    def touch(self, segment: Segment) -> None:
        self.uses += 1
        segment.used = self.uses

    def drop(self, segment: Segment) -> None:
        """Forget a spare segment; its parent, if it has no other child, counts as used now."""
        del self.segments[segment.key]
        if segment.parent:
            segment.parent.children -= 1
            if not segment.parent.children:
                self.touch(segment.parent)

    def shrink(self, most_blocks: int) -> None:
        """Forget what was not used for longest until no more blocks than these are cached."""
        while self.cached_blocks > most_blocks:
            self.drop(min(self.spare, key=lambda segment: segment.used))

    def forget(self, request: int) -> None:
        """The request is over: what only it could use goes."""
        while mine := [each for each in self.spare if each.key[0] != "context" and each.key[1] == request]:
            self.drop(mine[0])

    @property
    def spare(self) -> list[Segment]:
        return [segment for segment in self.segments.values() if segment.is_spare]


def floor16(tokens: int) -> int:
    return tokens // BLOCK_TOKENS * BLOCK_TOKENS
