"""The shape of a stream's rate over months, weeks and special days: a factor by time, and its integral."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from sim.scenario import Growth, SpecialDay, Stream, Weekly
from sim.scenario.quantities import parse_hours
from sim.scenario.shape import WEEKDAYS
from sim.workload.blocks import Floats
from sim.workload.local_days import LocalDay

__all__ = ["MONTH_S", "Shape"]

MONTH_S = 30.4375 * 86_400.0
"""A twelfth of 365.25 days."""


@dataclass(frozen=True)
class Shape:
    """Growth times weekly factor times the factors of special days."""

    growth: Growth | None
    weekly: Weekly
    special_days: Sequence[SpecialDay]

    @classmethod
    def of(cls, stream: Stream) -> Shape | None:
        """The shape of a stream, or None where its rate is left as it is."""
        plain = stream.growth is None and not stream.weekly and not stream.special_days
        return None if plain else cls(stream.growth, stream.weekly, stream.special_days)

    def seconds(self, day: LocalDay) -> Floats:
        """Integral of the factor over each minute of a day, [k - 1]; without a shape that is its seconds."""
        factor = self._weekly_factor(day) * np.ones_like(day.hours)
        for special in self.special_days:
            factor *= _special_factor(special, day)
        return _grown_seconds(self.growth, day.edges_s) * factor

    def _weekly_factor(self, day: LocalDay) -> Floats | float:
        weekday = day.date.weekday()
        if isinstance(self.weekly, dict):
            return self.weekly.get(WEEKDAYS[weekday], 1.0)
        return np.asarray(self.weekly)[24 * weekday + day.hours.astype(np.int64)]


def _grown_seconds(growth: Growth | None, edges_s: Floats) -> Floats:
    """Integral of (1 + g)^(t / month) between edges: with a = ln(1 + g) / month, e^(a t) (e^(a dt) - 1) / a."""
    seconds = np.diff(edges_s)
    rate = 0.0 if growth is None else math.log1p(growth.per_month) / MONTH_S
    if rate == 0.0:
        return seconds
    return np.asarray(np.exp(rate * edges_s[:-1]) * np.expm1(rate * seconds) / rate)


def _special_factor(special: SpecialDay, day: LocalDay) -> Floats:
    """The factor in each minute of a day, [k - 1]; hours past midnight belong to the date they began on."""
    begin_s, end_s = (0, 86_400) if special.hours is None else parse_hours(special.hours)
    clock_s = day.hours * 3600.0 + 86_400.0 * _days_between(special.date, day.date)
    end_s += 86_400 if end_s <= begin_s else 0
    return np.where((begin_s <= clock_s) & (clock_s < end_s), special.factor, 1.0)


def _days_between(first: date, last: date) -> int:
    return (last - first) // timedelta(days=1)
