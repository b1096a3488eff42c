"""Carbon intensity of electricity by the clock."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sim.prices.clock import HOURLY, PriceClock
from sim.prices.run import run_of
from sim.prices.series import series_periods
from sim.prices.shipped import shipped_carbon
from sim.prices.table import table_periods
from sim.prices.windows import names, windowed
from sim.scenario.energy import Carbon, CarbonSeries, CarbonTable

__all__ = ["carbon_intensity"]

_LABELS = ("g_co2_per_kwh",)


def carbon_intensity(carbon: Carbon, start: datetime, zone: ZoneInfo, *, horizon_s: float | None = None) -> PriceClock:
    """Grams of CO2 a kWh from a local start on.

    Raises:
        InputError: for an unknown table, or a run that it is not valid for.
    """
    tariff = shipped_carbon(carbon) if isinstance(carbon, str) else carbon
    run = run_of(tariff, start, zone, horizon_s)
    if isinstance(tariff, CarbonSeries):
        return PriceClock((HOURLY,), _LABELS, series_periods(tariff, {"g_co2_per_kwh": 1.0}, HOURLY, run))
    if isinstance(tariff, CarbonTable):
        rows = [(row.months, row.g_co2_per_kwh) for row in tariff.rows]
        return PriceClock((HOURLY,), _LABELS, table_periods(tariff, rows, HOURLY, run))
    priced = [(window.label, (window.g_co2_per_kwh,)) for window in tariff.windows]
    priced.append((tariff.base_name, (tariff.g_co2_per_kwh,)))
    return PriceClock(names(priced), _LABELS, windowed(tariff, tariff.windows, priced, run))
