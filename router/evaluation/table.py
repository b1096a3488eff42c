"""What is judged: what a router expects of questions with each strategy, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from router.errors import RouterError
from router.types import Floats

__all__ = ["Integers", "Judged", "coded"]

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """n questions with A strategies. What is not known is NaN; arrays are [n, A] unless they say else."""

    strategies: tuple[str, ...]
    group: Integers
    """Number of the group of each question, [n], from 0: a context, or a subject. What is drawn anew goes by groups."""
    p: Floats
    """Expected chance of a right answer."""
    correct: Floats
    """1 for a right answer, 0 for a wrong one; a share where it was tried several times."""
    usd: Floats
    """What the answer cost."""
    expected_usd: Floats
    """What the router expected it to cost."""
    tokens: Floats
    """Output tokens; all NaN where the source does not count them."""
    unit: str = "USD"
    """What cost is counted in: USD, or calls of the dearer of two strategies."""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(self)

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return int(self.group.max()) + 1

    def only(self, strategies: Sequence[str]) -> Judged:
        """The same questions with some of the strategies, in the order given.

        Raises:
            RouterError: for a name that is not there.
        """
        unknown = [name for name in strategies if name not in self.strategies]
        if unknown:
            raise RouterError(unknown[0], "is no strategy of the table", f"use some of: {', '.join(self.strategies)}")
        places = [self.strategies.index(name) for name in strategies]
        columns = ("p", "correct", "usd", "expected_usd", "tokens")
        return replace(self, strategies=tuple(strategies), **{name: getattr(self, name)[:, places] for name in columns})

    def complete(self) -> Judged:
        """The questions for which every strategy is known; what routes by choice can be compared on these alone.

        Raises:
            RouterError: where there is none.
        """
        known = ~np.isnan(self.p + self.correct + self.usd + self.expected_usd).any(axis=1)
        if known.all():
            return self
        if not known.any():
            rule = "hold no question that every strategy was tried on"
            raise RouterError("the outcomes", rule, "name some strategies with --strategies, or use --missing wrong")
        left_out = int((~known).sum())
        columns = ("p", "correct", "usd", "expected_usd", "tokens")
        note = f"{left_out} of {known.size} questions lack a strategy and are left out of the comparison of choices"
        kept = {name: getattr(self, name)[known] for name in columns}
        return replace(self, group=coded(self.group[known]), notes=(*self.notes, note), **kept)


def coded(labels: Sequence[object] | NDArray[np.generic]) -> Integers:
    """Numbers from 0 for labels, in the order of the labels.

    >>> coded(["b", "a", "b"]).tolist()
    [1, 0, 1]
    """
    _, codes = np.unique(np.asarray(labels), return_inverse=True)
    return codes.astype(np.int64)


def _check(table: Judged) -> None:
    shape = (table.group.size, len(table.strategies))
    for name in ("p", "correct", "usd", "expected_usd", "tokens"):
        if getattr(table, name).shape != shape:
            remedy = f"give {shape[0]} questions by {shape[1]} strategies"
            raise RouterError(getattr(table, name).shape, f"is not the shape of {name}", remedy)
    if not shape[0] or not shape[1]:
        raise RouterError("the outcomes", "hold no question or no strategy", "give rows of at least one of each")
    if len(set(table.strategies)) != shape[1]:
        raise RouterError(", ".join(table.strategies), "names a strategy twice", "give each its own name")
    for name in ("p", "correct"):
        _refuse(table, name, lambda values: (values < 0.0) | (values > 1.0), "must be between 0 and 1")
    for name in ("usd", "expected_usd"):
        _refuse(table, name, lambda values: (values < 0.0) | np.isinf(values), "must be finite and not negative")


def _refuse(table: Judged, name: str, is_wrong: object, rule: str) -> None:
    assert callable(is_wrong)
    rows, columns = np.nonzero(is_wrong(getattr(table, name)))
    if rows.size:
        value = float(getattr(table, name)[rows[0], columns[0]])
        where = f"{name} of {table.strategies[columns[0]]}"
        raise RouterError(f"{value:g}", rule, f"correct the row ({rows.size} such)", where)
