"""Who is in the next step: the rules of the simulator's replica, for rows that are really decoded.

`tests/oracle.py` says the same rules plainly, and `tests/test_lab_engine.py` holds this scheduler to them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sim.errors import EngineError
from sim.lab.engine.jobs import BLOCK_TOKENS, SLEEP, EngineSettings, Row, blocks
from sim.lab.engine.prefixes import Prefixes, Segment

__all__ = ["Plan", "Scheduler"]

Hit = tuple[Segment | None, int]
"""The segment that holds a row's first tokens and how many of them are of use; or none and none."""


@dataclass(frozen=True)
class Plan:
    """A step: rows that decode one token, and rows that read a slice of their prompt."""

    decoding: Sequence[Row] = ()
    reading: Sequence[Row] = ()

    @property
    def is_empty(self) -> bool:
        return not self.decoding and not self.reading

    @property
    def kv_tokens(self) -> int:
        """KV that the decodes read, their own new tokens among it."""
        return sum([row.kv_tokens for row in self.decoding]) + len(self.decoding)

    @property
    def prompt_tokens(self) -> int:
        return sum(row.unread for row in self.reading)

    @property
    def pairs(self) -> int:
        """Pairs of a prompt token with itself or one before it."""
        return sum(row.unread * row.held + row.unread * (row.unread + 1) // 2 for row in self.reading)


@dataclass(eq=False)
class Family:
    """Rows that share the leader's prompt, if others than it have come; `held` wait until it is read."""

    leader: Row
    prompt: tuple[int, ...] = ()
    alive: int = 0
    shared: bool = False
    read: bool = False
    held: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.prompt = self.leader.job.prompt


@dataclass(eq=False)
class Scheduler:
    """Queues by class, rows that are being read, rows that decode, and the blocks that they take."""

    settings: EngineSettings
    release: Callable[[Row], None]
    """Gives back the slot of a row that loses its place."""
    prefixes: Prefixes = field(default_factory=Prefixes)
    waiting: tuple[deque[Row], ...] = field(default_factory=lambda: (deque(), deque(), deque()))
    families: dict[int, Family] = field(default_factory=dict)
    """Those of which somebody is not over."""
    prefilling: list[Row] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    own_blocks: int = 0
    awake: int = 0
    """Rows, waiting or admitted, that are not sleep work."""
    admissions: int = 0
    preemptions: int = 0

    @property
    def idle(self) -> bool:
        return not self.families

    @property
    def in_queue(self) -> int:
        return sum(map(len, self.waiting)) + sum(len(family.held) for family in self.families.values())

    @property
    def admitted(self) -> list[Row]:
        return [*self.prefilling, *self.rows]

    @property
    def free_blocks(self) -> int:
        """Prefixes that nobody uses now are free."""
        return self.settings.kv_capacity_tokens // BLOCK_TOKENS - self.own_blocks - self.prefixes.used_blocks

    # Who comes and goes.

    def add(self, row: Row) -> None:
        """A new row queues, or waits for its leader if that has yet to read their prompt."""
        family = self.families.setdefault(row.family, Family(row))
        family.alive += 1
        self.awake += row.priority != SLEEP
        row.common = common(family.prompt, row.job.prompt)
        family.shared |= row is not family.leader
        if row is not family.leader and not family.read:
            family.held.append(row)
            return
        self.waiting[row.priority].append(row)
        self._publish(family)

    def remove(self, row: Row) -> None:
        """A row is over, wherever it is; if nobody else of its family is left, their prefix is forgotten."""
        family = self.families[row.family]
        if row.admission:
            self.leave(row)
        elif row in self.waiting[row.priority]:
            self.waiting[row.priority].remove(row)
        else:
            family.held.remove(row)
        self.awake -= row.priority != SLEEP
        family.alive -= 1
        if not family.alive:
            del self.families[row.family]
            self.prefixes.forget(row.family)
        elif row is family.leader and not family.read:
            self._lead(family, family.held.pop(0))

    def _lead(self, family: Family, row: Row) -> None:
        """The leader is gone before it has read: the next takes its place."""
        family.leader, family.prompt = row, row.job.prompt
        for each in (row, *family.held):
            each.common = common(family.prompt, each.job.prompt)
        self.waiting[row.priority].appendleft(row)

    def leave(self, row: Row) -> None:
        """An admitted row goes, its memory is free."""
        (self.rows if row in self.rows else self.prefilling).remove(row)
        self.own_blocks -= row.own_blocks
        row.own_blocks = row.admission = 0
        self.prefixes.let_go(row)
        self.release(row)

    def _resize(self, row: Row) -> None:
        own = row.all_blocks - row.shared_blocks
        self.own_blocks += own - row.own_blocks
        row.own_blocks = own

    def _evict(self) -> None:
        if self.prefixes.segments:
            self.prefixes.shrink(self.free_blocks)

    # The end of a step.

    def decoded(self, rows: Iterable[Row]) -> None:
        """Each of these rows has one more token in its KV."""
        for row in rows:
            row.kv_tokens += 1
            if row.kv_tokens % BLOCK_TOKENS == 1:
                self._resize(row)
        self._evict()

    def chunk_read(self, row: Row) -> bool:
        """A slice of a prompt is read; true if it was the last, so that the row decodes from now on."""
        row.prefilled += row.chunk
        row.held, row.chunk = row.prefilled, 0
        if row.prefilled < row.target:
            return False
        self.prefilling.remove(row)
        self.rows.append(row)
        row.kv_tokens = row.target
        family = self.families[row.family]
        if row is family.leader:
            self._publish(family)
            self._release(family)
        return True

    def _release(self, family: Family) -> None:
        """Its prompt is read: who waited for it goes to the front of the queue."""
        family.read = True
        for row in reversed(family.held):
            self.waiting[row.priority].appendleft(row)
        family.held.clear()

    def _publish(self, family: Family) -> None:
        """Share the prompt of a leader that decodes, if anybody else has come for it and it is not there."""
        leader = family.leader
        if family.shared and leader.admission and leader.kv_tokens:
            self.prefixes.publish(leader, self.settings.share)
            self._resize(leader)

    # The beginning of a step.

    def plan(self) -> Plan:
        """What the next step does; nothing if there is nothing to do.

        A row alone that uses a prefix in part may need more memory than there is. It then makes room for itself, and
        comes back without the prefix.

        Raises:
            EngineError: where rows wait that nothing can ever serve.
        """
        plan = self._plan()
        if plan.is_empty and not self.idle:
            plan = self._plan()
            if plan.is_empty:
                raise EngineError(f"{self.in_queue} jobs wait, and none of them can ever be served")
        return plan

    def _plan(self) -> Plan:
        for row in self.prefilling:
            row.chunk = 0
        if self.awake:
            self._pause([row for row in self.rows if row.priority == SLEEP])
        if self.settings.scheduler == "chunked":
            self._make_room()
            self._fill_chunked()
            decoding = list(self.rows)
        else:
            self._fill_prompts()
            decoding = []
            if not self._prompt_tokens:
                self._make_room()
                decoding = list(self.rows)
        return Plan(decoding, [row for row in self.prefilling if row.chunk])

    @property
    def _prompt_tokens(self) -> int:
        return sum(row.chunk for row in self.prefilling)

    def _pause(self, rows: Sequence[Row]) -> None:
        """Rows of sleep work stand aside, newest first: they come back by reading their last token."""
        for row in sorted(rows, key=lambda row: -row.admission):
            if _grows(row) > self.free_blocks:
                self._preempt(row)
                continue
            self.rows.remove(row)
            self.prefilling.append(row)
            row.target = row.prompt_tokens + row.produced
            row.held = row.prefilled = row.target - 1
            row.kv_tokens = 0
            self._resize(row)
            self._evict()

    def _fill_chunked(self) -> None:
        """Prompt slices for the tokens left: by class, those already begun first, then newcomers."""
        blocked = False
        for c in range(SLEEP if self.awake else SLEEP + 1):
            blocked = self._fill_class(c, blocked)

    def _fill_class(self, c: int, blocked: bool) -> bool:
        """Slices for a class; true if somebody in it, or above, did not fit."""
        for row in self.prefilling:
            if row.priority == c:
                row.chunk = min(row.target - row.prefilled, self._budget())
        while self.waiting[c] and not blocked and self._budget() > 0:
            row = self.waiting[c][0]
            hit = self._make_way(row, rows_advance=True)
            blocked = hit is None
            if hit is not None:
                self._admit(row, hit)
                row.chunk = min(row.target - row.prefilled, self._budget())
        return blocked

    def _budget(self) -> int:
        """Tokens left in the step."""
        most = self.settings.max_num_batched_tokens
        if not self.awake:
            most = min(most, self.settings.sleep_step_tokens)
        return max(most - len(self.rows) - self._prompt_tokens, 0)

    def _fill_prompts(self) -> None:
        """Whole prompts up to the token limit, or one that is longer than it."""
        most = self.settings.max_num_batched_tokens
        for row in [] if self.awake else list(self.prefilling):
            left = row.target - row.prefilled
            if self._prompt_tokens and self._prompt_tokens + left > most:
                return
            row.chunk = left
        for c in range(SLEEP if self.awake else SLEEP + 1):
            while self.waiting[c]:
                row = self.waiting[c][0]
                left = row.target - self._found(row)[1]
                if self._prompt_tokens and self._prompt_tokens + left > most:
                    return
                hit = self._make_way(row, rows_advance=False)
                if hit is None:
                    return
                self._admit(row, hit)
                row.chunk = row.target - row.prefilled

    # Who is admitted, and who gives way.

    def _found(self, row: Row) -> Hit:
        """What is there of a row's first tokens, and how many of them are of use."""
        segment = self.prefixes.segments.get(row.family)
        if segment is None or row is self.families[row.family].leader:
            return None, 0
        usable = min(segment.tokens, row.common, row.target - 1)
        return segment, usable if self.settings.share == "tokens" else usable // BLOCK_TOKENS * BLOCK_TOKENS

    def _admit(self, row: Row, hit: Hit) -> None:
        segment, usable = hit
        self.waiting[row.priority].popleft()
        self.prefilling.append(row)
        self.admissions += 1
        row.admission, row.prefilled = self.admissions, usable
        row.held = 0
        if segment is not None:
            row.held = usable if self.prefixes.has(segment, usable) else 0
            self.prefixes.refer(row, segment, usable // BLOCK_TOKENS)
        if row.cached_tokens is None:
            row.cached_tokens = row.held
        self._resize(row)
        self._evict()

    def _way_in(self, row: Row, rows_advance: bool) -> Hit | None:
        """What a row would find if it were admitted now; None if there is no place or no memory for it."""
        if len(self.prefilling) + len(self.rows) >= self.settings.max_num_seqs:
            return None
        free = self.free_blocks - (_growth(self.rows) if rows_advance else 0)
        segment, usable = self._found(row)
        if segment is not None and usable:
            resting = 0 if segment.users else segment.blocks
            if blocks(row.target) - usable // BLOCK_TOKENS + resting <= free:
                return segment, usable
        return (None, 0) if blocks(row.target) <= free else None

    def _fits_without(self, row: Row, lower: Sequence[Row], rows_advance: bool) -> bool:
        """Whether it would fit, finding nothing, without those of lower class and what is their own."""
        others = len(self.prefilling) + len(self.rows) - len(lower)
        if others == 0:
            return True
        free = self.free_blocks + sum(each.own_blocks for each in lower)
        free -= _growth(each for each in self.rows if each.priority <= row.priority) if rows_advance else 0
        return others < self.settings.max_num_seqs and blocks(row.target) <= free

    def _make_way(self, row: Row, rows_advance: bool) -> Hit | None:
        """What is found by a row that fits, after preempting lower classes if that is enough; else None."""
        hit = self._way_in(row, rows_advance)
        while hit is None:
            lower = [other for other in self.admitted if other.priority > row.priority]
            if not lower or not self._fits_without(row, lower, rows_advance):
                return None
            self._preempt_newest()
            hit = self._way_in(row, rows_advance)
        return hit

    def _make_room(self) -> None:
        while _growth(self.rows) > self.free_blocks:
            self._preempt_newest()

    def _preempt_newest(self) -> None:
        self._preempt(max(self.admitted, key=lambda row: (row.priority, row.admission)))

    def _preempt(self, row: Row) -> None:
        """It loses its place and its memory, and is the first to come back."""
        self.leave(row)
        row.target = row.prompt_tokens + row.produced
        row.prefilled = row.held = row.chunk = row.kv_tokens = 0
        row.preemptions += 1
        self.preemptions += 1
        self.waiting[row.priority].appendleft(row)


def _grows(row: Row) -> int:
    """Blocks that one more token of a decoding row needs."""
    return row.kv_tokens % BLOCK_TOKENS == 0


def _growth(rows: Iterable[Row]) -> int:
    return sum([row.kv_tokens % BLOCK_TOKENS == 0 for row in rows])


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens with which both begin.

    >>> common((1, 2, 3), (1, 2, 4, 5))
    2
    """
    if one is other:
        return len(one)
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
