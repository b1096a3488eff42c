"""Text statistics: lengths, kinds of signs and words, and how the options of a question look.

Options are lines that begin with a letter from A to J and a full stop or bracket. What stands before the first one is
the question; a text without options is a question as a whole.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from router.features.lexicon import LEXICON
from router.features.text import Integers, Joined, Words, hash_of

__all__ = ["STATISTICS", "KnownWords", "known_words", "text_statistics"]

Columns = dict[str, NDArray[np.float64]]
KnownWords = tuple[NDArray[np.uint64], Integers]

_LONG_WORD = 9
_KINDS = {
    "digits": b"0123456789",
    "capitals": bytes(range(ord("A"), ord("Z") + 1)),
    "questions": b"?",
    "stops": b".!;:",
    "commas": b",",
    "brackets": b"()[]{}",
    "lines": b"\n",
    "gaps": b"_",
    "formulas": b"\\^<>=+*/|~",
    "dollars": b"$",
    "percents": b"%",
    "quotes": b"\"'`",
    "beyond_ascii": bytes(range(128, 256)),
    "spaces": b" \t\r",
}
_IN_OPTIONS = ("option_bytes", "option_spread", "option_longest", "option_shortest")

STATISTICS = (
    "bytes",
    "question_bytes",
    "words",
    "word_bytes",
    "long_words",
    "longest_word",
    "distinct_words",
    "sentence_words",
    *_KINDS,
    "sentences",
    "digit_count",
    "digits_a_number",
    "quantities",
    "numbers",
    "question_numbers",
    "capitalised_words",
    "loud_words",
    *LEXICON,
    "options",
    *_IN_OPTIONS,
    "options_repeated",
    "options_in_question",
    "options_numeric",
    "option_digits",
)
"""Names of the statistics, in the order of their columns."""


def text_statistics(text: Joined, words: Words, rows: int, known: KnownWords) -> NDArray[np.float32]:
    """The statistics of each text, [rows, len(STATISTICS)]; `known` are the `known_words()`.

    Counts and lengths as ln(1 + count); signs and words of a kind as shares of all. Every value is finite.
    """
    found: Columns = {}
    option = _options(text)
    _lengths(found, text, words, option, rows)
    _kinds_of_signs(found, text, rows)
    _kinds_of_words(found, text, words, option, rows, known)
    _options_look(found, text, option, rows)
    _options_words(found, words, option, rows)
    return np.stack([found[name] for name in STATISTICS], axis=1).astype(np.float32)


class _Options:
    """Where the options of all texts begin and end; `of_byte` says which option a byte is in, -1 for none."""

    def __init__(self, text: Joined, start: Integers) -> None:
        self.row = text.row[start]
        last = np.append(self.row[1:] != self.row[:-1], True) if len(start) else np.zeros(0, bool)
        following = np.append(start[1:], 0)
        self.start = start + 3
        self.end = np.where(last, text.ends[self.row], following - 1) if len(start) else start
        self.question_end = text.ends.copy()
        self.question_end[self.row[::-1]] = start[::-1]


def _options(text: Joined) -> _Options:
    raw = text.raw
    if len(raw) < 4:
        return _Options(text, np.zeros(0, np.int64))
    letter = (raw[1:-2] >= ord("A")) & (raw[1:-2] <= ord("J"))
    marked = (raw[2:-1] == ord(".")) | (raw[2:-1] == ord(")"))
    begins = (raw[:-3] == ord("\n")) & letter & marked & (raw[3:] == ord(" "))
    return _Options(text, np.flatnonzero(begins) + 1)


def _lengths(found: Columns, text: Joined, words: Words, option: _Options, rows: int) -> None:
    size = text.ends - text.starts
    count = np.bincount(words.row, minlength=rows)
    found["bytes"] = np.log1p(size)
    found["question_bytes"] = np.log1p(option.question_end - text.starts)
    found["words"] = np.log1p(count)
    found["word_bytes"] = np.bincount(words.row, words.size, rows) / np.maximum(count, 1)
    found["long_words"] = _share(words.row[words.size >= _LONG_WORD], count, rows)
    longest = np.zeros(rows)
    np.maximum.at(longest, words.row, words.size)
    found["longest_word"] = np.log1p(longest)
    found["distinct_words"] = _distinct(words, rows) / np.maximum(count, 1)


def _distinct(words: Words, rows: int) -> NDArray[np.int64]:
    order = np.lexsort((words.hash, words.row))
    row, value = words.row[order], words.hash[order]
    first = np.append(True, (row[1:] != row[:-1]) | (value[1:] != value[:-1])) if len(row) else np.zeros(0, bool)
    return np.bincount(row[first], minlength=rows)


def _kinds_of_signs(found: Columns, text: Joined, rows: int) -> None:
    table, wide = _kind_of_byte(), len(_KINDS) + 1
    counts = np.bincount(text.row * wide + table[text.raw], minlength=rows * wide).reshape(rows, wide)
    size = np.maximum(text.ends - text.starts, 1)
    for place, kind in enumerate(_KINDS):
        found[kind] = counts[:, place + 1] / size
    for kind in ("questions", "lines", "gaps", "quotes", "dollars", "percents"):
        found[kind] = np.log1p(counts[:, list(_KINDS).index(kind) + 1])
    found["digit_count"] = np.log1p(counts[:, 1])
    stops = counts[:, list(_KINDS).index("stops") + 1] + counts[:, list(_KINDS).index("questions") + 1]
    found["sentences"] = np.log1p(stops)
    found["sentence_words"] = found["words"] - found["sentences"]


@cache
def _kind_of_byte() -> NDArray[np.int64]:
    table = np.zeros(256, np.int64)
    for place, signs in enumerate(_KINDS.values()):
        table[list(signs)] = place + 1
    return table


def _kinds_of_words(found: Columns, text: Joined, words: Words, option: _Options, rows: int, known: KnownWords) -> None:
    count = np.bincount(words.row, minlength=rows)
    first = text.raw[words.start]
    is_number = (first >= ord("0")) & (first <= ord("9"))
    is_capital = (first >= ord("A")) & (first <= ord("Z"))
    second = text.raw[np.minimum(words.start + 1, len(text.raw) - 1)] if len(text.raw) else first
    is_loud = is_capital & (words.size > 1) & (second >= ord("A")) & (second <= ord("Z"))
    in_question = words.start < option.question_end[words.row]
    numbers = np.bincount(words.row[is_number], minlength=rows)
    found["numbers"] = np.log1p(numbers)
    found["digits_a_number"] = np.expm1(found["digit_count"]) / np.maximum(numbers, 1)
    found["question_numbers"] = np.log1p(np.bincount(words.row[is_number & in_question], minlength=rows))
    found["capitalised_words"] = _share(words.row[is_capital], count, rows)
    found["loud_words"] = np.log1p(np.bincount(words.row[is_loud], minlength=rows))
    hashes, kinds = known
    place = np.minimum(np.searchsorted(hashes, words.hash), len(hashes) - 1)
    kind_of = np.where(hashes[place] == words.hash, kinds[place], 0)
    for bit, kind in enumerate(LEXICON):
        found[kind] = np.log1p(np.bincount(words.row[(kind_of >> bit) & 1 == 1], minlength=rows))
    found["quantities"] = np.log1p(numbers + sum(np.expm1(found[kind]) for kind in ("spoken_numbers", "comparing")))


def known_words() -> KnownWords:
    """Hashes of all words of the lists in rising order, and for each a number with one bit a list."""
    bits: dict[int, int] = {}
    for bit, listed in enumerate(LEXICON.values()):
        for word in listed:
            key = hash_of(word)
            bits[key] = bits.get(key, 0) | 1 << bit
    known = sorted(bits)
    return np.array(known, np.uint64), np.array([bits[key] for key in known])


def _options_look(found: Columns, text: Joined, option: _Options, rows: int) -> None:
    size = np.maximum(option.end - option.start, 0)
    count = np.bincount(option.row, minlength=rows)
    log_size = np.log1p(size)
    mean = np.bincount(option.row, log_size, rows) / np.maximum(count, 1)
    square = np.bincount(option.row, log_size**2, rows) / np.maximum(count, 1)
    longest, shortest = np.zeros(rows), np.full(rows, np.inf)
    np.maximum.at(longest, option.row, log_size)
    np.minimum.at(shortest, option.row, log_size)
    digit = np.append(0, np.cumsum((text.raw >= ord("0")) & (text.raw <= ord("9"))))
    letter = np.append(0, np.cumsum((text.low >= ord("a")) & (text.low <= ord("z"))))
    last = np.maximum(option.end, option.start)
    digits, letters = digit[last] - digit[option.start], letter[last] - letter[option.start]
    found["options"] = count.astype(np.float64)
    found["option_bytes"] = mean
    found["option_spread"] = np.sqrt(np.maximum(square - mean**2, 0.0))
    found["option_longest"] = longest
    found["option_shortest"] = np.where(count > 0, shortest, 0.0)
    found["options_numeric"] = _share(option.row[(digits > 0) & (digits >= letters)], count, rows)
    all_bytes = np.bincount(option.row, size, rows)
    found["option_digits"] = np.bincount(option.row, digits, rows) / np.maximum(all_bytes, 1)


def _options_words(found: Columns, words: Words, option: _Options, rows: int) -> None:
    """Do options repeat each other's words, and those of the question?"""
    in_option = words.start >= option.question_end[words.row]
    key = words.hash ^ (words.row.astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93))
    count = np.bincount(words.row[in_option], minlength=rows)
    asked = np.unique(key[~in_option])
    ours, row = key[in_option], words.row[in_option]
    order = np.argsort(ours, kind="stable")
    again = np.zeros(len(ours), bool)
    again[order[1:]] = ours[order[1:]] == ours[order[:-1]]
    place = np.minimum(np.searchsorted(asked, ours), max(len(asked) - 1, 0))
    known = asked[place] == ours if len(asked) else np.zeros(len(ours), bool)
    found["options_repeated"] = _share(row[again], count, rows)
    found["options_in_question"] = _share(row[known], count, rows)


def _share(rows_of_found: Integers, count: Integers, rows: int) -> NDArray[np.float64]:
    return np.bincount(rows_of_found, minlength=rows) / np.maximum(count, 1)
