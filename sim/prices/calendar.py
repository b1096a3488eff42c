"""From windows of the local clock and calendar to instants, right on days of 23 and 25 hours.

Windows follow the clock on the wall: an hour that comes twice holds twice, and a window that would begin in an hour
left out begins at the leap. Instants are seconds since 1970; times of a run are seconds since its start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from math import inf
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sim.scenario.quantities import parse_hours
from sim.scenario.shape import WEEKDAYS
from sim.scenario.windows import Window

__all__ = ["Moment", "Month", "Rule", "edges_s", "instant_of", "local", "months", "rule_of", "window_seconds", "within"]

_DAY_S = 86_400
_WHOLE_DAY = (0, _DAY_S)


class Moment(NamedTuple):
    """An instant and what the clock on the wall says then."""

    instant: float
    local: datetime


@dataclass(frozen=True)
class Rule:
    """A window made ready to be asked."""

    hours: tuple[tuple[int, int], ...]
    """Starts and ends in seconds after midnight; an end not above its start is on the next day."""
    days: frozenset[int]
    months: frozenset[int]
    dates: frozenset[date] | None
    only: frozenset[date] | None
    skip: frozenset[date]
    from_instant: float
    to_instant: float

    def holds(self, moment: Moment) -> bool:
        """Whether the window holds then."""
        valid = self.from_instant <= moment.instant < self.to_instant
        return valid and within(self.hours, self._has_day, moment.local)

    def _has_day(self, day: date) -> bool:
        named = (self.dates is None or day in self.dates) and (self.only is None or day in self.only)
        return named and day.weekday() in self.days and day.month in self.months and day not in self.skip


def rule_of(window: Window, holidays: Iterable[date], zone: ZoneInfo) -> Rule:
    """The rule of a window of a tariff with these holidays, on the clock of a zone."""
    holidays = frozenset(holidays)
    return Rule(
        hours=tuple(parse_hours(hours) for hours in window.hours) or (_WHOLE_DAY,),
        days=frozenset(WEEKDAYS.index(day) for day in window.days),
        months=frozenset(window.months),
        dates=None if window.dates is None else frozenset(window.dates),
        only=holidays if window.holidays == "only" else None,
        skip=holidays if window.holidays == "skip" else frozenset(),
        from_instant=-inf if window.valid_from is None else instant_of(window.valid_from, zone),
        to_instant=inf if window.valid_to is None else instant_of(window.valid_to, zone),
    )


def within(hours: Iterable[tuple[int, int]], has_day: Callable[[date], bool], moment: datetime) -> bool:
    """Whether a local time lies in one of the hours of a day that counts; over midnight the day is the one before."""
    second, today = moment.hour * 3600 + moment.minute * 60 + moment.second, moment.date()
    for start_s, end_s in hours:
        if start_s <= second and (second < end_s or end_s <= start_s) and has_day(today):
            return True
        if second < end_s <= start_s and has_day(today - timedelta(days=1)):
            return True
    return False


def edges_s(seconds: Iterable[int], start_instant: float, zone: ZoneInfo) -> Iterator[float]:
    """Every time after the start at which a local clock reads one of these seconds after midnight, or leaps.

    They never end. A reading that comes twice is an edge twice; one left out is an edge too, an hour off.
    """
    day, last_s = local(start_instant, zone).date() - timedelta(days=1), 0.0
    # The end of a day is the midnight of the next, which may come twice, and its early hours in between.
    seconds = {second % _DAY_S for second in seconds}
    while True:
        instants = {_instant(day, second, fold, zone) for second in seconds for fold in (0, 1)} | _leaps(day, zone)
        for edge_s in sorted(instant - start_instant for instant in instants):
            if edge_s > last_s:
                yield edge_s
                last_s = edge_s
        day += timedelta(days=1)


class Month(NamedTuple):
    """A calendar month, or what is left of it when the run starts."""

    begin_s: float
    end_s: float
    share: float
    """Length from `begin_s` to `end_s` over that of the whole month."""


def months(start_instant: float, zone: ZoneInfo) -> Iterator[Month]:
    """The local calendar months from the start on, in seconds since then; they never end."""
    today = local(start_instant, zone).date()
    first, begin = today.replace(day=1), start_instant
    while True:
        following = (first + timedelta(days=31)).replace(day=1)
        whole_begin, end = (instant_of(datetime.combine(day, time()), zone) for day in (first, following))
        yield Month(begin - start_instant, end - start_instant, (end - begin) / (end - whole_begin))
        first, begin = following, end


def local(instant: float, zone: ZoneInfo) -> datetime:
    """What the clock on the wall says at an instant."""
    return datetime.fromtimestamp(instant, zone)


def instant_of(moment: datetime, zone: ZoneInfo) -> float:
    """The instant of a local time, the first of two alike."""
    return moment.replace(tzinfo=zone).timestamp()


def window_seconds(rules: Sequence[Rule]) -> set[int]:
    """Seconds after midnight at which one of the rules may begin or cease to hold."""
    return {0} | {second for rule in rules for window in rule.hours for second in window}


def _instant(day: date, second: int, fold: int, zone: ZoneInfo) -> float:
    """The instant of a local time; `fold` 1 is the second of two alike."""
    moment = datetime.combine(day, time()) + timedelta(seconds=second)
    return moment.replace(tzinfo=zone, fold=fold).timestamp()


def _leaps(day: date, zone: ZoneInfo) -> set[float]:
    """The instant at which the clock is set forward or back on a local day, to the second."""
    low, high = (int(_instant(day, second, 0, zone)) for second in _WHOLE_DAY)
    before, after = _offset(low, zone), _offset(high, zone)
    if before == after:
        return set()
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
    return {float(high)}


def _offset(instant: float, zone: ZoneInfo) -> timedelta | None:
    return local(instant, zone).utcoffset()
