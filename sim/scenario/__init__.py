"""The scenario: what is simulated, apart from how it runs. `Scenario` is the whole file, field by field."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from sim.scenario.api import ApiBatch, ApiLatency, ApiPool, RateLimit
from sim.scenario.autoscale import (
    Autoscale,
    BusyAutoscale,
    PredictiveAutoscale,
    QueueAutoscale,
    ScheduleAutoscale,
    ScheduleWindow,
)
from sim.scenario.clients import ClientArrivals, InlineClient
from sim.scenario.consistency import contradictions
from sim.scenario.contexts import Contexts, CurveQuestions, HeldOut, Questions, TableQuestions
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
from sim.scenario.distributions import (
    ConstantCount,
    ConstantTime,
    GeometricCount,
    LognormalCount,
    LognormalTime,
    Queries,
    Times,
    Tokens,
)
from sim.scenario.energy import (
    Carbon,
    CarbonSeries,
    CarbonTable,
    CarbonTableRow,
    CarbonWindow,
    CarbonWindows,
    DemandCharge,
    Electricity,
    ElectricitySeries,
    ElectricityTable,
    ElectricityTableRow,
    ElectricityWindow,
    ElectricityWindows,
)
from sim.scenario.engine import Engine, Precision, StepTimeFile
from sim.scenario.inline import InlineModel
from sim.scenario.lengths import ConstantLengths, Lengths, LognormalLengths, QuantileLengths
from sim.scenario.local_time import LocalTime, TimeZone
from sim.scenario.offers import Availability, Billing, Offer, OnDemand, Reserved, RunLengths, Spot
from sim.scenario.operation import Admission, Failures, Power
from sim.scenario.part import Part, refuse_all
from sim.scenario.planning import Block, Growing, Planning, Purchase, Targets
from sim.scenario.quantities import Count, LengthOfTime, WarmUp, Whole
from sim.scenario.routers import (
    BanditRouter,
    Budget,
    DifficultyThresholdRouter,
    FileRouter,
    GainThresholdRouter,
    LearnedRouter,
    LookingRouter,
    OracleRouter,
    ThresholdRouter,
    WeighingRouter,
)
from sim.scenario.shape import Growth, SpecialDay, Weekday, Weekly
from sim.scenario.sleep import Sleep, SleepForecast
from sim.scenario.strategies import (
    CascadeStrategy,
    DirectStrategy,
    EarlyStop,
    PlacedStrategy,
    Strategy,
    ThinkStrategy,
    TreeStrategy,
    VerifyStrategy,
    VoteStrategy,
)
from sim.scenario.supply import GpuPool, Pool
from sim.scenario.tariffs import (
    GpuSeries,
    GpuTariff,
    GpuWindow,
    GpuWindows,
    NamedTokens,
    SpotProcess,
    TokenRates,
    TokenTariff,
    TokenWindow,
    TokenWindows,
)
from sim.scenario.training import Training
from sim.scenario.uncertainty import Uncertainty
from sim.scenario.ways import AlwaysRouter, RandomRouter, RoundRobinRouter, Router
from sim.scenario.windows import Window

__all__ = [
    "Admission",
    "AlwaysRouter",
    "ApiBatch",
    "ApiLatency",
    "ApiPool",
    "Arrivals",
    "Autoscale",
    "Availability",
    "Balancer",
    "BanditRouter",
    "Billing",
    "Block",
    "Budget",
    "BusyAutoscale",
    "Carbon",
    "CarbonSeries",
    "CarbonTable",
    "CarbonTableRow",
    "CarbonWindow",
    "CarbonWindows",
    "CascadeStrategy",
    "Client",
    "ClientArrivals",
    "Closed",
    "ConstantCount",
    "ConstantLengths",
    "ConstantTime",
    "Contexts",
    "CurveQuestions",
    "Daily",
    "DemandCharge",
    "DifficultyThresholdRouter",
    "DirectStrategy",
    "EarlyStop",
    "Electricity",
    "ElectricitySeries",
    "ElectricityTable",
    "ElectricityTableRow",
    "ElectricityWindow",
    "ElectricityWindows",
    "Engine",
    "Failures",
    "FileRouter",
    "ForecastError",
    "GainThresholdRouter",
    "Gamma",
    "Generated",
    "GeometricCount",
    "GpuPool",
    "GpuSeries",
    "GpuTariff",
    "GpuWindow",
    "GpuWindows",
    "Growing",
    "Growth",
    "HeldOut",
    "InlineClient",
    "InlineModel",
    "LearnedRouter",
    "Lengths",
    "LognormalCount",
    "LognormalLengths",
    "LognormalTime",
    "LookingRouter",
    "NamedTokens",
    "Offer",
    "OnDemand",
    "OracleRouter",
    "PlacedStrategy",
    "Planning",
    "Poisson",
    "Pool",
    "Power",
    "Precision",
    "PredictiveAutoscale",
    "Priority",
    "Purchase",
    "QuantileLengths",
    "Queries",
    "Questions",
    "QueueAutoscale",
    "RandomRouter",
    "RateLimit",
    "Reserved",
    "RetryReason",
    "RoundRobinRouter",
    "Router",
    "RunLengths",
    "Scenario",
    "ScheduleAutoscale",
    "ScheduleWindow",
    "Sleep",
    "SleepForecast",
    "Slo",
    "SpecialDay",
    "Spot",
    "SpotProcess",
    "StepTimeFile",
    "Strategy",
    "Stream",
    "TableQuestions",
    "Targets",
    "ThinkStrategy",
    "ThresholdRouter",
    "Times",
    "TokenRates",
    "TokenTariff",
    "TokenWindow",
    "TokenWindows",
    "Tokens",
    "TraceArrivals",
    "TraceFormat",
    "Training",
    "TreeStrategy",
    "Uncertainty",
    "VerifyStrategy",
    "VoteStrategy",
    "Weekday",
    "Weekly",
    "WeighingRouter",
    "Window",
]


def _model_form(value: Any) -> str:
    return "name" if isinstance(value, str) else "inline"


_Name = Annotated[str, Field(min_length=1), Tag("name")]
ModelEntry = Annotated[_Name | Annotated[InlineModel, Tag("inline")], Discriminator(_model_form)]


Balancer = Literal["round-robin", "least-outstanding", "power-of-two", "prefix-affinity"]


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
    warm_up: WarmUp = 0.0
    """Start of the run whose requests are left out of latencies, attainment and goodput; `auto` finds it by MSER-5 from
    runs that are made for it."""
    seed: Whole = 0
    """Seed of all randomness; the same seed gives the same bytes."""
    replications: Annotated[Count, Field(le=100_000)] = 1
    """Independent runs; intervals come from two or more."""
    models: list[ModelEntry] = Field(default=[])
    """Models in use: catalogue names, and models defined inline."""
    workload: Annotated[list[Stream], Field(min_length=1)]
    """Streams of requests."""
    fleet: Annotated[list[Pool], Field(min_length=1)]
    """Pools that answer."""
    balancer: Balancer = "least-outstanding"
    """How a request finds its replica."""
    affinity_slack: Whole = 16
    """With prefix-affinity: requests by which the replica that holds most of a request's context may have more to do
    than the one with least."""
    strategies: list[Strategy] = Field(default=[])
    """Ways to answer; a direct answer on any pool where none is given."""
    router: Router | None = None
    """Which strategy a request gets; the first one where left out."""
    sleep: Sleep | None = None
    """Contexts prepared ahead of their questions; none are where left out."""
    training: list[Training] = Field(default=[])
    """One-off costs that change the answers of strategies."""
    uncertainty: Uncertainty = Field(default_factory=Uncertainty)
    """What is not known and drawn anew for each replication; nothing where left out."""
    forecast: ForecastError = Field(default_factory=ForecastError)
    """How good the forecast is that a predictive autoscaler sees."""
    plan: Planning | None = None
    """What `nightshift plan` may buy and change, and what is asked of it; a run does not look at it."""
    bucket: LengthOfTime = 300.0
    """Width of the time buckets in the results."""

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        refuse_all(contradictions(self))
        return self
