"""Days of the local clock, minute by minute, as the rates see them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from sim.workload.blocks import Floats

__all__ = ["LocalDay", "local_days"]

_STEP_S = 60.0


class LocalDay(NamedTuple):
    """What the run has of one local date."""

    date: date
    edges_s: Floats
    """Ends of its minutes in seconds since the start, [k]; 1381, 1441 or 1501 of them for a whole day."""
    hours: Floats
    """Local hour of the clock in the middle of each minute, [k - 1]."""


def local_days(start: datetime, time_zone: str, horizon_s: float) -> Iterator[LocalDay]:
    """Each local date from the start on, until the horizon is covered; `start` is local to `time_zone`."""
    zone = ZoneInfo(time_zone)
    origin_s = start.replace(tzinfo=zone).timestamp()
    day, begin_s = start.date(), 0.0
    while begin_s < horizon_s:
        midnight = datetime.combine(day + timedelta(days=1), time(), tzinfo=zone)
        end_s = midnight.timestamp() - origin_s
        edges_s = _minute_marks(begin_s, end_s)
        yield LocalDay(day, edges_s, _local_hours(edges_s, origin_s, zone))
        day, begin_s = midnight.date(), end_s


def _minute_marks(begin_s: float, end_s: float) -> Floats:
    """Whole minutes before the end, which is a midnight; a run that starts within a minute has part of it."""
    into_minute_s = (begin_s - end_s) % _STEP_S
    whole = np.arange(begin_s - into_minute_s, end_s, _STEP_S)
    whole[0] = begin_s
    return np.append(whole, end_s)


def _local_hours(edges_s: Floats, origin_s: float, zone: ZoneInfo) -> Floats:
    instants = origin_s + (edges_s[1:] + edges_s[:-1]) / 2
    first, last = _offset_s(instants[0], zone), _offset_s(instants[-1], zone)
    offsets = first if first == last else np.array([_offset_s(instant, zone) for instant in instants])
    return np.asarray((instants + offsets) % 86_400.0 / 3_600.0)


def _offset_s(instant: float, zone: ZoneInfo) -> float:
    offset = datetime.fromtimestamp(float(instant), zone).utcoffset()
    return 0.0 if offset is None else offset.total_seconds()
