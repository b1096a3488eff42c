"""What the bill of a run must come to: price x paid time + tokens x rate, and what else there is to pay.

What is paid for (when each server was on, how many tokens an API gave, how long each pool worked) is taken from the
run; what it costs is found minute by minute with the clock on the wall (see `tests.plain_tariffs`). Buckets are
quarters of an hour, in which prices of electricity do not change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any
from unittest.mock import patch

from sim.control.fleet_control import FleetControl
from sim.invoice import PaidInterval
from sim.scenario import ApiPool, GpuPool, Reserved, Scenario, SpotProcess
from sim.simulation import simulate
from tests.plain_tariffs import Wall, gpu_price, holds, seconds_by_minute, token_rates, value_at

__all__ = ["Dollars", "World"]

QUARTER_S = 900.0

Dollars = dict[tuple[str, str], float]
"""By pool and tariff window."""


class Watched(FleetControl):
    """Keeps the last one that was made, to ask when its servers were on."""

    made: FleetControl

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        Watched.made = self


class World:
    """A run of a scenario, and what its bill must come to."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.scenario = Scenario.model_validate(fields)
        with patch("sim.simulation.FleetControl", Watched):
            self.results = simulate(self.scenario, keep_requests=True)
        self.paid: Sequence[PaidInterval] = Watched.made.paid
        self.ledger, self.buckets = self.results.ledger, self.results.buckets
        assert self.scenario.horizon is not None
        self.end_s = self.scenario.horizon
        self.gpu_pools = [pool for pool in self.scenario.fleet if isinstance(pool, GpuPool)]

    def found(self, *lines: str) -> Dollars:
        """What the ledger says of some lines."""
        mine = self.ledger[self.ledger["line"].isin(lines)]
        return {key: float(usd) for key, usd in mine.groupby(["pool", "window"])["usd"].sum().items() if usd}

    def prices(self, pool: GpuPool) -> list[tuple[str, float]]:
        """Window and price of a GPU-hour in each minute of the run."""
        minutes = range(ceil(self.end_s / 60))
        if isinstance(pool.offer.tariff, SpotProcess):
            # It moves with the quarter of an hour, as buckets do.
            drawn = self.buckets[self.buckets["pool"] == pool.name]["usd_per_gpu_hour"].tolist()
            return [("spot", drawn[minute // 15]) for minute in minutes]
        wall = Wall(self.scenario, pool.offer.tariff)
        return [gpu_price(pool, wall, 60.0 * minute) for minute in minutes]

    def time_usd(self) -> Dollars:
        """Price x paid time of all servers."""
        owed: Dollars = defaultdict(float)
        for pool in self.gpu_pools:
            prices = self.prices(pool)
            for begin_s, end_s in self.spans(pool):
                for minute, seconds in seconds_by_minute(begin_s, end_s).items():
                    window, price = prices[minute]
                    owed[pool.name, window] += seconds / 3600.0 * price * pool.gpus_per_replica
        return owed

    def spans(self, pool: GpuPool) -> list[tuple[float, float]]:
        """When servers of a pool were paid for."""
        if isinstance(pool.offer, Reserved):
            return [(0.0, self.end_s)] * pool.most_replicas
        index = self.scenario.fleet.index(pool)
        return [(paid.begin_s, paid.end_s) for paid in self.paid if paid.pool == index]

    def rounding_usd(self) -> Dollars:
        """Units that were begun, and minima, at the price of a server's last moment; no life the run's end cut."""
        owed: Dollars = defaultdict(float)
        for pool in self.gpu_pools:
            if isinstance(pool.offer, Reserved):
                continue
            billing, prices = pool.offer.billing, self.prices(pool)
            for begin_s, end_s in self.spans(pool):
                length_s = end_s - begin_s
                if length_s <= 0.0 or end_s == self.end_s:
                    continue
                billed_s = max(ceil(length_s / billing.unit - 1e-7) * billing.unit, billing.minimum)
                window, price = prices[ceil(end_s / 60 - 1e-9) - 1]
                owed[pool.name, window] += (billed_s - length_s) / 3600.0 * price * pool.gpus_per_replica
        return owed

    def upfront_usd(self) -> Dollars:
        """The share of the term that the run is, minute by minute."""
        owed: Dollars = defaultdict(float)
        for pool in self.gpu_pools:
            if isinstance(pool.offer, Reserved) and pool.offer.term is not None:
                whole = pool.offer.upfront_usd_per_gpu * pool.most_replicas * pool.gpus_per_replica
                for window, _ in self.prices(pool):
                    owed[pool.name, window] += whole * 60.0 / (365 * 86_400.0)
        return owed

    def training_usd(self) -> float:
        """Of each training the part that the run is of its time, or that its answers are of its requests."""
        answers = [frame[frame["status"].astype(str) == "completed"] for frame in self.results.requests()]
        owed = 0.0
        for training in self.scenario.training:
            answered = sum(int(frame["strategy"].isin(training.strategies).sum()) for frame in answers)
            part = self.end_s / training.over if training.over else answered / (training.over_requests or 1)
            owed += training.usd * part
        return owed

    def token_usd(self) -> Dollars:
        """Billed tokens x the rates of their window."""
        run = self.results.replications[0]
        owed: Dollars = defaultdict(float)
        for p, pool in enumerate(self.scenario.fleet):
            if isinstance(pool, ApiPool):
                for window, tokens in zip(run.windows[p], run.charges.billed_tokens[p], strict=False):
                    rates = token_rates(pool.tariff, window)
                    owed[pool.name, window] += sum(n * rate for n, rate in zip(tokens.tolist(), rates, strict=True))
        return owed

    def kwh(self, pool: GpuPool) -> list[float]:
        """Energy of a pool in each bucket: watts x hours x the site's losses."""
        power, tdp_w = pool.power, 700.0
        busy_w = 0.85 * tdp_w if power.busy_w is None else power.busy_w
        idle_w = 0.25 * tdp_w if power.idle_w is None else power.idle_w
        mine = self.buckets[self.buckets["pool"] == pool.name]
        on_s = mine["idle_s"] + mine["starting_s"] + mine["draining_s"]
        joules = (mine["busy_s"] * busy_w + on_s * idle_w) * pool.tensor_parallel * power.pue
        return [float(each) / 3.6e6 for each in joules]

    def electricity_usd(self) -> Dollars:
        """Energy x price, bucket by bucket."""
        owed: Dollars = defaultdict(float)
        for pool in self.gpu_pools:
            if pool.electricity is not None:
                wall = Wall(self.scenario, pool.electricity)
                for n, kwh in enumerate(self.kwh(pool)):
                    window, price = value_at(pool.electricity, wall, n * QUARTER_S, "usd_per_kwh")
                    owed[pool.name, window] += kwh * price
        return owed

    def sites(self) -> Iterator[tuple[Any, list[GpuPool]]]:
        """Electricity tariffs and the pools on them."""
        tariffs: list[Any] = []
        for pool in self.gpu_pools:
            if pool.electricity is not None and pool.electricity not in tariffs:
                tariffs.append(pool.electricity)
        for tariff in tariffs:
            yield tariff, [pool for pool in self.gpu_pools if pool.electricity == tariff]

    def demand_usd(self) -> dict[str, float]:
        """Highest means of quarters by charge and month x rate x the part of the month that was run, by charge."""
        owed: dict[str, float] = defaultdict(float)
        for tariff, pools in self.sites():
            wall, holidays = Wall(self.scenario, tariff), getattr(tariff, "holidays", [])
            kw = [sum(each) * 4.0 for each in zip(*(self.kwh(pool) for pool in pools), strict=True)]
            for charge in tariff.demand:
                highest: dict[tuple[int, int], float] = defaultdict(float)
                for n in range(int(self.end_s // QUARTER_S)):
                    now = wall.at(n * QUARTER_S)
                    if holds(charge, holidays, now):
                        highest[now.year, now.month] = max(highest[now.year, now.month], kw[n])
                for (year, month), power in highest.items():
                    part = wall.part_of_month(year, month, self.end_s)
                    owed[charge.label] += power * charge.usd_per_kw_month * part
        return owed

    def customer_usd(self) -> float:
        """Each meter's charge a day."""
        return sum(tariff.usd_per_day * self.end_s / 86_400.0 for tariff, _ in self.sites())

    def carbon_kg(self, pool: GpuPool) -> float:
        """Energy x the carbon of its making, bucket by bucket."""
        if pool.carbon is None:
            return 0.0
        wall = Wall(self.scenario, pool.carbon)
        grams = (value_at(pool.carbon, wall, n * QUARTER_S, "g_co2_per_kwh")[1] for n in range(len(self.kwh(pool))))
        return sum(kwh * each for kwh, each in zip(self.kwh(pool), grams, strict=True)) / 1e3
