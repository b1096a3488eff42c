"""What a plan may buy and change, and what is asked of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.scenario.autoscale import MOST_REPLICAS
from sim.scenario.part import Part, Refusal, refuse_all
from sim.scenario.quantities import Amount, Count, Hours, Share, Whole
from sim.scenario.shape import WEEKDAYS, Weekday

__all__ = ["Block", "Growing", "Planning", "Purchase", "Targets"]


class Targets(Part):
    """What a plan promises."""

    slo: Annotated[Share, Field(gt=0)] = 0.95
    """Least share of requests within all their objectives."""
    slo_of: dict[str, Share] = Field(default={})
    """The same for single streams, by name."""
    accuracy: Share | None = None
    """Least share of right answers; none is asked where left out."""
    accuracy_of: dict[str, Share] = Field(default={})
    """The same for single streams, by name."""
    budget_usd_per_month: Amount | None = None
    """Most dollars a month of 730.5 hours."""
    risk: Annotated[Share, Field(gt=0, lt=1)] = 0.05
    """Largest chance that a run misses one of them."""


class Purchase(Part):
    """How many replicas of a pool may be bought; of an API, whether it may be used (`most: 0` or 1)."""

    least: Annotated[Whole, Field(le=MOST_REPLICAS)] = 0
    """Fewest replicas."""
    most: Annotated[Whole, Field(le=MOST_REPLICAS)] | None = None
    """Most replicas; as many as the highest load may need where left out."""
    by_block: bool | None = None
    """Whether the number follows the blocks of hours; on-demand and spot pools do where left out, reserved ones do
    not. A pool with an autoscaler of its own keeps it, and what is bought is its `max`."""
    most_started: Count | None = None
    """Most replicas launched at once, when one block follows another; any number where left out."""

    @model_validator(mode="after")
    def _in_order(self) -> Purchase:
        if self.most is not None and self.least > self.most:
            refuse_all(
                [Refusal(("least",), self.least, f"must be at most most ({self.most})", "lower it, or raise most")]
            )
        return self


class Block(Part):
    """Hours of the local week in which the fleet stays the same."""

    name: str = Field(min_length=1)
    """Name of the block, unique in the plan."""
    hours: Hours
    """Window such as 08:00-20:00; over midnight it belongs to the day on which it starts."""
    days: Annotated[list[Weekday], Field(min_length=1)] = Field(default=list(WEEKDAYS))
    """Local weekdays; every day where left out."""


class Growing(Part):
    """How the load goes on after the scenario's own time."""

    months: Annotated[Count, Field(le=120)] = 12
    """Months that are planned."""
    per_year: Annotated[float, Field(gt=-1, le=100)] = 0.0
    """Growth of all rates a year: 0.5 is half as much again."""
    error: Annotated[float, Field(ge=0, le=2)] = 0.1
    """Standard deviation of the logarithm of the load a year ahead; it grows with the square root of time."""
    lead_months: Annotated[Whole, Field(le=60)] = 1
    """Months from the decision to buy reserved GPUs until they serve."""


class Planning(Part):
    """What a plan may buy and change, and what is asked of it."""

    goal: Literal["cheapest", "accuracy", "goodput"] = "cheapest"
    """The cheapest plan that keeps its targets, or the best accuracy or goodput for the budget."""
    targets: Targets = Field(default_factory=Targets)
    """What it promises."""
    pools: dict[str, Purchase] = Field(default={})
    """What may be bought, by name of a pool of the fleet; all pools, in any number, where none is named. One that is
    not named stays as it is."""
    blocks: list[Block] = Field(default=[])
    """Blocks of hours, the first that holds an hour counts, and one more for the rest; found from the load and the
    prices where left out."""
    vary: list[str] = Field(default=[])
    """Policies to choose from: keys and values, `KEY=A,B,C` or `KEY=LOW:HIGH:STEP`, all combinations of them."""
    growing: Growing | None = None
    """A year and more ahead; only the scenario's own time is planned where left out."""

    @model_validator(mode="after")
    def _has_budget(self) -> Planning:
        if self.goal != "cheapest" and self.targets.budget_usd_per_month is None:
            remedy = "add `targets: {budget_usd_per_month: ...}`, or plan for the cheapest"
            refuse_all([Refusal(("goal",), self.goal, "needs a budget", remedy)])
        return self
