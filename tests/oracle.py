"""The serving engine, said again the slow way: one step at a time, in plain Python lists.

Read this first to learn what a replica does, then `oracle_fleet.py` (who is sent where, what clients and the control
plane do) and what it builds on: `oracle_api.py`, `oracle_balancers.py`, `oracle_clients.py`. `sim/engine` must give
the same times for every request, and `tests/test_exactness.py` holds it to that. Nothing is skipped here and nothing is
shared with the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, inf

from sim.steptime import StepTime

BLOCK_TOKENS = 16
NO_LIMIT = 1 << 62

OFF, STARTING, OPEN, DRAINING, DOWN = "off", "starting", "open", "draining", "down"
"""Lives of a replica. Only an open one begins on requests that are sent to it; a draining one works on what it has."""


@dataclass(eq=False)
class Job:
    """One request as its client knows it: what it asks for, how often it was sent, what came of it in the end."""

    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    priority: int = 0
    luck: float = 0.0
    api_luck: tuple[float, float] = (0.0, 0.0)
    stream: int = 0
    strategy: int = 0
    loop: int | None = None
    """Closed-loop clients that sent it and wait for it."""

    number: int | None = None
    status: str = "unfinished"
    replica: int | None = None
    """Of its last attempt."""
    first_token_s: float | None = None
    finish_s: float | None = None
    retries: int = 0
    resend_s: float = inf
    """When its client, who is backing off, sends it again."""
    attempts: list[Attempt] = field(default_factory=list)
    awaited: Attempt | None = None
    """The attempt that its client waits for."""

    @property
    def cost(self) -> float:
        return sum(attempt.cost for attempt in self.attempts)

    @property
    def preemptions(self) -> int:
        return sum(attempt.preemptions for attempt in self.attempts)


@dataclass(eq=False)
class Attempt:
    """A request sent once: how far it is, at the place it was sent to."""

    job: Job
    sent_s: float = 0.0
    deadline_s: float = inf
    """Its client goes away if it has no answer by then; an answer at the very time is in time."""

    produced: int = 0
    target: int = 0
    prefilled: int = 0
    chunk: int = 0
    kv_tokens: int = 0
    admission: int = 0
    first_token_s: float | None = None
    preemptions: int = 0

    ghost: bool = False
    """Its client is gone, the replica notices at the end of its step."""
    cost: float = 0.0
    line: str = "busy"
    """Line of the bill that its cost belongs to."""

    @property
    def tokens(self) -> int:
        return self.job.prompt_tokens + self.job.output_tokens

    @property
    def priority(self) -> int:
        return self.job.priority


@dataclass(frozen=True)
class Server:
    """A replica's settings."""

    step_time: StepTime
    kv_capacity_tokens: int
    usd_per_s: float = 1.0
    chunked: bool = True
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    max_model_len: int = NO_LIMIT
    always_paid: bool = True
    tier: int = 0
    spill_at: int = NO_LIMIT
    max_outstanding: int = NO_LIMIT


