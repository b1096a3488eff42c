"""What blocks, streams and strategies are called, where a purchase is told in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["NO_NAMES", "Names"]


class Names(NamedTuple):
    """Names in the order of an instance; numbers stand in for those that are missing.

    >>> Names(blocks=["noon"]).block(0), NO_NAMES.stream(1)
    ('noon', 'stream 2')
    """

    blocks: Sequence[str] = ()
    streams: Sequence[str] = ()
    strategies: Sequence[str] = ()

    def block(self, h: int) -> str:
        """What a block is called."""
        return _named(self.blocks, h, "block")

    def stream(self, s: int) -> str:
        """What a stream is called."""
        return _named(self.streams, s, "stream")

    def strategy(self, a: int) -> str:
        """What a strategy is called."""
        return _named(self.strategies, a, "strategy")


NO_NAMES = Names()


def _named(names: Sequence[str], index: int, what: str) -> str:
    return names[index] if index < len(names) else f"{what} {index + 1}"
