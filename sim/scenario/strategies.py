"""Ways to answer a request: at once, after thinking, by several samples, by checking them, by trees, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.scenario.part import DefaultKind, Part, Refusal, refuse_all
from sim.scenario.quantities import Amount, Count, Rate, Share, Whole

__all__ = [
    "MOST_SAMPLES",
    "CascadeStrategy",
    "DirectStrategy",
    "EarlyStop",
    "PlacedStrategy",
    "Strategy",
    "ThinkStrategy",
    "TreeStrategy",
    "VerifyStrategy",
    "VoteStrategy",
]

MOST_SAMPLES = 4096
"""Most branches that answer one request side by side."""
MOST_VERIFICATIONS = 65_536
"""Most verifications of one request."""

_Samples = Annotated[Count, Field(le=MOST_SAMPLES)]
_Sigma = Annotated[Amount, Field(le=5)]


class _Named(Part):
    """What all strategies have."""

    name: str = Field(min_length=1)
    """Name of the strategy, unique in the scenario."""


class _Placed(_Named):
    """A strategy that does work of its own, somewhere."""

    pool: str | None = None
    """Pool it runs on; any pool with the right model where left out."""
    model: str | None = None
    """Model it runs on, in place of a pool: any pool that serves it."""
    class_name: str | None = Field(default=None, min_length=1, validation_alias="class", serialization_alias="class")
    """Class of response curves that holds for this strategy, such as that of another model; the one of the stream's
    questions where left out."""

    @model_validator(mode="after")
    def _one_place(self) -> _Placed:
        refuse_all(list(_both(self, "pool", "model")))
        return self

    def may_run(self, pool: str, model: str) -> bool:
        """Whether a pool of this name, which serves this model, may give its answers."""
        return self.pool in (None, pool) and self.model in (None, model)


class DirectStrategy(_Placed):
    """Answer at once, with no extra thinking."""

    kind: Literal["direct"] = "direct"
    """A direct answer."""


class ThinkStrategy(_Placed):
    """Think first, in one sequence, then answer."""

    kind: Literal["think"] = "think"
    """Sequential thinking."""
    budget_tokens: Count
    """Tokens it thinks for, in the mean over requests."""
    prepared_budget_tokens: Count | None = None
    """The same on a prepared context; as many as keep the chance of a right answer where left out."""


class EarlyStop(Part):
    """When a vote ends before its slowest branch; the branches that still run are dropped. One of the two is given."""

    agree: _Samples | None = None
    """Ends as soon as this many branches give the same answer."""
    shortest: _Samples | None = None
    """Ends with the first so many branches; the longer ones do not vote."""

    @model_validator(mode="after")
    def _one_rule(self) -> EarlyStop:
        if self.agree is None and self.shortest is None:
            remedy = "give `agree` or `shortest`, or leave `stop` out"
            refuse_all([Refusal((), "stop", "stops nothing", remedy)])
        refuse_all(list(_both(self, "agree", "shortest")))
        return self


class _Branched(_Placed):
    """A strategy of several branches of different length."""

    budget_tokens: Count | None = None
    """Tokens of each branch, in the mean over requests; as many as those of a direct answer where left out."""
    prepared_budget_tokens: Count | None = None
    """The same on a prepared context; as many as keep the chance of a right answer where left out."""
    length_sigma: _Sigma = 0.35
    """Standard deviation of the logarithm of the branches' lengths, by which they differ within one request."""


class VoteStrategy(_Branched):
    """Several answers side by side; the one given most often counts."""

    kind: Literal["vote"] = "vote"
    """Parallel samples and their plurality."""
    samples: _Samples
    """Answers asked for."""
    stop: EarlyStop | None = None
    """When it ends early; with the slowest branch where left out."""

    @model_validator(mode="after")
    def _stops_in_time(self) -> VoteStrategy:
        refuse_all(list(_stop_refusals(self)))
        return self


