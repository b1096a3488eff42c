"""Contexts born by chance, the questions on them, and what happens to them.

A stream with contexts has its arrival process bring contexts in place of requests, at its rate over the mean
number of questions. The first question comes `lead` after the birth, each further one a think time after the one
before it. Changes are a Poisson process from the birth to the last question. Nothing was born before the start, so
requests come up to their rate over the first lead and think times.

Times within a context are whole multiples of 2^-20 s. They are summed as integers: what a block begins with then
changes no time, not even by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sim.scenario import Contexts, Stream
from sim.streams import RandomStreams
from sim.workload.blocks import APPEARS, CHANGES, ENDS, PRIORITIES, ContextBlock, Floats, Integers, RequestBlock
from sim.workload.contextual import ContextualRows, contextual_block
from sim.workload.distributions import draws_of_numbers, draws_of_times
from sim.workload.in_order import before, in_time_order
from sim.workload.keys import Keys
from sim.workload.lengths import LengthSampler
from sim.workload.predictability import Ranks

__all__ = ["GeneratedContexts"]

_TICKS_PER_S = 2.0**20
_LONGEST_GAP_S = 2.0**30


class _Lives(NamedTuple):
    """Contexts in order of birth, [n], with their questions one after the other, [q]."""

    number: Integers
    """Which birth of the stream each is, from 0 on, [n]."""
    born_s: Floats
    tokens: Integers
    questions: Integers
    """How many each has, one at least, [n]."""
    first: Integers
    """Place of the first question of each, [n]."""
    gap_s: Floats
    """Time to each question from the one before it, or from the birth, [q]."""
    asked_s: Floats
    changes: Integers
    """Changes within each gap, [q]."""
    version: Integers
    """Version at each question, [q]."""

    @property
    def owner(self) -> Integers:
        """Place of the context of each question, [q]."""
        return np.repeat(np.arange(self.number.size), self.questions)


@dataclass(frozen=True)
class GeneratedContexts:
    """The contexts of a stream whose arrivals are generated."""

    index: int
    """Index of the stream in the scenario's workload."""
    stream: Stream
    streams: int
    """How many streams the workload has: context n of this one has the number n * streams + index."""
    horizon_s: float
    rows: int
    """Requests to make at a time; they do not depend on it."""
    births: Callable[[RandomStreams], Iterator[Floats]]
    """Times at which contexts appear."""

    def requests(self, streams: RandomStreams) -> Iterator[RequestBlock]:
        """Requests below the horizon in time order."""
        priority, keys = PRIORITIES.index(self.stream.priority), Keys(streams, self.stream.name)
        for rows in in_time_order(self._questions(streams), self.rows):
            yield contextual_block(rows, self.index, priority, keys)

    def events(self, streams: RandomStreams) -> Iterator[ContextBlock]:
        """What happens to the contexts below the horizon, in time order."""
        random = streams.generator(f"{self.stream.name}/contexts/change_times")
        ranks = Ranks.of(self.stream, streams)
        parts = ((self._happenings(lives, random, ranks), float(lives.born_s[-1])) for lives in self._lives(streams))
        return in_time_order(parts, self.rows)

    def _questions(self, streams: RandomStreams) -> Iterator[tuple[ContextualRows, float]]:
        assert self.stream.lengths is not None
        lengths = LengthSampler(self.stream.lengths, streams, self.stream.name)
        for lives in self._lives(streams):
            rows = self._asked(lives, *lengths.draw(lives.asked_s.size))
            yield before(rows, self.horizon_s), float(lives.born_s[-1])

    def _asked(self, lives: _Lives, question_tokens: Integers, output_tokens: Integers) -> ContextualRows:
        prefix_tokens = np.repeat(lives.tokens, lives.questions)
        if self._law.conversation:
            turn_tokens = question_tokens + output_tokens
            prefix_tokens += _running(turn_tokens, lives) - turn_tokens
        prompt_tokens = prefix_tokens + question_tokens
        return ContextualRows(
            arrival_s=lives.asked_s,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            context_id=np.repeat(self._identity(lives.number), lives.questions),
            version=lives.version,
            prefix_tokens=prefix_tokens,
            keep_tokens=prompt_tokens + output_tokens if self._law.conversation else prefix_tokens,
        )

    def _happenings(self, lives: _Lives, random: np.random.Generator, ranks: Ranks) -> ContextBlock:
        changed, change_s = _change_times(lives, random)
        last = lives.first + lives.questions - 1
        contexts, owner = np.arange(lives.number.size), lives.owner[changed]
        kinds = ((APPEARS, contexts), (CHANGES, owner), (ENDS, contexts))
        place = np.concatenate([contexts, owner, contexts])
        # Of one context after the other, so that rows of one instant do not depend on how many are born at a time.
        order = np.argsort(place, kind="stable")
        place = place[order]
        block = ContextBlock(
            at_s=np.concatenate([lives.born_s, change_s, lives.asked_s[last]])[order],
            context_id=self._identity(lives.number)[place],
            stream=np.full(place.size, self.index, np.int64),
            kind=np.concatenate([np.full(part.size, kind) for kind, part in kinds])[order],
            version=np.concatenate([np.zeros_like(contexts), _versions(lives, changed), lives.version[last]])[order],
            tokens=lives.tokens[place],
            predictability=ranks.of_numbers(lives.number)[place],
            questions=lives.questions[place],
        )
        return before(block, self.horizon_s)

    def _lives(self, streams: RandomStreams) -> Iterator[_Lives]:
        law, name, born = self._law, f"{self.stream.name}/contexts", 0
        assert law.queries is not None
        assert law.tokens is not None
        draw_questions = draws_of_numbers(law.queries, streams.generator(f"{name}/queries"))
        draw_tokens = draws_of_numbers(law.tokens, streams.generator(f"{name}/tokens"))
        draw_gaps = _gaps(law, streams, name)
        changing = streams.generator(f"{name}/changes")
        for born_s in self.births(streams):
            number = np.arange(born, born + born_s.size)
            born += born_s.size
            questions = draw_questions(born_s.size)
            yield _lived(number, born_s, draw_tokens(born_s.size), questions, draw_gaps, law.changes_every, changing)

    def _identity(self, number: Integers) -> Integers:
        return number * self.streams + self.index

    @property
    def _law(self) -> Contexts:
        assert self.stream.contexts is not None
        return self.stream.contexts


