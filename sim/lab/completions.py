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
from sim.lab.kept import KeptPrefixes, Prefix

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
    """What is asked of a decoder (`sim.lab.decoder`)."""

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
class Draw:
    """How one text is drawn."""

    temperature: float = 0.0
    stream: tuple[int, ...] = ()
    """Names its random numbers, so that they do not depend on what is written beside it."""

    def uniforms(self, count: int) -> NDArray[np.float64]:
        """Its numbers in [0, 1), one a token."""
        if self.temperature == 0.0:
            return np.zeros(count)
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence(self.stream))).random(count)


GREEDY = Draw()


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
class Written:
    """One text."""

    tokens: Tokens
    logprobs: tuple[float, ...]
    """Of its tokens, at temperature 1."""
    stopped: bool
    """Whether it came to an end by itself."""


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
        self._rows = _Rows(width, decoder.capacity)
        self._queue: deque[_Pending] = deque()
        self._working: dict[int, _Working] = {}
        self.written_tokens = 0
        self.steps = 0

    def run(self, works: Iterable[Work[T]]) -> Iterator[tuple[int, T]]:
        """Each work's number and what it gives back, in the order in which they end."""
        coming = enumerate(works)
        while True:
            yield from self._fill(coming)
            if self._rows.count == 0:
                return
            yield from self._step()

    def _fill(self, coming: Iterator[tuple[int, Work[T]]]) -> Iterator[tuple[int, T]]:
        """Begin rows while there is room; a new work begins whenever the others ask for nothing more."""
        while self._rows.count < self.width:
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
        self.decoder.copy(pending.prefix.slot, self._rows.count, len(ask.prompt) - 1)
        self._rows.add(pending, pending.begun)
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

    def _step(self) -> Iterator[tuple[int, T]]:
        """One more token in every row."""
        rows = self._rows
        ended = rows.advance(self.decoder.decode(*rows.inputs()))
        self.steps += 1
        self.written_tokens += rows.count
        done: list[_Pending] = []
        for row in reversed(ended.tolist()):
            self._end_row(row, done)
        for pending in reversed(done):
            yield from self._reply(pending)

    def _end_row(self, row: int, done: list[_Pending]) -> None:
        rows = self._rows
        pending, branch, text = rows.take(row)
        if pending.ask.keep:
            tokens = np.array([*pending.ask.prompt, *text.tokens[:-1]], np.int32)
            self.kept.keep(pending.owner, tokens, row)
        last = rows.count - 1
        if row != last:
            self.decoder.copy(last, row, rows.length_of(last))
        rows.remove(row)
        pending.texts[branch] = text
        if pending.is_done:
            done.append(pending)

    def _reply(self, pending: _Pending) -> Iterator[tuple[int, T]]:
        mine = self._working[pending.owner]
        mine.replies[pending.place] = pending.replies()
        if len(mine.replies) == mine.waiting:
            yield from self._go_on(pending.owner, [mine.replies[place] for place in range(mine.waiting)])


class _Rows:
    """The texts that are being written, in columns; row n is slot n of the decoder."""

    def __init__(self, width: int, capacity: int) -> None:
        self.count = 0
        self._who: list[tuple[_Pending, int]] = []
        self._token = np.zeros(width, np.int32)
        self._length = np.zeros(width, np.int32)
        self._written = np.zeros(width, np.int64)
        self._most = np.zeros(width, np.int64)
        self._temperature = np.zeros(width)
        self._luck = np.zeros((width, capacity))
        self._tokens = np.zeros((width, capacity), np.int32)
        self._logprobs = np.zeros((width, capacity), np.float32)

    def add(self, pending: _Pending, branch: int) -> None:
        """A row that has read all of its prompt but the last token."""
        ask, row = pending.ask, self.count
        draw = ask.draws[branch]
        self._who.append((pending, branch))
        self._token[row], self._length[row] = ask.prompt[-1], len(ask.prompt) - 1
        self._written[row], self._most[row] = 0, ask.max_tokens
        self._temperature[row] = draw.temperature
        self._luck[row, : ask.max_tokens] = draw.uniforms(ask.max_tokens)
        self.count += 1

    def inputs(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The token that each row reads, and how many it has read."""
        return self._token[: self.count].copy(), self._length[: self.count].copy()

    def advance(self, logits: Floats) -> NDArray[np.intp]:
        """Take the next token of each row; gives back the rows that have ended, ascending."""
        rows = np.arange(self.count)
        written = self._written[: self.count]
        chances = log_softmax(logits)
        chosen = _chosen(chances, self._temperature[: self.count], self._luck[rows, written])
        self._tokens[rows, written] = chosen
        self._logprobs[rows, written] = chances[rows, chosen]
        self._token[: self.count] = chosen
        self._length[: self.count] += 1
        written += 1
        stops = [token in pending.ask.stop for token, (pending, _) in zip(chosen.tolist(), self._who, strict=True)]
        return np.flatnonzero(np.array(stops) | (written == self._most[: self.count]))

    def take(self, row: int) -> tuple[_Pending, int, Written]:
        """What was written in a row, and for whom."""
        pending, branch = self._who[row]
        written = int(self._written[row])
        tokens = tuple(self._tokens[row, :written].tolist())
        logprobs = tuple(self._logprobs[row, :written].tolist())
        return pending, branch, Written(tokens, logprobs, tokens[-1] in pending.ask.stop)

    def length_of(self, row: int) -> int:
        """Tokens it has read."""
        return int(self._length[row])

    def remove(self, row: int) -> None:
        """Put the last row into the place of one."""
        last = self.count - 1
        self._who[row] = self._who[last]
        self._who.pop()
        for column in (self._token, self._length, self._written, self._most, self._temperature):
            column[row] = column[last]
        for table in (self._luck, self._tokens, self._logprobs):
            table[row] = table[last]
        self.count = last


def log_softmax(logits: Floats) -> Floats:
    """Log-probabilities of logits [..., V].

    >>> np.exp(log_softmax(np.zeros((1, 4), np.float32))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    low = logits - logits.max(axis=-1, keepdims=True)
    found: Floats = low - np.log(np.exp(low).sum(axis=-1, keepdims=True))
    return found


def _chosen(chances: Floats, temperature: NDArray[np.float64], luck: NDArray[np.float64]) -> NDArray[np.intp]:
    """A token of each row, [n]: the likeliest at temperature 0, otherwise one drawn by its number in [0, 1)."""
    chosen: NDArray[np.intp] = chances.argmax(axis=1)
    drawn = np.flatnonzero(temperature)
    if drawn.size:
        scaled = chances[drawn] / temperature[drawn, None]
        up_to = np.exp(scaled - scaled.max(axis=1, keepdims=True)).cumsum(axis=1)
        places = (up_to <= luck[drawn, None] * up_to[:, -1:]).sum(axis=1)
        chosen[drawn] = np.minimum(places, chances.shape[1] - 1)
    return chosen
