"""Prices of tokens and of GPUs that follow the clock; those of electricity are in `energy`.

Every tariff has `base` rates and windows that replace some of them; or a series of prices; or, for spot GPUs, a
random process. How they become prices over a run is in `sim.prices`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag, model_validator

from sim.scenario.part import Part, Refusal, refuse_all
from sim.scenario.quantities import Amount, LengthOfTime, Rate
from sim.scenario.windows import Calendar, Name, Series, Window, Windowed, by_kind, series_refusals

__all__ = [
    "GpuSeries",
    "GpuTariff",
    "GpuWindow",
    "GpuWindows",
    "NamedTokens",
    "SpotProcess",
    "TokenRates",
    "TokenTariff",
    "TokenWindow",
    "TokenWindows",
]

BillBy = Literal["arrival", "start", "completion"]


class TokenRates(Part):
    """Prices of tokens."""

    input_usd_per_1m: Amount
    """US dollars for a million prompt tokens."""
    cached_input_usd_per_1m: Amount | None = None
    """US dollars for a million prompt tokens found in the provider's cache; as other prompt tokens where left out."""
    output_usd_per_1m: Amount
    """US dollars for a million output tokens."""


class TokenWindow(Window):
    """Hours with token prices of their own."""

    input_usd_per_1m: Amount | None = None
    """US dollars for a million prompt tokens; the base's where left out."""
    cached_input_usd_per_1m: Amount | None = None
    """US dollars for a million cached prompt tokens; the base's where left out (if it has none: as input)."""
    output_usd_per_1m: Amount | None = None
    """US dollars for a million output tokens; the base's where left out."""


class Scaled(Part):
    """Prices that a tier or a factor changes."""

    tier: str | None = None
    """Service tier as PROVIDER/TIER, such as openai/batch: its published multiplier is applied to all prices."""
    multiplier: Rate | None = None
    """Factor on all prices, such as 0.5; 1, or that of the tier, where left out."""

    @model_validator(mode="after")
    def _one_factor(self) -> Scaled:
        if self.tier is not None and self.multiplier is not None:
            rule = "cannot be given with a tier, which has its own"
            refuse_all([Refusal(("multiplier",), self.multiplier, rule, "leave one out")])
        return self


class TokenWindows(Windowed, Scaled):
    """Token prices by the clock."""

    kind: Literal["windows"] = "windows"
    """Base rates and windows."""
    base: TokenRates
    """Prices outside all windows."""
    windows: list[TokenWindow] = Field(default=[])
    """Hours with other prices; the first that holds counts."""
    bill_by: BillBy = "arrival"
    """The instant of a request whose price counts: its arrival, its start, or its completion."""


class NamedTokens(Scaled):
    """A shipped tariff, changed a little."""

    kind: Literal["named"] = "named"
    """A tariff that travels with Nightshift."""
    name: str = Field(min_length=1)
    """Name of the tariff, such as deepseek-2026-08."""
    bill_by: BillBy | None = None
    """The instant of a request whose price counts; as the tariff says where left out."""


class GpuWindow(Window):
    """Hours with a GPU price of their own."""

    usd_per_gpu_hour: Amount | None = None
    """Price of one GPU for one hour, US dollars; the base's where left out."""


class GpuWindows(Windowed):
    """A GPU price by the clock."""

    kind: Literal["windows"] = "windows"
    """A base price and windows."""
    usd_per_gpu_hour: Amount
    """Price of one GPU for one hour outside all windows, US dollars."""
    windows: list[GpuWindow] = Field(default=[])
    """Hours with another price; the first that holds counts."""


class GpuSeries(Series):
    """A recorded GPU price."""

    kind: Literal["series"] = "series"
    """Prices one after the other."""
    usd_per_gpu_hour: Annotated[list[Amount], Field(min_length=1)] | None = None
    """Prices of one GPU for one hour, US dollars; a file has a column of this name."""

    @model_validator(mode="after")
    def _one_source(self) -> GpuSeries:
        refuse_all(series_refusals(self, "usd_per_gpu_hour"))
        return self


class SpotProcess(Calendar):
    """A random spot price: the logarithm reverts to its mean (Ornstein-Uhlenbeck), in equilibrium from the start."""

    kind: Literal["spot-process"] = "spot-process"
    """A fitted random process."""
    mean_usd_per_gpu_hour: Rate
    """Long-run mean price of one GPU for one hour, before `floor` and `cap`."""
    volatility: Annotated[Amount, Field(le=5)]
    """Standard deviation of the logarithm of the price in equilibrium."""
    half_life: LengthOfTime
    """Time in which a deviation of the logarithm halves on average."""
    step: LengthOfTime = 3600.0
    """How long a price holds before it moves."""
    floor_usd_per_gpu_hour: Amount | None = None
    """Lowest price."""
    cap_usd_per_gpu_hour: Rate | None = None
    """Highest price, such as the on-demand price."""

    @model_validator(mode="after")
    def _floor_below_cap(self) -> SpotProcess:
        floor, cap = self.floor_usd_per_gpu_hour, self.cap_usd_per_gpu_hour
        if floor is not None and cap is not None and floor > cap:
            rule, remedy = f"must be at most the cap ({cap:g})", "lower it, or raise the cap"
            refuse_all([Refusal(("floor_usd_per_gpu_hour",), floor, rule, remedy)])
        return self


TokenTariff = Annotated[
    Name | Annotated[TokenWindows, Tag("of kind windows")] | Annotated[NamedTokens, Tag("of kind named")], by_kind
]
"""Prices of tokens: the name of a shipped tariff, or one written out."""
GpuTariff = Annotated[
    Name
    | Annotated[GpuWindows, Tag("of kind windows")]
    | Annotated[GpuSeries, Tag("of kind series")]
    | Annotated[SpotProcess, Tag("of kind spot-process")],
    by_kind,
]
"""Price of a GPU: the name of a shipped tariff, or one written out."""
