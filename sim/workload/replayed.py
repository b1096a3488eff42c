"""Streams that replay a trace: their requests, and what happens to the contexts that the trace tells of.

A context appears with its first request, or `lead` before it, and ends with its last one. What lies between
two requests on it that name different versions, or with `changes_every` a Poisson process, changes it; when, is drawn
evenly between the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sim.scenario import Contexts, Scenario, Stream
from sim.streams import RandomStreams
from sim.workload.blocks import (
    APPEARS,
    BLOCK_ROWS,
    CHANGES,
    ENDS,
    NOTHING,
    PRIORITIES,
    ContextBlock,
    Floats,
    Integers,
    RequestBlock,
)
from sim.workload.columns import in_pieces, taken
from sim.workload.distributions import draws_of_times
from sim.workload.in_order import before
from sim.workload.keys import Keys
from sim.workload.predictability import Ranks
from sim.workload.replay import Replay, SessionClock
from sim.workload.traces import TraceRows

__all__ = ["ReplayedStream"]


@dataclass(frozen=True)
class ReplayedStream:
    """A stream whose requests are those of a trace."""

    index: int
    """Index of the stream in the scenario's workload."""
    stream: Stream
    replay: Replay
    scenario: Scenario

    def requests(self, streams: RandomStreams) -> Iterator[RequestBlock]:
        """Requests below the horizon in time order."""
        own_priority, keys = PRIORITIES.index(self.stream.priority), Keys(streams, self.stream.name)
        for rows in self._rows(streams, self.scenario.horizon):
            count = rows.arrival_s.size
            yield RequestBlock(
                arrival_s=rows.arrival_s,
                prompt_tokens=rows.prompt_tokens,
                output_tokens=rows.output_tokens,
                stream=np.full(count, self.index, np.int64),
                priority=np.where(rows.priority == NOTHING, own_priority, rows.priority),
                context_id=np.where(rows.context_id == NOTHING, NOTHING, self._identity(rows.context_id)),
                question_id=rows.question_id,
                key=keys.draw(count),
                version=rows.version,
                prefix_tokens=rows.prefix_tokens,
                keep_tokens=rows.keep_tokens,
            )

    def events(self, streams: RandomStreams) -> Iterator[ContextBlock]:
        """What happens to the contexts below the horizon, in time order.

        All of the trace that begins before the horizon is gone through first; memory grows with its contexts.
        """
        lives = _Lives()
        for rows in self._rows(streams, None):
            lives.add(rows)
        if lives.first:
            happenings = before(self._happenings(lives, streams), self.scenario.horizon)
            yield from in_pieces(happenings, BLOCK_ROWS)

    def _rows(self, streams: RandomStreams, horizon_s: float | None) -> Iterator[TraceRows]:
        clock = SessionClock.of(self.stream, self.scenario, streams, self.scenario.horizon)
        rows = self.replay.rows(horizon_s, clock, self.scenario.horizon)
        every_s = self._law.changes_every
        return rows if every_s is None else _Changes(every_s, self._generator(streams, "changes")).made(rows)

    def _happenings(self, lives: _Lives, streams: RandomStreams) -> ContextBlock:
        number, life = np.arange(len(lives.first)), lives.columns()
        lead_s = draws_of_times(self._law.lead, self._generator(streams, "lead"))(number.size)
        changed, version, change_s = lives.changes(self._generator(streams, "change_times"))
        context = np.concatenate([number, changed, number])
        rows = ContextBlock(
            at_s=np.concatenate([np.maximum(life.first_s - lead_s, 0.0), change_s, life.last_s]),
            context_id=self._identity(context),
            stream=np.full(context.size, self.index, np.int64),
            kind=np.repeat([APPEARS, CHANGES, ENDS], [number.size, changed.size, number.size]),
            version=np.concatenate([life.first_version, version, life.version]),
            tokens=life.tokens[context],
            predictability=Ranks.of(self.stream, streams).of_numbers(number)[context],
            questions=life.questions[context],
        )
        return taken(rows, np.lexsort((rows.version, rows.kind, context, rows.at_s)))

    def _generator(self, streams: RandomStreams, part: str) -> np.random.Generator:
        return streams.generator(f"{self.stream.name}/contexts/{part}")

    def _identity(self, number: Integers) -> Integers:
        return number * len(self.scenario.workload) + self.index

    @property
    def _law(self) -> Contexts:
        return self.stream.contexts or Contexts()


