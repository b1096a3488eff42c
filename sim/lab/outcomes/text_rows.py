"""The texts that a decoder is writing, in columns, and how the next token of each is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["GREEDY", "Draw", "TextRows", "Written", "log_softmax"]

Floats = NDArray[np.float32]
Who = TypeVar("Who")


@dataclass(frozen=True)
class Draw:
    """How one text is drawn."""

    temperature: float = 0.0
    stream: tuple[int, ...] = ()
    """Names its random numbers, so that they do not depend on what is written beside it."""

    def uniforms(self, count: int) -> NDArray[np.float64]:
        """Its numbers in [0, 1), one a token."""
        if self.temperature == 0.0:
            return np.zeros(count)
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence(self.stream))).random(count)


GREEDY = Draw()


@dataclass(frozen=True)
class Written:
    """One text."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Of its tokens, at temperature 1."""
    stopped: bool
    """Whether it came to an end by itself."""


class TextRows(Generic[Who]):
    """Texts on their way; row n is slot n of the decoder. Rows that have ended are free for others."""

    def __init__(self, width: int, capacity: int) -> None:
        """At most `width` texts, of at most `capacity` tokens with their prompts."""
        self.width = width
        self.count = 0
        """Rows that are taken, free ones between them too."""
        self._free: list[int] = []
        self._who: dict[int, Who] = {}
        self._stop: dict[int, frozenset[int]] = {}
        self._token = np.zeros(width, np.int32)
        self._length = np.zeros(width, np.int32)
        self._written = np.zeros(width, np.int64)
        self._most = np.zeros(width, np.int64)
        self._temperature = np.zeros(width)
        self._luck = np.zeros((width, capacity))
        self._tokens = np.zeros((width, capacity), np.int32)
        self._logprobs = np.zeros((width, capacity), np.float32)

    @property
    def has_room(self) -> bool:
        """Whether another text may begin."""
        return bool(self._free) or self.count < self.width

    def add(self, who: Who, prompt: Sequence[int], max_tokens: int, stop: frozenset[int], draw: Draw) -> int:
        """A text that begins where all of its prompt but the last token has been read; gives back its row."""
        row = self._free.pop() if self._free else self.count
        self.count = max(self.count, row + 1)
        self._who[row], self._stop[row] = who, stop
        self._token[row], self._length[row] = prompt[-1], len(prompt) - 1
        self._written[row], self._most[row] = 0, max_tokens
        self._temperature[row] = draw.temperature
        self._luck[row, :max_tokens] = draw.uniforms(max_tokens)
        return row

    def inputs(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The token that each row reads, and how many it has read; only without gaps."""
        return self._token[: self.count].copy(), self._length[: self.count].copy()

    def advance(self, logits: Floats) -> NDArray[np.intp]:
        """Take the next token of each row; gives back the rows that have ended, ascending."""
        rows = np.arange(self.count)
        written = self._written[: self.count]
        chances = log_softmax(logits)
        chosen = _chosen(chances, self._temperature[: self.count], self._luck[rows, written])
        self._tokens[rows, written] = chosen
        self._logprobs[rows, written] = chances[rows, chosen]
        self._token[: self.count] = chosen
        self._length[: self.count] += 1
        written += 1
        stops = [token in self._stop[row] for row, token in enumerate(chosen.tolist())]
        return np.flatnonzero(np.array(stops) | (written == self._most[: self.count]))

    def take(self, row: int) -> tuple[Who, Written]:
        """Whose text a row was and what was written; it is free from now on."""
        written = int(self._written[row])
        tokens = tuple(self._tokens[row, :written].tolist())
        logprobs = tuple(self._logprobs[row, :written].tolist())
        self._free.append(row)
        return self._who.pop(row), Written(tokens, logprobs, tokens[-1] in self._stop.pop(row))

    def length_of(self, row: int) -> int:
        """Tokens it has read."""
        return int(self._length[row])

    def close_gaps(self) -> Iterator[tuple[int, int]]:
        """Move the last row into each free one; yields the row and the place that its text had before."""
        for row in sorted(self._free, reverse=True):
            last = self.count - 1
            self.count = last
            if row != last:
                self._move(last, row)
                yield row, last
        self._free.clear()

    def _move(self, last: int, row: int) -> None:
        self._who[row], self._stop[row] = self._who.pop(last), self._stop.pop(last)
        for column in (self._token, self._length, self._written, self._most, self._temperature):
            column[row] = column[last]
        for table in (self._luck, self._tokens, self._logprobs):
            table[row] = table[last]


def log_softmax(logits: Floats) -> Floats:
    """Log-probabilities of logits [..., V].

    >>> np.exp(log_softmax(np.zeros((1, 4), np.float32))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    low = logits - logits.max(axis=-1, keepdims=True)
    found: Floats = low - np.log(np.exp(low).sum(axis=-1, keepdims=True))
    return found


def _chosen(chances: Floats, temperature: NDArray[np.float64], luck: NDArray[np.float64]) -> NDArray[np.intp]:
    """A token of each row, [n]: the likeliest at temperature 0, otherwise one drawn by its number in [0, 1)."""
    chosen: NDArray[np.intp] = chances.argmax(axis=1)
    drawn = np.flatnonzero(temperature)
    if drawn.size:
        scaled = chances[drawn] / temperature[drawn, None]
        up_to = np.exp(scaled - scaled.max(axis=1, keepdims=True)).cumsum(axis=1)
        places = (up_to <= luck[drawn, None] * up_to[:, -1:]).sum(axis=1)
        chosen[drawn] = np.minimum(places, chances.shape[1] - 1)
    return chosen
