"""A continuous-batching engine: a decoder, a scheduler, slots and a clock, one step at a time.

    engine = Engine(decoder, EngineSettings(max_num_seqs=16, max_num_batched_tokens=512, kv_capacity_tokens=8192))
    engine.submit(Job(0, prompt, max_tokens=20))
    while not engine.idle:
        events = engine.step()

A step is scheduled by the rules of the simulator's replica (`scheduler`). All rows that decode do so in one call,
each slice of a prompt is a call of its own, but that one of a single token joins the decodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np

from sim.errors import InputError
from sim.lab.engine.clocks import Clock, RealClock, StepWork
from sim.lab.engine.inputs import Inputs
from sim.lab.engine.jobs import BLOCK_TOKENS, EngineSettings, Fault, Job, Row, job_fault, settings_fault
from sim.lab.engine.model import Logits, Model
from sim.lab.engine.records import Event, JobRecord, StepRecord
from sim.lab.engine.scheduler import Plan, Scheduler
from sim.lab.engine.slots import Slots

__all__ = ["Engine", "EngineSettings", "Event", "Job", "JobRecord", "Model", "StepRecord"]

Drawn = dict[Row, tuple[int, float]]
"""Rows that have a new token, with it and its log-probability."""


class Engine:
    """Serves jobs on a decoder; `steps` and `finished` grow as it works, until `reset`."""

    def __init__(self, decoder: Model, settings: EngineSettings, clock: Clock | None = None) -> None:
        """
        Raises:
            InputError: for settings that cannot be, or that the decoder has too few slots for.
        """
        fault = settings_fault(settings, decoder.slots)
        if fault:
            raise InputError(*fault)
        self.decoder, self.settings = decoder, settings
        self.clock: Clock = clock or RealClock()
        self.steps: list[StepRecord] = []
        self.finished: list[JobRecord] = []
        self._scheduler = Scheduler(settings, lambda row: self._slots.release(row))
        self._inputs = Inputs(decoder.slots)
        self._slots = Slots(decoder.slots, self._scheduler.prefixes, decoder.copy, self._inputs.put)
        self._jobs: dict[int, Row] = {}
        self._submitted = 0
        self._busy_since_s: float | None = None

    @property
    def idle(self) -> bool:
        """True if nothing waits and nothing is being served."""
        return self._scheduler.idle

    @property
    def running(self) -> int:
        """Rows that have a place."""
        return len(self._scheduler.prefilling) + len(self._scheduler.rows)

    @property
    def waiting(self) -> int:
        """Rows that have none yet, or have lost it."""
        return len(self._jobs) - self.running

    @property
    def preemptions(self) -> int:
        """How often a row has lost its place."""
        return self._scheduler.preemptions

    @property
    def kv_usage(self) -> float:
        """Share of the KV blocks in use."""
        capacity = self.settings.kv_capacity_tokens // BLOCK_TOKENS
        return 1.0 - self._scheduler.free_blocks / capacity

    def reset(self) -> None:
        """Forget all that is on record, and set the clock to zero; only while idle."""
        assert self.idle, "an engine is reset only when it has nothing to do"
        self.steps, self.finished = [], []
        self._busy_since_s = None
        self.clock.restart()

    def submit(self, job: Job, arrival_s: float | None = None) -> None:
        """Take a job into the queue; it counts as arrived now where no time is given.

        Raises:
            InputError: for a job that can never be served, or whose number another one has that is not over.
        """
        self.check(job)
        fault = self._fault(job)
        if fault:
            raise InputError(*fault)
        arrived_s = self.clock.now_s() if arrival_s is None else arrival_s
        row = Row(job, self._submitted, arrived_s, list(job.prompt), len(job.prompt), target=len(job.prompt))
        self._submitted += 1
        self._jobs[job.job_id] = row
        self._scheduler.add(row)

    def check(self, job: Job) -> None:
        """Refuse a job that can never be served, whatever the engine is at; any thread may ask.

        Raises:
            InputError: for such a job.
        """
        fault = job_fault(job, self.settings, self.decoder.capacity, self.decoder.config.vocab_size)
        if fault:
            raise InputError(*fault)

    def _fault(self, job: Job) -> Fault | None:
        family = self._scheduler.families.get(job.family)
        if job.job_id in self._jobs:
            return job.job_id, "is the number of a job that is not over", "number jobs apart"
        if family and family.leader.priority != job.priority:
            return job.priority, "is not the class of the job whose prompt it shares", "give both the same"
        return None

    def cancel(self, job_id: int) -> JobRecord | None:
        """Drop a job wherever it is, and return what came of it; None if there is no such job, or no more."""
        row = self._jobs.get(job_id)
        if row is None:
            return None
        record = self._finish(row, self.clock.now_s(), "cancelled")
        if self.idle:
            self._busy_since_s = None
        return record

    def step(self) -> list[Event]:
        """Do one step, and return each job's new token; nothing where there is nothing to do.

        A step that follows on another counts from that one's end.
        """
        begin_s = self.clock.now_s() if self._busy_since_s is None else self._busy_since_s
        plan = self._scheduler.plan()
        if plan.is_empty:
            self._busy_since_s = None
            return []
        for row in plan.reading:
            if row.scheduled_s is None:
                row.scheduled_s = max(begin_s, row.arrival_s)
        work = StepWork(
            len(plan.decoding),
            plan.kv_tokens,
            plan.prompt_tokens,
            plan.pairs,
            sum(row.unread > 1 for row in plan.reading),
        )
        drawn = self._forward(plan)
        self.clock.step_done(work)
        end_s = self.clock.now_s()
        self.steps.append(StepRecord(begin_s, end_s - begin_s, *work))
        events = self._end_step(plan, drawn, end_s)
        self._busy_since_s = None if self.idle else end_s
        return events

    def _forward(self, plan: Plan) -> Drawn:
        """Run the model, and draw a token for each row that has come to the end of what it knows."""
        joining = [row for row in plan.reading if row.unread == 1]
        batch = [*plan.decoding, *joining]
        self._slots.arrange(batch, plan.reading)
        for row in plan.reading:
            self._inputs.put(row)
        drawn: Drawn = {}
        if batch:
            self._decode(self._slots.rows(len(batch)), drawn)
        ended, last = [], []
        for row in plan.reading:
            if row.unread > 1:
                tokens = np.array(row.tokens[row.held : row.reads_to], np.int32)
                logits = self.decoder.prefill(row.slot, tokens, row.held)
                if row.reads_to == row.target:
                    ended.append(row)
                    last.append(logits)
        if ended:
            self._draw(ended, np.stack(last), drawn)
        return drawn

    def _decode(self, rows: Sequence[Row], drawn: Drawn) -> None:
        """All rows of the first slots read a token; of a large vocabulary no more is fetched than is asked for."""
        n, inputs = len(rows), self._inputs
        if self.settings.logprobs or not inputs.plain(n):
            self._draw(rows, self.decoder.decode(inputs.tokens[:n], inputs.lengths[:n]), drawn)
        else:
            best = self.decoder.decode_best(inputs.tokens[:n], inputs.lengths[:n])
            inputs.tokens[:n] = best
            drawn.update(zip(rows, [(token, nan) for token in best.tolist()], strict=True))
        inputs.advance(n)

    def _draw(self, rows: Sequence[Row], logits: Logits, drawn: Drawn) -> None:
        tokens, logprobs = self._inputs.draw(rows, logits, logprobs=self.settings.logprobs)
        drawn.update(zip(rows, zip(tokens, logprobs, strict=True), strict=True))

    def _end_step(self, plan: Plan, drawn: Drawn, end_s: float) -> list[Event]:
        """Give every row its token; those that are done leave, the decodes first."""
        scheduler, events = self._scheduler, list[Event]()
        scheduler.decoded(plan.decoding)
        done = [row for row in plan.decoding if not self._take(row, *drawn[row], events)]
        for row in sorted(done, key=lambda row: row.number):
            self._end(row, end_s, events)
        for row in sorted(plan.reading, key=lambda row: row.priority):
            if scheduler.chunk_read(row):
                if row.first_token_s is None:
                    row.first_token_s = end_s
                if self._take(row, *drawn[row], events):
                    self._inputs.put(row)
                else:
                    self._end(row, end_s, events)
        return events

    def _take(self, row: Row, token: int, logprob: float, events: list[Event]) -> bool:
        """Add a token to a row's output; false if it was the last, which is yet to be told."""
        row.tokens.append(token)
        row.logprobs.append(logprob)
        row.produced += 1
        job = row.job
        if row.produced >= job.most_tokens or (token in job.stop and job.fixed_tokens is None):
            return False
        events.append(Event(job.job_id, token, logprob, None))
        return True

    def _end(self, row: Row, end_s: float, events: list[Event]) -> None:
        record = self._finish(row, end_s, "completed")
        events.append(Event(row.job.job_id, row.tokens[-1], row.logprobs[-1], record))

    def _finish(self, row: Row, end_s: float, status: str) -> JobRecord:
        self._scheduler.remove(row)
        del self._jobs[row.job.job_id]
        record = JobRecord(
            job_id=row.job.job_id,
            arrival_s=row.arrival_s,
            scheduled_s=nan if row.scheduled_s is None else row.scheduled_s,
            first_token_s=nan if row.first_token_s is None else row.first_token_s,
            finish_s=end_s,
            prompt_tokens=row.prompt_tokens,
            cached_tokens=row.cached_tokens or 0,
            output_tokens=row.produced,
            tokens=tuple(row.tokens[row.prompt_tokens :]),
            logprobs=tuple(row.logprobs),
            preemptions=row.preemptions,
            priority=row.priority,
            status=status,
        )
        self.finished.append(record)
        return record
