"""What the engine needs of a decoder."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Logits", "Model", "Tokens"]

Tokens = NDArray[np.int32]
Logits = NDArray[np.float32]


class HasVocabulary(Protocol):
    @property
    def vocab_size(self) -> int: ...


class Model(Protocol):
    """A decoder with a KV cache of `slots` rows of `capacity` tokens, such as `sim.lab.decoder.decoder.Decoder`."""

    @property
    def config(self) -> HasVocabulary: ...

    @property
    def slots(self) -> int: ...

    @property
    def capacity(self) -> int: ...

    def decode(self, tokens: Tokens, lengths: Tokens) -> Logits:
        """Have each row of slots 0 to n - 1 read a token behind the `lengths` that it has; logits [n, V]."""

    def decode_best(self, tokens: Tokens, lengths: Tokens) -> Tokens:
        """The same, but no more than the likeliest tokens [n]."""

    def prefill(self, slot: int, tokens: Tokens, start: int) -> Logits:
        """Have a row read tokens from position `start` on; logits [V] of the last."""

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copy the KV of a row's first tokens to another slot."""
