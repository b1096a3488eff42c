"""Prices one after the other: given in the scenario, or read from a file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count, pairwise
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from sim.errors import InputError, did_you_mean
from sim.prices.calendar import instant_of
from sim.prices.clock import Period
from sim.prices.run import Run, while_valid
from sim.scenario.windows import Series

__all__ = ["series_periods"]

_LEAST, _MOST = -1e9, 1e9
_LAST_INSTANT = 253_402_300_799.0
"""The last that has a date: the end of the year 9999."""


class _Steps(NamedTuple):
    """Prices and the instants between which they hold, one more than there are prices."""

    instants: list[float]
    prices: list[float]


def series_periods(series: Series, columns: dict[str, float], window: str, run: Run) -> Iterator[Period]:
    """Periods of a series; `columns` are the keys its prices may stand under, each with a factor to the rate's unit.

    Raises:
        InputError: for a file that cannot be read, and a run that the series does not cover (while the periods are
            asked for where the run has no horizon).
    """
    steps = _steps(series, columns, run)
    if not series.repeat:
        _check_cover(series, steps, run)
    periods = _periods(series, steps, window, run)
    return while_valid(periods, series, run)


def _steps(series: Series, columns: dict[str, float], run: Run) -> _Steps:
    if series.path is not None:
        return _read(series.path, columns, series.step)
    key, factor = next((key, factor) for key, factor in columns.items() if getattr(series, key) is not None)
    prices = [price * factor for price in getattr(series, key)]
    first = run.start_instant if series.begin is None else instant_of(series.begin, run.zone)
    return _Steps([first + index * series.step for index in range(len(prices) + 1)], prices)


def _periods(series: Series, steps: _Steps, window: str, run: Run) -> Iterator[Period]:
    """Rounds of the series, from the one in which the run starts."""
    length = steps.instants[-1] - steps.instants[0]
    first_round = int((run.start_instant - steps.instants[0]) // length)
    for number in count(first_round):
        shift_s = number * length - run.start_instant
        for price, (begin, end) in zip(steps.prices, pairwise(steps.instants), strict=True):
            if end + shift_s > 0:
                yield Period(max(begin + shift_s, 0.0), end + shift_s, window, (price,))
        if not series.repeat:
            raise _uncovered(series, steps, run)


def _check_cover(series: Series, steps: _Steps, run: Run) -> None:
    end = run.start_instant + (run.horizon_s or 0.0)
    if not steps.instants[0] <= run.start_instant < steps.instants[-1] or end > steps.instants[-1]:
        raise _uncovered(series, steps, run)


def _uncovered(series: Series, steps: _Steps, run: Run) -> InputError:
    first, last, start = map(_shown, (steps.instants[0], steps.instants[-1], run.start_instant))
    what = series.path.name if series.path is not None else f"the list of {len(steps.prices)} prices"
    length = "" if run.horizon_s is None else f" for {run.horizon_s:g} s"
    rule = f"holds from {first} to {last}, which does not cover the run from {start}{length}"
    return InputError(what, rule, "give prices for the whole run, or `repeat: true`")


def _shown(instant: float) -> str:
    return datetime.fromtimestamp(min(instant, _LAST_INSTANT), UTC).isoformat()


def _read(path: Path, columns: dict[str, float], step_s: float) -> _Steps:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parsed(csv.DictReader(file), columns, path, step_s)
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}", "give the path of a CSV of prices") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(path, "is not a CSV in UTF-8", "give a CSV of prices") from None


def _parsed(reader: csv.DictReader[str], columns: dict[str, float], path: Path, step_s: float) -> _Steps:
    header = list(reader.fieldnames or [])
    key = next((key for key in columns if key in header), None)
    for missing in [name for name, found in (("time", "time" in header), (next(iter(columns)), key)) if not found]:
        raise InputError(missing, "is no column of the file", did_you_mean(missing, header), where=f"{path}:1")
    assert key is not None
    steps = _Steps([], [])
    for row in reader:
        where = f"{path}:{reader.line_num}"
        instant = _instant(row["time"], where)
        if steps.instants and instant <= steps.instants[-1]:
            raise InputError(row["time"], "is not after the row before it", "sort the rows by time", where=where)
        steps.instants.append(instant)
        steps.prices.append(_price(row[key], where) * columns[key])
    if not steps.prices:
        raise InputError(path, "holds no prices", "give at least one row")
    steps.instants.append(steps.instants[-1] + step_s)
    return steps


def _instant(text: str | None, where: str) -> float:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        remedy = "give UTC in ISO 8601, such as 2026-01-05T00:00Z"
        raise InputError(text, "is not a time", remedy, where=where) from None
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()


def _price(text: str | None, where: str) -> float:
    try:
        price = float(text or "")
    except ValueError:
        price = float("nan")
    if not isfinite(price) or not _LEAST <= price <= _MOST:
        raise InputError(text, "is not a price", "give a number, such as 1.5", where=where)
    return price
