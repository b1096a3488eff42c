"""What steers a router during a run: mean prices for one that does not look at the clock, and its budget."""

from __future__ import annotations

from collections.abc import Generator
from itertools import count
from zoneinfo import ZoneInfo

import numpy as np
import simpy

from router.pacing import next_multiplier
from sim.control.clock import Clock
from sim.control.moments import until
from sim.control.sleep_prices import MeanPrice
from sim.engine.plane import DataPlane
from sim.prices import PriceClock, gpu_prices, token_prices
from sim.routing.account import RoutingAccount
from sim.scenario import ApiPool, GpuPool, Scenario, WeighingRouter
from sim.scenario.choices import is_routed

__all__ = ["RouterControl"]

_WEEK_S = 7.0 * 86_400.0


class RouterControl:
    """Tells the plane what prices are on average, and holds what is spent to the budget."""

    def __init__(self, scenario: Scenario, plane: DataPlane, clock: Clock) -> None:
        self._plane, self._clock = plane, clock
        self._streams = len(scenario.workload)
        self._routed = [place for place, stream in enumerate(scenario.workload) if is_routed(scenario, stream)]
        router = scenario.router
        self._budget = router.budget if isinstance(router, WeighingRouter) else None
        self._at_s, self._mu = [0.0], [1.0]
        for index, pool in enumerate(scenario.fleet):
            _tell_mean_price(plane, index, pool, scenario)

    def start(self) -> None:
        """Have the process begin, where there is a budget."""
        if self._budget is not None:
            self._clock.process(self._pace())

    def close(self, end_s: float) -> RoutingAccount:
        """What was decided in the whole run, the books of the plane being closed."""
        chosen, routes = self._plane.routing.chosen()[: self._streams], self._plane.routing.routes[: self._streams]
        return RoutingAccount(
            chosen=chosen["count"].copy(),
            p=chosen["p"].copy(),
            cost_usd=chosen["cost_usd"].copy(),
            p_late=chosen["p_late"].copy(),
            value_usd=routes["value_usd"].copy(),
            lateness_usd=routes["lateness_usd"].copy(),
            at_s=np.array(self._at_s),
            mu=np.array(self._mu),
            spent_usd=self._spent_usd(),
            seconds=end_s,
        )

    def _pace(self) -> Generator[simpy.Event]:
        """At each tick the multiplier follows what has been spent since the last one."""
        budget = self._budget
        assert budget is not None
        allowed_usd, before_usd = budget.usd_per_hour * budget.tick / 3600.0, 0.0
        for tick in count(1):
            yield from until(self._clock, tick * budget.tick)
            spent_usd = self._spent_usd()
            mu = next_multiplier(self._mu[-1], spent_usd - before_usd, allowed_usd, budget.step, budget.mu_max)
            before_usd = spent_usd
            self._plane.routing.set_mu(mu, self._routed)
            self._at_s.append(float(self._clock.now))
            self._mu.append(mu)

    def _spent_usd(self) -> float:
        """By requests of the streams that the router looks at."""
        return float(self._plane.routing.spent_usd()[self._routed].sum())


def _tell_mean_price(plane: DataPlane, index: int, pool: GpuPool | ApiPool, scenario: Scenario) -> None:
    """Means over the run as they are foreseen, or over its first week where its end is not known."""
    end_s = scenario.horizon or _WEEK_S
    start, zone = scenario.start, ZoneInfo(scenario.time_zone)
    if isinstance(pool, ApiPool):
        rates: PriceClock = token_prices(pool.tariff, start, zone, horizon_s=scenario.horizon)
        plane.routing.set_mean_rates(index, MeanPrice(rates, scenario.horizon).over(0.0, end_s))
        return
    hourly = gpu_prices(pool.offer, pool.gpu, start, zone, None, horizon_s=scenario.horizon)
    mean = float(MeanPrice(hourly, scenario.horizon).over(0.0, end_s)[0])
    plane.routing.set_mean_price(index, mean * pool.tensor_parallel)
