"""A stream of questions served for real: requests come at their time and go through their strategies to answers.

One thread does it all. Between two steps of the engine whatever is due is done: requests that have arrived are
submitted, the next stages of those whose branches are all over, and, at each tick of sleep-time work, contexts
that nobody has prepared yet. A request on a context whose notes are there when it arrives is asked with them. Where a
router chooses, it does so when the request arrives, and while it decides no step runs: a gateway would decide beside
its server, so that time is kept apart from the steps'.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import NamedTuple

from sim.lab.end_to_end.booked import BookedEngine
from sim.lab.end_to_end.live_answers import Asking, Reply, Stages, answer, preparation
from sim.lab.end_to_end.live_load import LiveLoad
from sim.lab.end_to_end.live_router import Decision, LiveRouter
from sim.lab.engine.clocks import undisturbed
from sim.lab.engine.jobs import SLEEP, Job
from sim.lab.engine.records import JobRecord
from sim.lab.language import noted_section
from sim.lab.language.contexts import Context, Question
from sim.scenario import Strategy
from sim.scenario.sleep import Sleep

__all__ = ["LiveContext", "LiveRequest", "LiveSleep", "Routing", "Served", "serve"]


_TOLD = 20
"""How often the progress of a run is told."""


class LiveRequest(NamedTuple):
    """A request of the stream."""

    number: int
    arrival_s: float
    strategy: int | None
    """None where a router chooses when it arrives."""
    context_id: int
    """The scenario's number of the context it asks about; -1 for a context that nobody prepares."""
    context: Context
    question: Question
    priority: int


class LiveContext(NamedTuple):
    """A context that may be prepared."""

    context_id: int
    appears_s: float
    ends_s: float
    """Its last question comes then."""
    tokens: int
    """What it is taken to be to read."""
    context: Context


class Routing(NamedTuple):
    """Who chooses, and what it is told of the engine."""

    router: LiveRouter
    load: LiveLoad


class LiveSleep(NamedTuple):
    """Sleep-time work: at each tick contexts are prepared, as many at a time as the rules allow."""

    rules: Sleep
    contexts: Sequence[LiveContext]
    is_open: Callable[[float], bool]
    """Whether preparations may begin at a time."""


@dataclass
class Served:
    """What came of a stream."""

    replies: dict[int, Reply] = field(default_factory=dict)
    """By the request's number."""
    prepared: set[int] = field(default_factory=set)
    """Requests that found notes."""
    jobs: dict[int, int] = field(default_factory=dict)
    """The request that each job was for; -1 for sleep-time work."""
    notes: dict[int, JobRecord] = field(default_factory=dict)
    """By context, the job that wrote its notes."""
    used: set[int] = field(default_factory=set)
    """Contexts whose notes a request has found."""
    chosen: dict[int, int] = field(default_factory=dict)
    """The strategy that each request got."""
    decisions: list[Decision] = field(default_factory=list)
    """Of the router, in order of arrival."""


@dataclass
class _Stage:
    """Jobs of a request that are not over, and the records of the others."""

    request: LiveRequest
    stages: Stages
    jobs: Sequence[Job] = ()
    records: dict[int, JobRecord] = field(default_factory=dict)


