"""What really comes of questions, strategy by strategy: of those of a table once, of others as they are asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sim.outcomes import Outcomes
from sim.outcomes.asked import Asked
from sim.outcomes.doubts import doubts
from sim.outcomes.law import TableLaw, whole
from sim.outcomes.luck import ANSWER, uniforms
from sim.outcomes.tables import OutcomeTable
from sim.scenario import CascadeStrategy, VoteStrategy
from sim.scenario.choices import strategy_shares
from sim.workload.blocks import Floats, Integers

__all__ = ["Reals", "TableRows", "asked_reals", "blank_reals", "can_choose", "is_tabled", "table_reals", "table_rows"]


class Reals(NamedTuple):
    """What comes of n questions, as in `sim.engine.specs.Corpus`, [n, A, V, K] each."""

    output_tokens: Integers
    p_sample: Floats
    p_correct: Floats
    escalates: Integers


@dataclass(frozen=True)
class TableRows:
    """The questions of a table, each in as many rows as luck makes differences.

    A chance between 0 and 1, which several trials of a question give, is met by a request whose number from [0, 1) lies
    below it. So a question has a row for each stretch of numbers in which the same strategies are right; one row, where
    every chance is 0 or 1.
    """

    table: OutcomeTable
    question: Integers
    """Place of the question of each row, [R]."""
    least: Floats
    """Least number of its stretch, [R]."""
    first: Integers
    """First row of each question, [Q]."""
    edges: Floats
    """Where the further rows of each question begin, [Q, most]; infinity for those it does not have."""

    def rows_of(self, asked: Asked) -> Integers:
        """The row of each request, [n]."""
        question = self.table.questions_of(asked)
        row = self.first[question]
        if self.edges.shape[1]:
            drawn = uniforms(asked.key, ANSWER)
            for edge in range(self.edges.shape[1]):
                row = row + (drawn >= self.edges[question, edge])
        return row


def can_choose(outcomes: Outcomes, stream: int) -> list[int]:
    """Indices of the strategies that a router may choose for a stream."""
    shares = strategy_shares(outcomes.scenario, outcomes.scenario.workload[stream])
    return [index for index, share in enumerate(shares) if share]


def is_tabled(outcomes: Outcomes, stream: int) -> bool:
    """Whether everything about a stream's answers stands in its table, but for what a request's number decides.

    A cascade that goes on by its own estimate does so by more luck than that.
    """
    for strategy in can_choose(outcomes, stream):
        steps = outcomes.steps[strategy]
        if not all(isinstance(outcomes.law(stream, placed), TableLaw) for placed in steps):
            return False
        if not all(isinstance(placed, VoteStrategy) for placed in steps[:-1]):
            return False
    return True


def table_rows(outcomes: Outcomes, stream: int) -> TableRows:
    """The rows of a stream whose answers all stand in one table."""
    laws = [_table_law(outcomes, stream, strategy, 0) for strategy in can_choose(outcomes, stream)]
    table = laws[0].table
    names = {placed.name for strategy in can_choose(outcomes, stream) for placed in outcomes.steps[strategy]}
    chances = np.concatenate([table.correct[name] for name in sorted(names)])
    stretches = [_stretches(chances[:, question]) for question in range(chances.shape[1])]
    most = max(edges.size for edges in stretches)
    edges = np.full((len(stretches), most), np.inf)
    for question, own in enumerate(stretches):
        edges[question, : own.size] = own
    counts = np.array([own.size + 1 for own in stretches])
    return TableRows(
        table=table,
        question=np.repeat(np.arange(counts.size), counts),
        least=np.concatenate([np.append(0.0, own) for own in stretches]),
        first=np.cumsum(counts) - counts,
        edges=edges,
    )


def _stretches(chances: Floats) -> Floats:
    return np.unique(chances[(chances > 0.0) & (chances < 1.0)])


def blank_reals(outcomes: Outcomes, rows: int, variants: int) -> Reals:
    """So many rows of which nothing is known, to be filled."""
    shape = (rows, len(outcomes.steps), variants, max(len(steps) for steps in outcomes.steps))
    unknown = np.full(shape, np.nan)
    return Reals(np.ones(shape, np.int64), unknown, unknown.copy(), np.zeros(shape, np.int64))


def table_reals(outcomes: Outcomes, stream: int, rows: TableRows, variants: int) -> Reals:
    """What comes of the rows of a table."""
    reals = blank_reals(outcomes, rows.question.size, variants)
    for strategy in can_choose(outcomes, stream):
        for step in range(len(outcomes.steps[strategy])):
            law = _table_law(outcomes, stream, strategy, step)
            for variant in range(variants):
                p = law.table.correct[law.strategy][variant, rows.question]
                place = (slice(None), strategy, variant, step)
                reals.output_tokens[place] = whole(law.tokens_of(rows.question, variant))
                reals.p_correct[place] = p
                reals.p_sample[place] = rows.least < p if law.is_vote else p
    return reals


def _table_law(outcomes: Outcomes, stream: int, strategy: int, step: int) -> TableLaw:
    law = outcomes.law(stream, outcomes.steps[strategy][step])
    assert isinstance(law, TableLaw)
    return law


def asked_reals(outcomes: Outcomes, stream: int, asked: Asked, variants: int) -> Reals:
    """What comes of requests of a stream, worked out for them."""
    reals = blank_reals(outcomes, asked.key.size, variants)
    for strategy in can_choose(outcomes, stream):
        cascade = outcomes.strategies[strategy]
        for step, placed in enumerate(outcomes.steps[strategy]):
            law = outcomes.law(stream, placed)
            for variant in range(variants):
                answers = law.prepared(asked) if variant else law.answers(asked)
                place = (slice(None), strategy, variant, step)
                reals.output_tokens[place] = answers.tokens
                reals.p_sample[place] = answers.p_sample
                reals.p_correct[place] = answers.p_correct
                if isinstance(cascade, CascadeStrategy) and not isinstance(placed, VoteStrategy):
                    prior = law.prior(prepared=bool(variant))
                    reals.escalates[place] = doubts(cascade, asked, answers, prior, step)
    return reals
