"""A data plane that serves nothing by itself: tests put jobs on its replicas, and read what control did to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from sim.engine import state as st

__all__ = ["FakePlane"]


@dataclass
class Job:
    """Something that keeps a replica busy until a moment."""

    replica: int
    end_s: float


@dataclass
class Preparing:
    """A context on its way to be prepared."""

    context: int
    end_s: float
    lasts_s: float
    ends_well: bool


class FakeRouting:
    """Streams that have spent what a test says; `log` tells the multipliers that were set, and for whom."""

    def __init__(self, streams: int) -> None:
        self.spent = np.zeros(streams)
        self.log: list[tuple[float, list[int]]] = []

    def spent_usd(self) -> np.ndarray:
        return self.spent.copy()

    def set_mu(self, mu: float, streams: Sequence[int]) -> None:
        self.log.append((mu, list(streams)))


class FakePlane:
    """Replicas of pools, in servers of so many ranks; `log` tells each call that changed something, with its time."""

    def __init__(self, replicas: Sequence[int], ranks: int = 1, streams: int = 1) -> None:
        total = sum(replicas)
        self.contexts = np.zeros(0, st.CONTEXT)
        self.routing = FakeRouting(streams + 1)
        self.sent: list[tuple[float, int, int]] = []
        """When which context was to be prepared, and in which version."""
        self.job_s, self.job_usd, self.ends_well = 30.0, 0.5, True
        """What becomes of jobs."""
        self._preparing: list[Preparing] = []
        self.first_replica = np.concatenate(([0], np.cumsum(replicas))).tolist()
        records = np.zeros(total, [("busy_s", "f8")])
        self.state: Any = SimpleNamespace(
            outstanding=np.zeros(total, np.int64),
            replicas=records,
            accepting=np.ones(total, np.int64),
            streams=np.zeros(streams + 1, st.STREAM),
            ended_output_tokens=np.zeros((len(replicas), streams + 1, 2, st.CLASSES), np.int64),
        )
        self.lives = [st.OPEN] * total
        self.log: list[tuple[Any, ...]] = []
        self.lost: list[Job] = []
        self.answered = self.answered_tokens = 0
        self.request_s, self.prompt_token_s, self.output_token_s = 1.0, 0.0, 0.0
        self._ranks, self._jobs = ranks, list[Job]()
        self._ended_s, self._now_s = [0.0] * total, 0.0

    def work(self, replica: int, end_s: float) -> None:
        """Put a job on a replica."""
        self._jobs.append(Job(replica, end_s))
        self.state.outstanding[replica] += 1

    def prepare(
        self,
        contexts: np.ndarray,
        versions: np.ndarray,
        prompt_tokens: np.ndarray,
        output_tokens: np.ndarray,
        notes_tokens: np.ndarray,
        keys: np.ndarray,
        *,
        lasts_s: float,
        strategy: int,
        now_s: float,
    ) -> None:
        """Jobs that all take as long and cost as much."""
        self._more_contexts(int(contexts.max()) + 1)
        for n, context in enumerate(contexts.tolist()):
            row = self.contexts[context]
            assert row["state"] != st.PREPARING
            asked = row["asked"]
            self.contexts[context] = np.zeros(1, st.CONTEXT)[0]
            for name, value in (("state", st.PREPARING), ("version", versions[n]), ("asked", asked), ("pool", 0)):
                self.contexts[context][name] = value
            self.contexts[context]["job_tokens"] = output_tokens[n]
            self.contexts[context]["notes_tokens"] = notes_tokens[n]
            self.sent.append((now_s, context, int(versions[n])))
            self._preparing.append(Preparing(context, now_s + self.job_s, lasts_s, self.ends_well))

    def ask(self, context: int, version: int, now_s: float, stream: int = 0) -> None:
        """A question on a context."""
        self._more_contexts(context + 1)
        row, counts = self.contexts[context], self.state.streams[stream]
        row["asked"] += 1
        counts["asked"] += 1
        if row["state"] == st.PREPARING:
            counts["late"] += 1
        elif row["state"] == st.READY and row["version"] != version:
            counts["stale"] += 1
        elif row["state"] == st.READY and now_s >= row["expires_s"]:
            counts["expired"] += 1
        elif row["state"] == st.READY:
            counts["hits"] += 1
            row["hits"] += 1

    def _more_contexts(self, size: int) -> None:
        before = self.contexts
        self.contexts = np.zeros(max(size, before.size), st.CONTEXT)
        self.contexts[: before.size] = before

    def advance(self, until_s: float) -> None:
        """Finish what ends before then."""
        for job in [job for job in self._preparing if job.end_s < until_s]:
            self._preparing.remove(job)
            row = self.contexts[job.context]
            row["state"] = st.READY if job.ends_well else st.UNPREPARED
            row["usd"], row["ready_s"], row["expires_s"] = self.job_usd, job.end_s, job.end_s + job.lasts_s
        for job in sorted(self._jobs, key=lambda job: job.end_s):
            if job.end_s < until_s and self.lives[job.replica] in (st.OPEN, st.DRAINING):
                self.settle(job.end_s)
                self._remove(job)
                if self.lives[job.replica] == st.DRAINING:
                    self._off_if_done(job.replica, job.end_s)

    def settle(self, now_s: float) -> None:
        for replica, life in enumerate(self.lives):
            if life in (st.OPEN, st.DRAINING) and self.state.outstanding[replica]:
                self.state.replicas["busy_s"][replica] += now_s - self._now_s
        self._now_s = now_s

    def completed(self, pool: int) -> np.ndarray:
        """What a test says; each a second of work."""
        return np.array([self.answered, 0, self.answered_tokens])

    def full_batch_s(
        self, pool: int, requests: int, prompt_tokens: int, output_tokens: int, attended_tokens: int | None = None
    ) -> float:
        """A second a request, or what a test says of it and of each token."""
        return self.request_s * requests + self.prompt_token_s * prompt_tokens + self.output_token_s * output_tokens

    def price(self, pool: int, usd_per_replica_hour: float, window: int, now_s: float) -> None:
        """Prices are nothing to it."""

    def rates(self, pool: int, window: int) -> None:
        """Nor are rates."""

    def close_api(self, pool: int, closed: bool) -> None:
        self.state.accepting[self.first_replica[pool]] = st.CLOSED_TO_ALL if closed else st.OPEN_TO_ALL

    def life(self, replica: int) -> int:
        return self.lives[replica]

    def ended_s(self, replica: int) -> float:
        return self._ended_s[replica]

    def start(self, replica: int, now_s: float, *, hold: bool = False) -> None:
        assert self.lives[replica] in (st.OFF, st.DOWN)
        self._change(replica, st.STARTING, now_s)
        self.state.accepting[replica] = st.HOLDS if hold else st.CLOSED_TO_ALL

    def open(self, replica: int, now_s: float) -> None:
        self._change(replica, st.OPEN, now_s)
        self.state.accepting[replica] = st.OPEN_TO_ALL

    def drain(self, replica: int, now_s: float) -> None:
        self.state.accepting[replica] = st.CLOSED_TO_ALL
        if self.lives[replica] in (st.OFF, st.STARTING):
            self._take_off(replica)
            self._change(replica, st.OFF, now_s)
        else:
            self._change(replica, st.DRAINING, now_s)
            self._off_if_done(replica, now_s)

    def lose(self, replica: int, now_s: float, *, down: bool) -> None:
        self._take_off(replica)
        self.state.accepting[replica] = st.CLOSED_TO_ALL
        self._change(replica, st.DOWN if down else st.OFF, now_s)

    def hold(self, replica: int, on: bool, now_s: float) -> None:
        assert self.lives[replica] != st.OPEN
        self.state.accepting[replica] = st.HOLDS if on else st.CLOSED_TO_ALL
        if not on:
            self._take_off(replica)

    def _change(self, replica: int, life: int, now_s: float) -> None:
        self.settle(now_s)
        if life == st.OFF and self.lives[replica] != st.OFF:
            self._ended_s[replica] = now_s
        if life != self.lives[replica]:
            names = ("off", "starting", "open", "draining", "down")
            self.log.append((now_s, replica, names[life]))
        self.lives[replica] = life

    def _off_if_done(self, replica: int, now_s: float) -> None:
        first = replica // self._ranks * self._ranks
        ranks = range(first, first + self._ranks)
        if all(self.lives[rank] == st.DRAINING and not self.state.outstanding[rank] for rank in ranks):
            for rank in ranks:
                self._change(rank, st.OFF, now_s)

    def _take_off(self, replica: int) -> None:
        for job in [job for job in self._jobs if job.replica == replica]:
            self._remove(job)
            self.lost.append(job)

    def _remove(self, job: Job) -> None:
        self._jobs.remove(job)
        self.state.outstanding[job.replica] -= 1
