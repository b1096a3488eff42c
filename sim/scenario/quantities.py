"""Kinds of numbers a scenario holds: durations, counts, rates, shares and hours of the day."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from sim.errors import InputError
from sim.scenario.part import refuse

__all__ = [
    "DURATION_SCHEMA",
    "HOURS_SCHEMA",
    "Amount",
    "AutoWarmUp",
    "Change",
    "Count",
    "Duration",
    "Hours",
    "LengthOfTime",
    "Rate",
    "Share",
    "Shift",
    "Spread",
    "WarmUp",
    "Whole",
    "format_duration",
    "parse_duration",
    "parse_hours",
]

_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_NUMBER = r"[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+"
_DURATION = re.compile(rf"\s*({_NUMBER})\s*(ms|s|m|h|d)?\s*")
_HOURS = re.compile(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s*")
_REMEDY = "give seconds as a number, or a number with one of the units ms, s, m, h, d, such as 250ms or 24h"
_LONGEST_S = 36_525 * 86_400.0
_LARGEST_COUNT = 2**31 - 1


def parse_duration(value: object) -> float:
    """Seconds in a duration: a number of seconds, or a text such as 250ms, 30s, 3m, 24h or 7d.

    >>> parse_duration("3m"), parse_duration("250ms"), parse_duration(1.5)
    (180.0, 0.25, 1.5)

    Raises:
        InputError: for anything else, and for a negative or endless duration.
    """
    seconds = _seconds(value)
    if not math.isfinite(seconds):
        raise InputError(value, "is not a finite duration", _REMEDY)
    if seconds < 0:
        raise InputError(value, "must not be negative", _REMEDY)
    if seconds > _LONGEST_S:
        raise InputError(value, "must be at most 100 years (36525d)", _REMEDY)
    return seconds


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < 1e300 else math.inf
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InputError(value, "is not a duration", _REMEDY)
    number, unit = float(match[1]), match[2] or "s"
    # Division, not a factor of 0.001: 3ms is then the float nearest to 0.003.
    return number / 1000 if unit == "ms" else number * _SECONDS[unit]


def format_duration(seconds: float) -> str:
    """The shortest text that parses back to exactly these seconds, with the largest fitting unit.

    >>> format_duration(86400.0), format_duration(1800.0), format_duration(0.25), format_duration(1.5)
    ('24h', '30m', '250ms', '1.5s')
    """
    for unit, size in _SECONDS.items():
        # A single day reads better as 24h.
        if seconds % size == 0 and (seconds > size or (seconds == size and unit != "d")):
            return f"{int(seconds / size)}{unit}"
    thousandths = round(seconds * 1000)
    exact = seconds < 1 and thousandths / 1000 == seconds
    return f"{thousandths}ms" if exact and thousandths else f"{seconds!r}s".replace("0.0s", "0s")


def parse_hours(text: str) -> tuple[int, int]:
    """Start and end of a daily window in seconds after midnight; an end before the start is on the next day.

    >>> parse_hours("22:00-06:30")
    (79200, 23400)

    Raises:
        InputError: where the text is not HH:MM-HH:MM, or the window has no length.
    """
    remedy = "give HH:MM-HH:MM, such as 08:00-20:00 or 22:00-06:00 over midnight, or 00:00-24:00 for the whole day"
    match = _HOURS.fullmatch(text)
    if match is None:
        raise InputError(text, "is not a window of hours", remedy)
    start_hour, start_minute, end_hour, end_minute = map(int, match.groups())
    start, end = start_hour * 60 + start_minute, end_hour * 60 + end_minute
    if max(start_minute, end_minute) > 59 or start >= 1440 or end > 1440:
        raise InputError(text, "is not a time of day", remedy)
    if start == end:
        raise InputError(text, "has no length", remedy)
    return start * 60, end * 60


def _duration(value: object) -> float:
    try:
        return parse_duration(value)
    except InputError as error:
        raise refuse(error.value, error.rule, error.remedy) from None


def _above_zero(seconds: float) -> float:
    if seconds == 0:
        raise refuse("0s", "must be longer than zero", "give a duration such as 30s")
    return seconds


def _hours(text: str) -> str:
    try:
        parse_hours(text)
    except InputError as error:
        raise refuse(error.value, error.rule, error.remedy) from None
    return text


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise refuse(str(value).lower(), "is a truth value, not a number", "give a number")
    return value


DURATION_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": rf"^\s*({_NUMBER})\s*(ms|s|m|h|d)?\s*$"},
        {"type": "number", "minimum": 0},
    ],
    "examples": ["250ms", "30s", "24h", 1.5],
}
_as_text = PlainSerializer(format_duration, return_type=str, when_used="json")

Duration = Annotated[float, BeforeValidator(_duration), _as_text, WithJsonSchema(DURATION_SCHEMA)]
"""Seconds, zero or more; written 250ms, 30s, 3m, 24h, 7d or as a number of seconds."""

LengthOfTime = Annotated[
    float, BeforeValidator(_duration), AfterValidator(_above_zero), _as_text, WithJsonSchema(DURATION_SCHEMA)
]
"""Seconds, more than zero."""


class AutoWarmUp(float):
    """A warm-up that is to be found by a run of its own; none before that."""


def _warm_up(value: object) -> float:
    if isinstance(value, AutoWarmUp) or value == _AUTO:
        return AutoWarmUp()
    return _duration(value)


def _warm_up_text(seconds: float) -> str:
    return _AUTO if isinstance(seconds, AutoWarmUp) else format_duration(seconds)


_AUTO = "auto"
WarmUp = Annotated[
    float,
    PlainValidator(_warm_up),
    PlainSerializer(_warm_up_text, return_type=str, when_used="json"),
    WithJsonSchema({"anyOf": [{"const": _AUTO}, DURATION_SCHEMA]}),
]
"""Seconds, zero or more, or `auto`."""

Rate = Annotated[float, BeforeValidator(_no_truth_value), Field(gt=0, le=1e9)]
"""A finite number above zero."""

Amount = Annotated[float, BeforeValidator(_no_truth_value), Field(ge=0, le=1e15)]
"""A finite number, zero or more."""

Change = Annotated[float, BeforeValidator(_no_truth_value), Field(ge=-0.99, le=100)]
"""A change as a share of what there is: -0.5 leaves half, 0.1 adds a tenth."""

Share = Annotated[float, BeforeValidator(_no_truth_value), Field(ge=0, le=1)]
"""A number from 0 to 1."""

Shift = Annotated[float, BeforeValidator(_no_truth_value), Field(ge=-20, le=20)]
"""A number added to log odds; 0 changes nothing."""

Spread = Annotated[float, BeforeValidator(_no_truth_value), Field(ge=0, le=2)]
"""A standard deviation, as a share or of a logarithm; 0 changes nothing."""

Count = Annotated[int, BeforeValidator(_no_truth_value), Field(ge=1, le=_LARGEST_COUNT)]
"""A whole number, one or more."""

Whole = Annotated[int, BeforeValidator(_no_truth_value), Field(ge=0, le=_LARGEST_COUNT)]
"""A whole number, zero or more."""

HOURS_SCHEMA = {"type": "string", "pattern": r"^\d{1,2}:\d{2}-\d{1,2}:\d{2}$"}
Hours = Annotated[
    str,
    AfterValidator(_hours),
    WithJsonSchema(HOURS_SCHEMA),
]
"""A daily window, HH:MM-HH:MM in local time; it may cross midnight."""
