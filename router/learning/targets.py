"""What is to be predicted, as columns: chances of a right answer, and amounts such as the logarithm of tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.errors import RouterError
from router.rows import Branch, Labels

__all__ = ["Layout", "amounts_of", "correct_of", "layout_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """Where what stands among the columns. First all A strategies without preparation, then those measured with it."""

    strategies: tuple[str, ...]
    prepared: tuple[int, ...] | None
    """Strategies that were measured on prepared contexts; None where contexts were not prepared."""
    has_logprob: bool
    has_contexts: bool

    @property
    def columns(self) -> int:
        """Columns of chances, and as many of tokens."""
        return len(self.strategies) + len(self.prepared or ())

    @property
    def on_prepared(self) -> list[int]:
        """Column of each strategy on a prepared context; its own without preparation where that was not measured."""
        first = len(self.strategies)
        place = {strategy: first + column for column, strategy in enumerate(self.prepared or ())}
        return [place.get(strategy, strategy) for strategy in range(len(self.strategies))]

    @property
    def logprob_column(self) -> int:
        """Column of the question's log-probability among the amounts."""
        return self.columns

    @property
    def questions_column(self) -> int:
        """Column of the logarithm of questions on a context among the amounts."""
        return self.columns + int(self.has_logprob)

    def name_of(self, column: int) -> str:
        """The strategy of a column, and whether prepared."""
        first = len(self.strategies)
        if column < first:
            return self.strategies[column]
        return f"{self.strategies[(self.prepared or ())[column - first]]} (prepared)"


def layout_of(labels: Labels) -> Layout:
    """The columns that the labels can tell.

    Raises:
        RouterError: for a strategy without outcomes, or that is always right or always wrong.
    """
    prepared = None
    if labels.prepared is not None:
        measured = ~np.isnan(labels.prepared.correct).all(axis=0)
        prepared = tuple(int(column) for column in np.flatnonzero(measured))
    layout = Layout(labels.strategies, prepared, labels.question_logprob is not None, labels.has_contexts)
    for column, shares in enumerate(correct_of(labels, layout).T):
        known = shares[~np.isnan(shares)]
        name = layout.name_of(column)
        if not len(known):
            raise RouterError(name, "has no outcomes", "add rows of it, or leave it out by --strategies")
        if known.min() == known.max() and known.min() in (0.0, 1.0):
            always = "right" if known.min() == 1.0 else "wrong"
            rule = f"is {always} in all {len(known)} rows, so there is nothing to learn"
            raise RouterError(name, rule, "add rows with other outcomes, or leave it out by --strategies")
    return layout


def correct_of(labels: Labels, layout: Layout) -> Floats:
    """Shares of right answers, [Q, columns]; NaN where not tried."""
    return _both(labels.bare, labels.prepared, layout, "correct")


def amounts_of(labels: Labels, layout: Layout) -> Floats:
    """Logarithms of tokens [Q, columns], then the question's log-probability and the log of its context's questions."""
    found = [_both(labels.bare, labels.prepared, layout, "log_tokens")]
    if labels.question_logprob is not None:
        found.append(labels.question_logprob[:, None])
    if labels.has_contexts:
        found.append(np.log(np.bincount(labels.context)[labels.context])[:, None])
    return np.concatenate(found, axis=1)


def _both(bare: Branch, prepared: Branch | None, layout: Layout, what: str) -> Floats:
    first: Floats = getattr(bare, what)
    if prepared is None:
        return first
    second: Floats = getattr(prepared, what)[:, list(layout.prepared or ())]
    return np.concatenate([first, second], axis=1)
