"""Local dates and times, and the time zone they are local to."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from sim.errors import nearest
from sim.scenario.part import refuse

__all__ = ["LocalDate", "LocalTime", "TimeZone"]


def _local_date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise refuse(value, "is not a date", "give a local date such as 2026-12-25") from None


def _local_time(value: Any) -> datetime:
    remedy = "give local time such as 2026-01-05T00:00:00; `time_zone` says where"
    moment = _moment(value)
    if moment is None:
        raise refuse(value, "is not a date and time", remedy)
    if moment.tzinfo is not None:
        raise refuse(value, "must not carry a zone of its own", remedy)
    if not 1970 <= moment.year <= 2200:
        raise refuse(value, "must lie in the years 1970 to 2200", remedy)
    return moment


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _known_zone(name: str) -> str:
    if not _zone_exists(name):
        raise refuse(name, "is not an IANA time zone", _zone_remedy(name))
    return name


def _zone_exists(name: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _zone_remedy(name: str) -> str:
    from zoneinfo import available_timezones

    near = nearest(name, sorted(available_timezones()))
    return f"did you mean '{near}'?" if near else "use a name such as UTC, Europe/Berlin or America/New_York"


LocalDate = Annotated[date, BeforeValidator(_local_date)]
"""A local date without a time."""
LocalTime = Annotated[datetime, BeforeValidator(_local_time)]
"""A date and time without a zone, or a date for its midnight."""

TimeZone = Annotated[str, AfterValidator(_known_zone)]
"""The IANA name of a time zone."""
