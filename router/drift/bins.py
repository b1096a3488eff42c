"""What a router's training questions looked like: bins of its features and of its chances, kept in its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from router.errors import RouterError

__all__ = ["Bins", "Reference", "reference"]

_TENTHS = np.arange(1, 10) / 10
_GAP = 2e-6
_AGAIN = "export the router again with `nightshift train`"


@dataclass(frozen=True)
class Bins:
    """Bins between quantiles of one column, and the share of the training questions in each.

    Bin i holds what is above edge i - 1 and not above edge i. Where many values are equal, bins are fewer and unequal.
    Edges lie between values that occur, and have seven digits, so that a file may round them.
    """

    edges: NDArray[np.float64]
    """Rising, [k]."""
    shares: NDArray[np.float64]
    """Of the training questions in each of the k + 1 bins."""

    @classmethod
    def of(cls, values: ArrayLike) -> Bins:
        """Tenths of some values; what is beyond the smallest or greatest has a bin of its own where that is frequent.

        >>> Bins.of([0, 0, 0, 1, 2]).shares.tolist()
        [0.0, 0.6, 0.2, 0.2, 0.0]
        """
        known = np.asarray(values, np.float64)
        different = np.unique(known)
        gap = _GAP * max(1.0, float(np.abs(different).max()))
        between = np.append((different[:-1] + different[1:]) / 2, different[-1] + gap)
        tenths = np.unique(np.quantile(known, _TENTHS, method="inverted_cdf"))
        edges = between[np.searchsorted(different, tenths)]
        if tenths[0] == different[0]:
            edges = np.insert(edges, 0, different[0] - gap)
        edges = np.unique([float(f"{edge:.7g}") for edge in edges])
        return cls(edges, _counts(edges, known) / known.size)

    @classmethod
    def read(cls, given: Any, where: str) -> Bins:
        """Bins as `document` has written them.

        Raises:
            RouterError: for anything else.
        """
        try:
            edges, shares = (np.asarray(given[name], np.float64) for name in ("edges", "shares"))
            good = edges.ndim == shares.ndim == 1 and 0 < edges.size == shares.size - 1
            good = good and bool(np.all(np.diff(edges) > 0) and np.all(shares >= 0) and abs(shares.sum() - 1) < 1e-5)
        except (TypeError, KeyError, ValueError):
            good = False
        if not good:
            rule = "holds no bins (rising edges, and one share more than edges that add up to 1)"
            raise RouterError(where, rule, _AGAIN)
        return cls(edges, shares)

    def counts(self, values: ArrayLike) -> NDArray[np.int64]:
        """How many values fall into each bin, [k + 1]."""
        return _counts(self.edges, np.asarray(values, np.float64))

    def document(self) -> dict[str, list[float]]:
        """For a file."""
        return {"edges": self.edges.tolist(), "shares": self.shares.tolist()}


@dataclass(frozen=True)
class Reference:
    """The training questions as a router's file keeps them."""

    questions: int
    features: Mapping[str, Bins]
    p_correct: Mapping[str, Bins]

    @classmethod
    def read(cls, given: Any, strategies: Sequence[str]) -> Reference:
        """The metadata `reference` of a file of these strategies.

        Raises:
            RouterError: for what `reference` has not made.
        """
        if not isinstance(given, dict) or not {"questions", "features", "p_correct"} <= set(given):
            raise RouterError("reference", "lacks questions, features or p_correct", _AGAIN)
        questions = given["questions"]
        if not isinstance(questions, int) or questions < 1:
            raise RouterError(questions, "is no number of training questions", _AGAIN, "reference")
        for part in ("features", "p_correct"):
            if not isinstance(given[part], dict):
                raise RouterError(part, "is no table of bins", _AGAIN, "reference")
        lacking = [name for name in strategies if name not in given["p_correct"]]
        if lacking:
            raise RouterError(lacking[0], "is a strategy without bins of its chances", _AGAIN, "reference")
        return cls(
            questions,
            {name: Bins.read(bins, f"features.{name}") for name, bins in given["features"].items()},
            {name: Bins.read(given["p_correct"][name], f"p_correct.{name}") for name in strategies},
        )


def reference(
    features: NDArray[np.float32], names: Sequence[str], p_correct: NDArray[np.floating[Any]], strategies: Sequence[str]
) -> dict[str, Any]:
    """What to keep of n training questions, for `Reference.read`: plain lists and numbers.

    `names` are those of the first columns of `features` [n, F], hashed ones being left out; `p_correct` [n, A] are the
    chances that the router itself gives, not those of models that left a fold out: their highest chances lie elsewhere,
    which for a strategy that is nearly always right gave an index of 0.5 where nothing had changed.
    """
    return {
        "questions": int(features.shape[0]),
        "features": {name: Bins.of(features[:, place]).document() for place, name in enumerate(names)},
        "p_correct": {name: Bins.of(p_correct[:, place]).document() for place, name in enumerate(strategies)},
    }


def _counts(edges: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.bincount(np.searchsorted(edges, values), minlength=edges.size + 1)
