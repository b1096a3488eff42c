"""What is prepared of contexts, said plainly: who finds it, who comes too early or too late."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import floor, inf

from tests.oracle_families import Job, Strategy


@dataclass(frozen=True)
class Preparation:
    """Sleep work that reads a context and leaves notes."""

    context: int
    version: int
    prompt_tokens: int
    output_tokens: int
    notes_tokens: int
    lasts_s: float
    strategy: int
    key: int = 0


@dataclass
class Prepared:
    """A context: nothing is known of it yet, or notes are being made, or there."""

    state: str = "unprepared"
    version: int = -1
    ready_s: float = inf
    expires_s: float = inf
    notes_tokens: int = 0
    hits: int = 0
    usd: float = 0.0

    def outcome(self, version: int, now_s: float) -> str:
        """What a request on a version of it finds."""
        if self.state == "preparing":
            return "late"
        if self.state == "unprepared":
            return "unprepared"
        if version != self.version:
            return "stale"
        return "hits" if now_s < self.expires_s else "expired"


@dataclass
class Contexts:
    """The table of contexts, and how often each stream's requests found what."""

    table: dict[int, Prepared] = field(default_factory=dict)
    counts: dict[int, Counter[str]] = field(default_factory=dict)
    lasts_s: dict[int, float] = field(default_factory=dict)

    def of(self, context: int) -> Prepared:
        return self.table.setdefault(context, Prepared())

    def look_up(self, job: Job, now_s: float) -> None:
        """A request comes: if its context is ready for it, the notes are part of its prompt."""
        if job.context is None:
            return
        prepared = self.of(job.context[0])
        counts, outcome = self.counts.setdefault(job.stream, Counter()), prepared.outcome(job.context[1], now_s)
        counts.update(["asked", outcome])
        if outcome == "hits":
            prepared.hits += 1
            job.use_notes(prepared.notes_tokens)

    def count_saved(self, job: Job, strategy: Strategy) -> None:
        """Where it is prepared the branches of a request's first step, at least, need less."""
        if job.prepared:
            now = job.score(0).output_tokens
            without = job.scores[0][0].output_tokens if job.scores else now
            branches = sum(stage.branches * stage.tokens_factor for stage in strategy.stages if stage.step == 0)
            self.counts[job.stream]["saved_tokens"] += floor((without - now) * branches + 0.5)

    def begin(self, work: Preparation) -> None:
        self.table[work.context] = Prepared("preparing", work.version, notes_tokens=work.notes_tokens)
        self.lasts_s[work.context] = work.lasts_s

    def end(self, job: Job, done: bool, now_s: float) -> None:
        """A preparation is over: its notes are there, or it came to nothing. It is of no use if another has begun."""
        context, version = job.context or (-1, -1)
        prepared = self.of(context)
        if prepared.state != "preparing" or prepared.version != version:
            return
        prepared.state, prepared.usd = "ready" if done else "unprepared", job.cost
        if done:
            prepared.ready_s, prepared.expires_s = now_s, now_s + self.lasts_s[context]
