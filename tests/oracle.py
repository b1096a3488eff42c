"""The serving engine, said again the slow way: one step at a time, in plain Python lists.

Read this first to learn what a replica does; then `oracle_families.py` (a request's way through its strategy) and
`oracle_prefixes.py` (what of its KV is kept), which it builds on; then `oracle_fleet.py` (who is sent where, what
clients and the control plane do) with `oracle_api.py`, `oracle_balancers.py`, `oracle_clients.py` and
`oracle_contexts.py`. `sim/engine` must give the same times for every request, and `tests/test_exactness.py` holds it to
that. Nothing is skipped here and nothing is shared with the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from typing import TypeAlias

from sim.steptime import StepTime
from tests.oracle_families import NO_LIMIT, Attempt, Branch, Job
from tests.oracle_prefixes import BLOCK_TOKENS, Key, PrefixCache, Segment, floor16

__all__ = [
    "BLOCK_TOKENS",
    "NO_LIMIT",
    "Attempt",
    "Branch",
    "Job",
    "NearTie",
    "Replica",
    "Server",
    "blocks",
    "is_near_tie",
]

OFF, STARTING, OPEN, DRAINING, DOWN = "off", "starting", "open", "draining", "down"
"""Lives of a replica. Only an open one begins on requests that are sent to it; a draining one works on what it has."""

SLEEP = 2
"""The class of sleep work, which yields to all others."""
Hit: TypeAlias = tuple[Segment | None, int]
"""A segment, and how many tokens of it are of use; or none and none."""
FEWEST_SLICE_TOKENS = 16
"""A slice of sleep work beside other requests is at least this long, or all that is left."""


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
    prefix_cache: bool = True
    """Whether what requests on a context have read is kept for later ones."""
    sleep_slowdown: float = 0.0
    sleep_step_tokens: int = NO_LIMIT


@dataclass
class Replica:
    """Queues, rows and the step under way."""

    server: Server
    life: str = OPEN
    exact_ties: bool = True
    holding: bool = False
    """Off or starting, it takes requests into its queue."""
    usd_per_s: float = 0.0
    held: list[Branch] = field(default_factory=list)
    """They wait until their leader has read the prompt."""
    waiting: list[list[Branch]] = field(default_factory=lambda: [[], [], []])
    prefilling: list[Branch] = field(default_factory=list)
    rows: list[Branch] = field(default_factory=list)
    rows_in_step: list[Branch] = field(default_factory=list)
    rows_share: float = 0.0
    """Share of the step under way that its decode rows pay, equally; its prompts pay the rest, by tokens."""
    cache: PrefixCache = field(default_factory=PrefixCache)
    step_end_s: float = inf
    wakes: bool = False
    admissions: int = 0
    preemptions: int = 0
    recomputed_tokens: int = 0
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
    def everything(self) -> list[Branch]:
        waiting = [branch for queue in self.waiting for branch in queue]
        return [*self.held, *waiting, *self.admitted]

    @property
    def admitted(self) -> list[Branch]:
        return [*self.prefilling, *self.rows]

    @property
    def outstanding(self) -> int:
        """Branches that are not sleep work."""
        return sum(branch.priority != SLEEP for branch in self.everything)

    @property
    def asleep(self) -> int:
        return sum(branch.priority == SLEEP for branch in self.everything)

    def load(self, priority: int) -> int:
        """What stands before a newcomer: to others sleep work is as nothing."""
        return self.outstanding + (self.asleep if priority == SLEEP else 0)

    # Memory.

    @property
    def capacity(self) -> int:
        return self.server.kv_capacity_tokens // BLOCK_TOKENS

    @property
    def blocks_used(self) -> int:
        return sum(own_blocks(branch) for branch in self.admitted) + self.cache.used_blocks

    @property
    def free_blocks(self) -> int:
        """What is kept for later requests only is free."""
        return self.capacity - self.blocks_used

    def growth(self, without: Sequence[Branch] = ()) -> int:
        """Blocks that the rows need for one more token each."""
        rows = [row for row in self.rows if row not in without]
        return sum(blocks(row.kv_tokens + 1) - blocks(row.kv_tokens) for row in rows)

    def evict(self) -> None:
        self.cache.shrink(self.free_blocks)

    def holds(self, branch: Branch) -> bool:
        return branch.tokens <= self.server.max_model_len and blocks(branch.tokens - 1) <= self.capacity

    def has_room(self, branch: Branch, now_s: float) -> bool:
        return True

    # What is found of a prompt, and what is kept of it.

    def hits(self, branch: Branch) -> list[tuple[Segment, int]]:
        """The segments that hold the first tokens of what a branch must read, best first, and how many it can use."""
        there = [self.cache.segments[key] for key in self.names(branch) if key in self.cache.segments]
        return [(segment, usable) for segment in there if (usable := self.usable(segment, branch))]

    def usable(self, segment: Segment, branch: Branch) -> int:
        limits = {branch.context_key: branch.job.prefix_tokens, branch.text_key: branch.job.text_tokens}
        return floor16(min(segment.tokens, limits.get(segment.key, NO_LIMIT), branch.target - 1))

    def names(self, branch: Branch) -> list[Key]:
        """Under which its beginning may be found, best first: its group's prompt, the branch before, its context with
        notes and without."""
        group = branch.group_key if branch.leader else None
        contexts = (branch.context_key, branch.text_key) if self.server.prefix_cache else ()
        return [key for key in (group, branch.parent_key, *contexts) if key is not None]

    def affinity(self, branch: Branch) -> int:
        """Tokens of a newcomer's context that it could use here."""
        if not self.server.prefix_cache:
            return 0
        job, found = branch.job, 0
        for key, limit in ((branch.context_key, job.prefix_tokens), (branch.text_key, job.text_tokens)):
            if found == 0 and key in self.cache.segments:
                found = floor16(min(self.cache.segments[key].tokens, limit, branch.prompt_tokens - 1))
        return found

    def cut(self, segment: Segment, usable: int, branch: Branch) -> int:
        """Blocks to cut off a spare segment of a context behind whose usable tokens the text has changed."""
        changed = segment.key == branch.context_key and branch.job.prefix_tokens < segment.tokens
        return (segment.tokens - usable) // BLOCK_TOKENS if changed and segment.is_spare else 0

    def publish_prompt(self, branch: Branch) -> None:
        """Its prompt is read: what later requests on its context may share, and what its followers will."""
        job = branch.job
        if self.server.prefix_cache and branch.context_key:
            self.keep_context(branch, branch.context_key, min(job.keep_tokens, branch.prompt_tokens))
        if branch.leader is None and branch.group_key and branch.group_key not in self.cache.segments:
            segment = self.keep(branch, branch.group_key, branch.prompt_tokens)
            self.refer(branch, segment)

    def keep_context(self, branch: Branch, key: Key, tokens: int) -> None:
        """Have a context's segment hold so many tokens, if it is this branch's to make or to make longer."""
        segment = self.cache.segments.get(key)
        if segment is None:
            self.refer(branch, self.keep(branch, key, tokens))
        elif branch.segment is segment and branch.shared_blocks * BLOCK_TOKENS == segment.tokens:
            more = max(tokens // BLOCK_TOKENS - branch.shared_blocks, 0)
            segment.blocks += more
            segment.tokens += more * BLOCK_TOKENS
            branch.shared_blocks += more

    def keep(self, branch: Branch, key: Key, tokens: int) -> Segment | None:
        """A new segment of what a branch owns of its first tokens; None if it owns nothing of them."""
        more = tokens // BLOCK_TOKENS - branch.shared_blocks
        return self.cache.make(key, floor16(tokens), more, branch.segment) if more > 0 else None

    def refer(self, branch: Branch, segment: Segment | None) -> None:
        """A branch refers to a segment that it has just made."""
        if segment is not None:
            self.cache.refer(segment)
            if branch.segment:
                self.cache.release(branch.segment)
            branch.segment, branch.shared_blocks = segment, segment.tokens // BLOCK_TOKENS

    def publish_end(self, branch: Branch) -> None:
        """It has said its last token, whose KV nobody needs: what it leaves for later requests, or the next stage."""
        key, kv_tokens = branch.end_key, branch.prompt_tokens + branch.output_tokens - 1
        if key is None:
            return
        if key == branch.context_key:
            if self.server.prefix_cache:
                self.keep_context(branch, key, min(branch.end_tokens, kv_tokens))
        else:
            self.keep(branch, key, kv_tokens)

    def let_go(self, branch: Branch) -> None:
        """A branch refers to nothing any more."""
        if branch.segment:
            self.cache.release(branch.segment)
        branch.segment, branch.shared_blocks = None, 0

    # Life.

    def live(self, life: str, now_s: float) -> None:
        """Begin another life; the time until now is paid as before."""
        self.charge(now_s)
        if life == OFF != self.life:
            self.ended_s = now_s
        if life in (OFF, DOWN):
            self.cache = PrefixCache()
        self.life = life

    def receive(self, branches: Sequence[Branch], now_s: float) -> None:
        """The branches of a stage come: those that read a prompt queue, the others wait for them."""
        for branch in branches:
            (self.held if branch.leader else self.waiting[branch.priority]).append(branch)
        self.wake(now_s)

    def wake(self, now_s: float) -> None:
        """Have an open replica that has nothing under way begin, once all that comes at this instant is there."""
        if self.life == OPEN and self.step_end_s == inf and self.everything:
            self.step_end_s, self.wakes = now_s, True

    def abandon(self, branch: Branch, now_s: float) -> None:
        """Its client is gone: it leaves the queue at once; what is under way stays to the end of the step."""
        for queue in (self.held, self.waiting[branch.priority]):
            if branch in queue:
                queue.remove(branch)
                branch.dropped = True

    def drop(self, branch: Branch, now_s: float) -> None:
        """Nobody needs it any more, at the end of a step."""
        self.abandon(branch, now_s)
        if not branch.dropped:
            self.leave(branch)
            branch.dropped = True

    def leave(self, branch: Branch) -> None:
        """An admitted branch goes, its memory is free."""
        (self.rows if branch in self.rows else self.prefilling).remove(branch)
        self.let_go(branch)

    def clear(self) -> list[Branch]:
        """Lose everything, the step under way included; returns what was there."""
        lost = self.everything
        for branch in lost:
            branch.segment, branch.shared_blocks = None, 0
        self.held, self.waiting, self.prefilling, self.rows, self.rows_in_step = [], [[], [], []], [], [], []
        self.cache = PrefixCache()
        self.step_end_s, self.wakes = inf, False
        return lost

    # Who pays.

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
        for branch in self.rows_in_step:
            branch.cost += usd * self.rows_share / len(self.rows_in_step)
        for branch in self.prefilling:
            if branch.chunk:
                branch.cost += usd * (1.0 - self.rows_share) * branch.chunk / self.prompt_tokens

    def book(self, line: str, seconds: float, usd: float) -> None:
        self.seconds[line] = self.seconds.get(line, 0.0) + seconds
        self.usd[line] = self.usd.get(line, 0.0) + usd

    # The end of a step.

    def end_step(self, now_s: float) -> list[Branch]:
        """Every row of the step has one more token, every prompt its chunk; returns those that end, and ghosts."""
        self.charge(now_s)
        for branch in self.rows_in_step:
            branch.produced += 1
            branch.kv_tokens += 1
        self.evict()
        gone = self.end_rows(now_s)
        for branch in sorted(self.prefilling, key=lambda branch: branch.priority):
            if branch.chunk:
                self.end_chunk(branch, now_s)
                gone += self.end_rows(now_s)
        for branch in sorted((branch for branch in self.admitted if branch.ghost), key=lambda branch: branch.order):
            self.drop(branch, now_s)
            gone.append(branch)
        return gone

    def end_rows(self, now_s: float) -> list[Branch]:
        """Rows that have said all leave; a ghost says nothing to anybody."""
        ended = [row for row in self.rows if row.produced == row.output_tokens and not row.ghost]
        for branch in sorted(ended, key=lambda branch: branch.order):
            self.publish_end(branch)
            self.leave(branch)
            branch.end_s = now_s
        return ended

    def end_chunk(self, branch: Branch, now_s: float) -> None:
        """A prompt read to its end gives a token and joins the rows; who shares it may be admitted."""
        branch.prefilled += branch.chunk
        branch.chunk = 0
        if branch.prefilled == branch.target:
            self.prefilling.remove(branch)
            self.rows.append(branch)
            branch.kv_tokens = branch.target
            branch.produced += 1
            branch.first_token_s = now_s if branch.first_token_s is None else branch.first_token_s
            self.publish_prompt(branch)
            self.release_followers(branch)

    def release_followers(self, leader: Branch) -> None:
        followers = [branch for branch in self.held if branch.leader is leader]
        self.held = [branch for branch in self.held if branch.leader is not leader]
        self.waiting[leader.priority][:0] = followers

    # The beginning of a step.

    def begin_step(self, now_s: float) -> None:
        """Say what is in the next step: something, if anybody is there.

        A row alone that uses a part of a prefix only may need more memory than there is. It makes room for itself, and
        is admitted again at once: with more of the prefix or without it there is room, and each time it has said more.
        """
        self.charge(now_s)
        self.wakes = False
        for branch in self.prefilling:
            branch.chunk = 0
        if self.others and (self.server.sleep_slowdown == 0.0 or not self.server.chunked):
            self.pause(self.sleeping_rows)
        if self.server.chunked:
            self.make_room()
            self.fill_chunked()
            self.rows_in_step = list(self.rows)
        else:
            self.fill_prompts()
            self.rows_in_step = []
            if not self.prompt_tokens:
                self.make_room()
                if not self.rows:
                    self.fill_prompts()
                self.rows_in_step = list(self.rows)
        self.step_end_s = now_s + self.step_s()

    @property
    def others(self) -> bool:
        """Whether there is work that sleep work yields to."""
        return any(branch.priority != SLEEP for branch in self.everything)

    @property
    def prompt_tokens(self) -> int:
        return sum(branch.chunk for branch in self.prefilling)

    def step_s(self) -> float:
        """Seconds of the step, and who will pay for them; infinite if there is nothing to do."""
        rows_s, step_s = self.time_of(self.rows_in_step, self.prefilling)
        self.rows_share = rows_s / step_s if step_s else 0.0
        return step_s or inf

    def time_of(self, rows: Sequence[Branch], prompts: Sequence[Branch]) -> tuple[float, float]:
        """Seconds that a step of these rows alone takes, and with these slices of prompts."""
        law, kv_tokens = self.server.step_time, sum(row.kv_tokens + 1 for row in rows)
        tokens = sum(branch.chunk for branch in prompts)
        rows_s = law.decode_step_s(len(rows), kv_tokens) if rows else 0.0
        if not tokens:
            return rows_s, rows_s
        pairs = sum(branch.prefilled + i for branch in prompts for i in range(1, branch.chunk + 1))
        slices = sum(branch.chunk > 1 for branch in prompts)
        return rows_s, law.mixed_step_s(len(rows), kv_tokens, tokens, pairs, slices)

    def fill_chunked(self) -> None:
        """Prompt slices for the tokens left: by class, those already begun first, then newcomers; then sleep work."""
        blocked = False
        for c in range(SLEEP):
            blocked = self.fill_class(c, blocked)
        if not self.others:
            self.fill_class(SLEEP, blocked)
        elif self.server.sleep_slowdown:
            self.squeeze_in(blocked)

    def fill_class(self, c: int, blocked: bool) -> bool:
        """Slices for a class; true if somebody in it, or above, did not fit."""
        for branch in [branch for branch in self.prefilling if branch.priority == c]:
            branch.chunk = min(branch.target - branch.prefilled, self.budget())
        while self.waiting[c] and not blocked and self.budget() > 0:
            branch = self.waiting[c][0]
            hit = self.make_way(branch, rows_advance=True)
            blocked = hit is None
            if hit is not None:
                self.admit(branch, hit)
                branch.chunk = min(branch.target - branch.prefilled, self.budget())
        return blocked

    def budget(self) -> int:
        """Tokens left in the step. Sleep rows beside others take what the others leave."""
        most = self.server.max_num_batched_tokens
        if not self.others:
            most = min(most, self.server.sleep_step_tokens)
        rows = [row for row in self.rows if row.priority != SLEEP or not self.others]
        return max(most - len(rows) - self.prompt_tokens, 0)

    def squeeze_in(self, blocked: bool) -> None:
        """Sleep work beside others may make their step longer by a share, no more: rows first, then slices."""
        others = [row for row in self.rows if row.priority != SLEEP]
        alone_s = self.time_of(others, self.prefilling)[1]
        most_s = alone_s + self.server.sleep_slowdown * alone_s
        while self.sleeping_rows and not self.squeezes(most_s):
            self.pause(self.sleeping_rows[:1])
        for branch in [branch for branch in self.prefilling if branch.priority == SLEEP]:
            if not self.slice(branch, most_s):
                return
        while self.waiting[SLEEP] and not blocked:
            branch = self.waiting[SLEEP][0]
            hit = self.make_way(branch, rows_advance=True)
            if hit is None:
                return
            branch.prefilled = hit[1]
            self.prefilling.append(branch)
            fits = self.slice(branch, most_s)
            chunk, branch.chunk, branch.prefilled = branch.chunk, 0, 0
            self.prefilling.remove(branch)
            if not fits:
                return
            self.admit(branch, hit)
            branch.chunk = chunk

    def squeezes(self, most_s: float) -> bool:
        """Whether the step, all rows and slices in it, is short enough and small enough."""
        step_s = self.time_of(self.rows, self.prefilling)[1]
        if not self.exact_ties and step_s != most_s and abs(step_s - most_s) < 1e-12 * step_s:
            raise NearTie
        return step_s <= most_s and self.all_tokens <= self.server.max_num_batched_tokens

    @property
    def all_tokens(self) -> int:
        return len(self.rows) + self.prompt_tokens

    def slice(self, branch: Branch, most_s: float) -> bool:
        """Give a branch of sleep work the largest slice that fits; false if that is none."""
        left = branch.target - branch.prefilled
        branch.chunk = max(min(left, self.server.max_num_batched_tokens - self.all_tokens), 0)
        while branch.chunk and not self.squeezes(most_s):
            branch.chunk //= 2
        if branch.chunk < min(FEWEST_SLICE_TOKENS, left):
            branch.chunk = 0
        return branch.chunk > 0

    @property
    def sleeping_rows(self) -> list[Branch]:
        """The newest first."""
        rows = [row for row in self.rows if row.priority == SLEEP]
        return sorted(rows, key=lambda row: -row.admission)

    def pause(self, rows: Sequence[Branch]) -> None:
        """Rows of sleep work stand aside: they keep their memory, and come back by reading their last token."""
        for row in rows:
            more = blocks(row.kv_tokens + 1) - blocks(row.kv_tokens)
            if more > self.free_blocks:
                self.preempt(row)
                continue
            self.rows.remove(row)
            self.prefilling.append(row)
            row.target = row.prompt_tokens + row.produced
            row.prefilled = row.target - 1
            self.evict()

    def fill_prompts(self) -> None:
        """Whole prompts up to the token limit, or one that is longer than it."""
        most = self.server.max_num_batched_tokens
        paused = [] if self.others else list(self.prefilling)
        for branch in paused:
            left = branch.target - branch.prefilled
            if self.prompt_tokens and self.prompt_tokens + left > most:
                return
            branch.chunk = left
        for c in range(SLEEP if self.others else SLEEP + 1):
            while self.waiting[c]:
                branch = self.waiting[c][0]
                left = branch.target - next((usable for _, usable in self.hits(branch)), 0)
                if self.prompt_tokens and self.prompt_tokens + left > most:
                    return
                hit = self.make_way(branch, rows_advance=False)
                if hit is None:
                    return
                self.admit(branch, hit)
                branch.chunk = branch.target - branch.prefilled

    # Who is admitted, and who gives way.

    def admit(self, branch: Branch, hit: Hit) -> None:
        """Take a branch off its queue, with what it found."""
        segment, usable = hit
        self.waiting[branch.priority].remove(branch)
        self.prefilling.append(branch)
        self.admissions += 1
        branch.admission, branch.prefilled = self.admissions, usable
        if segment:
            self.take(branch, segment, usable)
        if branch.cached_tokens is None:
            branch.cached_tokens = usable
        self.evict()

    def take(self, branch: Branch, segment: Segment, usable: int) -> None:
        """Refer to the segment that holds the first tokens."""
        if cut := self.cut(segment, usable, branch):
            segment.tokens, segment.blocks = usable, segment.blocks - cut
        self.cache.refer(segment)
        branch.segment, branch.shared_blocks = segment, usable // BLOCK_TOKENS

    def way_in(self, branch: Branch, rows_advance: bool) -> Hit | None:
        """What a branch would find if it were admitted now; None if there is no place or no memory for it."""
        if len(self.admitted) >= self.server.max_num_seqs:
            return None
        free = self.free_blocks - (self.growth() if rows_advance else 0)
        for segment, usable in self.hits(branch):
            resting = segment.resting_blocks - self.cut(segment, usable, branch)
            if blocks(branch.target) - usable // BLOCK_TOKENS + resting <= free:
                return segment, usable
        return (None, 0) if blocks(branch.target) <= free else None

    def fits_without(self, branch: Branch, lower: Sequence[Branch], rows_advance: bool) -> bool:
        """Whether it would fit, finding nothing, without those of lower class and what is their own."""
        others = len(self.admitted) - len(lower)
        if others == 0:
            return True
        free = self.free_blocks + sum(own_blocks(each) for each in lower)
        free -= self.growth(without=lower) if rows_advance else 0
        return others < self.server.max_num_seqs and blocks(branch.target) <= free

    def make_way(self, branch: Branch, rows_advance: bool) -> Hit | None:
        """What is found by a branch that fits, after preempting lower classes if that is enough; else None."""
        hit = self.way_in(branch, rows_advance)
        while hit is None:
            lower = [other for other in self.admitted if other.priority > branch.priority]
            if not lower or not self.fits_without(branch, lower, rows_advance):
                return None
            self.preempt_newest()
            hit = self.way_in(branch, rows_advance)
        return hit

    def make_room(self) -> None:
        while self.growth() > self.free_blocks:
            self.preempt_newest()

    def preempt_newest(self) -> None:
        self.preempt(max(self.admitted, key=lambda branch: (branch.priority, branch.admission)))

    def preempt(self, branch: Branch) -> None:
        """It loses its place and its memory, and is the first to come back."""
        kv_tokens = branch.kv_tokens if branch in self.rows else branch.prefilled
        self.recomputed_tokens += kv_tokens - BLOCK_TOKENS * branch.shared_blocks
        self.leave(branch)
        branch.target = branch.prompt_tokens + branch.produced
        branch.prefilled = branch.chunk = branch.kv_tokens = 0
        branch.preemptions += 1
        self.preemptions += 1
        self.waiting[branch.priority].insert(0, branch)


class NearTie(Exception):
    """Two events at times that are one but for the order of summation."""


def is_near_tie(times_s: Iterable[float]) -> bool:
    first_s, second_s = sorted(times_s)[:2]
    return second_s - first_s < 1e-10


def blocks(tokens: int) -> int:
    return ceil(tokens / BLOCK_TOKENS)


def own_blocks(branch: Branch) -> int:
    """Blocks that an admitted branch has to itself: those of all its tokens, but for what lies in segments."""
    return blocks(max(branch.kv_tokens, branch.target)) - branch.shared_blocks
