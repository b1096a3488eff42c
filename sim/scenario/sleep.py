"""Work done ahead of questions: contexts are prepared while GPUs are idle or cheap."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sim.scenario.part import Part
from sim.scenario.quantities import Amount, Count, LengthOfTime, Share

__all__ = ["Sleep", "SleepForecast"]


class SleepForecast(Part):
    """How many questions of a context are foreseen when it is decided whether to prepare it."""

    questions: Literal["mean", "oracle"] = "mean"
    """The mean that is to be expected, or those that will really come."""
    error: Annotated[Amount, Field(le=3)] = 0.0
    """Standard deviation of the logarithm of the error; 0 for none."""


class Sleep(Part):
    """Contexts are read ahead of their questions, at the lowest priority, wherever that is expected to pay."""

    when: Annotated[list[Literal["off-peak", "idle", "always"]], Field(min_length=1)] = Field(
        default=["off-peak", "idle"]
    )
    """When: while the price is below the mean of its day or in a window named off-peak, while replicas have little else
    to do, or always; one of them is enough."""
    prepare: Literal["rank", "learned"] = "rank"
    """What tells which contexts save most: their rank by how far they foretell their questions, as if it were known, or
    what a router file expects of them."""
    effort: Literal["low", "medium", "high"] = "medium"
    """How hard a context is thought about; its tokens follow from it."""
    tokens: Count | None = None
    """Output tokens of one draft, in place of those of the effort."""
    drafts: Annotated[Count, Field(le=64)] = 1
    """Notes drafted side by side for a context; more than about 5 help no further."""
    expires: LengthOfTime = 86_400.0
    """How long a prepared context is good for."""
    pools: Annotated[list[str], Field(min_length=1)] | None = None
    """Pools that do this work, of GPUs or an API, such as one of a batch tier; all pools of GPUs where left out."""
    budget_usd_per_day: Amount | None = None
    """US dollars a day it may cost; no limit where left out."""
    tick: LengthOfTime = 60.0
    """Time between two decisions about what to prepare."""
    idle_below: Share = 0.5
    """Pools count as idle while requests take less than this share of their places in full batches, and have taken
    less than this share of their work of late; an API is never idle."""
    max_jobs: Count = 64
    """Most preparations at once."""
    min_saving: Amount = 1.0
    """Smallest expected saving that a context is prepared for, as a multiple of what preparing it costs; with 0 every
    context is prepared."""
    cost: Literal["full", "marginal"] = "full"
    """What GPU time counts as when it is decided whether preparing pays: its full price, or where it is paid for anyway
    (reserved, or a pool that does not scale) no more than the electricity that work adds."""
    forecast: SleepForecast = Field(default_factory=SleepForecast)
    """How questions are foreseen."""