class VerifyStrategy(_Branched):
    """Several solutions, each verified several times; the one with the best verdicts counts."""

    kind: Literal["verify"] = "verify"
    """Solutions and verifications."""
    solutions: _Samples
    """Solutions asked for."""
    verifications: Annotated[Count, Field(le=MOST_VERIFICATIONS)]
    """Verifications of each solution."""
    length_ratio: Annotated[Rate, Field(le=1000)] = 2.0
    """Length of a verification as a multiple of that of a solution."""
    instruction_tokens: Whole = 64
    """Prompt tokens of a verification beside question and solution; 64 is assumed."""
    own_prompt: bool = False
    """Whether a verification reads question and solution anew, as its prompt begins differently; otherwise it goes on
    from the solution's own text, whose KV it finds where it runs on the same replica."""
    verifier_pool: str | None = None
    """Pool that verifies; the one that solves where left out."""
    verifier_model: str | None = None
    """Model that verifies, in place of a pool: any pool that serves it."""

    @model_validator(mode="after")
    def _fits(self) -> VerifyStrategy:
        refuse_all([*_both(self, "verifier_pool", "verifier_model"), *_verification_refusals(self)])
        return self

    @property
    def names_verifier(self) -> bool:
        """Whether others verify than those that solve."""
        return self.verifier_pool is not None or self.verifier_model is not None

    def may_verify(self, pool: str, model: str) -> bool:
        """Whether a pool of this name, which serves this model, may verify."""
        if not self.names_verifier:
            return self.may_run(pool, model)
        return self.verifier_pool in (None, pool) and self.verifier_model in (None, model)


class TreeStrategy(_Branched):
    """Search level by level: every path goes on in several ways, and the most promising ones are kept."""

    kind: Literal["tree"] = "tree"
    """Beam search."""
    width: _Samples
    """Paths kept from level to level."""
    branch: _Samples
    """Ways in which each path goes on at a level."""
    depth: Annotated[Count, Field(le=64)]
    """Levels; a path's tokens are shared equally among them."""

    @model_validator(mode="after")
    def _not_too_wide(self) -> TreeStrategy:
        branches = self.width * self.branch
        if branches > MOST_SAMPLES:
            rule = f"with branch {self.branch} makes {branches} branches a level, more than {MOST_SAMPLES}"
            refuse_all([Refusal(("width",), self.width, rule, "lower width or branch")])
        return self


class CascadeStrategy(_Named):
    """Other strategies one after the other, as long as an answer is not sure enough."""

    kind: Literal["cascade"] = "cascade"
    """Try a cheap strategy first, and go on to the next one where in doubt."""
    steps: Annotated[list[str], Field(min_length=2)]
    """Names of other strategies, none of them a cascade, cheapest first."""
    escalate_below: Share = 0.6
    """Goes on where the confidence is below this: the share of samples that agree for a vote, otherwise the chance to
    be right as it estimates it itself."""
    confidence_auc: Annotated[Share, Field(ge=0.5)] = 0.75
    """How well that estimate tells right answers from wrong ones: chance that a right answer has the higher one of two;
    0.5 knows nothing."""


PlacedStrategy = DirectStrategy | ThinkStrategy | VoteStrategy | VerifyStrategy | TreeStrategy
"""Strategies that do work of their own."""
Strategy = Annotated[
    DirectStrategy | ThinkStrategy | VoteStrategy | VerifyStrategy | TreeStrategy | CascadeStrategy,
    Field(discriminator="kind"),
    DefaultKind("direct"),
]
"""A direct answer where no `kind` is given."""


def _both(part: Part, one: str, other: str) -> Iterator[Refusal]:
    value = getattr(part, other)
    if getattr(part, one) is not None and value is not None:
        yield Refusal((other,), value, f"cannot be given with {one}", "keep one of them")


def _stop_refusals(vote: VoteStrategy) -> Iterator[Refusal]:
    for key in ("agree", "shortest"):
        wanted = None if vote.stop is None else getattr(vote.stop, key)
        if wanted is not None and wanted > vote.samples:
            rule = f"must be at most samples ({vote.samples})"
            yield Refusal(("stop", key), wanted, rule, "lower it, or raise samples")


def _verification_refusals(verify: VerifyStrategy) -> Iterator[Refusal]:
    total = verify.solutions * verify.verifications
    if total > MOST_VERIFICATIONS:
        rule = f"of each of {verify.solutions} solutions makes {total}, more than {MOST_VERIFICATIONS}"
        yield Refusal(("verifications",), verify.verifications, rule, "lower it, or lower solutions")
