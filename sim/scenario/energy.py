"""What electricity costs and how much carbon its making sets free, by the clock."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag, model_validator

from sim.scenario.part import Part, Refusal, refuse_all
from sim.scenario.quantities import Amount
from sim.scenario.windows import ALL_MONTHS, Calendar, Months, Name, Series, Window, Windowed, by_kind, series_refusals

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
]

SignedPrice = Annotated[float, Field(strict=True, ge=-1e9, le=1e9)]
"""A price that may be below zero."""


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
        refuse_all(series_refusals(self, "usd_per_kwh", "usd_per_mwh"))
        return self


class ElectricityTableRow(Part):
    """A day of prices, the same on every day of some months."""

    months: Months = Field(default=ALL_MONTHS)
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
        refuse_all(series_refusals(self, "g_co2_per_kwh"))
        return self


class CarbonTableRow(Part):
    """A day of carbon intensities, the same on every day of some months."""

    months: Months = Field(default=ALL_MONTHS)
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


Electricity = Annotated[
    Name
    | Annotated[ElectricityWindows, Tag("of kind windows")]
    | Annotated[ElectricitySeries, Tag("of kind series")]
    | Annotated[ElectricityTable, Tag("of kind table")],
    by_kind,
]
"""Price of electricity: the name of a shipped tariff, or one written out."""
Carbon = Annotated[
    Name
    | Annotated[CarbonWindows, Tag("of kind windows")]
    | Annotated[CarbonSeries, Tag("of kind series")]
    | Annotated[CarbonTable, Tag("of kind table")],
    by_kind,
]
"""Carbon intensity of electricity: the name of a shipped table, or one written out."""


def _month_refusals(rows: list[list[int]]) -> list[Refusal]:
    named = [month for months in rows for month in months]
    missing = [str(month) for month in ALL_MONTHS if month not in named]
    twice = sorted({str(month) for month in named if named.count(month) > 1})
    missed = [Refusal(("rows",), ", ".join(missing), "is in no row", "give every month, 1 to 12, a row")]
    repeated = [Refusal(("rows",), ", ".join(twice), "is in several rows", "keep one of them")]
    return [*(missed if missing else []), *(repeated if twice else [])]
