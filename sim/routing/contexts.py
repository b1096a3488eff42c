"""What preparing contexts is worth as a router file foresees it, before any question is asked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from router.types import Scores
from sim.errors import InputError
from sim.outcomes import Outcomes
from sim.routing.corpora import Corpora
from sim.routing.estimates import Estimates
from sim.routing.routes import value_usd_of
from sim.routing.rows import can_choose
from sim.scenario import FileRouter
from sim.streams import RandomStreams
from sim.workload.blocks import Floats, Integers

__all__ = ["ForeseenContexts"]


class ForeseenContexts:
    """Effects of preparing by context, from the scores of the questions that its table has about it.

    With b and a the strategies of the greatest value less cost on the bare and on the prepared context, a question is
    expected to save tokens(b) - tokens(a) and to gain p(a) - p(b); of a context the mean over its questions counts. A
    file that knows nothing of prepared answers says by its `predictability` which contexts save more than the mean of
    the table: twice their rank among all contexts times as much, so that the mean stays.

    Questions to come are those of the stream's law, times the context's `expected_questions` over their mean.

    Raises:
        InputError: for a file that tells nothing of contexts.
    """

    def __init__(self, outcomes: Outcomes, corpora: Corpora, streams: RandomStreams) -> None:
        """`streams` are the replication's."""
        self._outcomes, self._corpora = outcomes, corpora
        self._words = [streams.word(f"{stream.name}/questions") for stream in outcomes.scenario.workload]
        self._known: dict[int, Floats] = {}
        for scores in corpora.scores.values():
            if scores.prepared is None and scores.predictability is None:
                router = outcomes.scenario.router
                assert isinstance(router, FileRouter)
                rule = "tells nothing of contexts: neither answers on prepared ones nor predictability"
                remedy = "train a router on outcomes with prepared contexts, or prepare by rank"
                raise InputError(router.model.name, rule, remedy, where="sleep.prepare")

    def knows(self, stream: int) -> bool:
        """Whether the file looks at requests of a stream."""
        return stream in self._corpora.scores

    def effects(
        self, stream: int, context_id: Integers, output_usd: Callable[[], float]
    ) -> tuple[Floats, Floats, Floats]:
        """Output tokens that a question saves, chance that it gains, and factor on the questions to come, [n] each.

        `output_usd` gives the price of an output token, by which strategies are weighed; it is asked once a stream.
        """
        if stream not in self._known:
            self._known[stream] = self._by_context(stream, output_usd())
        place = self._outcomes.table(stream).contexts_of(self._words[stream], context_id)
        saved, gained, factor = self._known[stream][:, place]
        return saved, gained, factor

    def _by_context(self, stream: int, output_usd: float) -> Floats:
        """The three by context of the table, [3, C]."""
        scores, first = self._corpora.scores[stream], self._outcomes.table(stream).first
        if scores.prepared is None:
            saved, gained = self._by_predictability(stream, scores, first)
        else:
            saved, gained = (_mean(column, first) for column in self._chosen(stream, output_usd))
        factor = np.ones(first.size - 1)
        if scores.expected_questions is not None:
            questions = _mean(scores.expected_questions, first)
            factor = questions / questions.mean()
        return np.stack([saved, gained, factor])

    def _chosen(self, stream: int, output_usd: float) -> tuple[Floats, Floats]:
        """Tokens saved and chance gained of each question, [Q] each, by what is best before and after."""
        estimates = self._corpora.expected[stream]
        value_usd = value_usd_of(self._outcomes.scenario, self._outcomes.scenario.workload[stream])
        (p, tokens), (p_then, tokens_then) = (
            _best(estimates, variant, can_choose(self._outcomes, stream), value_usd, output_usd) for variant in (0, 1)
        )
        return tokens - tokens_then, p_then - p

    def _by_predictability(self, stream: int, scores: Scores, first: Integers) -> tuple[Floats, Floats]:
        assert scores.predictability is not None
        by_context = _mean(scores.predictability, first)
        rank = (np.argsort(np.argsort(by_context, kind="stable"), kind="stable") + 0.5) / by_context.size
        mean = np.full(1, np.nan)
        strategies = can_choose(self._outcomes, stream)
        saved = float(np.mean([self._outcomes.saved_tokens(stream, a, mean) for a in strategies]))
        gained = float(np.mean([self._outcomes.gained(stream, a, mean) for a in strategies]))
        return 2.0 * rank * saved, 2.0 * rank * gained


def _best(
    estimates: Estimates, variant: int, strategies: list[int], value_usd: float, output_usd: float
) -> tuple[Floats, Floats]:
    """Chance and tokens of the strategy with the greatest value less cost, [Q] each."""
    p, tokens = estimates.p[:, variant, strategies], estimates.tokens[:, variant, strategies]
    best = np.argmax(value_usd * p - output_usd * tokens, axis=1)
    rows = np.arange(best.size)
    return p[rows, best], tokens[rows, best]


def _mean(values: Floats, first: Integers) -> Floats:
    """Means over the questions of each context, [C]."""
    found: Floats = np.add.reduceat(values, first[:-1]) / np.diff(first)
    return found