class _Columns(NamedTuple):
    """Contexts, one column each, [n]."""

    first_s: Floats
    last_s: Floats
    first_version: Integers
    version: Integers
    tokens: Integers
    questions: Integers


class _Changes:
    """Changes that a trace does not tell of: a Poisson process from the first request on a context."""

    def __init__(self, every_s: float, random: np.random.Generator) -> None:
        self._every_s, self._random = every_s, random
        self._latest_s: dict[int, float] = {}
        self._changes: dict[int, int] = {}

    def made(self, blocks: Iterator[TraceRows]) -> Iterator[TraceRows]:
        """The rows with the versions that follow."""
        for rows in blocks:
            number = rows.context_id.tolist()
            gap_s = np.array([self._gap_s(*request) for request in zip(number, rows.arrival_s.tolist(), strict=True)])
            # Drawn in order of time, so that a cut at a horizon changes none before it.
            changes = self._random.poisson(gap_s / self._every_s).tolist()
            until_now = [self._count(*request) for request in zip(number, changes, strict=True)]
            yield rows._replace(version=rows.version + until_now)

    def _gap_s(self, number: int, arrival_s: float) -> float:
        before_s = self._latest_s.get(number, arrival_s)
        self._latest_s[number] = arrival_s
        return arrival_s - before_s if number != NOTHING else 0.0

    def _count(self, number: int, changes: int) -> int:
        self._changes[number] = self._changes.get(number, 0) + changes
        return self._changes[number]


class _Lives:
    """The contexts of a trace, as far as it has been gone through."""

    def __init__(self) -> None:
        self.first: dict[int, tuple[float, int, int]] = {}
        """Time, version and prompt tokens of the first request, by number."""
        self._last_s: dict[int, float] = {}
        self._version: dict[int, int] = {}
        self._questions: dict[int, int] = {}
        self._changes: list[tuple[int, int, float, float]] = []

    def add(self, rows: TraceRows) -> None:
        """Take in the next rows."""
        columns = (rows.context_id, rows.arrival_s, rows.version, rows.prompt_tokens)
        for number, *request in zip(*(column.tolist() for column in columns), strict=True):
            if number != NOTHING:
                self._ask(number, *request)

    def _ask(self, number: int, arrival_s: float, version: int, prompt_tokens: int) -> None:
        if number not in self.first:
            self.first[number] = (arrival_s, version, prompt_tokens)
            self._version[number], self._questions[number] = version, 0
        elif version > self._version[number]:
            since_s, known = self._last_s[number], self._version[number]
            self._changes += [(number, one, since_s, arrival_s) for one in range(known + 1, version + 1)]
            self._version[number] = version
        self._last_s[number] = arrival_s
        self._questions[number] += 1

    def columns(self) -> _Columns:
        """The contexts in order of their numbers."""
        numbers = range(len(self.first))
        first_s, first_version, tokens = zip(*(self.first[number] for number in numbers), strict=True)
        return _Columns(
            np.array(first_s),
            np.array([self._last_s[number] for number in numbers]),
            np.array(first_version, np.int64),
            np.array([self._version[number] for number in numbers], np.int64),
            np.array(tokens, np.int64),
            np.array([self._questions[number] for number in numbers], np.int64),
        )

    def changes(self, random: np.random.Generator) -> tuple[Integers, Integers, Floats]:
        """Context, version and time of every change, in the order in which requests met them."""
        found = np.array(self._changes, np.float64).reshape(-1, 4)
        number, version = found[:, 0].astype(np.int64), found[:, 1].astype(np.int64)
        times = found[:, 3] - random.random(number.size) * (found[:, 3] - found[:, 2])
        # Those between the same two requests in order: they have one context and one end.
        meeting = np.cumsum(np.any(np.diff(found[:, [0, 2, 3]], axis=0, prepend=-1.0) != 0, axis=1))
        return number, version, times[np.lexsort((times, meeting))]
