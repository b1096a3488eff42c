"""What electricity costs: its energy by the clock, the charges on its highest power, and the customer's day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from sim.prices.calendar import Month, months, rule_of
from sim.prices.clock import HOURLY, Period, PriceClock, constant
from sim.prices.run import Run, run_of, stretches, while_valid
from sim.prices.series import series_periods
from sim.prices.shipped import shipped_electricity
from sim.prices.table import table_periods
from sim.prices.windows import names, windowed
from sim.scenario.energy import DemandCharge, Electricity, ElectricitySeries, ElectricityTable, ElectricityWindows

__all__ = ["billing_months", "demand_charges", "electricity_prices", "usd_per_day"]

DEMAND = "demand"
_LABELS = ("usd_per_kwh",)
_KWH_PER_MWH = 1000.0
_Whole = ElectricityWindows | ElectricitySeries | ElectricityTable


def electricity_prices(
    electricity: Electricity, start: datetime, zone: ZoneInfo, *, horizon_s: float | None = None
) -> PriceClock:
    """US dollars a kWh from a local start on; a market's may be below zero.

    Raises:
        InputError: for an unknown tariff, or a run that it is not valid for.
    """
    tariff = _whole(electricity)
    run = run_of(tariff, start, zone, horizon_s)
    if isinstance(tariff, ElectricitySeries):
        columns = {"usd_per_kwh": 1.0, "usd_per_mwh": 1.0 / _KWH_PER_MWH}
        return PriceClock((HOURLY,), _LABELS, series_periods(tariff, columns, HOURLY, run))
    if isinstance(tariff, ElectricityTable):
        rows = [(row.months, [price / _KWH_PER_MWH for price in row.usd_per_mwh]) for row in tariff.rows]
        return PriceClock((HOURLY,), _LABELS, table_periods(tariff, rows, HOURLY, run))
    priced = [(window.label, (window.usd_per_kwh,)) for window in tariff.windows]
    priced.append((tariff.base_name, (tariff.usd_per_kwh,)))
    return PriceClock(names(priced), _LABELS, windowed(tariff, tariff.windows, priced, run))


def demand_charges(
    electricity: Electricity, start: datetime, zone: ZoneInfo, *, horizon_s: float | None = None
) -> PriceClock:
    """US dollars for each kW of a month's highest power, for each charge: 0 while it does not count.

    The clock's `labels` are the charges' names, and all periods have one window. The highest power is that of a
    calendar month of the tariff's clock (see `billing_months`), and of each charge within its own hours.

    Raises:
        InputError: for an unknown tariff, or a run that it is not valid for.
    """
    tariff = _whole(electricity)
    run = run_of(tariff, start, zone, horizon_s)
    labels = tuple(charge.label for charge in tariff.demand)
    if not tariff.demand:
        return constant((), labels, DEMAND)
    periods = while_valid(_demand_periods(tariff, tariff.demand, run), tariff, run)
    return PriceClock((DEMAND,), labels, periods)


def usd_per_day(electricity: Electricity) -> float:
    """The customer charge, US dollars for each 24 hours.

    Raises:
        InputError: for an unknown tariff.
    """
    return _whole(electricity).usd_per_day


def billing_months(electricity: Electricity, start: datetime, zone: ZoneInfo) -> Iterator[Month]:
    """Calendar months of the tariff's clock from a local start on, over which demand is metered; they never end.

    Raises:
        InputError: for an unknown tariff, or a start at which it is not valid.
    """
    run = run_of(_whole(electricity), start, zone, None)
    return months(run.start_instant, run.zone)


def _whole(electricity: Electricity) -> _Whole:
    return shipped_electricity(electricity) if isinstance(electricity, str) else electricity


def _demand_periods(tariff: _Whole, charges: list[DemandCharge], run: Run) -> Iterator[Period]:
    holidays = tariff.holidays if isinstance(tariff, ElectricityWindows) else []
    rules = [rule_of(charge, holidays, run.zone) for charge in charges]
    for begin_s, end_s, moment in stretches(rules, run):
        rates = (charge.usd_per_kw_month * rule.holds(moment) for charge, rule in zip(charges, rules, strict=True))
        yield Period(begin_s, end_s, DEMAND, tuple(rates))
