"""What a stream's rate does over months, weeks and on special days, whatever its arrivals."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Discriminator, Tag

from sim.scenario.local_time import LocalDate
from sim.scenario.part import Part, refuse
from sim.scenario.quantities import Amount, Change, Hours

__all__ = ["WEEKDAYS", "Growth", "SpecialDay", "Weekday", "Weekly"]

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
"""In the order of `date.weekday`."""

HOURS_OF_A_WEEK = 168


def _whole_week(factors: list[float]) -> list[float]:
    if len(factors) != HOURS_OF_A_WEEK:
        rule = f"is no week of hours: it has {len(factors)} factors"
        raise refuse(
            "weekly", rule, f"give {HOURS_OF_A_WEEK}, from Monday 00:00 to Sunday 23:00, or factors by weekday"
        )
    return factors


def _weekly_form(value: Any) -> str:
    return "hours" if isinstance(value, list) else "weekdays"


class Growth(Part):
    """Growth of the rate, compound and smooth, from the scenario's start."""

    per_month: Change
    """Growth in a month of 30.4375 days as a share; 0.1 makes 1 into 1.1, below zero it shrinks."""


class SpecialDay(Part):
    """A day unlike others of its weekday."""

    date: LocalDate
    """Local date."""
    factor: Amount
    """Factor on the rate, on top of all others."""
    hours: Hours | None = None
    """Local hours of it, from that date on where they cross midnight; the whole day where left out."""


_Weekdays = Annotated[dict[Weekday, Amount], Tag("weekdays")]
_WeekHours = Annotated[list[Amount], AfterValidator(_whole_week), Tag("hours")]
Weekly = Annotated[_Weekdays | _WeekHours, Discriminator(_weekly_form)]
"""Factors by local weekday, or by hour of the local week from Monday 00:00 on."""
