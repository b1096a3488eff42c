"""The scenario's local time, for seconds since its start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sim.errors import InputError

__all__ = ["Clock"]


@dataclass(frozen=True)
class Clock:
    """A local clock that goes forward and back with daylight saving; times have no zone of their own."""

    start: datetime
    zone: ZoneInfo

    @classmethod
    def of(cls, start: object, zone: str) -> Clock:
        """The clock of a scenario's `start` and `time_zone`.

        >>> Clock.of("2026-03-02T00:00:00", "Europe/Berlin").at(90.0).isoformat()
        '2026-03-02T00:01:30'

        Raises:
            InputError: where they are no time or no zone.
        """
        try:
            moment = start if isinstance(start, datetime) else datetime.fromisoformat(str(start))
            return cls(moment.replace(tzinfo=None), ZoneInfo(zone))
        except (ValueError, KeyError, OSError):
            remedy = "run the scenario again with `nightshift simulate --out`"
            raise InputError(f"{start} {zone}", "is not a local time of a time zone", remedy) from None

    def at(self, seconds: float) -> datetime:
        """What the clock shows so many seconds after the start.

        >>> Clock.of("2026-03-29T01:00:00", "Europe/Berlin").at(3600.0).isoformat()
        '2026-03-29T03:00:00'
        """
        begin = self.start.replace(tzinfo=self.zone).astimezone(UTC)
        moment = begin + timedelta(seconds=round(seconds, 3))
        return moment.astimezone(self.zone).replace(tzinfo=None)

    def stamps(self, seconds: Iterable[float]) -> list[str]:
        """The same for many moments, to the second, as a chart takes them."""
        return [self.at(second).isoformat(timespec="seconds") for second in seconds]

    def changes(self, end_s: float) -> bool:
        """Whether the clocks go forward or back on the way to `end_s`."""
        days = range(0, int(end_s), 86_400)
        begin = self.start.replace(tzinfo=self.zone).astimezone(UTC)
        offsets = {(begin + timedelta(seconds=day)).astimezone(self.zone).utcoffset() for day in [*days, int(end_s)]}
        return len(offsets) > 1

    def says(self, seconds: float) -> str:
        """A moment in words.

        >>> Clock.of("2026-03-02", "UTC").says(3600.0)
        'Mon 2 Mar 2026, 01:00'
        """
        moment = self.at(seconds)
        return f"{moment:%a} {moment.day} {moment:%b %Y, %H:%M}"
