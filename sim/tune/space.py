"""What is varied: keys of a scenario with the values they may take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite, prod

from sim.errors import InputError
from sim.runs.vary import key_and_values, split_values

__all__ = ["Choices", "Dimension", "Range", "Value", "all_settings", "as_override", "parse_vary", "rounded", "size_of"]

Value = float | int | str
"""A number of a range, or a choice as it is written."""

_FIGURES = 4
"""Figures of a number that is tried: more would say nothing, and settings are to be read."""
_REMEDY = "write --vary KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=A,B,C, such as router.value_usd=0.001:0.1:log"


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`."""

    key: str
    low: float
    high: float
    is_log: bool = False
    """Whether each factor is as likely as another, in place of each difference."""
    is_whole: bool = False
    """Whether they are whole numbers."""

    def __str__(self) -> str:
        low, high = (_written(value, self.is_whole) for value in (self.low, self.high))
        return f"{self.key}={low}:{high}{':log' if self.is_log else ''}"


@dataclass(frozen=True)
class Choices:
    """One of several values, each as it is written in YAML."""

    key: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.key}={','.join(self.values)}"


Dimension = Range | Choices


def parse_vary(text: str) -> Dimension:
    """What `KEY=LOW:HIGH`, `KEY=LOW:HIGH:log` or `KEY=A,B,C` says.

    >>> parse_vary("router.above=0:0.5")
    Range(key='router.above', low=0.0, high=0.5, is_log=False, is_whole=False)
    >>> parse_vary("sleep.when=[idle],[off-peak, idle]").values
    ('[idle]', '[off-peak, idle]')

    Raises:
        InputError: for anything else, and for a range or a list without at least two values.
    """
    key, told = key_and_values(text, _REMEDY)
    values = split_values(told)
    if len(values) > 1:
        return _choices(key, values, text)
    parts = [part.strip() for part in told.split(":")]
    if len(parts) == 1:
        raise InputError(text, "leaves nothing to choose", "give more values, or set it with --set")
    return _range(key, parts, text)


def _choices(key: str, values: Sequence[str], text: str) -> Choices:
    if not all(values):
        raise InputError(text, "has an empty value between commas", _REMEDY)
    known = tuple(dict.fromkeys(values))
    if len(known) < 2:
        raise InputError(text, "leaves nothing to choose", "give more values, or set it with --set")
    return Choices(key, known)


def _range(key: str, parts: Sequence[str], text: str) -> Range:
    try:
        low, high = float(parts[0]), float(parts[1])
    except ValueError:
        raise InputError(text, "is no range of numbers", _REMEDY) from None
    if len(parts) > 3 or (len(parts) == 3 and parts[2] != "log"):
        raise InputError(text, "says something after its range that is not log", _REMEDY)
    is_log = len(parts) == 3
    if not (isfinite(low) and isfinite(high) and low < high):
        raise InputError(text, "is no range from a lower to a higher number", _REMEDY)
    if is_log and low <= 0.0:
        raise InputError(text, "is a range of factors that does not begin above 0", "raise its lower end, or drop :log")
    return Range(key, low, high, is_log)


def as_override(key: str, value: Value) -> str:
    """As `--set` takes it.

    >>> as_override("router.above", 0.1), as_override("sleep.effort", "low")
    ('router.above=0.1', 'sleep.effort=low')
    """
    return f"{key}={value if isinstance(value, str) else json.dumps(value)}"


def rounded(value: float, dimension: Range) -> Value:
    """A number of the range with few figures.

    >>> rounded(0.123456, Range("x", 0.0, 1.0)), rounded(99.99999, Range("x", 1.0, 99.99996))
    (0.1235, 99.99996)
    """
    if dimension.is_whole:
        return round(value)
    return min(max(float(f"{value:.{_FIGURES}g}"), dimension.low), dimension.high)


def size_of(space: Sequence[Dimension]) -> float:
    """How many settings there are; infinite with a range of any numbers."""
    return prod(_count(dimension) for dimension in space)


def _count(dimension: Dimension) -> float:
    if isinstance(dimension, Choices):
        return len(dimension.values)
    return dimension.high - dimension.low + 1.0 if dimension.is_whole else float("inf")


def all_settings(space: Sequence[Dimension]) -> list[dict[str, Value]]:
    """Every setting of a space that has so many, the last key first."""
    values = [_values(dimension) for dimension in space]
    return [dict(zip((dimension.key for dimension in space), found, strict=True)) for found in product(*values)]


def _values(dimension: Dimension) -> Sequence[Value]:
    if isinstance(dimension, Choices):
        return dimension.values
    return range(round(dimension.low), round(dimension.high) + 1)


def _written(value: float, is_whole: bool) -> str:
    return str(round(value)) if is_whole else f"{value:g}"
