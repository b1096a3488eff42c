"""Prices that follow the clock: of tokens, of GPUs, of electricity, and the carbon of its making.

Every tariff has `base` rates and windows that replace some of them; or a series of prices; or, for spot GPUs, a
random process. How they become prices over a run is in `sim.prices`.
"""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from sim.scenario.local_time import LocalTime, TimeZone
from sim.scenario.part import Part, Refusal, refuse, refuse_all
from sim.scenario.quantities import Amount, Hours, LengthOfTime, Rate
from sim.scenario.shape import Weekday

__all__ = [
    "Carbon",
    "CarbonSeries",
    "CarbonTable",
    "CarbonTableRow",
    "CarbonWindow",
    "CarbonWindows",
    "DemandCharge",
    "Electricity",
    "ElectricitySeries",
    "ElectricityTable",
    "ElectricityTableRow",
    "ElectricityWindow",
    "ElectricityWindows",
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
    "Window",
]

BillBy = Literal["arrival", "start", "completion"]
SignedPrice = Annotated[float, Field(ge=-1e9, le=1e9)]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _local_date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise refuse(value, "is not a date", "give one such as 2026-12-25") from None


LocalDate = Annotated[date, BeforeValidator(_local_date)]
"""A local date without a time."""
Month = Annotated[int, Field(ge=1, le=12)]
Months = Annotated[list[Month], Field(min_length=1)]
Days = Annotated[list[Weekday], Field(min_length=1)]
_ALL_MONTHS, _ALL_DAYS = list(range(1, 13)), list(get_args(Weekday))


class Window(Part):
    """Part of the local clock and calendar. Over midnight, a window belongs to the day on which it starts."""

    name: str | None = Field(default=None, min_length=1)
    """Name under which the ledger keeps these hours; made of hours and days where left out."""
    hours: Annotated[list[Hours], BeforeValidator(_listed)] = Field(default=[])
    """Hours such as "22:00-03:00", or a list of them, start inclusive, end exclusive; all day where left out."""
    days: Days = Field(default=_ALL_DAYS)
    """Local weekdays; every day where left out."""
    months: Months = Field(default=_ALL_MONTHS)
    """Months, 1 to 12; all year where left out."""
    dates: Annotated[list[LocalDate], Field(min_length=1)] | None = None
    """Only these local dates."""
    holidays: Literal["skip", "only", "ignore"] = "ignore"
    """Whether the window leaves out the tariff's holidays, holds on them only, or knows no difference."""
    valid_from: LocalTime | None = None
    """First local instant at which the window may hold."""
    valid_to: LocalTime | None = None
    """First local instant at which it no longer may."""

    @model_validator(mode="after")
    def _some_time_is_valid(self) -> Window:
        refuse_all(_order_refusals(self.valid_from, self.valid_to))
        return self

    @property
    def label(self) -> str:
        """The name, or one made of days and hours."""
        days = [] if len(self.days) == 7 else [" ".join(self.days)]
        return self.name or " ".join([*days, "; ".join(self.hours) or "all day"])


class Calendar(Part):
    """What every tariff says of itself: its clock, its holidays, how long it is valid, and where it is from."""

    time_zone: TimeZone | None = None
    """IANA time zone of the tariff's clock; the scenario's where left out."""
    valid_from: LocalTime | None = None
    """Local date or time from which the tariff is valid; a run outside is refused."""
    valid_to: LocalTime | None = None
    """Local date or time from which it is no longer valid."""
    source: str | None = None
    """Where the figures are from."""
    as_of: str | None = None
    """Date of the figures."""
    confidence: str | None = None
    """How sure the figures are: high, medium or low."""
    note: str | None = None
    """What to know before using it."""

    @model_validator(mode="after")
    def _some_time_is_valid(self) -> Calendar:
        refuse_all(_order_refusals(self.valid_from, self.valid_to))
        return self


class Windowed(Calendar):
    """A tariff of base rates and windows: the first window that holds an instant counts, else the base."""

    base_name: str = Field(default="base", min_length=1)
    """Name under which the ledger keeps the hours that no window holds."""
    holidays: list[LocalDate] = Field(default=[])
    """Local dates that windows may leave out or hold on."""

    @model_validator(mode="after")
    def _holidays_are_known(self) -> Windowed:
        refuse_all(_holiday_refusals(self))
        return self


class Series(Calendar):
    """Prices one after the other, in the scenario or in a file."""

    path: Path | None = None
    """CSV with a column `time` (UTC, ISO 8601) and one of prices, relative to the scenario; each row holds until
    the next, the last one for `step`."""
    step: LengthOfTime = 3600.0
    """How long each price of a list, or the last row of a file, holds."""
    begin: LocalTime | None = None
    """Local time of the first price of a list; the start of the run where left out."""
    repeat: bool = False
    """Whether the series begins anew at its end; a run longer than the series is refused otherwise."""


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


