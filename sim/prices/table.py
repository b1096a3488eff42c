"""Tables of months by hours of the local day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sim.prices.clock import Period
from sim.prices.run import Run, stretches, while_valid
from sim.scenario.windows import Calendar

__all__ = ["table_periods"]

_HOURS = tuple(range(0, 86_400, 3600))


def table_periods(
    tariff: Calendar, rows: Sequence[tuple[Sequence[int], Sequence[float]]], window: str, run: Run
) -> Iterator[Period]:
    """Periods of a table whose rows are months with a rate for each hour of their days."""
    by_month = {month: rates for months, rates in rows for month in months}
    periods = (
        Period(begin_s, end_s, window, (by_month[moment.local.month][moment.local.hour],))
        for begin_s, end_s, moment in stretches([], run, _HOURS)
    )
    return while_valid(periods, tariff, run)
