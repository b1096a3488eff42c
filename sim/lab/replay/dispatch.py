"""Sends requests when they are due, whatever has become of those before: an open loop.

A request's time counts from when it was due, not from when it was sent, so that a client or a server that falls
behind shows in the latencies.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from sim.lab.client.answer import Answer, Ended
from sim.lab.replay.plan import Planned

__all__ = ["Ask", "Clock", "LoopClock", "Sender", "Sent"]

_AT_ONCE = 64
"""Late requests that are sent one after the other before answers are read again."""
_LOOK_S = 0.05
"""Time between two looks at how late the event loop is."""


class Clock(Protocol):
    """Time in seconds from any origin."""

    def now_s(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class LoopClock:
    """The clock of the running event loop."""

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


Ask = Callable[[Planned, bytes, Answer], Awaitable[None]]
"""Sends a request that is written out, and takes its answer in; raises `Ended` where that fails."""


@dataclass
class Sent:
    """A request that was sent. Instants are those of the clock, in seconds."""

    planned: Planned
    due_s: float
    dispatched_s: float
    answer: Answer = field(default_factory=Answer)


class Sender:
    """Sends planned requests and waits for their answers."""

    def __init__(
        self,
        ask: Ask,
        write: Callable[[Planned], bytes],
        *,
        timeout_s: Callable[[Planned], float | None],
        clock: Clock | None = None,
        progress: Callable[[Sender], None] | None = None,
    ) -> None:
        """`write` makes the text of a request before it is due; `progress` is called after each that is sent."""
        self._ask, self._write, self._timeout_s, self._clock = ask, write, timeout_s, clock or LoopClock()
        self._progress = progress or (lambda sender: None)
        self.sent: list[Sent] = []
        self.waiting: set[asyncio.Task[None]] = set()
        self.loop_delays_s: list[float] = []
        """How late the event loop was, time and again."""
        self.begin_s = 0.0
        """The start of the replay on the clock."""
        self.end_s = 0.0
        """Its end, when the last answer was there."""
        self.cpu_s = 0.0
        """Time of a core that this process has taken meanwhile."""
        self.most_outstanding = 0
        self.failed = 0
        """Requests that have ended without a whole answer."""
        self.interrupted = False

    async def send(self, requests: Iterable[Planned]) -> None:
        """Send all requests, each when it is due, and wait until each has ended.

        Where the task is cancelled, nothing more is sent and what is outstanding ends at once, as cancelled.
        """
        watch = asyncio.create_task(self._watch())
        self.begin_s, begun_s = self._clock.now_s(), time.process_time()
        try:
            for request in requests:
                await self._dispatch(request)
            while self.waiting:
                await asyncio.wait(self.waiting)
        except asyncio.CancelledError:
            self.interrupted = True
            _forgive()
        finally:
            for task in (watch, *self.waiting):
                task.cancel()
            await asyncio.gather(watch, *self.waiting, return_exceptions=True)
            self._end_unbegun()
            self.end_s, self.cpu_s = self._clock.now_s(), time.process_time() - begun_s

    def _end_unbegun(self) -> None:
        """Requests whose task was cancelled before it ran at all."""
        for sent in self.sent:
            if sent.answer.end_s is None:
                sent.answer.error, sent.answer.end_s = "cancelled", self._clock.now_s()

    async def _dispatch(self, request: Planned) -> None:
        body, due_s = self._write(request), self.begin_s + request.due_s
        early_s = due_s - self._clock.now_s()
        # One that is late waits for no answers to be read, or it would be later still; but for some, now and then.
        if early_s > 0.0 or request.number % _AT_ONCE == 0:
            await self._clock.sleep(max(early_s, 0.0))
        sent = Sent(request, due_s, self._clock.now_s())
        self.sent.append(sent)
        task = asyncio.create_task(self._serve(sent, body))
        self.waiting.add(task)
        task.add_done_callback(self.waiting.discard)
        self.most_outstanding = max(self.most_outstanding, len(self.waiting))
        self._progress(self)

    async def _serve(self, sent: Sent, body: bytes) -> None:
        answer, sent.dispatched_s = sent.answer, self._clock.now_s()
        try:
            async with asyncio.timeout(self._left_s(sent)):
                await self._ask(sent.planned, body, answer)
        except TimeoutError:
            answer.error = "timeout"
        except asyncio.CancelledError:
            answer.error = "cancelled"
        except Ended as ended:
            answer.error, answer.detail = ended.kind, ended.detail
        finally:
            answer.end_s = self._clock.now_s()
            self.failed += answer.error is not None

    def _left_s(self, sent: Sent) -> float | None:
        """What is left of the time for an answer, which counts from when the request was due."""
        timeout_s = self._timeout_s(sent.planned)
        return None if timeout_s is None else sent.due_s + timeout_s - self._clock.now_s()

    async def _watch(self) -> None:
        while True:
            before_s = self._clock.now_s()
            await self._clock.sleep(_LOOK_S)
            self.loop_delays_s.append(max(self._clock.now_s() - before_s - _LOOK_S, 0.0))


def _forgive() -> None:
    """Let the current task go on after it was cancelled."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
