"""Many texts written side by side by one decoder; texts that begin alike share the KV of their beginning.

The engine (`sim.lab.engine`) serves requests by the clock. Here there is no clock: rows are filled up as soon as others
end, so that thousands of questions are answered in every way in minutes. Whoever wants texts is a generator (a `Work`)
that yields what it asks for and is sent what was written, so that what it asks next may hang on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from sim.errors import EngineError
from sim.lab.outcomes.kept import KeptPrefixes, Prefix
from sim.lab.outcomes.text_rows import GREEDY, Draw, TextRows, Written, log_softmax

__all__ = [
    "GREEDY",
    "Ask",
    "Completions",
    "Draw",
    "Replies",
    "TextDecoder",
    "Work",
    "Written",
    "log_softmax",
    "together",
]

Floats = NDArray[np.float32]
Tokens = tuple[int, ...]
T = TypeVar("T")


class TextDecoder(Protocol):
    """What is asked of a decoder (`sim.lab.decoder.decoder`)."""

    @property
    def slots(self) -> int:
        """Rows of its KV cache."""

    @property
    def capacity(self) -> int:
        """Tokens that a row can hold."""

    def decode(self, tokens: NDArray[np.int32], lengths: NDArray[np.int32], /) -> Floats:
        """Logits [n, V] after one more token in each of the first n rows."""

    @overload
    def prefill(self, slot: int, tokens: NDArray[np.int32], start: int, /) -> Floats: ...
    @overload
    def prefill(self, slot: int, tokens: NDArray[np.int32], start: int, /, *, every_token: bool) -> Floats: ...
    def prefill(self, slot: int, tokens: NDArray[np.int32], start: int, /, *, every_token: bool = False) -> Floats:
        """Logits [V] after the last of these tokens, or [q, V] after each of them."""

    def copy(self, source: int, target: int, tokens: int, /) -> None:
        """Take over the KV of the first tokens of a row."""


@dataclass(frozen=True)
class Ask:
    """Texts to be written after one prompt, one for each draw."""

    prompt: Tokens
    max_tokens: int
    stop: frozenset[int]
    """A text ends with the first of these, which is its last token."""
    draws: Sequence[Draw] = (GREEDY,)
    keep: bool = False
    """Whether later asks of the same work go on from what was written."""
    score_from: int | None = None
    """Place in the prompt, 1 at least, from which on its tokens' log-probabilities are wanted."""


@dataclass(frozen=True)
class Replies:
    """What came of an ask."""

    texts: list[Written]
    """In the order of its draws."""
    prompt_logprobs: tuple[float, ...] = ()
    """Of the prompt's tokens from `score_from` on."""


Work = Generator[Sequence[Ask], list[Replies], T]
"""Yields what it asks for, is sent the replies in the same order, and gives back what it made of them."""


@dataclass
class _Pending:
    """An ask on its way."""

    owner: int
    place: int
    ask: Ask
    prefix: Prefix | None = None
    """The KV of all of the prompt but its last token, from its first branch to its last one."""
    begun: int = 0
    texts: dict[int, Written] = field(default_factory=dict)
    prompt_logprobs: tuple[float, ...] = ()

    @property
    def is_done(self) -> bool:
        return len(self.texts) == len(self.ask.draws)

    def replies(self) -> Replies:
        return Replies([self.texts[n] for n in range(len(self.texts))], self.prompt_logprobs)


@dataclass
class _Working:
    """A work that waits for the replies to what it asked last."""

    work: Work[object]
    waiting: int = 0
    replies: dict[int, Replies] = field(default_factory=dict)


def together(works: Sequence[Work[T]]) -> Work[list[T]]:
    """Several works as one, which asks for what all of them ask; gives back what each gives back, in their order."""
    given: dict[int, T] = {}
    waiting: dict[int, Sequence[Ask]] = {}

    def go_on(place: int, replies: list[Replies] | None) -> None:
        try:
            work = works[place]
            waiting[place] = next(work) if replies is None else work.send(replies)
        except StopIteration as end:
            given[place] = end.value

    for place in range(len(works)):
        go_on(place, None)
    while waiting:
        asked = dict(waiting)
        waiting.clear()
        replies = iter((yield [ask for asks in asked.values() for ask in asks]))
        for place, asks in asked.items():
            go_on(place, list(islice(replies, len(asks))))
    return [given[place] for place in range(len(works))]


