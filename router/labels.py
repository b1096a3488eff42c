"""What a router learns from: for each question what a router sees, for each strategy what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Branch", "Floats", "Labels"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Branch:
    """What came of Q questions with each of A strategies; NaN where one was not tried."""

    correct: Floats
    """Share of the trials that were right, [Q, A]."""
    log_tokens: Floats
    """Mean of the logarithm of the output tokens, [Q, A]; zeros where tokens were not measured."""

    def only(self, rows: NDArray[np.int64]) -> Branch:
        """Some of the questions."""
        return Branch(self.correct[rows], self.log_tokens[rows])


@dataclass(frozen=True)
class Labels:
    """Q questions with what a router sees of them and what came of them."""

    questions: tuple[str, ...]
    strategies: tuple[str, ...]
    bare: Branch
    """Without preparation."""
    prepared: Branch | None
    """On prepared contexts; None where that was not measured."""
    context: NDArray[np.int64]
    """Number of the context of each question, [Q]; without contexts questions of one text share one."""
    group: NDArray[np.int64] | None
    """Number of the group of each question, [Q]."""
    text: tuple[str, ...] | None
    numbers: Mapping[str, Floats]
    """Numeric features by name, [Q] each."""
    context_names: tuple[str, ...]
    """What the file calls the context of each question; the question itself where it knows no contexts."""
    has_contexts: bool
    has_tokens: bool
    question_logprob: Floats | None
    """Log-probability of the question given its context, [Q]."""
    source: Mapping[str, Any] = field(default_factory=dict)
    """Where the rows come from: file, rows, sha256."""

    def __len__(self) -> int:
        return len(self.questions)

    def only(self, rows: NDArray[np.int64], source: Mapping[str, Any]) -> Labels:
        """Some of the questions, with contexts and groups numbered anew."""

        def part(values: Floats | None) -> Floats | None:
            return None if values is None else values[rows]

        def numbered(values: NDArray[np.int64]) -> NDArray[np.int64]:
            return np.unique(values[rows], return_inverse=True)[1].astype(np.int64)

        return replace(
            self,
            questions=tuple(self.questions[row] for row in rows),
            bare=self.bare.only(rows),
            prepared=None if self.prepared is None else self.prepared.only(rows),
            context=numbered(self.context),
            group=None if self.group is None else numbered(self.group),
            text=None if self.text is None else tuple(self.text[row] for row in rows),
            numbers={name: values[rows] for name, values in self.numbers.items()},
            context_names=tuple(self.context_names[row] for row in rows),
            question_logprob=part(self.question_logprob),
            source=source,
        )
