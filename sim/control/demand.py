"""The meter of a site: its highest power month by month, and what is charged for that and for being a customer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from sim.control.moments import SAME_INSTANT_S
from sim.ledger import Entry
from sim.prices import billing_months, demand_charges, usd_per_day
from sim.prices.calendar import instant_of
from sim.scenario import Electricity

__all__ = ["DemandMeter", "Drawn"]

_METER_S = 900.0
"""Demand is metered in quarters of an hour, from :00, :15, :30 and :45."""


class Drawn(Protocol):
    """A pool behind the meter."""

    @property
    def index(self) -> int: ...
    @property
    def kwh(self) -> float: ...


class DemandMeter:
    """Pools with one electricity tariff, whose highest quarter-hour means are charged by the calendar month.

    A month that the run covers in part is charged by that part, to the pools by their shares in the highest power.
    """

    def __init__(
        self,
        electricity: Electricity,
        pools: Sequence[Drawn],
        start: datetime,
        zone: ZoneInfo,
        horizon_s: float | None,
    ) -> None:
        self._pools = pools
        self._start_instant = instant_of(start, zone)
        self._usd_per_day = usd_per_day(electricity)
        self._charges = demand_charges(electricity, start, zone, horizon_s=horizon_s)
        self._months = billing_months(electricity, start, zone)
        self._month = next(self._months)
        charges, members = len(self._charges.labels), len(pools)
        self._read_s = 0.0
        self._read_kwh = np.zeros(members)
        self._highest_kw = np.zeros(charges)
        """Of this month, by charge; with it its price, US dollars a kW and month, and the pools' shares in it."""
        self._rates = np.zeros(charges)
        self._shares = np.zeros((charges, members))
        self._usd = np.zeros((charges, members))
        """Of the months that are over."""

    @property
    def charges_demand(self) -> bool:
        """Whether there is anything to read."""
        return bool(self._charges.labels)

    @property
    def due_s(self) -> float:
        """Where the quarter of an hour on the clock ends in which the meter was last read."""
        into_s = (self._start_instant + self._read_s) % _METER_S
        # What is short of an edge by the last digits is the edge.
        return self._read_s + _METER_S - (into_s if into_s < _METER_S - SAME_INSTANT_S else 0.0)

    def read(self, now_s: float) -> None:
        """End a quarter of an hour: its mean power may be the month's highest of the charges that count in it."""
        begin_s, self._read_s = self._read_s, now_s
        kwh = np.array([pool.kwh for pool in self._pools])
        gained, self._read_kwh = kwh - self._read_kwh, kwh
        if begin_s >= self._month.end_s:
            self._usd += self._month_usd(self._month.end_s)
            self._month = next(self._months)
            self._highest_kw[:] = 0.0
        kw = float(gained.sum()) / ((now_s - begin_s) / 3600.0)
        rates = np.array(self._charges.at(begin_s).rates)
        higher = (rates > 0.0) & (kw > self._highest_kw)
        self._highest_kw[higher] = kw
        self._rates[higher] = rates[higher]
        self._shares[higher] = gained / max(float(gained.sum()), 1e-300)

    def lines(self, now_s: float) -> list[Entry]:
        """What the meter has cost up to `now_s`; the demand of a month that is not over counts by its part."""
        demand = self._usd + self._month_usd(now_s)
        lines = [
            Entry("demand_charge", pool.index, label, usd=float(demand[c, p]))
            for c, label in enumerate(self._charges.labels)
            for p, pool in enumerate(self._pools)
        ]
        daily = self._usd_per_day * now_s / 86_400.0
        kwh = sum(pool.kwh for pool in self._pools)
        for pool in self._pools if daily else ():
            share = pool.kwh / kwh if kwh else 1.0 / len(self._pools)
            lines.append(Entry("customer_charge", pool.index, "daily", usd=daily * share))
        return lines

    def _month_usd(self, now_s: float) -> NDArray[np.float64]:
        """Demand charges of the present month up to `now_s`, [charges, pools]."""
        month = self._month
        part = month.share * min((now_s - month.begin_s) / (month.end_s - month.begin_s), 1.0)
        usd: NDArray[np.float64] = (self._highest_kw * self._rates * part)[:, np.newaxis] * self._shares
        return usd
