"""Beginnings of texts whose KV is kept, so that texts that share them need not read them again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.errors import EngineError

if TYPE_CHECKING:
    from sim.lab.outcomes.completions import TextDecoder

__all__ = ["KeptPrefixes", "Prefix", "common_length"]

Tokens = NDArray[np.int32]


@dataclass(eq=False)
class Prefix:
    """Tokens whose KV lies in a slot."""

    owner: int
    slot: int
    tokens: Tokens
    held: bool = False
    """Whether it is in use and must stay."""
    last_use: int = 0


class KeptPrefixes:
    """Slots of a decoder that hold beginnings; the one that was not used for longest gives way."""

    def __init__(self, decoder: TextDecoder, slots: Iterable[int]) -> None:
        """Of the decoder, these slots."""
        self._decoder = decoder
        self._free = sorted(slots, reverse=True)
        self._prefixes: list[Prefix] = []
        self._uses = 0
        self.read_tokens = 0
        """Tokens read so far."""

    def hold(
        self, owner: int, tokens: Tokens, score_from: int | None = None
    ) -> tuple[Prefix, NDArray[np.float32] | None]:
        """A prefix that begins with these tokens, read as far as nothing kept has them; it stays until `release`.

        With `score_from` also the logits after each token from the one before that place on, [q, V].
        """
        source, common = self._nearest(owner, tokens)
        if score_from is not None:
            common = min(common, score_from - 1)
        if source is not None and common == tokens.size:
            self._use(source)
            source.held = True
            return source, None
        found = self._place(owner, tokens, source, common)
        logits = self._decoder.prefill(found.slot, tokens[common:], common, every_token=score_from is not None)
        self.read_tokens += tokens.size - common
        found.held = True
        return found, logits if score_from is not None else None

    def release(self, prefix: Prefix) -> None:
        """It may give way again."""
        prefix.held = False

    def keep(self, owner: int, tokens: Tokens, row: int) -> None:
        """Take over the KV of a row, of so many tokens."""
        found = self._place(owner, tokens, None, 0)
        self._decoder.copy(row, found.slot, tokens.size)

    def drop(self, owner: int) -> None:
        """Forget all that belongs to an owner."""
        self._free.extend(prefix.slot for prefix in self._prefixes if prefix.owner == owner)
        self._prefixes = [prefix for prefix in self._prefixes if prefix.owner != owner]

    def _nearest(self, owner: int, tokens: Tokens) -> tuple[Prefix | None, int]:
        """What has most of the first tokens, and how many."""
        best, most = None, 0
        for prefix in self._prefixes:
            if prefix.owner == owner and (common := common_length(prefix.tokens, tokens)) > most:
                best, most = prefix, common
        return best, most

    def _place(self, owner: int, tokens: Tokens, source: Prefix | None, common: int) -> Prefix:
        """A slot for a prefix, with what it has in common with another one."""
        prefix = Prefix(owner, self._free_slot(source), tokens)
        if source is not None and common:
            self._use(source)
            self._decoder.copy(source.slot, prefix.slot, common)
        self._use(prefix)
        self._prefixes.append(prefix)
        return prefix

    def _free_slot(self, source: Prefix | None) -> int:
        if self._free:
            return self._free.pop()
        idle = [prefix for prefix in self._prefixes if not prefix.held and prefix is not source]
        if not idle:
            raise EngineError("there is no slot left for a prefix")
        oldest = min(idle, key=lambda prefix: prefix.last_use)
        self._prefixes.remove(oldest)
        return oldest.slot

    def _use(self, prefix: Prefix) -> None:
        self._uses += 1
        prefix.last_use = self._uses


def common_length(one: Tokens, other: Tokens) -> int:
    """Tokens with which both begin.

    >>> common_length(np.array([1, 2, 3], np.int32), np.array([1, 2, 4, 5], np.int32))
    2
    """
    shortest = min(one.size, other.size)
    differ = np.flatnonzero(one[:shortest] != other[:shortest])
    return int(differ[0]) if differ.size else shortest