class Completions:
    """Writes what works ask for, `width` texts at a time; the decoder's other slots keep beginnings.

    A row begins with the last token of its prompt: what a prompt has in common with one that is kept need not be read
    again, and a text that differs from it in the last token alone costs no reading at all.
    """

    def __init__(self, decoder: TextDecoder, width: int) -> None:
        """Of the decoder's slots at least two must be left beside the rows."""
        if width < 1 or decoder.slots < width + 2:
            raise EngineError(f"{width} rows and two prefixes do not fit into {decoder.slots} slots")
        self.decoder, self.width = decoder, width
        self.kept = KeptPrefixes(decoder, range(width, decoder.slots))
        self._rows: TextRows[tuple[_Pending, int]] = TextRows(width, decoder.capacity)
        self._queue: deque[_Pending] = deque()
        self._working: dict[int, _Working] = {}
        self.written_tokens = 0
        self.steps = 0

    def run(self, works: Iterable[Work[T]]) -> Iterator[tuple[int, T]]:
        """Each work's number and what it gives back, in the order in which they end."""
        coming = enumerate(works)
        while True:
            yield from self._fill(coming)
            self._close_gaps()
            if self._rows.count == 0:
                return
            yield from self._step()

    def _fill(self, coming: Iterator[tuple[int, Work[T]]]) -> Iterator[tuple[int, T]]:
        """Begin rows while there is room; a new work begins whenever the others ask for nothing more."""
        while self._rows.has_room:
            if self._queue:
                self._begin_row(self._queue[0])
                continue
            try:
                number, work = next(coming)
            except StopIteration:
                return
            self._working[number] = _Working(work)
            yield from self._go_on(number, None)

    def _go_on(self, number: int, replies: list[Replies] | None) -> Iterator[tuple[int, T]]:
        """Let a work say what it asks for next; it ends by giving something back."""
        mine = self._working[number]
        try:
            asks = next(mine.work) if replies is None else mine.work.send(replies)
            while not asks:
                asks = mine.work.send([])
        except StopIteration as end:
            del self._working[number]
            self.kept.drop(number)
            yield number, end.value
            return
        mine.waiting, mine.replies = len(asks), {}
        self._queue.extend(_Pending(number, place, ask) for place, ask in enumerate(asks))

    def _begin_row(self, pending: _Pending) -> None:
        """The next branch of the first ask in line."""
        ask = pending.ask
        if pending.prefix is None:
            if len(ask.prompt) + ask.max_tokens > self.decoder.capacity:
                told = f"{len(ask.prompt)} tokens of prompt and {ask.max_tokens} more"
                raise EngineError(f"{told} do not fit into {self.decoder.capacity}")
            self._read(pending)
        assert pending.prefix is not None
        branch = pending.begun
        row = self._rows.add((pending, branch), ask.prompt, ask.max_tokens, ask.stop, ask.draws[branch])
        self.decoder.copy(pending.prefix.slot, row, len(ask.prompt) - 1)
        pending.begun += 1
        if pending.begun == len(ask.draws):
            self.kept.release(pending.prefix)
            self._queue.popleft()

    def _read(self, pending: _Pending) -> None:
        ask = pending.ask
        whole = np.array(ask.prompt, np.int32)
        pending.prefix, logits = self.kept.hold(pending.owner, whole[:-1], ask.score_from)
        if ask.score_from is not None:
            assert logits is not None
            wanted = whole[ask.score_from :]
            chances = log_softmax(logits[-wanted.size :])
            pending.prompt_logprobs = tuple(chances[np.arange(wanted.size), wanted].tolist())

    def _close_gaps(self) -> None:
        """Have the last rows take the places of those that ended, as the decoder reads neighbouring slots."""
        for row, last in self._rows.close_gaps():
            self.decoder.copy(last, row, self._rows.length_of(row))

    def _step(self) -> Iterator[tuple[int, T]]:
        """One more token in every row."""
        ended = self._rows.advance(self.decoder.decode(*self._rows.inputs()))
        self.steps += 1
        self.written_tokens += self._rows.count
        done = [pending for row in ended.tolist() if (pending := self._end_row(row)).is_done]
        for pending in done:
            yield from self._reply(pending)

    def _end_row(self, row: int) -> _Pending:
        """Take what was written in a row, which is free from now on; gives back the ask that it was for."""
        (pending, branch), text = self._rows.take(row)
        if pending.ask.keep:
            tokens = np.array([*pending.ask.prompt, *text.tokens[:-1]], np.int32)
            self.kept.keep(pending.owner, tokens, row)
        pending.texts[branch] = text
        return pending

    def _reply(self, pending: _Pending) -> Iterator[tuple[int, T]]:
        mine = self._working[pending.owner]
        mine.replies[pending.place] = pending.replies()
        if len(mine.replies) == mine.waiting:
            yield from self._go_on(pending.owner, [mine.replies[place] for place in range(mine.waiting)])
