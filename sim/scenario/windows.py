"""What all tariffs are made of: windows of the clock and calendar, base rates, and series."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from sim.scenario.local_time import LocalDate, LocalTime, TimeZone
from sim.scenario.part import Part, Refusal, refuse_all
from sim.scenario.quantities import HOURS_SCHEMA, Hours, LengthOfTime
from sim.scenario.shape import WEEKDAYS, Weekday

__all__ = ["ALL_MONTHS", "Calendar", "Months", "Name", "Series", "Window", "Windowed", "by_kind", "series_refusals"]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


HoursOrList = Annotated[
    list[Hours],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [HOURS_SCHEMA, {"type": "array", "items": HOURS_SCHEMA}]}),
]
"""A daily window, or a list of them."""
Month = Annotated[int, Field(strict=True, ge=1, le=12)]
Months = Annotated[list[Month], Field(min_length=1)]
Days = Annotated[list[Weekday], Field(min_length=1)]
ALL_MONTHS = list(range(1, 13))


class Window(Part):
    """Part of the local clock and calendar. Over midnight, a window belongs to the day on which it starts."""

    name: str | None = Field(default=None, min_length=1)
    """Name under which the ledger keeps these hours; made of hours and days where left out."""
    hours: HoursOrList = Field(default=[])
    """Hours such as "22:00-03:00", or a list of them, start inclusive, end exclusive; all day where left out."""
    days: Days = Field(default=list(WEEKDAYS))
    """Local weekdays; every day where left out."""
    months: Months = Field(default=ALL_MONTHS)
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
by_kind = _HashableDiscriminator(
    _form,
    custom_error_type="union_tag_invalid",
    custom_error_context={"discriminator": "kind", "tag": "", "expected_tags": ""},
)
"""Tells the members of a union of tariffs apart; their tags are "of kind KIND"."""
Name = Annotated[str, Field(min_length=1), Tag("a name")]
"""The name of a shipped tariff, as one of the members of a union that is told apart by `by_kind`."""


def _order_refusals(valid_from: datetime | None, valid_to: datetime | None) -> list[Refusal]:
    if valid_from is None or valid_to is None or valid_from < valid_to:
        return []
    rule = f"must be after valid_from ({valid_from.isoformat()})"
    return [Refusal(("valid_to",), valid_to.isoformat(), rule, "give a later time, or leave it out")]


def _holiday_refusals(tariff: Windowed) -> list[Refusal]:
    return [
        Refusal((key, index, "holidays"), "only", "holds on no day", "list the tariff's `holidays`")
        for key in ("windows", "demand")
        for index, window in enumerate(getattr(tariff, key, []))
        if window.holidays == "only" and not tariff.holidays
    ]


def series_refusals(series: Series, *lists: str) -> list[Refusal]:
    """A series has its prices in one of these lists, or in a file."""
    given = [key for key in (*lists, "path") if getattr(series, key) is not None]
    if len(given) == 1:
        return []
    if not given:
        remedy = "add a list of prices, or the `path` of a file"
        return [Refusal((lists[0],), lists[0], "is missing", remedy)]
    return [Refusal((given[1],), given[1], f"cannot be given with {given[0]}", "keep one of them")]
