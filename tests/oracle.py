"""The serving engine, said again the slow way: one step at a time, in plain Python lists.

Read this first to learn what a replica does; `sim/engine` must give the same times for every request, and
`tests/test_exactness.py` holds it to that. Nothing is skipped here and nothing is shared with the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import ceil, inf

from sim.steptime import StepTime

BLOCK_TOKENS = 16


@dataclass(eq=False)
class Job:
    """One request: what it asks for, how far it is, and what is known of it in the end."""

    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    priority: int = 0
    luck: float = 0.0
    client: int | None = None

    produced: int = 0
    target: int = 0
    prefilled: int = 0
    chunk: int = 0
    kv_tokens: int = 0
    admission: int = 0

    number: int | None = None
    status: str = "unfinished"
    replica: int | None = None
    first_token_s: float | None = None
    finish_s: float | None = None
    cost: float = 0.0
    preemptions: int = 0


@dataclass(frozen=True)
class Server:
    """A replica's settings."""

    step_time: StepTime
    kv_capacity_tokens: int
    usd_per_s: float = 1.0
    chunked: bool = True
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    max_model_len: int = 1 << 62


@dataclass
class Replica:
    """Queues, rows and the step under way."""

    server: Server
    accepting: bool = True
    waiting: list[list[Job]] = field(default_factory=lambda: [[], [], []])
    prefilling: list[Job] = field(default_factory=list)
    rows: list[Job] = field(default_factory=list)
    rows_in_step: list[Job] = field(default_factory=list)
    step_end_s: float = inf
    wakes: bool = False
    admissions: int = 0
    busy_s: float = 0.0

    @property
    def outstanding(self) -> int:
        return sum(map(len, self.waiting)) + len(self.prefilling) + len(self.rows)

    @property
    def free_blocks(self) -> int:
        capacity = self.server.kv_capacity_tokens // BLOCK_TOKENS
        prefilling = sum(blocks(job.target) for job in self.prefilling)
        return capacity - prefilling - sum(blocks(job.kv_tokens) for job in self.rows)

    def holds(self, job: Job) -> bool:
        tokens = job.prompt_tokens + job.output_tokens
        needed = blocks(tokens - 1)
        return tokens <= self.server.max_model_len and needed <= self.server.kv_capacity_tokens // BLOCK_TOKENS

    def growth(self) -> int:
        """Blocks that the rows need for one more token each."""
        return sum(blocks(job.kv_tokens + 1) - blocks(job.kv_tokens) for job in self.rows)

    def receive(self, job: Job, now_s: float) -> None:
        job.target = job.prompt_tokens
        self.waiting[job.priority].append(job)
        if self.step_end_s == inf:
            self.step_end_s, self.wakes = now_s, True

    def end_step(self, now_s: float) -> list[Job]:
        """Every row of the step has one more token, every prompt its chunk; returns the jobs that are done."""
        for job in self.rows_in_step:
            job.produced += 1
            job.kv_tokens += 1
        for job in [job for job in self.prefilling if job.chunk]:
            job.prefilled += job.chunk
            job.chunk = 0
            if job.prefilled == job.target:
                self.prefilling.remove(job)
                self.rows.append(job)
                job.kv_tokens = job.target
                job.produced += 1
                job.first_token_s = now_s if job.first_token_s is None else job.first_token_s
        done = [job for job in self.rows if job.produced == job.output_tokens]
        for job in done:
            job.status = "completed"
            self.rows.remove(job)
            self.tell(job, now_s)
        return done

    def tell(self, job: Job, now_s: float) -> None:
        """Its client sees the job through the server's front end: first token and last later than the steps say."""
        law, first_s = self.server.step_time, job.first_token_s or 0.0
        tpot_s = (now_s - first_s) / max(job.output_tokens - 1, 1)
        later_s = law.front_end_s + law.front_end_steps * tpot_s
        job.first_token_s, job.finish_s = first_s + later_s, now_s + later_s

    def begin_step(self, now_s: float) -> None:
        self.wakes = False
        if self.server.chunked:
            self.make_room()
            pairs = self.fill_chunked()
            self.rows_in_step = list(self.rows)
        else:
            pairs = self.fill_prompts()
            self.rows_in_step = []
            if not self.prefilling:
                self.make_room()
                self.rows_in_step = list(self.rows)
        self.step_end_s = now_s + self.step_s(pairs)

    def step_s(self, pairs: float) -> float:
        """Seconds of the step, which are charged as they are planned."""
        prompt_tokens = sum(job.chunk for job in self.prefilling)
        rows = len(self.rows_in_step)
        if not rows and not prompt_tokens:
            return inf
        kv_tokens = sum(job.kv_tokens + 1 for job in self.rows_in_step)
        law = self.server.step_time
        rows_s = law.decode_step_s(rows, kv_tokens) if rows else 0.0
        step_s = law.mixed_step_s(rows, kv_tokens, prompt_tokens, pairs) if prompt_tokens else rows_s
        for job in self.rows_in_step:
            job.cost += rows_s / rows * self.server.usd_per_s
        for job in self.prefilling:
            if prompt_tokens:
                job.cost += (step_s - rows_s) * job.chunk / prompt_tokens * self.server.usd_per_s
        self.busy_s += step_s
        return step_s

    def fill_chunked(self) -> float:
        """Prompt slices for the tokens left: by class, those already begun first, then newcomers."""
        pairs, blocked = 0.0, False
        for c in range(3):
            for job in [job for job in self.prefilling if job.priority == c]:
                pairs += self.take(job, min(job.target - job.prefilled, self.budget()))
            while self.waiting[c] and not blocked and self.budget() > 0:
                job = self.waiting[c][0]
                blocked = not self.make_way(job, rows_advance=True)
                if not blocked:
                    self.admit(job)
                    pairs += self.take(job, min(job.target, self.budget()))
        return pairs

    def fill_prompts(self) -> float:
        """Whole prompts up to the token limit, or one that is longer than it."""
        pairs = 0.0
        for c in range(3):
            while self.waiting[c]:
                job = self.waiting[c][0]
                tokens = sum(other.chunk for other in self.prefilling)
                too_many = tokens and tokens + job.target > self.server.max_num_batched_tokens
                if too_many or not self.make_way(job, rows_advance=False):
                    return pairs
                self.admit(job)
                pairs += self.take(job, job.target)
        return pairs

    def budget(self) -> int:
        chunks = sum(job.chunk for job in self.prefilling)
        return self.server.max_num_batched_tokens - len(self.rows) - chunks

    def take(self, job: Job, tokens: int) -> float:
        job.chunk = tokens
        return sum(job.prefilled + i for i in range(1, tokens + 1))

    def admit(self, job: Job) -> None:
        self.waiting[job.priority].remove(job)
        self.prefilling.append(job)
        self.admissions += 1
        job.admission = self.admissions

    def fits(self, job: Job, rows_advance: bool, without: Sequence[Job] = ()) -> bool:
        rows = [row for row in self.rows if row not in without]
        seqs = len(self.rows) + len(self.prefilling) - len(without)
        free = self.free_blocks + sum(blocks(max(gone.kv_tokens, gone.target)) for gone in without)
        if rows_advance:
            free -= sum(blocks(row.kv_tokens + 1) - blocks(row.kv_tokens) for row in rows)
        return seqs < self.server.max_num_seqs and blocks(job.target) <= free

    def make_way(self, job: Job, rows_advance: bool) -> bool:
        """True if the job fits, after preempting lower classes if that is enough."""
        lower = [other for other in self.rows + self.prefilling if other.priority > job.priority]
        if not self.fits(job, rows_advance, without=lower):
            return False
        while not self.fits(job, rows_advance):
            self.preempt_newest()
        return True

    def make_room(self) -> None:
        while self.growth() > self.free_blocks:
            self.preempt_newest()

    def preempt_newest(self) -> None:
        job = max(self.rows + self.prefilling, key=lambda job: (job.priority, job.admission))
        (self.rows if job in self.rows else self.prefilling).remove(job)
        job.target = job.prompt_tokens + job.produced
        job.prefilled = job.chunk = job.kv_tokens = 0
        job.preemptions += 1
        self.waiting[job.priority].insert(0, job)


