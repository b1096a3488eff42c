"""Strategies of a scenario as jobs of a real engine, and what their answers come to.

Each kind is a generator that yields the jobs of a stage, is sent their records when all are over, and gives back the
reply. What it asks the model is what `sim.lab.outcomes.answering` has measured under the strategy's name: a vote and
the solutions of a verification are drawn at temperature 1, a thought is the likeliest chain, cut at its budget.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sim.errors import InputError
from sim.lab.engine.jobs import Job
from sim.lab.engine.records import JobRecord
from sim.lab.language import (
    ANSWER,
    MAX_TOKENS,
    STOP_TOKENS,
    Mode,
    prepare_prompt,
    question_prompt,
    read_answer,
    read_verdict,
    verify_prompt,
)
from sim.lab.language.contexts import Context, Question
from sim.lab.outcomes.answering import best_verified, voted
from sim.scenario import DirectStrategy, Strategy, ThinkStrategy, VerifyStrategy, VoteStrategy
from sim.scenario.sleep import Sleep

__all__ = ["Asking", "Reply", "Stages", "answer", "check_strategy", "preparation"]

_FORCED_END = 3
"""Tokens after a cut thought: the answer's mark, the answer, the end."""
_BRANCHES = 1 << 16


class Reply(NamedTuple):
    """What a request got."""

    correct: bool
    first_token_s: float
    finish_s: float
    prompt_tokens: int
    """Read by all groups of branches; each reads its prompt once."""
    cached_tokens: int
    output_tokens: int
    """Written by all branches."""
    path_tokens: int
    """Of the branch of each stage that ended last."""
    preemptions: int


Stages = Generator[Sequence[Job], list[JobRecord], Reply]
"""Yields jobs, is sent their records, gives back the reply."""


@dataclass(frozen=True)
class Asking:
    """A request on its way into an engine."""

    context: Context
    question: Question
    notes: Sequence[int]
    """Of its prepared context; empty without."""
    priority: int
    seed: int
    """Of its draws; a request's branches have seeds of their own made of it."""
    next_id: Callable[[], int]
    """Numbers jobs."""

    def job(
        self, prompt: Sequence[int], mode: str, branch: int, *, drawn: bool = False, after: int | None = None
    ) -> Job:
        """One branch; `after` is the job whose prompt it shares."""
        return Job(
            self.next_id(),
            tuple(prompt),
            max_tokens=MAX_TOKENS[mode],
            stop=STOP_TOKENS,
            temperature=1.0 if drawn else 0.0,
            seed=self.seed * _BRANCHES + branch,
            priority=self.priority,
            prefix_of=after,
        )

    def prompt(self, mode: Mode) -> list[int]:
        """Context, notes and question."""
        return question_prompt(self.context, self.question, mode, self.notes)

    def group(self, prompt: Sequence[int], mode: str, count: int, first: int) -> list[Job]:
        """Branches drawn from one prompt, the first of which reads it for all."""
        leader = self.job(prompt, mode, first, drawn=True)
        others = [self.job(prompt, mode, first + n, drawn=True, after=leader.job_id) for n in range(1, count)]
        return [leader, *others]


def check_strategy(strategy: Strategy) -> None:
    """Refuse what the lab cannot do for real.

    Raises:
        InputError: for a tree, a cascade, and a vote that ends early.
    """
    remedy = "use direct, think, vote and verify"
    if not isinstance(strategy, DirectStrategy | ThinkStrategy | VoteStrategy | VerifyStrategy):
        raise InputError(f"strategy '{strategy.name}'", f"of kind {strategy.kind} cannot be run for real", remedy)
    if isinstance(strategy, VoteStrategy) and strategy.stop is not None:
        raise InputError(f"strategy '{strategy.name}'", "cannot be stopped early for real", "leave `stop` out")


def answer(strategy: Strategy, asking: Asking) -> Stages:
    """The stages of a strategy for one request."""
    if isinstance(strategy, ThinkStrategy):
        return _think(asking, strategy.budget_tokens)
    if isinstance(strategy, VoteStrategy):
        return _vote(asking, strategy.samples)
    if isinstance(strategy, VerifyStrategy):
        return _verify(asking, strategy.solutions, strategy.verifications)
    return _direct(asking)


def preparation(context: Context, sleep: Sleep, priority: int, job_id: int) -> Job:
    """The job that reads a context ahead and writes notes."""
    prompt = tuple(prepare_prompt(context, sleep.effort))
    return Job(job_id, prompt, max_tokens=MAX_TOKENS["prepare"], stop=STOP_TOKENS, priority=priority)


def _direct(asking: Asking) -> Stages:
    (record,) = yield [asking.job(asking.prompt("direct"), "direct", 0)]
    return _reply(asking, read_answer(record.tokens), [[record]], [1])


def _think(asking: Asking, budget: int) -> Stages:
    """A budget beyond the longest chain cuts nothing."""
    job = asking.job(asking.prompt("think"), "think", 0)
    if budget < job.max_tokens:
        most = min(job.max_tokens, budget + _FORCED_END)
        job = replace(job, max_tokens=most, force=(budget, (ANSWER,)))
    (record,) = yield [job]
    return _reply(asking, read_answer(record.tokens), [[record]], [1])


def _vote(asking: Asking, samples: int) -> Stages:
    records = yield asking.group(asking.prompt("think"), "think", samples, 0)
    winner, _ = voted([read_answer(record.tokens) for record in records])
    return _reply(asking, winner, [records], [1])


def _verify(asking: Asking, solutions: int, verifications: int) -> Stages:
    """Solutions without an answer are not checked. Notes are left aside: the model checks a solution from its facts."""
    asking = replace(asking, notes=())
    solved = yield asking.group(asking.prompt("think"), "think", solutions, 0)
    answers = [read_answer(record.tokens) for record in solved]
    places = [place for place, found in enumerate(answers) if found is not None]
    if not places:
        return _reply(asking, None, [solved], [1])
    groups = [
        asking.group(
            verify_prompt(asking.context, asking.question, solved[place].tokens),
            "verify",
            verifications,
            solutions + place * verifications,
        )
        for place in places
    ]
    checks = yield [job for group in groups for job in group]
    good = [read_verdict(record.tokens) is True for record in checks]
    verdicts = {place: sum(good[n * verifications : (n + 1) * verifications]) for n, place in enumerate(places)}
    best = best_verified(verdicts)
    return _reply(asking, None if best is None else answers[best], [solved, checks], [1, len(places)])


def _reply(asking: Asking, found: int | None, stages: Sequence[Sequence[JobRecord]], groups: Sequence[int]) -> Reply:
    every = [record for stage in stages for record in stage]
    last = [max(stage, key=lambda record: record.finish_s) for stage in stages]
    leaders = [
        record for stage, count in zip(stages, groups, strict=True) for record in stage[:: max(len(stage) // count, 1)]
    ]
    return Reply(
        correct=found == asking.question.answer,
        first_token_s=min(record.first_token_s for record in stages[0]),
        finish_s=last[-1].finish_s,
        prompt_tokens=sum(record.prompt_tokens for record in leaders),
        cached_tokens=sum(record.cached_tokens for record in leaders),
        output_tokens=sum(record.output_tokens for record in every),
        path_tokens=sum(record.output_tokens for record in last),
        preemptions=sum(record.preemptions for record in every),
    )
