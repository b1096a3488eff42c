"""Loads for an engine, in one thread: an open loop, a closed loop, and all at once."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from sim.lab.engine.engine import Engine
from sim.lab.engine.jobs import Job
from sim.lab.engine.records import JobRecord

__all__ = ["run_all", "run_closed_loop", "run_open_loop"]


def run_open_loop(engine: Engine, jobs: Sequence[Job], arrivals_s: Sequence[float]) -> list[JobRecord]:
    """Submit each job at its time, whatever the engine is at; records in the order of the jobs.

    The engine is reset first, so that times are seconds since the start. A job that arrives during a step queues at
    its end, but its latency counts from the arrival that was intended.

    Raises:
        InputError: for a job that can never be served.
    """
    with _undisturbed(engine):
        due = sorted(zip(arrivals_s, range(len(jobs)), strict=True))
        next_due = 0
        while next_due < len(due) or not engine.idle:
            now_s = engine.clock.now_s()
            while next_due < len(due) and due[next_due][0] <= now_s:
                arrival_s, which = due[next_due]
                engine.submit(jobs[which], arrival_s)
                next_due += 1
            if engine.idle:
                engine.clock.wait_until(due[next_due][0])
            else:
                engine.step()
    return _in_order(engine, jobs)


def run_closed_loop(engine: Engine, jobs: Iterable[Job], concurrency: int) -> list[JobRecord]:
    """Keep so many jobs in the engine until there are no more; records in the order of the jobs.

    The engine is reset first. A client sends its next job as soon as it has its answer: the job arrives at the end of
    a step, when the engine has already decided upon the next one, and queues until that one's end.

    Raises:
        InputError: for a job that can never be served.
    """
    coming, sent = iter(jobs), list[Job]()
    with _undisturbed(engine):
        clients = [0.0] * concurrency
        while True:
            if engine.idle:
                _send(engine, coming, clients, sent)
            if engine.idle:
                return _in_order(engine, sent)
            records = [event.record for event in engine.step()]
            _send(engine, coming, clients, sent)
            clients = [record.finish_s for record in records if record]


def _send(engine: Engine, coming: Iterator[Job], clients: list[float], sent: list[Job]) -> None:
    """Every client that had its answer at one of these times sends the next job."""
    for job, arrival_s in zip(islice(coming, len(clients)), list(clients), strict=False):
        engine.submit(job, arrival_s)
        sent.append(job)
    clients.clear()


def run_all(engine: Engine, jobs: Iterable[Job]) -> list[JobRecord]:
    """Serve all jobs as fast as may be; records in the order of the jobs. The engine is reset first.

    Raises:
        InputError: for a job that can never be served.
    """
    every = list(jobs)
    return run_open_loop(engine, every, [0.0] * len(every))


def _in_order(engine: Engine, jobs: Sequence[Job]) -> list[JobRecord]:
    by_id = {record.job_id: record for record in engine.finished}
    return [by_id[job.job_id] for job in jobs]


@contextmanager
def _undisturbed(engine: Engine) -> Iterator[None]:
    """Start from nothing, and keep the garbage collector from stopping a step."""
    was_on = gc.isenabled()
    gc.disable()
    engine.reset()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
