"""What pools cost in each window of a scenario's time, before anything runs."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np

from sim.planning.purchase.instance import Floats
from sim.prices import PriceClock, gpu_prices, token_prices
from sim.scenario import ApiPool, GpuPool, Reserved, Scenario
from sim.scenario.supply import Pool

__all__ = ["prices_of", "upfront_usd_per_month"]

_MONTH_S = 730.5 * 3600.0


def prices_of(scenario: Scenario, begin_s: Floats) -> list[Floats]:
    """Of each pool its prices at the begin of each window: [W, 1] US dollars an hour of a replica, or [W, 3] US dollars
    a token of input, cached input and output. Random prices stand at their mean.

    Raises:
        InputError: for a price that is not known, or a tariff that is not valid then.
    """
    return [_of_pool(pool, scenario, begin_s) for pool in scenario.fleet]


def upfront_usd_per_month(pool: Pool) -> float:
    """What a replica costs a month beside its hours: its part of payments in advance."""
    if not isinstance(pool, GpuPool) or not isinstance(pool.offer, Reserved) or not pool.offer.term:
        return 0.0
    return pool.offer.upfront_usd_per_gpu * pool.gpus_per_replica * _MONTH_S / pool.offer.term


def _of_pool(pool: Pool, scenario: Scenario, begin_s: Floats) -> Floats:
    start, zone = scenario.start, ZoneInfo(scenario.time_zone)
    if isinstance(pool, ApiPool):
        return _along(token_prices(pool.tariff, start, zone, horizon_s=scenario.horizon), begin_s)
    hourly = gpu_prices(pool.offer, pool.gpu, start, zone, None, horizon_s=scenario.horizon)
    return _along(hourly, begin_s) * pool.gpus_per_replica


def _along(clock: PriceClock, begin_s: Floats) -> Floats:
    first = clock.at(0.0)
    if first.end_s > begin_s[-1]:
        return np.tile(np.array(first.rates), (begin_s.size, 1))
    return np.array([clock.at(float(each)).rates for each in begin_s])