@dataclass
class Replica:
    """Queues, rows and the step under way."""

    server: Server
    life: str = OPEN
    holding: bool = False
    """Off or starting, it takes requests into its queue."""
    usd_per_s: float = 0.0
    waiting: list[list[Attempt]] = field(default_factory=lambda: [[], [], []])
    prefilling: list[Attempt] = field(default_factory=list)
    rows: list[Attempt] = field(default_factory=list)
    rows_in_step: list[Attempt] = field(default_factory=list)
    rows_share: float = 0.0
    """Share of the step under way that its decode rows pay, equally; its prompts pay the rest, by tokens."""
    step_end_s: float = inf
    wakes: bool = False
    admissions: int = 0
    charged_s: float = 0.0
    ended_s: float = 0.0
    """When it last went off."""
    seconds: dict[str, float] = field(default_factory=dict)
    """That were paid: busy, or by what it did instead."""
    usd: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.usd_per_s = self.server.usd_per_s

    @property
    def accepting(self) -> int:
        """1: takes requests; 2: takes them, but begins only when it opens; 0: takes none."""
        if self.life == OPEN:
            return 1
        return 2 if self.holding else 0

    @property
    def working(self) -> bool:
        return self.step_end_s < inf and not self.wakes

    @property
    def outstanding(self) -> int:
        return sum(map(len, self.waiting)) + len(self.prefilling) + len(self.rows)

    @property
    def free_blocks(self) -> int:
        capacity = self.server.kv_capacity_tokens // BLOCK_TOKENS
        prefilling = sum(blocks(attempt.target) for attempt in self.prefilling)
        return capacity - prefilling - sum(blocks(attempt.kv_tokens) for attempt in self.rows)

    def holds(self, job: Job) -> bool:
        tokens = job.prompt_tokens + job.output_tokens
        needed = blocks(tokens - 1)
        return tokens <= self.server.max_model_len and needed <= self.server.kv_capacity_tokens // BLOCK_TOKENS

    def has_room(self, job: Job, now_s: float) -> bool:
        return True

    def growth(self) -> int:
        """Blocks that the rows need for one more token each."""
        return sum(blocks(row.kv_tokens + 1) - blocks(row.kv_tokens) for row in self.rows)

    def live(self, life: str, now_s: float) -> None:
        """Begin another life; the time until now is paid as before."""
        self.charge(now_s)
        if life == OFF != self.life:
            self.ended_s = now_s
        self.life = life

    def receive(self, attempt: Attempt, now_s: float) -> None:
        attempt.target = attempt.job.prompt_tokens
        self.waiting[attempt.priority].append(attempt)
        self.wake(now_s)

    def wake(self, now_s: float) -> None:
        """Have an open replica that has nothing under way begin, once all that comes at this instant is there."""
        if self.life == OPEN and self.step_end_s == inf and self.outstanding:
            self.step_end_s, self.wakes = now_s, True

    def abandon(self, attempt: Attempt, now_s: float) -> bool:
        """Its client is gone: true if it leaves the queue at once; what is under way stays to the end of the step."""
        if attempt in self.waiting[attempt.priority]:
            self.waiting[attempt.priority].remove(attempt)
        else:
            attempt.ghost = True
        return not attempt.ghost

    def clear(self) -> list[Attempt]:
        """Lose everything, the step under way included; returns what was there, by number."""
        lost = sorted(self.everything, key=lambda attempt: attempt.job.number or 0)
        self.waiting, self.prefilling, self.rows, self.rows_in_step = [[], [], []], [], [], []
        self.step_end_s, self.wakes = inf, False
        return lost

    @property
    def everything(self) -> list[Attempt]:
        return [*self.waiting[0], *self.waiting[1], *self.waiting[2], *self.prefilling, *self.rows]

    def charge(self, now_s: float) -> None:
        """Book the time since it was booked last: to what is in the step under way, or to what it does instead."""
        elapsed_s, self.charged_s = now_s - self.charged_s, now_s
        usd = elapsed_s * self.usd_per_s
        if self.working:
            self.charge_step(usd)
            self.book("busy", elapsed_s, usd)
        elif self.life in (OPEN, STARTING, DRAINING) or self.server.always_paid:
            self.book("idle" if self.life == OPEN else self.life, elapsed_s, usd)

    def charge_step(self, usd: float) -> None:
        prompt_tokens = sum(attempt.chunk for attempt in self.prefilling)
        for attempt in self.rows_in_step:
            attempt.cost += usd * self.rows_share / len(self.rows_in_step)
        for attempt in self.prefilling:
            if prompt_tokens:
                attempt.cost += usd * (1.0 - self.rows_share) * attempt.chunk / prompt_tokens

    def book(self, line: str, seconds: float, usd: float) -> None:
        self.seconds[line] = self.seconds.get(line, 0.0) + seconds
        self.usd[line] = self.usd.get(line, 0.0) + usd

    def end_step(self, now_s: float) -> list[Attempt]:
        """Every row of the step has one more token, every prompt its chunk; returns those that are done, and ghosts."""
        self.charge(now_s)
        for attempt in self.rows_in_step:
            attempt.produced += 1
            attempt.kv_tokens += 1
        for attempt in [attempt for attempt in self.prefilling if attempt.chunk]:
            self.end_chunk(attempt, now_s)
        leave = [attempt for attempt in self.rows if attempt.ghost or attempt.produced == attempt.job.output_tokens]
        leave += [attempt for attempt in self.prefilling if attempt.ghost]
        self.rows = [attempt for attempt in self.rows if attempt not in leave]
        self.prefilling = [attempt for attempt in self.prefilling if attempt not in leave]
        return leave

    def end_chunk(self, attempt: Attempt, now_s: float) -> None:
        """A prompt read to its end gives a token and joins the rows."""
        attempt.prefilled += attempt.chunk
        attempt.chunk = 0
        if attempt.prefilled == attempt.target:
            self.prefilling.remove(attempt)
            self.rows.append(attempt)
            attempt.kv_tokens = attempt.target
            attempt.produced += 1
            attempt.first_token_s = now_s if attempt.first_token_s is None else attempt.first_token_s

    def seen(self, attempt: Attempt, now_s: float) -> tuple[float, float]:
        """When its client sees first and last token: the server's front end is later than the steps say."""
        law, first_s = self.server.step_time, attempt.first_token_s or 0.0
        tpot_s = (now_s - first_s) / max(attempt.job.output_tokens - 1, 1)
        later_s = law.front_end_s + law.front_end_steps * tpot_s
        return first_s + later_s, now_s + later_s

    def begin_step(self, now_s: float) -> None:
        self.charge(now_s)
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
        """Seconds of the step, and who will pay for them; infinite if there is nothing to do."""
        prompt_tokens = sum(attempt.chunk for attempt in self.prefilling)
        rows = len(self.rows_in_step)
        if not rows and not prompt_tokens:
            return inf
        kv_tokens = sum(attempt.kv_tokens + 1 for attempt in self.rows_in_step)
        law = self.server.step_time
        rows_s = law.decode_step_s(rows, kv_tokens) if rows else 0.0
        step_s = law.mixed_step_s(rows, kv_tokens, prompt_tokens, pairs) if prompt_tokens else rows_s
        self.rows_share = rows_s / step_s
        return step_s

    def fill_chunked(self) -> float:
        """Prompt slices for the tokens left: by class, those already begun first, then newcomers."""
        pairs, blocked = 0.0, False
        for c in range(3):
            for attempt in [attempt for attempt in self.prefilling if attempt.priority == c]:
                pairs += self.take(attempt, min(attempt.target - attempt.prefilled, self.budget()))
            while self.waiting[c] and not blocked and self.budget() > 0:
                attempt = self.waiting[c][0]
                blocked = not self.make_way(attempt, rows_advance=True)
                if not blocked:
                    self.admit(attempt)
                    pairs += self.take(attempt, min(attempt.target, self.budget()))
        return pairs

    def fill_prompts(self) -> float:
        """Whole prompts up to the token limit, or one that is longer than it."""
        pairs = 0.0
        for c in range(3):
            while self.waiting[c]:
                attempt = self.waiting[c][0]
                tokens = sum(other.chunk for other in self.prefilling)
                too_many = tokens and tokens + attempt.target > self.server.max_num_batched_tokens
                if too_many or not self.make_way(attempt, rows_advance=False):
                    return pairs
                self.admit(attempt)
                pairs += self.take(attempt, attempt.target)
        return pairs

    def budget(self) -> int:
        chunks = sum(attempt.chunk for attempt in self.prefilling)
        return self.server.max_num_batched_tokens - len(self.rows) - chunks

    def take(self, attempt: Attempt, tokens: int) -> float:
        attempt.chunk = tokens
        return sum(attempt.prefilled + i for i in range(1, tokens + 1))

    def admit(self, attempt: Attempt) -> None:
        self.waiting[attempt.priority].remove(attempt)
        self.prefilling.append(attempt)
        self.admissions += 1
        attempt.admission = self.admissions

    def fits(self, attempt: Attempt, rows_advance: bool, without: Sequence[Attempt] = ()) -> bool:
        rows = [row for row in self.rows if row not in without]
        seqs = len(self.rows) + len(self.prefilling) - len(without)
        free = self.free_blocks + sum(blocks(max(gone.kv_tokens, gone.target)) for gone in without)
        if rows_advance:
            free -= sum(blocks(row.kv_tokens + 1) - blocks(row.kv_tokens) for row in rows)
        return seqs < self.server.max_num_seqs and blocks(attempt.target) <= free

    def make_way(self, attempt: Attempt, rows_advance: bool) -> bool:
        """True if the attempt fits, after preempting lower classes if that is enough."""
        lower = [other for other in self.rows + self.prefilling if other.priority > attempt.priority]
        if not self.fits(attempt, rows_advance, without=lower):
            return False
        while not self.fits(attempt, rows_advance):
            self.preempt_newest()
        return True

    def make_room(self) -> None:
        while self.growth() > self.free_blocks:
            self.preempt_newest()

    def preempt_newest(self) -> None:
        newest = max(self.rows + self.prefilling, key=lambda attempt: (attempt.priority, attempt.admission))
        (self.rows if newest in self.rows else self.prefilling).remove(newest)
        newest.target = newest.job.prompt_tokens + newest.produced
        newest.prefilled = newest.chunk = newest.kv_tokens = 0
        newest.preemptions += 1
        self.waiting[newest.priority].insert(0, newest)


class NearTie(Exception):
    """Two events at times that are one but for the order of summation."""


def is_near_tie(times_s: Iterable[float]) -> bool:
    first_s, second_s = sorted(times_s)[:2]
    return second_s - first_s < 1e-10


def blocks(tokens: int) -> int:
    return ceil(tokens / BLOCK_TOKENS)