def _gaps(law: Contexts, streams: RandomStreams, name: str) -> Callable[[Integers, int], Floats]:
    """What draws the gaps before so many questions, given the places of those that are a context's first."""
    assert law.think_time is not None
    draw_lead = draws_of_times(law.lead, streams.generator(f"{name}/lead"))
    draw_think_time = draws_of_times(law.think_time, streams.generator(f"{name}/think_time"))

    def draw(first: Integers, questions: int) -> Floats:
        gap_s, further = np.empty(questions), np.ones(questions, np.bool_)
        further[first] = False
        gap_s[first] = draw_lead(first.size)
        gap_s[further] = draw_think_time(questions - first.size)
        return np.minimum(gap_s, _LONGEST_GAP_S, out=gap_s)

    return draw


def _lived(
    number: Integers,
    born_s: Floats,
    tokens: Integers,
    questions: Integers,
    draw_gaps: Callable[[Integers, int], Floats],
    changes_every_s: float | None,
    changing: np.random.Generator,
) -> _Lives:
    first = np.cumsum(questions) - questions
    gaps = np.rint(draw_gaps(first, int(questions.sum())) * _TICKS_PER_S).astype(np.int64)
    gap_s = gaps / _TICKS_PER_S
    none = np.zeros_like(gaps)
    lives = _Lives(number, born_s, tokens, questions, first, gap_s, gap_s, none, none)
    asked_s = np.repeat(born_s, questions) + _running(gaps, lives) / _TICKS_PER_S
    if changes_every_s is None:
        return lives._replace(asked_s=asked_s)
    changes = changing.poisson(gap_s / changes_every_s)
    return lives._replace(asked_s=asked_s, changes=changes, version=_running(changes, lives))


def _running(values: Integers, lives: _Lives) -> Integers:
    """Sum of the values of a context up to each question, [q]."""
    total = np.cumsum(values)
    total -= np.repeat(total[lives.first] - values[lives.first], lives.questions)
    return total


def _change_times(lives: _Lives, random: np.random.Generator) -> tuple[Integers, Floats]:
    """For each change the question after it and when it comes, in order: given their number, they are uniform."""
    question = np.repeat(np.arange(lives.asked_s.size), lives.changes)
    left_s = random.random(question.size) * lives.gap_s[question]
    times = np.maximum(lives.asked_s[question] - left_s, lives.born_s[lives.owner[question]])
    return question, times[np.lexsort((times, question))]


def _versions(lives: _Lives, changed: Integers) -> Integers:
    """The version that each change leads to."""
    total = np.arange(1, changed.size + 1)
    before = np.cumsum(lives.changes) - lives.version
    return np.asarray(total - before[changed], np.int64)
