"""The scenario: what is simulated, apart from how it runs. `Scenario` is the whole file, field by field."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from sim.scenario.clients import ClientArrivals, InlineClient
from sim.scenario.consistency import contradictions
from sim.scenario.demand import (
    Arrivals,
    Client,
    Closed,
    Daily,
    ForecastError,
    Gamma,
    Generated,
    Poisson,
    Priority,
    RetryReason,
    Slo,
    Stream,
    TraceArrivals,
    TraceFormat,
)
from sim.scenario.inline import InlineModel
from sim.scenario.lengths import ConstantLengths, Lengths, LognormalLengths, QuantileLengths
from sim.scenario.local_time import LocalTime, TimeZone
from sim.scenario.part import Part, refuse_all
from sim.scenario.quantities import Count, Duration, LengthOfTime, Whole
from sim.scenario.shape import Growth, SpecialDay, Weekday, Weekly
from sim.scenario.supply import (
    Engine,
    GpuPool,
    Offer,
    OnDemand,
    Precision,
    Reserved,
    ScheduleWindow,
    StepTimeFile,
)
from sim.scenario.ways import AlwaysRouter, DirectStrategy, RandomRouter, RoundRobinRouter, Router

__all__ = [
    "AlwaysRouter",
    "Arrivals",
    "Client",
    "ClientArrivals",
    "Closed",
    "ConstantLengths",
    "Daily",
    "DirectStrategy",
    "Engine",
    "ForecastError",
    "Gamma",
    "Generated",
    "GpuPool",
    "Growth",
    "InlineClient",
    "InlineModel",
    "Lengths",
    "LognormalLengths",
    "Offer",
    "OnDemand",
    "Poisson",
    "Precision",
    "Priority",
    "QuantileLengths",
    "RandomRouter",
    "Reserved",
    "RetryReason",
    "RoundRobinRouter",
    "Router",
    "Scenario",
    "ScheduleWindow",
    "Slo",
    "SpecialDay",
    "StepTimeFile",
    "Stream",
    "TraceArrivals",
    "TraceFormat",
    "Weekday",
    "Weekly",
]


def _model_form(value: Any) -> str:
    return "name" if isinstance(value, str) else "inline"


_Name = Annotated[str, Field(min_length=1), Tag("name")]
ModelEntry = Annotated[_Name | Annotated[InlineModel, Tag("inline")], Discriminator(_model_form)]


class Scenario(Part):
    """Everything a run depends on: demand, supply, policy, clock and seed.

    Every instance is consistent: names refer to what exists, and a run of it comes to an end.
    """

    name: str = Field(min_length=1)
    """Name of the scenario."""
    start: LocalTime = datetime(2026, 1, 5)
    """Local date and time at which the run starts."""
    time_zone: TimeZone = "UTC"
    """IANA time zone of the local clock, such as America/New_York."""
    horizon: LengthOfTime | None = None
    """Length of the run; without it the run ends when all work is done, so every stream must be finite."""
    warm_up: Duration = 0.0
    """Start of the run whose requests are left out of latencies, attainment and goodput."""
    seed: Whole = 0
    """Seed of all randomness; the same seed gives the same bytes."""
    replications: Annotated[Count, Field(le=100_000)] = 1
    """Independent runs; intervals come from two or more."""
    models: list[ModelEntry] = Field(default=[])
    """Models in use: catalogue names, and models defined inline."""
    workload: Annotated[list[Stream], Field(min_length=1)]
    """Streams of requests."""
    fleet: Annotated[list[GpuPool], Field(min_length=1)]
    """Pools that answer."""
    balancer: Literal["round-robin", "least-outstanding", "power-of-two"] = "least-outstanding"
    """How a request finds its replica."""
    strategies: list[DirectStrategy] = Field(default=[])
    """Ways to answer; a direct answer on any pool where none is given."""
    router: Router | None = None
    """Which strategy a request gets; the first one where left out."""
    forecast: ForecastError = Field(default_factory=ForecastError)
    """How good the forecast is that a predictive autoscaler sees."""
    bucket: LengthOfTime = 300.0
    """Width of the time buckets in the results."""

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        refuse_all(contradictions(self))
        return self
