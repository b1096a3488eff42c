"""Tariffs read in the plainest way: what does the clock on the wall say in this minute, and which window holds?

Nothing here knows of edges, periods or instants of `sim.prices`, so that bills can be held against it.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

from sim.scenario import GpuPool, GpuSeries, GpuWindows, Scenario, TokenRates, TokenWindow, TokenWindows, Window

__all__ = ["Wall", "gpu_price", "holds", "label_at", "seconds_by_minute", "token_rates", "value_at"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Wall:
    """The clock on the wall of a tariff while a scenario runs."""

    def __init__(self, scenario: Scenario, tariff: Any) -> None:
        self.zone = ZoneInfo(getattr(tariff, "time_zone", None) or scenario.time_zone)
        self.start = scenario.start.replace(tzinfo=ZoneInfo(scenario.time_zone)).astimezone(UTC)

    def at(self, second: float) -> datetime:
        """Local time so many seconds after the start."""
        return (self.start + timedelta(seconds=second)).astimezone(self.zone)

    def part_of_month(self, year: int, month: int, end_s: float) -> float:
        """Part of a local month that lies between the start and so many seconds later."""
        first, following = (
            datetime(year + extra // 12, extra % 12 + 1, 1, tzinfo=self.zone).astimezone(UTC)
            for extra in (month - 1, month)
        )
        run = min(following, self.start + timedelta(seconds=end_s)) - max(first, self.start)
        return run / (following - first)


def _minutes(text: str) -> tuple[int, int]:
    (begin_h, begin_m), (end_h, end_m) = (end.split(":") for end in text.split("-"))
    return int(begin_h) * 60 + int(begin_m), int(end_h) * 60 + int(end_m)


def _has_day(window: Window, holidays: list[date], day: date) -> bool:
    if window.holidays != "ignore" and (day in holidays) != (window.holidays == "only"):
        return False
    listed = window.dates is None or day in window.dates
    return listed and _DAYS[day.weekday()] in window.days and day.month in window.months


def holds(window: Window, holidays: list[date], now: datetime) -> bool:
    """Whether a window holds at a local time of the tariff."""
    for bound, before in ((window.valid_from, False), (window.valid_to, True)):
        if bound is not None and (now < bound.replace(tzinfo=now.tzinfo).astimezone(UTC)) != before:
            return False
    minute, today = now.hour * 60 + now.minute, now.date()
    for begin, end in [_minutes(hours) for hours in window.hours] or [(0, 1440)]:
        over_midnight = end <= begin
        if begin <= minute and (minute < end or over_midnight) and _has_day(window, holidays, today):
            return True
        if over_midnight and minute < end and _has_day(window, holidays, today - timedelta(days=1)):
            return True
    return False


def value_at(tariff: Any, wall: Wall, second: float, key: str) -> tuple[str, float]:
    """Window and value of a tariff of windows or a series, whose value may be left to the base."""
    if tariff.kind == "series":
        values = getattr(tariff, key)
        return "hourly", values[int(second // tariff.step) % len(values)]
    window = _window_at(tariff, wall, second)
    if window is None:
        return tariff.base_name, getattr(tariff, key)
    value = getattr(window, key)
    return window.label, getattr(tariff, key) if value is None else value


def _window_at(tariff: Any, wall: Wall, second: float) -> Any:
    now = wall.at(second)
    return next((window for window in tariff.windows if holds(window, tariff.holidays, now)), None)


def label_at(tariff: TokenWindows, wall: Wall, second: float) -> str:
    """Name of the window of a token tariff."""
    window = _window_at(tariff, wall, second)
    return tariff.base_name if window is None else window.label


def gpu_price(pool: GpuPool, wall: Wall, second: float) -> tuple[str, float]:
    """Window and US dollars a GPU-hour, unless it is random."""
    tariff = pool.offer.tariff
    if isinstance(tariff, GpuWindows | GpuSeries):
        return value_at(tariff, wall, second, "usd_per_gpu_hour")
    assert pool.offer.usd_per_gpu_hour is not None
    return "flat", pool.offer.usd_per_gpu_hour


def token_rates(tariff: TokenWindows, name: str) -> tuple[float, float, float]:
    """US dollars a token of input, cached input and output in a window of that name."""
    window = next((window for window in tariff.windows if window.label == name), TokenWindow())
    base, factor = tariff.base, (tariff.multiplier or 1.0) / 1e6

    def rate(key: str) -> float | None:
        found = getattr(window, key)
        return getattr(base, key) if found is None else found

    fresh, cached, output = (rate(key) for key in TokenRates.model_fields)
    assert fresh is not None
    assert output is not None
    return fresh * factor, (fresh if cached is None else cached) * factor, output * factor


def seconds_by_minute(begin_s: float, end_s: float) -> dict[int, float]:
    """The seconds between two times, by minute of the run."""
    spent: dict[int, float] = defaultdict(float)
    for minute in range(int(begin_s // 60), ceil(end_s / 60)):
        spent[minute] = max(min(end_s, minute * 60 + 60.0) - max(begin_s, minute * 60.0), 0.0)
    return spent
