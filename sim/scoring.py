"""Blocks of requests with all the engine needs to know of them: strategy, tokens, chances to be right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from router.policies import Policy
from sim.engine.specs import Scored, undecided
from sim.outcomes import Outcomes
from sim.outcomes.asked import Asked, Luck
from sim.outcomes.doubts import doubts
from sim.outcomes.law import Answers, PlainLaw
from sim.routing.corpora import Corpora, Routed
from sim.scenario import CascadeStrategy, CurveQuestions, Scenario, VoteStrategy
from sim.scenario.choices import own_choice
from sim.scenario.strategies import PlacedStrategy
from sim.streams import RandomStreams
from sim.workload.blocks import NOTHING, Integers, RequestBlock
from sim.workload.predictability import Ranks

__all__ = ["Scorer", "variants_of", "with_own_choices"]


class Scorer:
    """Scores the requests of one replication, stream by stream in the order of their arrival."""

    def __init__(
        self, outcomes: Outcomes, policy: Policy, streams: RandomStreams, corpora: Corpora | None = None
    ) -> None:
        """`streams` are the replication's; luck comes from the requests' keys and these alone.

        With `corpora` requests of streams that have no strategy of their own get theirs when they arrive.
        """
        self._outcomes, self._policy, self._corpora = outcomes, policy, corpora
        scenario = outcomes.scenario
        self._ranks = [Ranks.of(stream, streams) for stream in scenario.workload]
        self._luck = [
            Luck(
                word=streams.word(f"{stream.name}/questions"),
                predictability=self.context_predictability,
                stratified=isinstance(stream.questions, CurveQuestions) and stream.questions.stratified,
            )
            for stream in scenario.workload
        ]
        self._variants = variants_of(scenario)
        self._most_steps = max(len(steps) for steps in outcomes.steps)
        self._is_plain = corpora is None and self._variants == self._most_steps == 1 and self._brings_all()

    def score(self, block: RequestBlock) -> Scored:
        """What is known of a block once each request has its strategy; views of its columns where they will do."""
        if self._corpora is not None:
            return self._undecided(block, self._corpora)
        strategy = self.chosen(block)
        if self._is_plain:
            return _plain(strategy, block.output_tokens)
        if self._variants == self._most_steps == len(self._luck) == 1 and np.all(strategy == strategy[0]):
            return self._alone(strategy, block)
        return self._mixed(strategy, block)

    def chosen(self, block: RequestBlock) -> Integers:
        """The strategy of each request, [n]: the policy's choice, or the one that its stream has."""
        return with_own_choices(self._outcomes.scenario, block, self._policy.choose(block.stream.size))

    def context_predictability(self, context_id: Integers) -> NDArray[np.float64]:
        """Ranks of contexts by how far they foretell their questions, [n], 0 to 1."""
        if len(self._ranks) == 1:
            return self._ranks[0].of_numbers(context_id)
        found = np.empty(context_id.size)
        for index, ranks in enumerate(self._ranks):
            mine = context_id % len(self._ranks) == index
            found[mine] = ranks.of_numbers(context_id[mine] // len(self._ranks))
        return found

    def _brings_all(self) -> bool:
        """Whether requests bring their tokens and nothing is known of quality, whatever the strategy."""
        laws = (
            self._outcomes.law(stream, steps[0])
            for stream in range(len(self._luck))
            for steps in self._outcomes.steps
            if not self._outcomes.is_modelled[stream]
        )
        return not any(self._outcomes.is_modelled) and all(law == PlainLaw() for law in laws)

    def _alone(self, strategy: Integers, block: RequestBlock) -> Scored:
        """One stream, one strategy, one step."""
        (placed,) = self._outcomes.steps[strategy[0]]
        return _scored(strategy, self._outcomes.law(0, placed).answers(self._asked(0, block, slice(None))))

    def _mixed(self, strategy: Integers, block: RequestBlock) -> Scored:
        scored = self._blank(strategy)
        for stream, rows in self._by_stream(block):
            self._fill(scored, rows, stream, self._asked(stream, block, rows))
        return scored

    def _undecided(self, block: RequestBlock, corpora: Corpora) -> Scored:
        """A block of which a router looks at some requests, or all of them."""
        asked = [(stream, rows, self._asked(stream, block, rows)) for stream, rows in self._by_stream(block)]
        routed = [Routed(*each) for each in asked if each[0] in corpora.streams]
        options = corpora.options(block.stream.size, routed)
        if options is not None and len(routed) == len(asked):
            return undecided(options)
        scored = self._blank(self.chosen(block))
        for stream, rows, others in asked:
            if stream not in corpora.streams:
                self._fill(scored, rows, stream, others)
        return scored._replace(options=options)

    def _blank(self, strategy: Integers) -> Scored:
        """Nothing known yet of requests with these strategies."""
        shape = (strategy.size, self._variants, self._most_steps)
        unknown, one, no = np.full(shape, np.nan), np.ones(shape, np.int64), np.zeros(shape, np.int64)
        return Scored(strategy, one, unknown, unknown.copy(), no)

    def _by_stream(self, block: RequestBlock) -> Iterator[tuple[int, Integers | slice]]:
        """Streams of a block, and where their requests stand in it."""
        if len(self._luck) == 1:
            yield 0, slice(None)
            return
        for stream in range(len(self._luck)):
            rows = np.flatnonzero(block.stream == stream)
            if rows.size:
                yield stream, rows

    def _asked(self, stream: int, block: RequestBlock, rows: Integers | slice) -> Asked:
        columns = block.key, block.output_tokens, block.context_id, block.question_id
        return self._luck[stream].asked(*(column[rows] for column in columns))

    def _fill(self, scored: Scored, place: Integers | slice, stream: int, asked: Asked) -> None:
        """The columns of the requests of one stream."""
        rows = np.arange(scored.strategy.size)[place]
        chosen = scored.strategy[rows]
        for index, steps in enumerate(self._outcomes.steps):
            mine = np.flatnonzero(chosen == index)
            if not mine.size:
                continue
            some = asked if mine.size == rows.size else asked.rows(mine)
            for step, placed in enumerate(steps):
                self._fill_step(scored, rows[mine], (stream, index, step), placed, some)

    def _fill_step(
        self, scored: Scored, rows: Integers, place: tuple[int, int, int], placed: PlacedStrategy, asked: Asked
    ) -> None:
        stream, index, step = place
        law = self._outcomes.law(stream, placed)
        cascade = self._outcomes.strategies[index]
        for variant in range(self._variants):
            answers = law.prepared(asked) if variant else law.answers(asked)
            scored.output_tokens[rows, variant, step] = answers.tokens
            scored.p_sample[rows, variant, step] = answers.p_sample
            scored.p_correct[rows, variant, step] = answers.p_correct
            if isinstance(cascade, CascadeStrategy) and not isinstance(placed, VoteStrategy):
                prior = law.prior(prepared=bool(variant))
                scored.escalates[rows, variant, step] = doubts(cascade, asked, answers, prior, step)


def variants_of(scenario: Scenario) -> int:
    """2 where answers may come from a prepared context, else 1."""
    contexts = any(stream.has_contexts for stream in scenario.workload)
    return 2 if scenario.sleep is not None and contexts else 1


def with_own_choices(scenario: Scenario, block: RequestBlock, strategy: Integers) -> Integers:
    """Strategies of requests, [n], those of streams that have one of their own put in their place."""
    own = [own_choice(scenario, stream) for stream in scenario.workload]
    if all(index is None for index in own):
        return strategy
    theirs = np.array([NOTHING if index is None else index for index in own])[block.stream]
    return np.where(theirs == NOTHING, strategy, theirs)


def _plain(strategy: Integers, output_tokens: Integers) -> Scored:
    unknown = np.broadcast_to(np.nan, output_tokens.shape)
    return _scored(strategy, Answers(output_tokens, unknown, unknown))


def _scored(strategy: Integers, answers: Answers) -> Scored:
    rows = strategy.size
    return Scored(
        strategy,
        answers.tokens.reshape(rows, 1, 1),
        answers.p_sample.reshape(rows, 1, 1),
        answers.p_correct.reshape(rows, 1, 1),
        np.broadcast_to(np.int64(0), (rows, 1, 1)),
    )