class TokenWindows(Windowed):
    """Token prices by the clock."""

    kind: Literal["windows"] = "windows"
    """Base rates and windows."""
    base: TokenRates
    """Prices outside all windows."""
    windows: list[TokenWindow] = Field(default=[])
    """Hours with other prices; the first that holds counts."""
    bill_by: BillBy = "arrival"
    """The instant of a request whose price counts: its arrival, its start, or its completion."""
    tier: str | None = None
    """Service tier as PROVIDER/TIER, such as openai/batch: its published multiplier is applied to all prices."""
    multiplier: Rate | None = None
    """Factor on all prices, such as 0.5; 1, or that of the tier, where left out."""

    @model_validator(mode="after")
    def _one_factor(self) -> TokenWindows:
        refuse_all(_tier_refusals(self.tier, self.multiplier))
        return self


class NamedTokens(Part):
    """A shipped tariff, changed a little."""

    kind: Literal["named"] = "named"
    """A tariff that travels with Nightshift."""
    name: str = Field(min_length=1)
    """Name of the tariff, such as deepseek-2026-08."""
    bill_by: BillBy | None = None
    """The instant of a request whose price counts; as the tariff says where left out."""
    tier: str | None = None
    """Service tier as PROVIDER/TIER, such as openai/batch: its published multiplier is applied to all prices."""
    multiplier: Rate | None = None
    """Factor on all prices; 1, or that of the tier, where left out."""

    @model_validator(mode="after")
    def _one_factor(self) -> NamedTokens:
        refuse_all(_tier_refusals(self.tier, self.multiplier))
        return self


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
        refuse_all(_series_refusals(self, "usd_per_gpu_hour"))
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


class DemandCharge(Window):
    """A charge on the highest power drawn in a calendar month while the window holds."""

    usd_per_kw_month: Amount
    """US dollars for each kW of the month's highest power in these hours, for a month."""


class Metered(Part):
    """What an electricity bill holds beside the energy."""

    demand: list[DemandCharge] = Field(default=[])
    """Charges on the month's highest power, each in its own hours; all of them add up."""
    usd_per_day: Amount = 0.0
    """Customer charge a day, US dollars."""


class ElectricityWindow(Window):
    """Hours with an energy price of their own."""

    usd_per_kwh: SignedPrice
    """US dollars a kWh."""


class ElectricityWindows(Windowed, Metered):
    """Electricity by time of use."""

    kind: Literal["windows"] = "windows"
    """A base price and windows."""
    usd_per_kwh: SignedPrice
    """US dollars a kWh outside all windows."""
    windows: list[ElectricityWindow] = Field(default=[])
    """Hours with another price; the first that holds counts."""


class ElectricitySeries(Series, Metered):
    """Electricity by a series of market prices, which may be below zero."""

    kind: Literal["series"] = "series"
    """Prices one after the other."""
    usd_per_kwh: Annotated[list[SignedPrice], Field(min_length=1)] | None = None
    """US dollars a kWh; a file has a column of this name, or of the next."""
    usd_per_mwh: Annotated[list[SignedPrice], Field(min_length=1)] | None = None
    """The same in US dollars a MWh."""

    @model_validator(mode="after")
    def _one_source(self) -> ElectricitySeries:
        refuse_all(_series_refusals(self, "usd_per_kwh", "usd_per_mwh"))
        return self


class ElectricityTableRow(Part):
    """A day of prices, the same on every day of some months."""

    months: Months = Field(default=_ALL_MONTHS)
    """Months, 1 to 12; all year where left out."""
    usd_per_mwh: Annotated[list[SignedPrice], Field(min_length=24, max_length=24)]
    """US dollars a MWh in each local hour of the day, 24 of them from midnight."""


class ElectricityTable(Calendar, Metered):
    """Electricity by month and hour of the day, such as the means of a market."""

    kind: Literal["table"] = "table"
    """A table of months by hours."""
    rows: list[ElectricityTableRow]
    """Days of prices, which together must hold each month once."""

    @model_validator(mode="after")
    def _each_month_once(self) -> ElectricityTable:
        refuse_all(_month_refusals([row.months for row in self.rows]))
        return self


class CarbonWindow(Window):
    """Hours with a carbon intensity of their own."""

    g_co2_per_kwh: Amount
    """Grams of CO2 a kWh."""


class CarbonWindows(Windowed):
    """Carbon intensity that is constant, or follows the clock."""

    kind: Literal["windows"] = "windows"
    """A base value and windows."""
    g_co2_per_kwh: Amount
    """Grams of CO2 a kWh outside all windows."""
    windows: list[CarbonWindow] = Field(default=[])
    """Hours with another value; the first that holds counts."""


class CarbonSeries(Series):
    """Recorded carbon intensity."""

    kind: Literal["series"] = "series"
    """Values one after the other."""
    g_co2_per_kwh: Annotated[list[Amount], Field(min_length=1)] | None = None
    """Grams of CO2 a kWh; a file has a column of this name."""

    @model_validator(mode="after")
    def _one_source(self) -> CarbonSeries:
        refuse_all(_series_refusals(self, "g_co2_per_kwh"))
        return self


