"""Hashed n-grams of words and characters: counts in a fixed number of places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from router.features.text import Hashes, Integers, Joined, Words, mixed

__all__ = ["ngram_columns"]

_STEP = np.uint64(0xD6E8FEB86659FD93)


def ngram_columns(
    text: Joined, words: Words, rows: int, *, places: int, word_sizes: Sequence[int], char_sizes: Sequence[int]
) -> NDArray[np.float32]:
    """How often each hashed n-gram stands in each text, dampened, [rows, places].

    A count c becomes 1 + ln c, and each row has length 1 then, so that long texts do not outweigh short ones. `places`
    is a power of two. Different n-grams may share a place.
    """
    shift = np.uint64(64 - (places.bit_length() - 1))
    found = [*_of_words(words, word_sizes), *_of_chars(text, char_sizes)]
    cells = [row * places + (grams >> shift).astype(np.int64) for row, grams in found]
    counts = np.bincount(np.concatenate(cells), minlength=rows * places) if cells else np.zeros(rows * places, np.int64)
    weights = _damped(counts).reshape(rows, places)
    length = np.sqrt(np.einsum("ij,ij->i", weights, weights))
    weights /= np.maximum(length, np.float32(1e-6))[:, None]
    return weights


def _damped(counts: Integers) -> NDArray[np.float32]:
    table = np.zeros(int(counts.max(initial=0)) + 1, np.float32)
    table[1:] = 1.0 + np.log(np.arange(1, len(table)))
    return table[counts]


def _of_words(words: Words, sizes: Sequence[int]) -> Iterator[tuple[Integers, Hashes]]:
    for size in sizes:
        last = len(words.hash) - size + 1
        if last < 1:
            continue
        grams = words.hash[:last].copy()
        for place in range(1, size):
            grams = grams * _STEP + words.hash[place : last + place]
        whole = words.row[:last] == words.row[size - 1 :]
        yield words.row[:last][whole], mixed(grams + np.uint64(size))[whole]


def _of_chars(text: Joined, sizes: Sequence[int]) -> Iterator[tuple[Integers, Hashes]]:
    """N-grams of bytes that stay within a text; all white space is alike."""
    low = np.where((text.low > 0) & (text.low <= 32), np.uint8(32), text.low).astype(np.uint64)
    for size in sizes:
        last = len(low) - size + 1
        if last < 1:
            continue
        grams = low[:last].copy()
        for place in range(1, size):
            grams = (grams << np.uint64(8)) + low[place : last + place]
        whole = text.row[:last] == text.row[size - 1 :]
        # The closing byte is the last of its text, so it is in a whole n-gram only at its end: the text's end counts.
        yield text.row[:last][whole], mixed(grams + np.uint64(size * 0x9E3779B9))[whole]
