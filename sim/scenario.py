"""The scenario: what is simulated, apart from how it runs. `Scenario` is the whole file, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from sim.demand import (
    Arrivals,
    Closed,
    ConstantLengths,
    Daily,
    Gamma,
    Lengths,
    LognormalLengths,
    Poisson,
    Priority,
    QuantileLengths,
    Slo,
    Stream,
    TraceArrivals,
    TraceFormat,
    Weekday,
)
from sim.errors import did_you_mean
from sim.inline import InlineModel
from sim.part import Part, Refusal, refuse, refuse_all
from sim.quantities import Amount, Count, Duration, LengthOfTime, Whole, format_duration
from sim.supply import (
    Engine,
    GpuPool,
    Offer,
    OnDemand,
    Precision,
    Reserved,
    ScheduleWindow,
    StepTimeFile,
)

__all__ = [
    "AlwaysRouter",
    "Arrivals",
    "Closed",
    "ConstantLengths",
    "Daily",
    "DirectStrategy",
    "Engine",
    "Gamma",
    "GpuPool",
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
    "RoundRobinRouter",
    "Router",
    "Scenario",
    "ScheduleWindow",
    "Slo",
    "StepTimeFile",
    "Stream",
    "TraceArrivals",
    "TraceFormat",
    "Weekday",
]


class DirectStrategy(Part):
    """Answer at once, with no extra thinking."""

    name: str = Field(min_length=1)
    """Name of the strategy, unique in the scenario."""
    kind: Literal["direct"] = "direct"
    """A direct answer."""
    pool: str | None = None
    """Pool it runs on; any pool with the right model where left out."""


class AlwaysRouter(Part):
    """One strategy for all requests."""

    policy: Literal["always"] = "always"
    """Always the same strategy."""
    strategy: str
    """Name of the strategy."""


class RandomRouter(Part):
    """A strategy by chance."""

    policy: Literal["random"] = "random"
    """A random mix of strategies."""
    weights: Annotated[dict[str, Amount], Field(min_length=1)]
    """Weight by strategy; shares are weights over their sum."""

    @field_validator("weights")
    @classmethod
    def _some_weight(cls, weights: dict[str, float]) -> dict[str, float]:
        if sum(weights.values()) == 0:
            raise refuse(weights, "has no weight above zero", "raise one of the weights")
        return weights


class RoundRobinRouter(Part):
    """Strategies in turn."""

    policy: Literal["round-robin"] = "round-robin"
    """Every strategy in turn."""


Router = Annotated[AlwaysRouter | RandomRouter | RoundRobinRouter, Field(discriminator="policy")]


def _local_time(value: Any) -> datetime:
    remedy = "give local time such as 2026-01-05T00:00:00; `time_zone` says where"
    moment = _moment(value)
    if moment is None:
        raise refuse(value, "is not a date and time", remedy)
    if moment.tzinfo is not None:
        raise refuse(value, "must not carry a zone of its own", remedy)
    if not 1970 <= moment.year <= 2200:
        raise refuse(value, "must lie in the years 1970 to 2200", remedy)
    return moment


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


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
    start: Annotated[datetime, BeforeValidator(_local_time)] = datetime(2026, 1, 5)
    """Local date and time at which the run starts."""
    time_zone: str = "UTC"
    """IANA time zone of the local clock, such as America/New_York."""
    horizon: LengthOfTime | None = None
    """Length of the run; without it the run ends when all work is done, so every stream must be finite."""
    warm_up: Duration = 0.0
    """Start of the run that is left out of the figures."""
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
    bucket: LengthOfTime = 300.0
    """Width of the time buckets in the results."""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if not _zone_exists(name):
            raise refuse(name, "is not an IANA time zone", _zone_remedy(name))
        return name

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        refuse_all([*_clock_refusals(self), *_name_refusals(self), *_reference_refusals(self)])
        return self


def _zone_exists(name: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _zone_remedy(name: str) -> str:
    from zoneinfo import available_timezones

    from sim.errors import nearest

    near = nearest(name, sorted(available_timezones()))
    return f"did you mean '{near}'?" if near else "use a name such as UTC, Europe/Berlin or America/New_York"


def _clock_refusals(scenario: Scenario) -> Iterator[Refusal]:
    horizon, warm_up = scenario.horizon, scenario.warm_up
    endless = [stream.name for stream in scenario.workload if not stream.finite]
    if horizon is None and endless:
        remedy = (
            f"add `horizon: 24h`; stream '{endless[0]}' has no end (a trace has, or closed with `requests`)"
        )
        yield Refusal(("horizon",), "horizon", "is missing", remedy)
    if horizon is not None and warm_up >= horizon:
        rule = f"must be shorter than the horizon ({format_duration(horizon)})"
        yield Refusal(("warm_up",), format_duration(warm_up), rule, "shorten it, or lengthen the horizon")


def _name_refusals(scenario: Scenario) -> Iterator[Refusal]:
    yield from _repeats("workload", [stream.name for stream in scenario.workload])
    yield from _repeats("fleet", [pool.name for pool in scenario.fleet])
    yield from _repeats("strategies", [strategy.name for strategy in scenario.strategies])


def _repeats(key: str, names: list[str]) -> Iterator[Refusal]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Refusal((key, index, "name"), name, "is given twice", "give each its own name")


def _reference_refusals(scenario: Scenario) -> Iterator[Refusal]:
    pools = [pool.name for pool in scenario.fleet]
    served = sorted({pool.model for pool in scenario.fleet})
    for index, stream in enumerate(scenario.workload):
        named = [] if stream.model is None else [stream.model]
        yield from _strangers(("workload", index, "model"), named, served, "is served by no pool")
    for index, strategy in enumerate(scenario.strategies):
        named = [] if strategy.pool is None else [strategy.pool]
        yield from _strangers(("strategies", index, "pool"), named, pools, "is no pool of the fleet")
    yield from _router_refusals(scenario)


def _router_refusals(scenario: Scenario) -> Iterator[Refusal]:
    router, names = scenario.router, [strategy.name for strategy in scenario.strategies]
    if router is not None and not names:
        yield Refusal(("router",), "router", "has no strategies to choose from", "add `strategies`")
    elif isinstance(router, AlwaysRouter):
        yield from _strangers(
            ("router", "strategy"), [router.strategy], names, "is no strategy of the scenario"
        )
    elif isinstance(router, RandomRouter):
        for name in router.weights:
            yield from _strangers(
                ("router", "weights", name), [name], names, "is no strategy of the scenario"
            )


def _strangers(
    path: tuple[str | int, ...], named: Iterable[str], known: list[str], rule: str
) -> Iterator[Refusal]:
    for name in named:
        if name not in known:
            yield Refusal(path, name, rule, did_you_mean(name, known))
