"""The next token of each row: the likeliest, or one drawn with the job's own random numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["choose", "log_probabilities", "uniforms"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Words = NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def uniforms(seeds: Words, counts: Words) -> NDArray[np.float64]:
    """A number in [0, 1) for each seed and count, [n]: random, and a function of these two alone.

    They are the upper 53 bits of two rounds of SplitMix64's finaliser.
    """
    with np.errstate(over="ignore"):
        words = _mixed(_mixed(seeds + _STEP) ^ (counts * _STEP)) >> np.uint64(11)
    return words.astype(np.float64) * 2.0**-53


def _mixed(words: Words) -> Words:
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))


def choose(logits: Floats, temperatures: Floats, seeds: Words, counts: Words) -> Integers:
    """A token for each row of logits [n, V]: the likeliest at temperature 0, else one drawn with u(seed, count)."""
    hot = temperatures > 0.0
    many = np.count_nonzero(hot)
    if many == len(hot):
        return _drawn(logits, temperatures, seeds, counts)
    tokens: Integers = logits.argmax(axis=1)
    if many:
        tokens[hot] = _drawn(logits[hot], temperatures[hot], seeds[hot], counts[hot])
    return tokens


def _drawn(logits: Floats, temperatures: Floats, seeds: Words, counts: Words) -> Integers:
    weights = logits / temperatures[:, None]
    weights -= weights.max(axis=1, keepdims=True)
    np.exp(weights, out=weights)
    sums = weights.cumsum(axis=1, dtype=np.float64)
    below = uniforms(seeds, counts) * sums[:, -1]
    tokens: Integers = (sums > below[:, None]).argmax(axis=1)
    return tokens


def log_probabilities(logits: Floats, tokens: Integers) -> NDArray[np.float64]:
    """Natural logarithm of the probability of a token in each row of logits [n, V], at temperature 1."""
    likeliest = logits.max(axis=1)
    sums = np.exp(logits - likeliest[:, None]).sum(axis=1, dtype=np.float64)
    chosen = logits[np.arange(len(tokens)), tokens]
    known: NDArray[np.float64] = (chosen - likeliest).astype(np.float64) - np.log(sums)
    return known
