"""How GPUs are bought: reserved for a term, on demand, or as spot capacity that may be taken back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from sim.errors import InputError
from sim.scenario.part import Part, Refusal, refuse, refuse_all
from sim.scenario.quantities import Amount, Duration, LengthOfTime, Share, format_duration, parse_duration
from sim.scenario.tariffs import GpuTariff

__all__ = ["Availability", "Billing", "Offer", "OnDemand", "Reserved", "RunLengths", "Spot"]

_YEAR_S = 365 * 86_400.0


def _term(value: Any) -> float | None:
    if value is None or value == "none":
        return None
    years = value[:-1] if isinstance(value, str) and value.endswith("y") else ""
    try:
        seconds = int(years) * _YEAR_S if years.isdecimal() and len(years) < 3 else parse_duration(value)
    except InputError as error:
        raise refuse(error.value, "is not a term", "give 1y, 3y, none, or a duration such as 90d") from None
    if seconds == 0:
        raise refuse(value, "must be longer than zero", "give a term such as 1y, or none")
    return seconds


def _term_text(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return format_duration(seconds) if seconds % _YEAR_S else f"{int(seconds / _YEAR_S)}y"


Term = Annotated[
    float | None,
    BeforeValidator(_term),
    PlainSerializer(_term_text, return_type=str | None, when_used="json"),
    WithJsonSchema({"type": ["string", "number", "null"], "examples": ["1y", "3y", "90d", "none"]}),
]
"""Seconds of a commitment, a year being 365 days; None without one."""


class Priced(Part):
    """A price of GPUs, given one way: a number, a cloud and its region, or a tariff."""

    usd_per_gpu_hour: Amount | None = None
    """Price of one GPU for one hour, US dollars."""
    cloud: str | None = Field(default=None, min_length=1)
    """Cloud whose shipped price for this type of GPU counts, such as aws; needs `region`."""
    region: str | None = Field(default=None, min_length=1)
    """Region of that cloud, such as us-east-1."""
    tariff: GpuTariff | None = None
    """A price that follows the clock: a shipped tariff by name, or one written out."""

    @model_validator(mode="after")
    def _one_price(self) -> Priced:
        refuse_all(list(_price_refusals(self)))
        return self


class Billing(Part):
    """How the time of a server is rounded when it is billed."""

    unit: LengthOfTime = 1.0
    """Time is billed in units of this length, begun ones in full."""
    minimum: Duration = 0.0
    """Shortest time that is billed for one life of a server."""


class Reserved(Priced):
    """GPUs paid for around the clock, used or not."""

    kind: Literal["reserved"] = "reserved"
    """Reserved capacity."""
    term: Term = None
    """Length of the commitment, such as 1y or 3y; over it the upfront payment is spread."""
    upfront_usd_per_gpu: Amount = 0.0
    """Paid at the beginning of the term for each GPU, beside the hourly price."""
    discount: Annotated[Share, Field(lt=1)] | None = None
    """Share off the on-demand price of the cloud and region."""
    commitment: str | None = Field(default=None, min_length=1)
    """Name of a shipped commitment that says the discount or the price, instead of `discount`."""

    @model_validator(mode="after")
    def _commitment_is_whole(self) -> Reserved:
        refuse_all(list(_commitment_refusals(self)))
        return self


class OnDemand(Priced):
    """GPUs paid for while they run."""

    kind: Literal["on-demand"] = "on-demand"
    """On-demand capacity."""
    billing: Billing = Field(default_factory=Billing)
    """How time is rounded."""


class RunLengths(Part):
    """Lengths of the runs of one state, lognormal."""

    median: LengthOfTime
    """Median length."""
    mean: LengthOfTime
    """Mean length, at least the median."""

    @model_validator(mode="after")
    def _mean_above_median(self) -> RunLengths:
        if self.mean < self.median:
            rule = f"must be at least the median ({format_duration(self.median)})"
            refuse_all([Refusal(("mean",), format_duration(self.mean), rule, "raise it, or lower the median")])
        return self


class Availability(Part):
    """When spot capacity is there: runs in which it is and runs in which it is not, in turn."""

    zone: str | None = Field(default=None, min_length=1)
    """Name of a shipped fit, such as aws-us-west-2a-v100x1-2023-02; instead of `up` and `down`."""
    up: RunLengths | None = None
    """Runs in which there is capacity."""
    down: RunLengths | None = None
    """Runs in which there is none."""
    together: bool = True
    """Whether all servers of the pool come and go together; each for itself otherwise."""

    @model_validator(mode="after")
    def _one_way(self) -> Availability:
        refuse_all(list(_availability_refusals(self)))
        return self


class Spot(Priced):
    """Spare GPUs, cheaper, that the cloud takes back after a notice."""

    kind: Literal["spot"] = "spot"
    """Spot capacity."""
    billing: Billing = Field(default_factory=Billing)
    """How time is rounded."""
    notice: Duration = 120.0
    """Time between the notice and the loss of the servers."""
    availability: Availability | None = None
    """When there is capacity; always, and never taken back, where left out."""


Offer = Annotated[Reserved | OnDemand | Spot, Field(discriminator="kind")]


def _price_refusals(offer: Priced) -> Iterator[Refusal]:
    place = [key for key in ("cloud", "region") if getattr(offer, key) is not None]
    given = [key for key in ("usd_per_gpu_hour", *place[:1], "tariff") if getattr(offer, key) is not None]
    if not given:
        remedy = "add it: Price of one GPU for one hour, US dollars; or `cloud` with `region`, or a `tariff`"
        yield Refusal(("usd_per_gpu_hour",), "usd_per_gpu_hour", "is missing", remedy)
    for key in given[1:]:
        yield Refusal((key,), key, f"cannot be given with {given[0]}", "give the price one way")
    if len(place) == 1:
        absent = "region" if place == ["cloud"] else "cloud"
        yield Refusal((absent,), absent, "is missing", f"add it: {place[0]} goes with {absent}")


def _commitment_refusals(offer: Reserved) -> Iterator[Refusal]:
    ways = [key for key in ("discount", "commitment") if getattr(offer, key) is not None]
    if offer.cloud is not None and not ways:
        remedy = "add the share off the on-demand price, such as 0.4, or name a `commitment`"
        yield Refusal(("discount",), "discount", "is missing", remedy)
    if offer.cloud is None and ways:
        yield Refusal((ways[0],), ways[0], "is of a cloud's price", "add `cloud` and `region`, or leave it out")
    if len(ways) == 2:
        yield Refusal(("commitment",), "commitment", "cannot be given with discount", "keep one of them")
    if offer.upfront_usd_per_gpu and offer.term is None:
        yield Refusal(("term",), "term", "is missing", "add it, such as 1y: the upfront payment is spread over it")


def _availability_refusals(availability: Availability) -> Iterator[Refusal]:
    runs = [key for key in ("up", "down") if getattr(availability, key) is not None]
    if availability.zone is not None and runs:
        yield Refusal((runs[0],), runs[0], "cannot be given with zone", "keep one of them")
    if availability.zone is None and len(runs) < 2:
        absent = "down" if runs == ["up"] else "up"
        yield Refusal((absent,), absent, "is missing", "add `up` and `down`, or the name of a `zone`")
