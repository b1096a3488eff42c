"""Texts as one array of bytes: which byte is whose, where words are, and a hash of each word.

Everything is done on UTF-8 bytes with tables of this module, so that no locale and no version of a library can change
a feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bytes", "Hashes", "Integers", "Joined", "Words", "hash_of", "joined", "mixed", "words_of"]

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]

_END = 0
_BASE = 0x9E3779B97F4A7C15 | 1
_LONGEST_WORD = 64


@dataclass(frozen=True)
class Joined:
    """n texts one after another, each closed by a byte of zero."""

    raw: Bytes
    """As given, [bytes]."""
    low: Bytes
    """ASCII letters made small, [bytes]."""
    starts: Integers
    """First byte of each text, [n]."""
    row: Integers
    """Whose byte it is, [bytes]."""

    @property
    def ends(self) -> Integers:
        """The closing byte of each text, [n]."""
        return np.append(self.starts[1:], len(self.raw)) - 1


@dataclass(frozen=True)
class Words:
    """Runs of letters, digits and bytes beyond ASCII, in the order of the texts."""

    start: Integers
    """First byte of each word, [words]."""
    size: Integers
    """Bytes of each word, [words]."""
    row: Integers
    """Whose word it is, [words]."""
    hash: Hashes
    """A hash of the word in small letters, [words]."""


def joined(texts: Sequence[str]) -> Joined:
    """The texts as bytes. A zero within a text counts as a space, half a surrogate pair as a question mark."""
    whole = "\0".join([*(text.replace("\0", " ") for text in texts), ""]) if texts else ""
    raw = np.frombuffer(whole.encode("utf-8", "replace"), np.uint8)
    ends = np.flatnonzero(raw == _END)
    starts = np.append(0, ends[:-1] + 1).astype(np.int64)[: len(texts)]
    row = np.repeat(np.arange(len(texts)), np.diff(np.append(starts, len(raw))))
    return Joined(raw, _small()[raw], starts, row)


def words_of(text: Joined) -> Words:
    """All words of the texts."""
    inside = _in_words()[text.raw]
    edges = np.diff(inside, prepend=np.int8(0))
    start, end = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    size = end - start
    if not len(start):
        return Words(start, size, start, start.astype(np.uint64))
    # Each byte times a power of its place in the word; of a word longer than the table places count anew.
    letters = np.flatnonzero(inside)
    place = letters - np.repeat(start, size)
    terms = (text.low[letters].astype(np.uint64) + np.uint64(1)) * _powers()[place % _LONGEST_WORD]
    sums = np.add.reduceat(terms, np.cumsum(size) - size)
    return Words(start, size, text.row[start], mixed(sums))


def hash_of(word: str) -> int:
    """The hash that `words_of` gives a word.

    >>> hash_of("Not") == hash_of("not") != hash_of("note")
    True
    """
    return int(words_of(joined([word])).hash[0])


def mixed(words: Hashes) -> Hashes:
    """The words with their bits mixed: the finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    word = words ^ (words >> np.uint64(30))
    word = word * np.uint64(0xBF58476D1CE4E5B9)
    word = word ^ (word >> np.uint64(27))
    word = word * np.uint64(0x94D049BB133111EB)
    return np.asarray(word ^ (word >> np.uint64(31)), np.uint64)


@cache
def _powers() -> Hashes:
    return np.asarray(np.cumprod(np.full(_LONGEST_WORD, _BASE, np.uint64)), np.uint64)


@cache
def _small() -> Bytes:
    table = np.arange(256, dtype=np.uint8)
    table[ord("A") : ord("Z") + 1] += 32
    return table


@cache
def _in_words() -> NDArray[np.int8]:
    table = np.zeros(256, np.int8)
    for first, last in ("09", "AZ", "az"):
        table[ord(first) : ord(last) + 1] = 1
    table[128:] = 1
    return table
