"""An engine that remembers who was in each step, and the books by which a step's time is paid for.

The rule is the simulator's (`sim.engine.books`): the part of a step that its decode rows would have taken alone is
shared by them equally, the rest goes to the prompts in it, by tokens. A real step tells no parts: the step-time law
that the simulation runs on says in which proportion its measured time is split.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sim.lab.engine.engine import Engine, Event
from sim.lab.engine.records import StepRecord
from sim.prices import PriceClock
from sim.steptime import StepTime

__all__ = ["BookedEngine", "Books", "Members", "booked"]


class Members(NamedTuple):
    """Who was in a step."""

    decoding: tuple[int, ...]
    """Jobs that had a token more."""
    reading: tuple[tuple[int, int], ...]
    """Jobs whose prompt was read, with the tokens of it."""


class BookedEngine(Engine):
    """An engine with the members of its steps beside their times."""

    members: list[Members]

    def reset(self) -> None:
        """Forget all that is on record."""
        super().reset()
        self.members = []

    def held_up(self, seconds: float) -> None:
        """The next step begins so much later: what somebody else did in between is no part of it."""
        if self._busy_since_s is not None:
            self._busy_since_s += seconds

    def _end_step(self, plan: Any, drawn: Any, end_s: float) -> list[Event]:
        decoding = tuple([row.job.job_id for row in plan.decoding])
        self.members.append(Members(decoding, tuple([(row.job.job_id, row.unread) for row in plan.reading])))
        return super()._end_step(plan, drawn, end_s)


@dataclass
class Books:
    """Dollars by job and tariff window, and the time of the replica by window."""

    usd: dict[tuple[int, str], float] = field(default_factory=lambda: defaultdict(float))
    busy_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    prompt_s: float = 0.0
    idle_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    idle_usd: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    end_s: float = 0.0

    def by_job(self) -> Mapping[int, float]:
        """Dollars of each job."""
        found: defaultdict[int, float] = defaultdict(float)
        for (job, _), usd in self.usd.items():
            found[job] += usd
        return found

    def busy_usd(self) -> Mapping[str, float]:
        """Dollars of work by window."""
        found: defaultdict[str, float] = defaultdict(float)
        for (_, window), usd in self.usd.items():
            found[window] += usd
        return found


class _Priced(NamedTuple):
    """A stretch of time in one window."""

    window: str
    seconds: float
    usd: float


def booked(engine: BookedEngine, law: StepTime, price: PriceClock, end_s: float, gpus: int = 1) -> Books:
    """All of a run's steps on the books, and its idle time until `end_s`."""
    books = Books(end_s=end_s)
    before_s = 0.0
    for step, members in zip(engine.steps, engine.members, strict=True):
        _book_idle(books, price, before_s, min(step.begin_s, end_s), gpus)
        before_s = step.begin_s + step.seconds
        share = _rows_share(law, step)
        books.prompt_s += step.seconds * (1.0 - share)
        for part in _priced(price, step.begin_s, before_s, gpus):
            books.busy_s[part.window] += part.seconds
            _charge(books, members, part, share)
    _book_idle(books, price, before_s, end_s, gpus)
    return books


def _book_idle(books: Books, price: PriceClock, begin_s: float, end_s: float, gpus: int) -> None:
    for part in _priced(price, begin_s, end_s, gpus):
        books.idle_s[part.window] += part.seconds
        books.idle_usd[part.window] += part.usd


def _charge(books: Books, members: Members, part: _Priced, share: float) -> None:
    for job in members.decoding:
        books.usd[job, part.window] += part.usd * share / len(members.decoding)
    tokens = sum(read for _, read in members.reading)
    for job, read in members.reading:
        books.usd[job, part.window] += part.usd * (1.0 - share) * read / tokens


def _rows_share(law: StepTime, step: StepRecord) -> float:
    """Share of a step's time that its decode rows pay.

    >>> from sim.steptime.files import step_time_from
    >>> law = step_time_from({"prefill": {"a_s": 0.01, "b_s_per_token": 1e-3, "c_s_per_token_pair": 0},
    ...                       "decode": {"rows": [1], "base_s": [0.01], "kv_s": [0]}}, "here")
    >>> round(_rows_share(law, StepRecord(0.0, 0.05, 1, 10, 10, 55)), 3)
    0.5
    """
    if not step.decode_rows:
        return 0.0
    if not step.prompt_tokens:
        return 1.0
    rows_s = law.decode_step_s(step.decode_rows, step.kv_tokens)
    return rows_s / law.mixed_step_s(step.decode_rows, step.kv_tokens, step.prompt_tokens, step.pairs, step.slices)


def _priced(price: PriceClock, begin_s: float, end_s: float, gpus: int) -> Iterator[_Priced]:
    """A stretch of time, cut where the price changes; nothing where it is empty."""
    while begin_s < end_s:
        period = price.at(begin_s)
        until_s = min(end_s, period.end_s)
        seconds = until_s - begin_s
        yield _Priced(period.window, seconds, seconds * period.rates[0] * gpus / 3600.0)
        begin_s = until_s
