"""Prices that follow the clock: at each edge of a pool's tariff the plane is told what holds from then on."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from math import isfinite
from zoneinfo import ZoneInfo

import simpy

from sim.control.clock import Clock
from sim.control.moments import until
from sim.engine.plane import DataPlane
from sim.prices import Period, PriceClock, gpu_prices, token_prices
from sim.scenario import ApiPool, GpuPool, Scenario
from sim.streams import RandomStreams

__all__ = ["Prices", "price_clocks"]


class Prices:
    """What every pool's time or tokens cost now, and have cost since the start.

    `clocks` are those of the scenario's pools: of GPUs by the hour, or of tokens.
    """

    def __init__(self, plane: DataPlane, pools: Sequence[GpuPool | ApiPool], clocks: Sequence[PriceClock]) -> None:
        self._plane = plane
        self._pools = pools
        self.clocks = clocks
        self.log: list[list[Period]] = [[] for _ in pools]
        """Periods that have begun, by pool."""
        for p in range(len(pools)):
            self._apply(p, clocks[p].at(0.0), 0.0)

    def now(self, pool: int) -> Period:
        """The period that holds for a pool."""
        return self.log[pool][-1]

    def start(self, clock: Clock) -> None:
        """Follow the tariffs from now on, each in a process of its own."""
        for p in range(len(self._pools)):
            clock.process(self._follow(clock, p))

    def _follow(self, clock: Clock, p: int) -> Generator[simpy.Event]:
        periods = self.clocks[p].periods()
        period = next(periods)
        while isfinite(period.end_s):
            # What comes next is not asked for before its time: a tariff may end with the run.
            yield from until(clock, period.end_s)
            period = next(periods)
            self._apply(p, period, clock.now)

    def _apply(self, p: int, period: Period, now_s: float) -> None:
        pool, window = self._pools[p], self.clocks[p].index(period.window)
        if isinstance(pool, GpuPool):
            self._plane.price(p, period.rates[0] * pool.tensor_parallel, window, now_s)
        else:
            self._plane.rates(p, window)
            self._plane.close_api(p, _is_too_dear(pool, period))
        self.log[p].append(period._replace(begin_s=now_s))


def _is_too_dear(pool: ApiPool, period: Period) -> bool:
    """True while a pool that minds the price takes no requests."""
    most = pool.max_usd_per_1m_output
    return most is not None and period.rates[2] * 1e6 > most * (1.0 + 1e-9)


def price_clocks(scenario: Scenario, streams: RandomStreams) -> list[PriceClock]:
    """The prices of a scenario's pools in one run: of GPUs by the hour, of APIs by the token.

    Raises:
        InputError: for a price that is not known, or a tariff that is not valid in the run.
    """
    return [_clock_of(pool, scenario, streams) for pool in scenario.fleet]


def _clock_of(pool: GpuPool | ApiPool, scenario: Scenario, streams: RandomStreams) -> PriceClock:
    start, zone, horizon_s = scenario.start, ZoneInfo(scenario.time_zone), scenario.horizon
    if isinstance(pool, ApiPool):
        return token_prices(pool.tariff, start, zone, horizon_s=horizon_s)
    random = streams.generator(f"{pool.name}/price")
    return gpu_prices(pool.offer, pool.gpu, start, zone, random, horizon_s=horizon_s)
