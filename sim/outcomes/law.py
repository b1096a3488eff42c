"""What one strategy's answers to a stream's questions come to, request by request."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from sim.outcomes.asked import Asked
from sim.outcomes.difficulty import cells_of, ranks
from sim.outcomes.luck import ANSWER, THINKING, normals, uniforms
from sim.outcomes.tables import OutcomeTable
from sim.workload.blocks import Floats, Integers

__all__ = ["Answers", "CurveLaw", "Law", "PlainLaw", "TableLaw"]

THINKING_SIGMA = 0.5
"""Spread of the length of thoughts where no class tells it: standard deviation of their logarithm; assumed."""


class Answers(NamedTuple):
    """Columns of [n]."""

    tokens: Integers
    """Of one branch."""
    p_sample: Floats
    """Chance that one sample is right; NaN where that is not modelled."""
    p_correct: Floats
    """Chance that the answer is right."""


class Law(Protocol):
    """Of a strategy that does work of its own."""

    def prior(self, *, prepared: bool) -> float:
        """Mean chance of a right answer; NaN where that is not modelled."""

    def answers(self, asked: Asked) -> Answers:
        """Without preparation."""

    def prepared(self, asked: Asked) -> Answers:
        """On a prepared context; the same for requests that have none."""

    def saved_tokens(self, predictability: Floats) -> Floats:
        """Mean tokens of a branch that a prepared context saves, by its rank, [n]."""

    def gained(self, predictability: Floats) -> Floats:
        """Mean chance of a right answer that a prepared context adds, by its rank, [n]; 0 where it is not modelled."""


@dataclass(frozen=True)
class PlainLaw:
    """Tokens alone: quality is not modelled."""

    budget_tokens: int = 0
    """Mean length of the thoughts before the answer, which are lognormal."""
    tokens_factor: float = 1.0
    prepared_share: float = 1.0
    """Share of the thoughts that is left on a prepared context."""

    def prior(self, *, prepared: bool) -> float:
        """Nobody knows."""
        return math.nan

    def answers(self, asked: Asked) -> Answers:
        """Of the lengths that the requests bring, and thoughts."""
        return self._answers(asked, 1.0)

    def prepared(self, asked: Asked) -> Answers:
        """With less to think about."""
        has = ~np.isnan(asked.predictability)
        return self._answers(asked, np.where(has, self.prepared_share, 1.0))

    def saved_tokens(self, predictability: Floats) -> Floats:
        """The share of thoughts that is not needed."""
        return np.full(predictability.size, (1.0 - self.prepared_share) * self.budget_tokens * self.tokens_factor)

    def gained(self, predictability: Floats) -> Floats:
        """Nobody knows."""
        return np.zeros(predictability.size)

    def _answers(self, asked: Asked, share: Floats | float) -> Answers:
        unknown = np.broadcast_to(np.nan, asked.key.shape)
        if self.budget_tokens == 0 and self.tokens_factor == 1.0:
            return Answers(asked.output_tokens, unknown, unknown)
        tokens = asked.output_tokens.astype(np.float64)
        if self.budget_tokens:
            spread = THINKING_SIGMA * normals(asked.key, THINKING) - THINKING_SIGMA**2 / 2
            tokens += self.budget_tokens * share * np.exp(spread)
        return Answers(whole(tokens * self.tokens_factor), unknown, unknown)


@dataclass(frozen=True)
class CurveLaw:
    """Response curves: tables by difficulty and, where prepared, by predictability."""

    p_sample: Floats
    """By cell of difficulty, without preparation and then by bin of predictability, [1 + bins, cells]."""
    p_correct: Floats
    """The same."""
    tokens: Floats
    """Mean tokens of a branch in each row; of the request's own where `is_own`."""
    is_own: bool
    """Whether lengths are those that the requests bring, times `tokens`."""
    mean_own_tokens: float | None
    """Mean of the lengths that requests bring, by which the others are spread; None: they are not."""
    rho: float

    def prior(self, *, prepared: bool) -> float:
        """Mean over difficulties, and over predictabilities where there are rows of prepared contexts."""
        has_rows = prepared and self.p_correct.shape[0] > 1
        return float((self.p_correct[1:] if has_rows else self.p_correct[0]).mean())

    def answers(self, asked: Asked) -> Answers:
        """From the first row."""
        return self._answers(asked, None)

    def prepared(self, asked: Asked) -> Answers:
        """From the row of the context's predictability."""
        return self._answers(asked, self._rows(asked.predictability))

    def saved_tokens(self, predictability: Floats) -> Floats:
        """By row; the mean of all where the rank is not known."""
        saved: Floats = self.tokens[0] - self._by_rank(self.tokens, predictability)
        return saved * (self.mean_own_tokens or 1.0) if self.is_own else saved

    def gained(self, predictability: Floats) -> Floats:
        """By row, over all difficulties alike; the mean of all rows where the rank is not known."""
        p = self.p_correct.mean(axis=1)
        gained: Floats = self._by_rank(p, predictability) - p[0]
        return gained

    def _by_rank(self, values: Floats, predictability: Floats) -> Floats:
        """Of a value for each row that of prepared contexts, [n]."""
        return np.where(np.isnan(predictability), values[1:].mean(), values[self._rows(predictability)])

    def _rows(self, predictability: Floats) -> Integers:
        bins = self.tokens.size - 1
        known = np.nan_to_num(predictability, nan=0.0)
        row = 1 + np.minimum((known * bins).astype(np.int64), bins - 1)
        return np.where(np.isnan(predictability), 0, row)

    def _answers(self, asked: Asked, row: Integers | None) -> Answers:
        cell = cells_of(self._difficulty(asked))
        if row is None:
            tokens = self._lengths(asked, self.tokens[0])
            return Answers(tokens, self.p_sample[0].take(cell), self.p_correct[0].take(cell))
        return Answers(self._lengths(asked, self.tokens[row]), self.p_sample[row, cell], self.p_correct[row, cell])

    def _difficulty(self, asked: Asked) -> Floats:
        return asked.own_rank if self.rho == 0.0 else ranks(asked.own_rank, asked.predictability, self.rho)

    def _lengths(self, asked: Asked, tokens: Floats | np.float64) -> Integers:
        if self.is_own:
            return asked.output_tokens if np.all(tokens == 1.0) else whole(asked.output_tokens * tokens)
        if self.mean_own_tokens is None:
            return whole(np.broadcast_to(tokens, asked.key.shape))
        return whole(asked.output_tokens * (tokens / self.mean_own_tokens))


