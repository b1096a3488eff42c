"""A request and its way through its strategy, said plainly: steps of stages of branches, lengths, answers.

A request on a strategy is a row of steps, each with an answer; a step is a row of stages; a stage is groups of branches
that share a prompt. A branch is one sequence on one replica, or one call of an API.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor, inf, isnan, nan

from tests.oracle_luck import ANSWER, length, uniform
from tests.oracle_prefixes import Key, Segment

NO_LIMIT = 1 << 62


@dataclass(frozen=True)
class Stage:
    """Branches side by side; group g `extends` branch g of the stage before."""

    step: int = 0
    groups: int = 1
    per_group: int = 1
    extends: bool = False
    apart: bool = False
    """It begins with something else than the branch that it extends."""
    prompt_tokens: int = 0
    tokens_factor: float = 1.0
    sigma: float = 0.0
    most_tokens: int = NO_LIMIT
    wait_for: int = NO_LIMIT
    agree: int = 0

    @property
    def branches(self) -> int:
        return self.groups * self.per_group


@dataclass(frozen=True)
class Step:
    """How the branches of its last stage become an answer."""

    vote: bool = False
    wrong_answers: int = 1
    skew: float = 1.0
    blank_share: float = 0.0
    agreement_below: float = 0.0


@dataclass(frozen=True)
class Strategy:
    stages: Sequence[Stage] = (Stage(),)
    steps: Sequence[Step] = (Step(),)


@dataclass(frozen=True)
class Score:
    """What is known of one step of a request before it is taken."""

    output_tokens: int
    p_sample: float = nan
    p_correct: float = nan
    escalates: bool = False


@dataclass(frozen=True)
class Option:
    """A strategy that a request may get: what is expected of it and what comes of it, without and with a prepared
    context.
    """

    estimates: tuple[Sequence[float], Sequence[float]]
    """Chance to be right, output tokens of all branches, those one after another, spread of their logarithm."""
    scores: tuple[Sequence[Score], Sequence[Score]]
    """By step."""


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
    key: int = 0
    """Identity for luck."""
    context: tuple[int, int] | None = None
    """Which context it asks about, and which version of it."""
    prefix_tokens: int = 0
    """First tokens of its prompt that earlier requests on its context may have brought."""
    keep_tokens: int = 0
    """First tokens of its prompt and answer that later requests on its context may bring."""
    scores: tuple[Sequence[Score], Sequence[Score]] | None = None
    """By step, without and with a prepared context; where nothing is said every branch has `output_tokens`."""
    options: Sequence[Option] | None = None
    """Of every strategy, where it is chosen when the request comes."""
    loop: int | None = None
    """Closed-loop clients that sent it and wait for it."""
    preparation: int | None = None
    """The context that it prepares, if it is sleep work."""

    number: int = -1
    prepared: bool = False
    text_tokens: int = 0
    """Where it is prepared: tokens of the prefix without the notes."""
    status: str = "unfinished"
    replica: int | None = None
    """Of its last stage."""
    sendings: int = 0
    first_token_s: float | None = None
    finish_s: float | None = None
    retries: int = 0
    resend_s: float = inf
    """When its client, who is backing off, sends it again."""
    attempts: list[Attempt] = field(default_factory=list)
    awaited: Attempt | None = None
    """The attempt that its client waits for."""

    @property
    def branches(self) -> list[Branch]:
        return [branch for attempt in self.attempts for branch in attempt.every_branch]

    @property
    def cost(self) -> float:
        return sum(branch.cost for branch in self.branches)

    @property
    def preemptions(self) -> int:
        return sum(branch.preemptions for branch in self.branches)

    def score(self, step: int) -> Score:
        return self.scores[self.prepared][step] if self.scores else Score(self.output_tokens)

    def use_notes(self, tokens: int) -> None:
        """Its context is prepared: the notes are read with it, and what can be shared grows by them."""
        self.prepared = True
        self.text_tokens = self.prefix_tokens
        self.prompt_tokens += tokens
        self.prefix_tokens += tokens
        self.keep_tokens += tokens if self.keep_tokens else 0


@dataclass(eq=False)
class Branch:
    """One sequence of a stage: how far it is, at the place its stage was sent to."""

    attempt: Attempt
    index: int
    prompt_tokens: int
    output_tokens: int
    leader: Branch | None = None
    """Whose prompt it shares; None: its own."""
    followers: list[Branch] = field(default_factory=list)
    """That wait until it has read their prompt."""

    context_key: Key | None = None
    text_key: Key | None = None
    """Its context without the notes, where it is prepared."""
    group_key: Key | None = None
    parent_key: Key | None = None
    """The branch that it goes on from."""
    end_key: Key | None = None
    """Under which its KV stays when it has ended, up to `end_tokens`."""
    end_tokens: int = NO_LIMIT

    produced: int = 0
    target: int = 0
    prefilled: int = 0
    chunk: int = 0
    kv_tokens: int = 0
    admission: int = 0
    segment: Segment | None = None
    shared_blocks: int = 0
    cached_tokens: int | None = None
    """Found in the prefix cache when it was first admitted."""
    first_token_s: float | None = None
    end_s: float | None = None
    dropped: bool = False
    is_call: bool = False
    preemptions: int = 0
    cost: float = 0.0
    line: str = "busy"
    """Line of the bill that its cost belongs to."""

    @property
    def job(self) -> Job:
        return self.attempt.job

    @property
    def number(self) -> int:
        return self.job.number

    @property
    def priority(self) -> int:
        return self.job.priority

    @property
    def order(self) -> tuple[int, int]:
        return self.number, self.index

    @property
    def ghost(self) -> bool:
        """Its client is gone, the replica notices at the end of its step."""
        return self.attempt.gone and not self.is_over

    @property
    def is_over(self) -> bool:
        return self.dropped or self.end_s is not None

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


@dataclass(eq=False)
class Attempt:
    """A request sent once: which stage it is in, and what the stages before have given."""

    job: Job
    strategy: Strategy
    same_targets: Sequence[bool]
    """Of each stage: it may be served by whoever may serve the one before."""
    sent_s: float = 0.0
    deadline_s: float = inf
    """Its client goes away if it has no answer by then; an answer at the very time is in time."""
    place: int | None = None
    stage: int = -1
    following: int | None = None
    """Between two stages: the one to come."""
    branches: list[Branch] = field(default_factory=list)
    """Of the stage it is in."""
    every_branch: list[Branch] = field(default_factory=list)
    lengths: list[list[int]] = field(default_factory=list)
    """Of stages that are over, what each branch has said."""
    gone: bool = False
    first_token_s: float | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    path_tokens: int = 0
    steps: int = 0
    correct: int = -1
    p_correct: float = nan

    @property
    def plan(self) -> Stage:
        return self.strategy.stages[self.stage]

    def begin(self, stage: int) -> None:
        """Make the branches of a stage."""
        job, self.stage, plan = self.job, stage, self.strategy.stages[stage]
        self.following = None
        mean = job.score(plan.step).output_tokens * plan.tokens_factor
        prompts = [self.prompt_of(stage, group) for group in range(plan.groups)]
        self.branches = []
        for j in range(plan.branches):
            group = j // plan.per_group
            tokens = length(job.key, stage, j, mean, plan.sigma, plan.most_tokens)
            branch = Branch(self, j, prompts[group], tokens, target=prompts[group])
            self.name(branch, group)
            if j % plan.per_group:
                branch.leader = self.branches[group * plan.per_group]
                branch.leader.followers.append(branch)
            self.branches.append(branch)
        self.every_branch += self.branches

    def prompt_of(self, stage: int, group: int) -> int:
        """Tokens that a group reads: the question, or all that the branch it goes on from was given and has said."""
        plan, tokens = self.strategy.stages[stage], self.strategy.stages[stage].prompt_tokens
        if not plan.extends:
            return tokens + self.job.prompt_tokens
        before = self.strategy.stages[stage - 1]
        return tokens + self.prompt_of(stage - 1, group // before.per_group) + self.lengths[stage - 1][group]

    def name(self, branch: Branch, group: int) -> None:
        """Say under which names its KV may be found and kept."""
        job, s, stages = self.job, self.stage, self.strategy.stages
        if job.context is not None:
            branch.context_key = ("context", *job.context, job.prepared)
            branch.text_key = ("context", *job.context, False) if job.prepared else None
        if stages[s].per_group > 1:
            branch.group_key = ("group", job.number, s, group)
        if stages[s].extends and not stages[s].apart:
            branch.parent_key = ("branch", job.number, s - 1, group)
        if len(stages) == 1 == stages[0].branches:
            branch.end_key, branch.end_tokens = branch.context_key, job.keep_tokens
        elif s + 1 < len(stages) and self.same_targets[s + 1] and stages[s + 1].extends and not stages[s + 1].apart:
            branch.end_key = ("branch", job.number, s, branch.index) if branch.index < stages[s + 1].groups else None

    @property
    def ended(self) -> list[Branch]:
        return [branch for branch in self.branches if branch.end_s is not None]

    @property
    def alive(self) -> list[Branch]:
        return [branch for branch in self.branches if not branch.is_over]

    @property
    def stage_is_over(self) -> bool:
        """Enough branches have ended, or enough of them say the same."""
        if len(self.ended) >= min(self.plan.wait_for, self.plan.branches):
            return True
        alike = Counter(answer for answer in self.answers() if answer is not None)
        return bool(self.plan.agree and alike and max(alike.values()) >= self.plan.agree)

    def close_stage(self) -> None:
        """Add up what the stage has given; its branches are over."""
        last = max(self.ended, key=lambda branch: (branch.end_s, branch.index))
        self.path_tokens += last.output_tokens
        self.lengths.append([branch.produced for branch in self.branches])
        self.output_tokens += self.stage_tokens["output_tokens"]
        self.prompt_tokens += self.stage_tokens["prompt_tokens"]
        self.cached_tokens += self.stage_tokens["cached_tokens"]
        first_s = [branch.first_token_s for branch in self.branches if branch.first_token_s is not None]
        if self.first_token_s is None:
            self.first_token_s = min(first_s)

    @property
    def stage_tokens(self) -> dict[str, int]:
        """Tokens that were read, found and said in this stage: on a replica once a group, at an API by every call."""
        leaders = [branch for branch in self.branches if branch.leader is None or branch.is_call]
        return {
            "prompt_tokens": sum(leader.prompt_tokens for leader in leaders),
            "cached_tokens": sum(leader.cached_tokens or 0 for leader in leaders),
            "output_tokens": sum(branch.produced for branch in self.branches),
            "branches": len(self.branches),
            "attended_tokens": sum(branch.prompt_tokens for branch in self.branches),
        }

    def next_stage(self) -> int | None:
        """The stage after the one that is over; None if the request has its answer."""
        following = self.stage + 1
        if following < len(self.strategy.stages) and self.strategy.stages[following].step == self.plan.step:
            return following
        goes_on = self.end_step()
        return following if goes_on and following < len(self.strategy.stages) else None

    def end_step(self) -> bool:
        """Find the step's answer; true if it is not sure enough."""
        score, rule = self.job.score(self.plan.step), self.strategy.steps[self.plan.step]
        self.steps += 1
        self.p_correct = score.p_correct
        if isnan(score.p_sample):
            self.correct = -1
            return score.escalates and not rule.vote
        if not rule.vote:
            self.correct = int(uniform(self.job.key, 0, 0, ANSWER) < score.p_sample)
            return score.escalates
        winner, agreement = plurality(self.answers())
        self.correct = int(winner == RIGHT)
        return agreement < rule.agreement_below

    def answers(self) -> list[int | None]:
        """What the branches that have ended say, in order of index; None: nothing, or nobody knows."""
        score, rule = self.job.score(self.plan.step), self.strategy.steps[self.plan.step]
        if isnan(score.p_sample):
            return []
        return [answer_of(self.job.key, branch.index, score.p_sample, rule) for branch in self.ended]


RIGHT = -1


def answer_of(key: int, branch: int, p: float, rule: Step) -> int | None:
    """RIGHT, the number of a wrong answer, or None: no answer. A request's branch has the same luck in all steps."""
    u = uniform(key, 0, branch, ANSWER)
    if u < p:
        return RIGHT
    v, said = (u - p) / (1.0 - p), 1.0 - rule.blank_share
    return None if v >= said else floor(rule.wrong_answers * (v / said) ** rule.skew)


def plurality(answers: Sequence[int | None]) -> tuple[int | None, float]:
    """The answer given most often, of equals the one that came up first, and its share."""
    given = [answer for answer in answers if answer is not None]
    if not given:
        return None, 0.0
    winner = max(given, key=lambda answer: (given.count(answer), -given.index(answer)))
    return winner, given.count(winner) / len(given)
