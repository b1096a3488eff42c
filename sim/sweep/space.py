"""What a sweep varies: keys with their values, and lists of points."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.load.yamlfile import read_value
from sim.runs.vary import key_and_values, split_values

__all__ = ["MOST_POINTS", "Axis", "Option", "Settings", "parse_axis", "read_points", "value_of"]

MOST_POINTS = 1_000_000
"""Of one sweep."""

Settings = Mapping[str, str]
"""Values by key, each as it is written in YAML."""

_REMEDY = "write --vary KEY=A,B,C or KEY=LOW:HIGH:STEP, such as fleet.0.replicas=1:8:1"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\s*:\s*({_NUMBER})(?:\s*:\s*({_NUMBER}))?")


@dataclass(frozen=True)
class Option:
    """One place on an axis."""

    label: str
    """As it is told."""
    settings: Settings
    """What is changed there."""


@dataclass(frozen=True)
class Axis:
    """What is varied together: a key, or the points of a list."""

    name: str
    options: tuple[Option, ...]
    is_list: bool = False
    """Whether it is a list of points."""

    def numbers(self) -> list[float] | None:
        """The values of a key all of which are numbers."""
        if self.is_list:
            return None
        values = [value_of(option.label) for option in self.options]
        are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        return [float(value) for value in values] if are_numbers else None


def value_of(text: str) -> Any:
    """What a value says in YAML."""
    return read_value(text, "--vary")


def parse_axis(text: str) -> Axis:
    """What `KEY=A,B,C` or `KEY=LOW:HIGH:STEP` says; a range ends with HIGH where a step falls there.

    >>> [option.label for option in parse_axis("router.above=0:0.3:0.1").options]
    ['0.0', '0.1', '0.2', '0.3']
    >>> [option.label for option in parse_axis("sleep.when=[idle],[off-peak, idle],2:4:2").options]
    ['[idle]', '[off-peak, idle]', '2', '4']

    Raises:
        InputError: for anything else.
    """
    key, told = key_and_values(text, _REMEDY)
    values = [value for part in split_values(told) for value in _values(part, text)]
    return Axis(key, tuple(Option(value, {key: value}) for value in dict.fromkeys(values)))


def _values(part: str, text: str) -> list[str]:
    if not part:
        raise InputError(text, "has an empty value between commas", _REMEDY)
    found = _RANGE.fullmatch(part)
    if found is None:
        value_of(part)
        return [part]
    if found[3] is None:
        raise InputError(text, "has a range without a step", _REMEDY)
    return _steps(*(Decimal(number) for number in found.groups()), text)


def _steps(low: Decimal, high: Decimal, step: Decimal, text: str) -> list[str]:
    """Numbers of a range, exact to the last digit, as decimals are; whole ones stay whole.

    >>> _steps(Decimal("1"), Decimal("9"), Decimal("4"), ""), _steps(Decimal("0"), Decimal("1"), Decimal("0.4"), "")
    (['1', '5', '9'], ['0.0', '0.4', '0.8'])
    """
    if not (step > 0 and low <= high):
        raise InputError(text, "is no range from a lower to a higher number in steps above 0", _REMEDY)
    count = int((high - low) / step) + 1
    if count > MOST_POINTS:
        raise InputError(
            text, f"has {count:,} values, of which a sweep has no more than {MOST_POINTS:,}", "widen its step"
        )
    return [f"{low + place * step:f}" for place in range(count)]


def read_points(file: Path) -> Axis:
    """The points of a file: a list of mappings of keys to values in YAML or JSON, or a CSV with a column for each key.

    A cell that is empty leaves the scenario as it is.

    Raises:
        InputError: for a file that cannot be read, or holds something else.
    """
    remedy = "give a list of mappings such as {fleet.0.replicas: 2}, or a CSV with a column for each key"
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(file, f"cannot be read ({getattr(error, 'strerror', None) or error})", remedy) from None
    rows = list(csv.DictReader(io.StringIO(text))) if file.suffix.lower() == ".csv" else read_value(text, str(file))
    if not (isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)):
        raise InputError(file, "holds no list of points", remedy)
    options = [_option(row, file, number, remedy) for number, row in enumerate(rows, 1)]
    return Axis(f"point of {file.name}", tuple(options), is_list=True)


def _option(row: dict[Any, Any], file: Path, number: int, remedy: str) -> Option:
    if not all(isinstance(key, str) and key.strip() for key in row):
        raise InputError(f"point {number} of {file}", "has something that is no key and value", remedy)
    is_csv = file.suffix.lower() == ".csv"
    if is_csv:
        settings = {key.strip(): value.strip() for key, value in row.items() if value and value.strip()}
    else:
        settings = {key.strip(): _written(value) for key, value in row.items()}
    return Option(f"point {number}", settings)


def _written(value: Any) -> str:
    """A value as it is written in YAML, which JSON is."""
    return json.dumps(value, default=str)
