"""What chance has in store for requests, by their keys: the numbers of the engine (`sim.engine.luck`), many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from sim.workload.blocks import Floats, Integers

__all__ = ["ANSWER", "CONFIDENCE", "DIFFICULTY", "QUESTION", "THINKING", "mixed", "normals", "uniforms"]

ANSWER = 0
"""Purpose of the engine's draw of answers; single ones look at place 0 and branch 0."""
DIFFICULTY, QUESTION, THINKING, CONFIDENCE = 10, 11, 12, 13
"""Purposes of numbers that no step of the engine draws."""

_GOLD = 0x9E3779B97F4A7C15
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_PLACE = 20
_PIECE = 8_192
"""Keys at a time: their numbers stay in the processor's cache."""

Words = NDArray[np.uint64]


def uniforms(keys: Integers, purpose: int, *, place: int = 0, branch: int = 0) -> Floats:
    """A number in [0, 1) for each key, [n]."""
    drawn = np.empty(keys.size)
    scratch = np.empty(min(keys.size, _PIECE), np.uint64)
    for first in range(0, keys.size, _PIECE):
        piece = keys[first : first + _PIECE].astype(np.uint64)
        _mix(piece, 1 + purpose, scratch[: piece.size])
        _mix(piece, 1 + branch + (place << _PLACE), scratch[: piece.size])
        piece >>= np.uint64(11)
        np.multiply(piece, 2.0**-53, out=drawn[first : first + _PIECE])
    return drawn


def normals(keys: Integers, purpose: int, *, place: int = 0) -> Floats:
    """A standard normal number for each key, [n]."""
    # Half a step up, as a uniform number may be 0.
    drawn: Floats = ndtri(uniforms(keys, purpose, place=place) + 2.0**-54)
    return drawn


def mixed(word: int, numbers: Integers) -> Integers:
    """Keys made of a stream's word and of numbers, such as those of questions, [n]."""
    keys = numbers.astype(np.uint64) + np.uint64(word % 2**64)
    _mix(keys, 1, np.empty(keys.size, np.uint64))
    keys &= np.uint64(2**63 - 1)
    return keys.view(np.int64)


def _mix(z: Words, times: int, scratch: Words) -> None:
    """In place: the mixing function of SplitMix64, `times` steps of its generator on."""
    z += np.uint64(times * _GOLD % 2**64)
    z ^= np.right_shift(z, np.uint64(30), out=scratch)
    z *= _FIRST
    z ^= np.right_shift(z, np.uint64(27), out=scratch)
    z *= _SECOND
    z ^= np.right_shift(z, np.uint64(31), out=scratch)
