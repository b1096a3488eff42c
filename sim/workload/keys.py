"""Keys of requests: what each one's luck follows from, whatever is done with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.streams import RandomStreams
from sim.workload.blocks import Integers

__all__ = ["Keys"]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST_FACTOR, _SECOND_FACTOR = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

_PIECE = 8_192
"""Keys made at a time: they stay in the processor's cache, three times as fast as a whole block at once."""


class Keys:
    """Keys of a stream's requests in the order of their arrival; n and then m are the same as n + m at once.

    The key of request n is output n of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, figure 16), seeded by the
    word of the stream `NAME/luck`, without its highest bit.
    """

    def __init__(self, streams: RandomStreams, stream_name: str) -> None:
        self._word = np.uint64(streams.word(f"{stream_name}/luck"))
        self._requests = 0

    def draw(self, rows: int) -> Integers:
        """Keys of the next requests, [rows], from 0 to 2^63 - 1."""
        numbers = np.arange(self._requests + 1, self._requests + rows + 1, dtype=np.uint64)
        self._requests += rows
        scratch = np.empty(min(rows, _PIECE), np.uint64)
        for first in range(0, rows, _PIECE):
            piece = numbers[first : first + _PIECE]
            _mix(piece, self._word, scratch[: piece.size])
        return numbers.view(np.int64)


def _mix(numbers: NDArray[np.uint64], word: np.uint64, scratch: NDArray[np.uint64]) -> None:
    """Turn numbers, counted from 1, into outputs of SplitMix64 without their highest bit."""
    numbers *= _STEP
    numbers += word
    numbers ^= np.right_shift(numbers, np.uint64(30), out=scratch)
    numbers *= _FIRST_FACTOR
    numbers ^= np.right_shift(numbers, np.uint64(27), out=scratch)
    numbers *= _SECOND_FACTOR
    numbers ^= np.right_shift(numbers, np.uint64(31), out=scratch)
    numbers &= np.uint64(2**63 - 1)
