"""What a router expects of questions with every strategy: as a file estimates, as will come of it, or on average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from router.types import Scores
from sim.outcomes import Outcomes
from sim.outcomes.votes import drawn_votes
from sim.routing.rows import Reals, can_choose
from sim.scenario import CascadeStrategy, VoteStrategy
from sim.strategies import Plurality, output_multiples, path_multiples, strategy_spec
from sim.workload.blocks import Floats, Integers

__all__ = ["Estimates", "Multiples", "expected", "fate", "foreseen", "on_average"]


class Estimates(NamedTuple):
    """As in `sim.engine.specs.Corpus`, [n, V, A] each."""

    p: Floats
    tokens: Floats
    path_tokens: Floats
    sd: Floats


class Multiples(NamedTuple):
    """What the steps of A strategies take, as multiples of the base tokens of a step, [A, K] each; 0 for no step."""

    output: Floats
    """Output tokens of all branches."""
    path: Floats
    """Of them, those that are written one after another."""

    @classmethod
    def of(cls, outcomes: Outcomes) -> Multiples:
        """Those of the strategies of a scenario."""
        found = np.zeros((2, len(outcomes.steps), max(len(steps) for steps in outcomes.steps)))
        for index, strategy in enumerate(outcomes.strategies):
            spec = strategy_spec(strategy, outcomes.strategies)
            for row, multiples in zip(found, (output_multiples(spec), path_multiples(spec)), strict=True):
                row[index, : len(multiples)] = multiples
        return cls(*found)

    def path_share(self) -> Floats:
        """Tokens written one after another as a share of all output tokens, [A]."""
        share: Floats = self.path.sum(axis=1) / self.output.sum(axis=1)
        return share


def expected(
    scores: Scores, columns: Mapping[int, int], strategies: int, variants: int, tokens_factor: Floats, share: Floats
) -> Estimates:
    """What a router file expects of n questions.

    `columns` says for a strategy of the scenario which column of the scores is its own; `tokens_factor` [A] is how many
    times the tokens of the table count; `share` [A] is that of `Multiples.path_share`. Where the file knows nothing of
    prepared contexts, it expects the same of them as of others.
    """
    found = np.zeros((4, scores.p_correct.shape[0], variants, strategies))
    found[1:3] = 1.0
    for variant in range(variants):
        of = scores.prepared if variant and scores.prepared is not None else scores
        tokens = of.tokens()
        for strategy, column in columns.items():
            found[0, :, variant, strategy] = of.p_correct[:, column]
            found[1, :, variant, strategy] = tokens[:, column] * tokens_factor[strategy]
            found[3, :, variant, strategy] = of.log_tokens_sd[:, column]
    found[2] = found[1] * share
    return Estimates(*found)


def foreseen(
    outcomes: Outcomes, stream: int, key: Integers | None, least: Floats, reals: Reals, multiples: Multiples
) -> Estimates:
    """What will come of n requests: whether each answer is right, and how long it is.

    `least` [n] are the numbers that the engine draws for single answers, or stand for them; `key` [n] is that of the
    requests, None where samples of a vote are all like its answer. An early stop of a vote hangs on which branches end
    first, which nobody knows beforehand: all samples count.
    """
    rows, strategies, variants, _ = reals.p_correct.shape
    found = np.zeros((4, rows, variants, strategies))
    found[1:3] = 1.0
    for strategy in can_choose(outcomes, stream):
        for variant in range(variants):
            place = (slice(None), strategy, variant)
            tokens = reals.output_tokens[place]
            right, steps = fate(outcomes, strategy, key, least, reals.p_sample[place], reals.escalates[place])
            found[0, :, variant, strategy] = right
            for row, multiple in ((1, multiples.output), (2, multiples.path)):
                found[row, :, variant, strategy] = np.sum(tokens * multiple[strategy] * steps, axis=1)
    return Estimates(*found)


def fate(
    outcomes: Outcomes, strategy: int, key: Integers | None, least: Floats, p_sample: Floats, escalates: Integers
) -> tuple[Floats, Floats]:
    """Whether answers of a strategy will be right, [n], and which steps will be taken, [n, K]; of one variant."""
    rows = least.size
    right, taken = np.zeros(rows), np.zeros(p_sample.shape)
    goes_on = np.ones(rows, np.bool_)
    steps = outcomes.steps[strategy]
    cascade = outcomes.strategies[strategy]
    for step, placed in enumerate(steps):
        taken[goes_on, step] = 1.0
        p = p_sample[:, step]
        doubted = escalates[:, step] == 1
        answer = least < p
        if isinstance(placed, VoteStrategy) and key is not None:
            law = outcomes.pluralities.get(placed.name, Plurality())
            answer, agreement = drawn_votes(key, p, placed.samples, law)
            doubted = agreement < (cascade.escalate_below if isinstance(cascade, CascadeStrategy) else 0.0)
        ends = goes_on & ~doubted if step < len(steps) - 1 else goes_on
        right[ends] = answer[ends]
        goes_on = goes_on & ~ends
    return right, taken


def on_average(estimates: Estimates, rows: Sequence[int] | slice = slice(None)) -> Estimates:
    """The same of every question: what is known of strategies by somebody who looks at no question."""
    return Estimates(*(np.broadcast_to(column[rows].mean(axis=0), column.shape).copy() for column in estimates))
