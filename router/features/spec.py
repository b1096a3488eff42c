"""Which features a router takes, in which order: all that is needed to compute them, and the computing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from router.errors import RouterError
from router.features.ngrams import ngram_columns
from router.features.statistics import STATISTICS, known_words, text_statistics
from router.features.text import joined, words_of

__all__ = ["FEATURE_VERSION", "FeatureSpec", "Features"]

FEATURE_VERSION = "1"
"""Changes whenever the same text or number gives another feature."""

_TEXTS_AT_ONCE = 256
_BYTES_AT_ONCE = 1 << 18
_LARGEST_HASHED = 1 << 16
_LONGEST_NGRAM = 6


@dataclass(frozen=True)
class FeatureSpec:
    """The features of a router: numeric columns, statistics of the text, hashed n-grams, in this order."""

    numbers: tuple[str, ...] = ()
    """Names of columns that come with a request, used as they are."""
    text: bool = True
    """Whether requests have a text; without one there are only numbers."""
    hashed: int = 0
    """Places of hashed n-grams, a power of two; 0 for none."""
    word_ngrams: tuple[int, ...] = (1,)
    char_ngrams: tuple[int, ...] = (3, 4, 5)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns before the hashed ones."""
        return (*self.numbers, *(f"text:{name}" for name in STATISTICS if self.text))

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.names) + self.hashed

    def document(self) -> dict[str, Any]:
        """The spec as JSON holds it, in a router's metadata.

        >>> FeatureSpec.of_document(FeatureSpec(("a",), hashed=8).document()) == FeatureSpec(("a",), hashed=8)
        True
        """
        parts = asdict(self)
        ngrams = {"words": list(parts.pop("word_ngrams")), "chars": list(parts.pop("char_ngrams"))}
        parts["numbers"] = list(self.numbers)
        return {"version": FEATURE_VERSION, "names": list(self.names), **parts, "ngrams": ngrams}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> FeatureSpec:
        """The spec that a document describes.

        Raises:
            RouterError: for another version, names in another order, and values that no spec has.
        """
        version = document.get("version")
        if version != FEATURE_VERSION:
            raise RouterError(
                version,
                f"is no feature version that this package computes ({FEATURE_VERSION})",
                "train the router again",
            )
        try:
            spec = cls(
                numbers=tuple(str(name) for name in document["numbers"]),
                text=document["text"] is True,
                hashed=int(document["hashed"]),
                word_ngrams=tuple(int(size) for size in document["ngrams"]["words"]),
                char_ngrams=tuple(int(size) for size in document["ngrams"]["chars"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RouterError(shown(document), f"describes no features ({error})", "train the router again") from None
        spec.check()
        if list(spec.names) != list(document.get("names", ())):
            raise RouterError(
                shown(document.get("names")),
                "are not the features of this version in their order",
                "train the router again",
            )
        return spec

    def check(self) -> None:
        """Whether the features can be computed.

        Raises:
            RouterError: for sizes out of range, names given twice, and hashed n-grams without a text.
        """
        power_of_two = self.hashed == 0 or self.hashed.bit_count() == 1
        if not (0 <= self.hashed <= _LARGEST_HASHED and power_of_two) or self.hashed == 1:
            remedy = "give 0 for none, or such as 1024"
            raise RouterError(self.hashed, f"must be a power of two from 2 to {_LARGEST_HASHED}", remedy, "hashed")
        for size in (*self.word_ngrams, *self.char_ngrams):
            if not 1 <= size <= _LONGEST_NGRAM:
                raise RouterError(size, f"must be from 1 to {_LONGEST_NGRAM}", "give sizes such as 1, 2", "ngrams")
        twice = [name for name in self.numbers if self.numbers.count(name) > 1]
        if twice:
            raise RouterError(twice[0], "is named twice among the features", "name it once", "features")
        if self.hashed and not self.text:
            raise RouterError(self.hashed, "hashed n-grams need a text", "give 0, or rows with a text", "hashed")
        if not self.width:
            raise RouterError("the router", "has no features", "give rows with a text or with columns of numbers")


class Features:
    """Computes the features of a spec.

    >>> Features(FeatureSpec(("size",), hashed=16)).of(["What is 2 + 2?", ""], {"size": [3.0, 4.0]}).shape[0]
    2
    """

    def __init__(self, spec: FeatureSpec) -> None:
        spec.check()
        self.spec = spec
        self._known = known_words()

    def of(self, texts: Sequence[str] | None, numbers: Mapping[str, ArrayLike] | None = None) -> NDArray[np.float32]:
        """The features of n requests, [n, width].

        Raises:
            RouterError: for texts or columns that are lacking, of unequal length, or no finite numbers.
        """
        spec = self.spec
        columns = [_column(name, numbers or {}) for name in spec.numbers]
        if spec.text and texts is None:
            raise RouterError("the requests", "have no texts, which this router reads", "give their texts")
        sizes = {len(column) for column in columns} | ({len(texts)} if spec.text and texts is not None else set())
        if len(sizes) > 1:
            raise RouterError(
                sorted(sizes), "are unequal numbers of rows", "give each column and the texts one a request"
            )
        rows = sizes.pop()
        made = np.empty((rows, spec.width), np.float32)
        for place, column in enumerate(columns):
            made[:, place] = column
        if spec.text and texts is not None:
            self._read(texts, made)
        return made

    def _read(self, texts: Sequence[str], made: NDArray[np.float32]) -> None:
        first, wide = len(self.spec.numbers), len(self.spec.names)
        for low, high in _pieces(texts):
            text = joined(texts[low:high])
            words = words_of(text)
            made[low:high, first:wide] = text_statistics(text, words, high - low, self._known)
            if self.spec.hashed:
                made[low:high, wide:] = ngram_columns(
                    text,
                    words,
                    high - low,
                    places=self.spec.hashed,
                    word_sizes=self.spec.word_ngrams,
                    char_sizes=self.spec.char_ngrams,
                )


def _pieces(texts: Sequence[str]) -> list[tuple[int, int]]:
    """First and end of pieces that fit into a cache: so many texts, so many bytes."""
    pieces, low, size = [], 0, 0
    for place, text in enumerate(texts):
        if place > low and (place - low >= _TEXTS_AT_ONCE or size + len(text) > _BYTES_AT_ONCE):
            pieces.append((low, place))
            low, size = place, 0
        size += len(text)
    return [*pieces, (low, len(texts))] if len(texts) else []


def _column(name: str, numbers: Mapping[str, ArrayLike]) -> NDArray[np.float32]:
    if name not in numbers:
        given = ", ".join(map(str, numbers)) or "none"
        raise RouterError(name, "is a feature that the requests lack", f"give it with each request (given: {given})")
    try:
        values = np.asarray(numbers[name], np.float64)
        with np.errstate(over="ignore"):
            column = values.astype(np.float32)
    except (TypeError, ValueError):
        raise RouterError(shown(numbers[name]), "is no column of numbers", "give numbers", name) from None
    if column.ndim != 1:
        raise RouterError(f"an array of shape {column.shape}", "is no column", "give one number a request", name)
    if not np.isfinite(column).all():
        bad = np.flatnonzero(~np.isfinite(column))
        value, where = values[bad[0]], f"{name}, row {bad[0]}"
        raise RouterError(float(value), "must be a finite number", "correct it, or train a router without it", where)
    return column


def shown(value: object) -> str:
    """A value on one line, cut where it is long."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = " ".join(str(value).split())
    return text if len(text) <= 80 else text[:77] + "..."
