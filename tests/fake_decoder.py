"""A decoder without a model: it remembers what every slot was fed, and says something that depends on all of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

__all__ = ["FakeDecoder"]


@dataclass
class FakeDecoder:
    """Its cache holds tokens, so that a row that was put in the wrong place, or too short, says something else."""

    slots: int
    capacity: int = 512
    vocab_size: int = 50
    copies: int = 0
    calls: list[tuple[str, int]] = field(default_factory=list)
    """Kind and tokens of each call."""

    def __post_init__(self) -> None:
        self.config = SimpleNamespace(vocab_size=self.vocab_size)
        self.cache = np.full((self.slots, self.capacity), -1, np.int64)
        rng = np.random.default_rng(1)
        self.sayings = rng.normal(size=(997, self.vocab_size)).astype(np.float32)
        self.places = np.random.default_rng(2).integers(1, 1 << 20, self.capacity)

    def decode(self, tokens: NDArray[np.int32], lengths: NDArray[np.int32]) -> NDArray[np.float32]:
        self.calls.append(("decode", len(tokens)))
        self.cache[np.arange(len(tokens)), lengths] = tokens
        return np.stack([self.say(slot, int(length) + 1) for slot, length in enumerate(lengths)])

    def decode_best(self, tokens: NDArray[np.int32], lengths: NDArray[np.int32]) -> NDArray[np.int32]:
        return self.decode(tokens, lengths).argmax(axis=1).astype(np.int32)

    def prefill(self, slot: int, tokens: NDArray[np.int32], start: int) -> NDArray[np.float32]:
        self.calls.append(("prefill", len(tokens)))
        self.cache[slot, start : start + len(tokens)] = tokens
        return self.say(slot, start + len(tokens))

    def copy(self, source: int, target: int, tokens: int) -> None:
        assert source != target
        self.copies += 1
        self.cache[target, :tokens] = self.cache[source, :tokens]
        self.cache[target, tokens:] = -1

    def say(self, slot: int, length: int) -> NDArray[np.float32]:
        """Logits [V] after the first tokens of a slot; nonsense in the cache is an error."""
        read = self.cache[slot, :length]
        assert (read >= 0).all()
        return self.sayings[(read + 1) @ self.places[:length] % len(self.sayings)]