def serve(
    engine: BookedEngine,
    requests: Sequence[LiveRequest],
    strategies: Sequence[Strategy],
    *,
    sleep: LiveSleep | None = None,
    routing: Routing | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Served:
    """Serve a stream to its end on the engine's clock, which is set to zero first.

    `progress` is told now and then the requests that have their answer, of how many.
    """
    run = _Run(engine, requests, strategies, sleep, routing, seed, progress)
    with undisturbed():
        engine.reset()
        run.to_the_end()
    return run.served


class _Run:
    def __init__(
        self,
        engine: BookedEngine,
        requests: Sequence[LiveRequest],
        strategies: Sequence[Strategy],
        sleep: LiveSleep | None,
        routing: Routing | None,
        seed: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.engine, self.strategies, self.sleep, self.seed, self.progress = engine, strategies, sleep, seed, progress
        self.routing = routing
        self.served = Served()
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._next_id = count().__next__
        self._of_job: dict[int, _Stage] = {}
        self._requests = len(requests)
        self._sleeping: dict[int, LiveContext] = {}
        contexts = () if sleep is None else sleep.contexts
        # As the dispatcher does where all save alike: those that cost least come first.
        self._unprepared = sorted(contexts, key=lambda context: (context.tokens, context.context_id))
        for request in requests:
            self._at(request.arrival_s, partial(self._arrive, request))
        if sleep is not None and contexts:
            self._at(sleep.rules.tick, self._tick)

    def to_the_end(self) -> None:
        """Until every request has its answer."""
        while len(self.served.replies) < self._requests:
            self._act_until(self.engine.clock.now_s())
            if self.engine.idle:
                self.engine.clock.wait_until(self._due[0][0])
                continue
            events = self.engine.step()
            # What came while the step was under way came before what ended with it.
            self._act_until(self.engine.steps[-1].begin_s + self.engine.steps[-1].seconds)
            for event in events:
                if event.record is not None:
                    self._ended(event.record)

    def _act_until(self, time_s: float) -> None:
        """Do all that is due by then."""
        while self._due and self._due[0][0] <= time_s:
            due_s, _, act = heapq.heappop(self._due)
            act(due_s)

    def _at(self, time_s: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._due, (time_s, next(self._order), act))

    def _arrive(self, request: LiveRequest, due_s: float) -> None:
        notes = self._found(request)
        if notes:
            self.served.prepared.add(request.number)
            self.served.used.add(request.context_id)
        seed = self.seed << 24 | request.number
        asking = Asking(request.context, request.question, notes, request.priority, seed, self._next_id)
        strategy = self._choose(request, asking, due_s) if request.strategy is None else request.strategy
        self.served.chosen[request.number] = strategy
        stage = _Stage(request, answer(self.strategies[strategy], asking))
        self._submit(stage, next(stage.stages), due_s)

    def _choose(self, request: LiveRequest, asking: Asking, due_s: float) -> int:
        """What the router takes; the engine waits for it."""
        assert self.routing is not None
        router, load = self.routing
        begin_s = self.engine.clock.now_s()
        decision = router.choose(
            request.number,
            (request.context, request.question),
            len(asking.prompt("direct")),
            due_s,
            load,
            load.seen(due_s, len(self._of_job)),
            prepared=bool(asking.notes),
        )
        seconds = self.engine.clock.now_s() - begin_s
        self.engine.held_up(seconds)
        self.served.decisions.append(decision._replace(seconds=seconds))
        return decision.strategy

    def _found(self, request: LiveRequest) -> Sequence[int]:
        """Notes that were there when it arrived."""
        record = self.served.notes.get(request.context_id)
        if record is None or self.sleep is None or record.finish_s > request.arrival_s:
            return ()
        return noted_section(self.sleep.rules.effort, record.tokens)

    def _submit(self, stage: _Stage, jobs: Sequence[Job], now_s: float) -> None:
        stage.jobs, stage.records = jobs, {}
        for job in jobs:
            self._of_job[job.job_id] = stage
            self.served.jobs[job.job_id] = stage.request.number
            self.engine.submit(job, now_s)

    def _ended(self, record: JobRecord) -> None:
        if record.job_id in self._sleeping:
            self.served.notes[self._sleeping.pop(record.job_id).context_id] = record
            return
        stage = self._of_job.pop(record.job_id)
        stage.records[record.job_id] = record
        if len(stage.records) < len(stage.jobs):
            return
        if self.routing is not None:
            self.routing.load.stage_over(stage.jobs, stage.records)
        try:
            jobs = stage.stages.send([stage.records[job.job_id] for job in stage.jobs])
        except StopIteration as end:
            self.served.replies[stage.request.number] = end.value
            self._tell(len(self.served.replies))
            return
        self._submit(stage, jobs, record.finish_s)

    def _tell(self, done: int) -> None:
        """Now and then, and at the end."""
        if self.progress is not None and (done % max(self._requests // _TOLD, 1) == 0 or done == self._requests):
            self.progress(done, self._requests)

    def _tick(self, now_s: float) -> None:
        """Begin to prepare contexts that are there and have questions to come."""
        assert self.sleep is not None
        room = self.sleep.rules.max_jobs - len(self._sleeping) if self.sleep.is_open(now_s) else 0
        kept = []
        for context in self._unprepared:
            if context.ends_s <= now_s:
                continue
            if room > 0 and context.appears_s <= now_s:
                room -= 1
                self._prepare(context, now_s)
            else:
                kept.append(context)
        self._unprepared = kept
        if kept:
            self._at(now_s + self.sleep.rules.tick, self._tick)

    def _prepare(self, context: LiveContext, now_s: float) -> None:
        assert self.sleep is not None
        job = preparation(context.context, self.sleep.rules, SLEEP, self._next_id())
        self._sleeping[job.job_id] = context
        self.served.jobs[job.job_id] = -1
        self.engine.submit(job, now_s)