@dataclass(frozen=True)
class TableLaw:
    """Measured outcomes: every request has a question of the table, whatever its strategy."""

    table: OutcomeTable
    strategy: str
    is_vote: bool
    """Samples of a vote are all like its measured answer, as the table does not hold them."""
    branches: float
    """What all branches together write, as a multiple of one: the table tells of all."""
    tokens_factor: float = 1.0

    def prior(self, *, prepared: bool) -> float:
        """Mean over the questions."""
        return float(self.table.correct[self.strategy][int(prepared)].mean())

    def answers(self, asked: Asked) -> Answers:
        """Of the request's question."""
        return self._answers(asked, np.int64(0))

    def prepared(self, asked: Asked) -> Answers:
        """As measured on prepared contexts."""
        return self._answers(asked, (~np.isnan(asked.predictability)).astype(np.int64))

    def saved_tokens(self, predictability: Floats) -> Floats:
        """Mean over the questions, whatever the context."""
        bare, prepared = self.table.tokens[self.strategy]
        return np.full(predictability.size, float(np.mean(bare - prepared)) * self._per_branch)

    def gained(self, predictability: Floats) -> Floats:
        """Mean over the questions, whatever the context."""
        bare, prepared = self.table.correct[self.strategy]
        return np.full(predictability.size, float(np.mean(prepared - bare)))

    def tokens_of(self, question: Integers, row: Integers | np.int64 | int) -> Floats:
        """Tokens of a branch at these questions of the table, without preparation (row 0) or with it (1), [n]."""
        found: Floats = self.table.tokens[self.strategy][row, question] * self._per_branch
        return found

    def _answers(self, asked: Asked, row: Integers | np.int64) -> Answers:
        question = self.table.questions_of(asked)
        p = self.table.correct[self.strategy][row, question]
        tokens = whole(self.tokens_of(question, row))
        sampled = (uniforms(asked.key, ANSWER) < p).astype(np.float64) if self.is_vote else p
        return Answers(tokens, sampled, p)

    @property
    def _per_branch(self) -> float:
        return self.tokens_factor / self.branches


def whole(tokens: Floats) -> Integers:
    """Whole tokens, 1 at least."""
    return np.maximum(np.rint(tokens), 1.0).astype(np.int64)
