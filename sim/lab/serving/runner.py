"""An engine in a thread of its own, for callers in an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sim.errors import EngineError
from sim.lab.engine.engine import Engine
from sim.lab.engine.jobs import Job
from sim.lab.engine.records import Event, JobRecord

__all__ = ["Mailbox", "Runner", "Stopped"]


class Stopped(Exception):
    """The engine runs no more; says why."""


@dataclass(eq=False)
class Mailbox:
    """Where the news of some jobs arrives: their events, step by step, or the exception that ended the engine."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    queue: asyncio.Queue[Sequence[Event] | Stopped] = field(default_factory=asyncio.Queue)

    async def news(self) -> Sequence[Event]:
        """What has come next.

        Raises:
            Stopped: where nothing more will.
        """
        found = await self.queue.get()
        if isinstance(found, Stopped):
            raise found
        return found


class Runner:
    """Steps an engine as long as it has work. `keep` has it keep the engine's records, which grow without end.

    `totals` counts prompt and generated tokens, jobs that are over by how they ended, and preemptions.
    """

    def __init__(self, engine: Engine, *, keep: bool = False) -> None:
        self.engine, self.totals = engine, Counter[str]()
        self.failure: BaseException | None = None
        self._keep = keep
        self._numbered = 0
        self._inbox: deque[Callable[[], None]] = deque()
        self._mailboxes: dict[int, Mailbox] = {}
        self._woken = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the step under way; what is not over then never will be. May be called twice."""
        self._stopping = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._stopping

    def number(self, many: int) -> int:
        """The first of so many numbers of jobs that nobody has yet."""
        self._numbered += many
        return self._numbered - many

    def submit(self, jobs: Sequence[Job], mailbox: Mailbox) -> None:
        """Have jobs served, which arrive now; their events go to the mailbox.

        Raises:
            InputError: for a job that can never be served.
            Stopped: where the engine runs no more.
        """
        for job in jobs:
            self.engine.check(job)
        if not self.alive:
            raise self._stopped()
        arrival_s = self.engine.clock.now_s()
        self._tell(lambda: self._take(jobs, arrival_s, mailbox))

    def cancel(self, job_ids: Iterable[int]) -> None:
        """Drop those of these jobs that are not over."""
        gone = list(job_ids)
        self._tell(lambda: self._drop(gone))

    def _tell(self, what: Callable[[], None]) -> None:
        self._inbox.append(what)
        self._woken.set()

    # In the engine's thread.

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._woken.clear()
                while self._inbox:
                    self._inbox.popleft()()
                if self.engine.idle:
                    self._woken.wait()
                else:
                    self._deliver(self.engine.step())
        except BaseException as error:  # whatever it is, nobody may wait for ever
            self.failure = error
        finally:
            self._say_that_it_is_over()

    def _take(self, jobs: Sequence[Job], arrival_s: float, mailbox: Mailbox) -> None:
        for job in jobs:
            self._mailboxes[job.job_id] = mailbox
            self.engine.submit(job, arrival_s)
            self.totals["prompt_tokens"] += len(job.prompt)

    def _drop(self, job_ids: Sequence[int]) -> None:
        for job_id in job_ids:
            record = self.engine.cancel(job_id)
            if record is not None:
                self._count(record)
                del self._mailboxes[job_id]
        self._forget()

    def _deliver(self, events: Sequence[Event]) -> None:
        """Send each mailbox its events, one message to an event loop."""
        post: dict[asyncio.AbstractEventLoop, dict[Mailbox, list[Event]]] = {}
        for event in events:
            mailbox = self._mailboxes[event.job_id]
            post.setdefault(mailbox.loop, {}).setdefault(mailbox, []).append(event)
            if event.record is not None:
                self._count(event.record)
                del self._mailboxes[event.job_id]
        self.totals["generation_tokens"] += len(events)
        for loop, letters in post.items():
            _call(loop, _put, letters)
        self._forget()

    def _count(self, record: JobRecord) -> None:
        self.totals[record.status] += 1

    def _forget(self) -> None:
        if not self._keep:
            self.engine.steps.clear()
            self.engine.finished.clear()

    def _say_that_it_is_over(self) -> None:
        for mailbox in set(self._mailboxes.values()):
            _call(mailbox.loop, _put, {mailbox: self._stopped()})

    def _stopped(self) -> Stopped:
        if self.failure is None:
            return Stopped("the server is shutting down")
        kind = "contradicts itself" if isinstance(self.failure, EngineError) else "has failed"
        return Stopped(f"the engine {kind}: {self.failure}")


Letters = Mapping[Mailbox, Sequence[Event] | Stopped]


def _put(letters: Letters) -> None:
    for mailbox, news in letters.items():
        mailbox.queue.put_nowait(news)


def _call(loop: asyncio.AbstractEventLoop, what: Callable[[Letters], None], letters: Letters) -> None:
    """Have an event loop do something soon; nothing where it is closed, as nobody listens there."""
    try:
        loop.call_soon_threadsafe(what, letters)
    except RuntimeError:
        return