class NearTie(Exception):
    """Two events at times that are one but for the order of summation."""


def is_near_tie(times_s: Sequence[float]) -> bool:
    first_s, second_s = sorted(times_s)[:2]
    return second_s - first_s < 1e-10


def blocks(tokens: int) -> int:
    return ceil(tokens / BLOCK_TOKENS)


Balancer = Callable[[list[Replica], Job], int | None]


class RoundRobin:
    """The next open replica in turn."""

    def __init__(self) -> None:
        self.turn = 0

    def __call__(self, replicas: list[Replica], job: Job) -> int | None:
        for i in range(len(replicas)):
            r = (self.turn + i) % len(replicas)
            if replicas[r].accepting and replicas[r].holds(job):
                self.turn = r + 1
                return r
        return None


class LeastOutstanding(RoundRobin):
    """The open replica with fewest jobs; of equals the next in turn."""

    def __call__(self, replicas: list[Replica], job: Job) -> int | None:
        turns = [(self.turn + i) % len(replicas) for i in range(len(replicas))]
        open_ = [r for r in turns if replicas[r].accepting and replicas[r].holds(job)]
        if not open_:
            return None
        best = min(open_, key=lambda r: replicas[r].outstanding)
        self.turn = best + 1
        return best


class PowerOfTwo:
    """The less loaded of two different open replicas, drawn by the job's luck."""

    def __call__(self, replicas: list[Replica], job: Job) -> int | None:
        open_ = [r for r, replica in enumerate(replicas) if replica.accepting and replica.holds(job)]
        if len(open_) < 2:
            return open_[0] if open_ else None
        first = int(job.luck * len(open_))
        rest = open_[:first] + open_[first + 1 :]
        second = int((job.luck * len(open_) - first) * len(rest))
        return min(open_[first], rest[second], key=lambda r: replicas[r].outstanding)


