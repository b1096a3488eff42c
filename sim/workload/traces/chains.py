"""Contexts from chains of blocks: prompts that begin alike are about the same thing."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Chains", "Place"]

_BLOCK_TOKENS = 512
"""Tokens of a block, but for the last one of a prompt."""

_FEWEST_SHARED = 2
"""A first block that is the same is no sign yet: all conversations of a service may begin with it."""


class Place(NamedTuple):
    """Where a prompt belongs."""

    context: int
    """Number of its context, by first appearance."""
    shared_tokens: int
    """First tokens that are those of the latest prompt on this context."""


class Chains:
    """Finds the context of each prompt, in the order in which they come.

    A block is named after all text up to its end, so two prompts with the same block are alike up to there. A
    prompt belongs to the context whose latest prompt shares most leading blocks with it, two at least; there
    it becomes the latest one. Any other prompt begins a context, without anything shared: what contexts
    have in common, such as a system prompt of one block, is left out. Memory grows with the contexts and the blocks
    of their latest prompts.
    """

    def __init__(self) -> None:
        self._context_of: dict[int, int] = {}
        """Context by block, of the blocks in some latest prompt."""
        self._latest: list[list[int]] = []
        self._latest_tokens: list[int] = []

    def place(self, chain: list[int], prompt_tokens: int) -> Place:
        """The place of the next prompt, which consists of these blocks."""
        shared = self._shared(chain)
        if shared < _FEWEST_SHARED:
            context, shared = self._begin(), 0
        else:
            context = self._context_of[chain[shared - 1]]
        shared_tokens = min(_BLOCK_TOKENS * shared, prompt_tokens, self._latest_tokens[context])
        self._latest_tokens[context] = prompt_tokens
        self._follow(context, chain, shared)
        return Place(context, shared_tokens)

    def _begin(self) -> int:
        self._latest.append([])
        self._latest_tokens.append(0)
        return len(self._latest) - 1

    def _shared(self, chain: list[int]) -> int:
        for place, block in enumerate(chain):
            if block not in self._context_of:
                return place
        return len(chain)

    def _follow(self, context: int, chain: list[int], shared: int) -> None:
        for block in self._latest[context][shared:]:
            if self._context_of.get(block) == context:
                del self._context_of[block]
        self._context_of.update(dict.fromkeys(chain, context))
        self._latest[context] = chain
