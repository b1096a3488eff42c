"""Routers that look at each request: at what is expected of every strategy, at prices, and at load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.scenario.part import Part, Refusal, refuse_all
from sim.scenario.quantities import Amount, Duration, LengthOfTime, Rate, Share

__all__ = [
    "BanditRouter",
    "Budget",
    "DifficultyThresholdRouter",
    "FileRouter",
    "GainThresholdRouter",
    "LearnedRouter",
    "LookingRouter",
    "OracleRouter",
    "ThresholdRouter",
    "WeighingRouter",
]


class Budget(Part):
    """Spending is held to a rate: while more is spent than allowed, dollars count more against a strategy.

    At every tick mu becomes mu * exp(step * (spent / allowed - 1)), between 1 and `mu_max`.
    """

    usd_per_hour: Rate
    """US dollars an hour that requests may use."""
    tick: LengthOfTime = 60.0
    """Time between two looks at what was spent."""
    step: Annotated[Rate, Field(le=10)] = 0.1
    """How fast the multiplier of costs follows."""
    mu_max: Annotated[Rate, Field(ge=1, le=1e6)] = 100.0
    """Largest multiplier."""


class _Deciding(Part):
    """What all of them have."""

    latency: Duration = 0.0003
    """Time that a decision takes, which adds to the time to the first token and to the last."""


class _Weighing(_Deciding):
    """Takes the strategy whose value, less cost, less lateness is greatest."""

    price: bool = True
    """Whether costs count by the prices of the moment; by their mean over the run otherwise."""
    load: bool = True
    """Whether the chance of a late answer counts, from what the pools have to do at the moment; only for streams with
    an objective for the time to the last token."""
    value_usd: Amount | None = None
    """What a right answer is worth, US dollars; the stream's `usd_per_correct` where left out."""
    lateness_usd: Amount | None = None
    """What a late answer costs, US dollars; as much as a right one is worth where left out."""
    budget: Budget | None = None
    """What may be spent; as much as pays where left out."""


class _FromFile(_Deciding):
    """Knows requests by a router file."""

    model: Path
    """Router file in ONNX, such as data/router/default.onnx, relative to the scenario."""
    labels: dict[str, str] = Field(default={})
    """What the router file calls a strategy of the scenario, where its name is another."""


class LearnedRouter(_Weighing, _FromFile):
    """A learned router: chances and tokens of every strategy, estimated from the request."""

    policy: Literal["learned"] = "learned"
    """The greatest value less cost less lateness, by the estimates of a router file."""


class OracleRouter(_Weighing):
    """Knows which answers will be right and how long they will be: the most that any router could do."""

    policy: Literal["oracle"] = "oracle"
    """The greatest value less cost less lateness, by what will come of it."""


class BanditRouter(_Weighing):
    """Learns while it serves how often each strategy is right, knowing nothing of the single request."""

    policy: Literal["bandit"] = "bandit"
    """The greatest value less cost less lateness, by chances drawn from what has been seen (Thompson 1933)."""
    feedback: Share = 1.0
    """Share of the answers of which it comes to know whether they are right."""


class _Threshold(_FromFile):
    """Chooses between two strategies."""

    cheap: str
    """Name of the strategy that requests get on one side."""
    strong: str
    """Name of the strategy that they get on the other."""

    @model_validator(mode="after")
    def _two_of_them(self) -> _Threshold:
        if self.cheap == self.strong:
            rule = "is the cheap strategy as well, so there is nothing to choose"
            refuse_all([Refusal(("strong",), self.strong, rule, "name another one")])
        return self


class DifficultyThresholdRouter(_Threshold):
    """The strong strategy where the cheap one will hardly be right."""

    policy: Literal["difficulty-threshold"] = "difficulty-threshold"
    """By difficulty: whether the cheap strategy's chance of a right answer is below a threshold."""
    below: Share = 0.6
    """The threshold."""


class GainThresholdRouter(_Threshold):
    """The strong strategy where it is much likelier to be right."""

    policy: Literal["gain-threshold"] = "gain-threshold"
    """By gain: whether the strong strategy's chance of a right answer is higher by more than a threshold."""
    above: Share = 0.1
    """The threshold."""


class ThresholdRouter(_Threshold):
    """One of the two, named by what it looks at."""

    policy: Literal["threshold"] = "threshold"
    """By difficulty or by gain, as `by` says."""
    by: Literal["difficulty", "gain"]
    """What the threshold is for: the cheap strategy's chance of a right answer, or what the strong one adds to it."""
    below: Share | None = None
    """By difficulty, the threshold; 0.6 where left out."""
    above: Share | None = None
    """By gain, the threshold; 0.1 where left out."""

    @model_validator(mode="after")
    def _one_threshold(self) -> ThresholdRouter:
        refuse_all(list(_stray_thresholds(self)))
        return self

    def spelled_out(self) -> DifficultyThresholdRouter | GainThresholdRouter:
        """The same under its own policy."""
        given = self.model_dump(exclude={"policy", "by"}, exclude_none=True)
        return DifficultyThresholdRouter(**given) if self.by == "difficulty" else GainThresholdRouter(**given)


def _stray_thresholds(router: ThresholdRouter) -> Iterator[Refusal]:
    stray, right = ("above", "below") if router.by == "difficulty" else ("below", "above")
    value = getattr(router, stray)
    if value is not None:
        yield Refusal((stray,), value, f"cannot be given with by: {router.by}", f"use `{right}`")


WeighingRouter = LearnedRouter | OracleRouter | BanditRouter
"""Routers that weigh value, cost and lateness."""
FileRouter = LearnedRouter | DifficultyThresholdRouter | GainThresholdRouter | ThresholdRouter
"""Routers that estimate by a router file."""
LookingRouter = WeighingRouter | DifficultyThresholdRouter | GainThresholdRouter | ThresholdRouter
"""Routers that look at each request when it arrives."""
