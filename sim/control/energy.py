"""Electricity: what the pools draw, what it costs by the clock, and the carbon of its making.

A replica draws one power while it works and another while it is switched on and does not; times the power usage
effectiveness of its site. Pools with the same electricity tariff are behind one meter, whose highest quarter-hour
means are charged by the month.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from zoneinfo import ZoneInfo

import simpy

from sim.control.clock import Clock
from sim.control.demand import DemandMeter
from sim.control.moments import until
from sim.engine import state as st
from sim.engine.plane import DataPlane
from sim.hardware.power import Draw
from sim.ledger import Entry
from sim.prices import (
    PriceClock,
    carbon_intensity,
    electricity_prices,
)
from sim.scenario import ApiPool, Electricity, GpuPool, Scenario

__all__ = ["Energy"]

_J_PER_KWH = 3.6e6
_ON = [st.STARTING, st.OPEN, st.DRAINING]


@dataclass
class _Pool:
    """A pool of GPUs and what it has drawn so far."""

    index: int
    draw: Draw
    price: PriceClock | None
    carbon: PriceClock | None
    work_s: float = 0.0
    on_s: float = 0.0
    kwh: float = 0.0
    carbon_kg: float = 0.0
    lines: dict[str, list[float]] = field(default_factory=dict)
    """Dollars, kWh and kg of carbon by window of the electricity tariff."""


class Energy:
    """Meters of all GPU pools of a run. `draws` holds each pool's power; None for an API."""

    def __init__(self, plane: DataPlane, scenario: Scenario, draws: Sequence[Draw | None]) -> None:
        self._plane = plane
        self._now_s = 0.0
        start, zone = scenario.start, ZoneInfo(scenario.time_zone)
        self._pools = {
            index: _meter(index, pool, draw, scenario, zone)
            for index, (pool, draw) in enumerate(zip(scenario.fleet, draws, strict=True))
            if isinstance(pool, GpuPool) and draw is not None
        }
        self._sites = [
            DemandMeter(electricity, [self._pools[index] for index in members], start, zone, scenario.horizon)
            for electricity, members in _sites(scenario.fleet)
        ]

    def start(self, clock: Clock) -> None:
        """Read the meters at every edge of a price, and each quarter of an hour where demand is charged."""
        for pool in self._pools.values():
            for price in (pool.price, pool.carbon):
                if price is not None:
                    clock.process(self._follow(clock, price))
        for site in self._sites:
            if site.charges_demand:
                clock.process(self._meter(clock, site))

    def read(self, pool: int) -> tuple[float, float]:
        """kWh and kg of carbon a pool has drawn up to the last reading; nothing for an API."""
        found = self._pools.get(pool)
        return (found.kwh, found.carbon_kg) if found else (0.0, 0.0)

    def advance(self, now_s: float) -> None:
        """Read all meters at `now_s`, which the plane has reached."""
        if now_s <= self._now_s:
            return
        self._plane.settle(now_s)
        for pool in self._pools.values():
            self._read(pool)
        self._now_s = now_s

    def entries(self, now_s: float) -> list[Entry]:
        """The lines of the bill up to `now_s`; a month that is not over counts by its part, as if its demand stood."""
        self.advance(now_s)
        self._meter_due(now_s)
        lines = [
            Entry("electricity", pool.index, window, usd=usd, kwh=kwh, carbon_kg=kg)
            for pool in self._pools.values()
            for window, (usd, kwh, kg) in pool.lines.items()
        ]
        for site in self._sites:
            lines += site.lines(now_s)
        return lines

    def _follow(self, clock: Clock, price: PriceClock) -> Generator[simpy.Event]:
        periods = price.periods()
        # What comes next is not asked for before its time: a tariff may end with the run.
        while isfinite(edge_s := next(periods).end_s):
            yield from until(clock, edge_s)
            self.advance(clock.now)

    def _meter(self, clock: Clock, site: DemandMeter) -> Generator[simpy.Event]:
        while True:
            yield from until(clock, site.due_s)
            self.advance(clock.now)
            self._meter_due(clock.now)

    def _meter_due(self, now_s: float) -> None:
        """Read the meters that are due: the run may end with a quarter of an hour, before any process sees it."""
        for site in self._sites:
            if site.charges_demand and now_s >= site.due_s:
                site.read(now_s)

    def _read(self, pool: _Pool) -> None:
        s = self._plane.state
        work_s, on_s = float(s.work_s[pool.index].sum()), float(s.unused_s[pool.index][:, _ON].sum())
        joules = (work_s - pool.work_s) * pool.draw.busy_w + (on_s - pool.on_s) * pool.draw.idle_w
        pool.work_s, pool.on_s = work_s, on_s
        kwh = joules / _J_PER_KWH
        price = None if pool.price is None else pool.price.at(self._now_s)
        grams = 0.0 if pool.carbon is None else kwh * pool.carbon.at(self._now_s).rates[0]
        pool.kwh += kwh
        pool.carbon_kg += grams / 1e3
        line = pool.lines.setdefault(_INCLUDED if price is None else price.window, [0.0, 0.0, 0.0])
        line[0] += 0.0 if price is None else kwh * price.rates[0]
        line[1] += kwh
        line[2] += grams / 1e3


_INCLUDED = "in the GPU price"
"""The window of electricity that is not paid apart."""


def _meter(index: int, pool: GpuPool, draw: Draw, scenario: Scenario, zone: ZoneInfo) -> _Pool:
    start, horizon_s = scenario.start, scenario.horizon
    bought, made = pool.electricity, pool.carbon
    return _Pool(
        index,
        draw,
        price=None if bought is None else electricity_prices(bought, start, zone, horizon_s=horizon_s),
        carbon=None if made is None else carbon_intensity(made, start, zone, horizon_s=horizon_s),
    )


def _sites(fleet: Sequence[GpuPool | ApiPool]) -> list[tuple[Electricity, list[int]]]:
    """Each electricity tariff of the fleet with the pools that are on it."""
    sites: list[tuple[Electricity, list[int]]] = []
    for index, pool in enumerate(fleet):
        if isinstance(pool, GpuPool) and pool.electricity is not None:
            members = next((members for tariff, members in sites if tariff == pool.electricity), None)
            if members is None:
                sites.append((pool.electricity, [index]))
            else:
                members.append(index)
    return sites
