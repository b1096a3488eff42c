"""What steers a router during a run: mean prices for one that does not look at the clock, and its budget."""

from __future__ import annotations

from collections.abc import Generator
from itertools import count
from zoneinfo import ZoneInfo

import numpy as np
import simpy

from sim.control.clock import Clock
from sim.control.moments import until
from sim.control.pacing import Pacer
from sim.control.sleep_prices import MeanPrice
from sim.engine.plane import DataPlane
from sim.engine.state import Integers
from sim.prices import PriceClock, gpu_prices, token_prices
from sim.routing.account import RoutingAccount
from sim.scenario import ApiPool, GpuPool, Scenario, WeighingRouter
from sim.scenario.choices import is_routed

__all__ = ["RouterControl"]

_WEEK_S = 7.0 * 86_400.0


class RouterControl:
    """Tells the plane what prices are on average, keeps the budget, and notes what is decided as time goes on."""

    def __init__(self, scenario: Scenario, plane: DataPlane, clock: Clock) -> None:
        self._plane, self._clock, self._bucket_s = plane, clock, scenario.bucket
        self._streams = len(scenario.workload)
        self._routed = [place for place, stream in enumerate(scenario.workload) if is_routed(scenario, stream)]
        router = scenario.router
        budget = router.budget if isinstance(router, WeighingRouter) else None
        self._pacer = None if budget is None else Pacer(plane, budget, self._routed)
        self._at_s, self._counts = [0.0], [self._chosen()]
        for index, pool in enumerate(scenario.fleet):
            _tell_mean_price(plane, index, pool, scenario)

    def start(self) -> None:
        """Have the processes begin."""
        self._clock.process(self._watch())
        if self._pacer is not None:
            self._clock.process(self._pacer.run(self._clock))

    def close(self, end_s: float) -> RoutingAccount:
        """What was decided in the whole run, the books of the plane being closed."""
        self._note(end_s)
        chosen, routes = self._plane.routing.chosen()[: self._streams], self._plane.routing.routes[: self._streams]
        return RoutingAccount(
            chosen=chosen["count"].copy(),
            p=chosen["p"].copy(),
            cost_usd=chosen["cost_usd"].copy(),
            p_late=chosen["p_late"].copy(),
            value_usd=routes["value_usd"].copy(),
            lateness_usd=routes["lateness_usd"].copy(),
            at_s=np.array(self._at_s),
            counts=np.array(self._counts),
            paces=[] if self._pacer is None else list(self._pacer.history),
            spent_usd=float(self._plane.routing.spent_usd()[self._routed].sum()),
            seconds=end_s,
        )

    def _watch(self) -> Generator[simpy.Event]:
        """At the end of each bucket of time note how often every strategy has been chosen."""
        for bucket in count(1):
            yield from until(self._clock, bucket * self._bucket_s)
            self._note(float(self._clock.now))

    def _note(self, now_s: float) -> None:
        self._at_s.append(now_s)
        self._counts.append(self._chosen())

    def _chosen(self) -> Integers:
        """By strategy, over all streams, [A]."""
        found: Integers = self._plane.routing.chosen()["count"][: self._streams].sum(axis=0)
        return found


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