class CarbonTableRow(Part):
    """A day of carbon intensities, the same on every day of some months."""

    months: Months = Field(default=_ALL_MONTHS)
    """Months, 1 to 12; all year where left out."""
    g_co2_per_kwh: Annotated[list[Amount], Field(min_length=24, max_length=24)]
    """Grams of CO2 a kWh in each local hour of the day, 24 of them from midnight."""


class CarbonTable(Calendar):
    """Carbon intensity by month and hour of the day."""

    kind: Literal["table"] = "table"
    """A table of months by hours."""
    rows: list[CarbonTableRow]
    """Days of values, which together must hold each month once."""

    @model_validator(mode="after")
    def _each_month_once(self) -> CarbonTable:
        refuse_all(_month_refusals([row.months for row in self.rows]))
        return self


def _form(value: Any) -> str:
    """The tag of a tariff; never a key of one, so that it is not taken for a step on the way to a fault."""
    if isinstance(value, dict | Part):
        kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
        return f"of kind {kind}"
    return "a name"


class _HashableDiscriminator(Discriminator):
    """One that may stand in an optional field in spite of its context."""

    __hash__ = object.__hash__


# The context is the one that faults of plain tagged unions carry.
_kind = _HashableDiscriminator(
    _form,
    custom_error_type="union_tag_invalid",
    custom_error_context={"discriminator": "kind", "tag": "", "expected_tags": ""},
)
_Name = Annotated[str, Field(min_length=1), Tag("a name")]

TokenTariff = Annotated[
    _Name | Annotated[TokenWindows, Tag("of kind windows")] | Annotated[NamedTokens, Tag("of kind named")], _kind
]
"""Prices of tokens: the name of a shipped tariff, or one written out."""
GpuTariff = Annotated[
    _Name
    | Annotated[GpuWindows, Tag("of kind windows")]
    | Annotated[GpuSeries, Tag("of kind series")]
    | Annotated[SpotProcess, Tag("of kind spot-process")],
    _kind,
]
"""Price of a GPU: the name of a shipped tariff, or one written out."""
Electricity = Annotated[
    _Name
    | Annotated[ElectricityWindows, Tag("of kind windows")]
    | Annotated[ElectricitySeries, Tag("of kind series")]
    | Annotated[ElectricityTable, Tag("of kind table")],
    _kind,
]
"""Price of electricity: the name of a shipped tariff, or one written out."""
Carbon = Annotated[
    _Name
    | Annotated[CarbonWindows, Tag("of kind windows")]
    | Annotated[CarbonSeries, Tag("of kind series")]
    | Annotated[CarbonTable, Tag("of kind table")],
    _kind,
]
"""Carbon intensity of electricity: the name of a shipped table, or one written out."""


def _order_refusals(valid_from: datetime | None, valid_to: datetime | None) -> list[Refusal]:
    if valid_from is None or valid_to is None or valid_from < valid_to:
        return []
    rule = f"must be after valid_from ({valid_from.isoformat()})"
    return [Refusal(("valid_to",), valid_to.isoformat(), rule, "give a later time, or leave it out")]


def _holiday_refusals(tariff: Windowed) -> list[Refusal]:
    windows: list[Window] = getattr(tariff, "windows", [])
    return [
        Refusal(("windows", index, "holidays"), "only", "holds on no day", "list the tariff's `holidays`")
        for index, window in enumerate(windows)
        if window.holidays == "only" and not tariff.holidays
    ]


def _tier_refusals(tier: str | None, multiplier: float | None) -> list[Refusal]:
    if tier is None or multiplier is None:
        return []
    return [Refusal(("multiplier",), multiplier, "cannot be given with a tier, which has its own", "leave one out")]


def _series_refusals(series: Series, *lists: str) -> list[Refusal]:
    given = [key for key in (*lists, "path") if getattr(series, key) is not None]
    if len(given) == 1:
        return []
    if not given:
        remedy = "add a list of prices, or the `path` of a file"
        return [Refusal((lists[0],), lists[0], "is missing", remedy)]
    return [Refusal((given[1],), given[1], f"cannot be given with {given[0]}", "keep one of them")]


def _month_refusals(rows: list[list[int]]) -> list[Refusal]:
    named = [month for months in rows for month in months]
    missing = [str(month) for month in _ALL_MONTHS if month not in named]
    twice = sorted({str(month) for month in named if named.count(month) > 1})
    missed = [Refusal(("rows",), ", ".join(missing), "is in no row", "give every month, 1 to 12, a row")]
    repeated = [Refusal(("rows",), ", ".join(twice), "is in several rows", "keep one of them")]
    return [*(missed if missing else []), *(repeated if twice else [])]