def serve_slowly(
    servers: Sequence[Server],
    jobs: Sequence[Job],
    balancer: Balancer,
    *,
    until_s: float = inf,
    closed: Sequence[tuple[int, float, list[Job]]] = (),
    exact_ties: bool = True,
) -> list[Replica]:
    """Serve `jobs`, sorted by arrival, and the jobs of closed-loop clients (clients, think time, their jobs).

    At one instant jobs arrive first, then steps end and begin, then clients send, then idle replicas begin.
    Fills in the jobs, numbered as they come; returns the replicas as they are at `until_s`.

    Raises:
        NearTie: unless `exact_ties`, where two events are equal but for rounding, so that their order means nothing.
    """
    replicas = [Replica(server) for server in servers]
    arrivals = list(jobs)
    clients = [[0.0] * some for some, _, _ in closed]
    unsent = [list(todo) for _, _, todo in closed]
    numbers = count()
    while True:
        arrival_s = arrivals[0].arrival_s if arrivals else inf
        sending = [(min(times), c) for c, times in enumerate(clients) if times and unsent[c]]
        client_s, c = min(sending, default=(inf, 0))
        r = min(range(len(replicas)), key=lambda r: (replicas[r].step_end_s, replicas[r].wakes))
        now_s = min(arrival_s, client_s, replicas[r].step_end_s)
        if now_s >= until_s or now_s == inf:
            return replicas
        ends_s = [replica.step_end_s for replica in replicas if not replica.wakes]
        if not exact_ties and now_s > 0.0 and is_near_tie([arrival_s, client_s, *ends_s]):
            raise NearTie
        if arrival_s == now_s:
            job = arrivals.pop(0)
        elif client_s == now_s and not (replicas[r].step_end_s == now_s and not replicas[r].wakes):
            clients[c].remove(client_s)
            job = unsent[c].pop(0)
            job.arrival_s, job.client = now_s, c
        else:
            for done in replicas[r].end_step(now_s):
                if done.client is not None and done.finish_s is not None:
                    clients[done.client].append(done.finish_s + closed[done.client][1])
            replicas[r].begin_step(now_s)
            continue
        job.number = next(numbers)
        job.replica = balancer(replicas, job)
        if job.replica is None:
            job.status = "no_replica" if any(replica.holds(job) for replica in replicas) else "too_long"
            if job.client is not None:
                clients[job.client].append(now_s + 1.0 + closed[job.client][1])
        else:
            replicas[job.replica].receive(job, now_s)
