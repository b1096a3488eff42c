"""What a scenario needs and what a fleet comes to, in numbers and without a simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from sim.planning.needs.blocks import WeekBlocks, blocks_of
from sim.planning.needs.closed import with_closed
from sim.planning.needs.demand import HOURS_PER_MONTH, Demand, demand_of
from sim.planning.needs.policy import Option
from sim.planning.needs.sleeping import deferrable_of, prepared_shares, sleep_usd_per_request
from sim.planning.needs.work import Work, work_at
from sim.planning.purchase.instance import Floats, Instance, Integers, Supply
from sim.planning.service.api_limits import within_limits
from sim.planning.service.capacity import Ceilings, busy_spread
from sim.planning.service.outlook import Hours, Outlook
from sim.planning.service.predicted import Predicted
from sim.planning.service.prices import prices_of
from sim.planning.service.supplies import follows_load, supply_of
from sim.planning.service.traffic import mixes_of, replica_of
from sim.scenario import ApiPool, Scenario
from sim.scenario.planning import Planning
from sim.scenario.supply import Pool
from sim.sleep import sleep_pools

__all__ = ["Estimator", "Predicted"]

_BUSY_ROWS = 0.3
"""Share of the places in a batch that is taken when a router looks, unless told."""
_PARTS: Floats = np.array([0.25, 0.5, 0.75, 0.9])
"""Where the windows of a block are cut, by their load; the highest tenth stands on its own."""
_LATE_WHEN_AWAY = 1.0 / 3.0
"""Part of the requests that may miss their objectives that is kept for times without spot capacity."""
_LEVELS = (0.0, 0.2, 0.5, 1.0)
"""Shares among which the least work of a router that looks at the load is sought."""


class Estimator:
    """Analytic answers about a scenario and its options, over blocks of hours.

    Raises:
        InputError: as `sim.simulation.simulate` does, for what the scenario names and cannot be used.
    """

    def __init__(self, scenario: Scenario, blocks: WeekBlocks | None = None) -> None:
        """With `blocks` None they are the plan's own, or found."""
        self.scenario = scenario
        self.demand: Demand = demand_of(scenario)
        self.blocks = blocks_of(scenario, self.demand, self._usd_by_hour()) if blocks is None else blocks
        self.targets = (scenario.plan or Planning()).targets
        self._window_block = self.blocks.block[self.demand.hour]
        self._options: dict[int, tuple[Scenario, Option]] = {}

    def option(self, scenario: Scenario) -> Option:
        """An option as work; kept, so that asking again costs nothing."""
        key = id(scenario)
        if key not in self._options:
            option = Option(scenario, self.demand.overall_rps)
            if scenario.sleep is not None:
                usd = self._usd_by_block(prices_of(scenario, self.demand.begin_s))
                rps = self._by_block(np.nan_to_num(self.demand.rps), self.demand.seconds)
                option.prepared = prepared_shares(option, usd, rps, self.blocks.hours_per_month)
            self._options[key] = scenario, option
        return self._options[key][1]

    def instance(self, scenario: Scenario, *, optimistic: bool = False) -> Instance:
        """The purchase to decide on, for one option of the scenario.

        Careful, it says how full replicas may be so that requests keep their objectives. Optimistic, every replica may
        be full, work is the least it can be, and as many requests as may miss their objectives need not be served: in
        expectation no fleet of the space that keeps its promise costs less than the best of it.
        """
        return self._optimistic(scenario) if optimistic else self._careful(scenario)

    def forecast(self, scenario: Scenario, replicas: Integers) -> Predicted:
        """What a fleet of these replicas is expected to come to, [P, H]; of an API 1 where it is used."""
        option = self.option(scenario)
        usd = prices_of(scenario, self.demand.begin_s)
        demand = with_closed(self.demand, option)
        work = work_at(option, self._usd_by_block(usd), _BUSY_ROWS)
        outlook = Outlook(option, work, demand.clump, np.asarray(replicas))
        for hours in self._stretches(scenario, demand, work, usd):
            outlook.add(hours)
        self._pay_for_sleep(outlook, option, demand, self._usd_by_block(usd))
        return outlook.total(self.blocks.hours_per_month)

    def _pay_for_sleep(self, outlook: Outlook, option: Option, demand: Demand, usd: list[list[Floats]]) -> None:
        """For contexts that an API prepares."""
        hours = self.blocks.hours_per_month
        each_usd = sleep_usd_per_request(option, option.prepared, usd, hours)
        if each_usd.any():
            requests = self._by_block(np.nan_to_num(demand.rps), demand.seconds) @ hours * 3600.0
            outlook.sums.pay(sleep_pools(option.scenario)[0], float(each_usd @ requests))

    def _stretches(self, scenario: Scenario, demand: Demand, work: Work, usd: list[Floats]) -> Iterator[Hours]:
        """The month as few stretches of time, each of about one load, within a block and with the same APIs open."""
        closed = np.array([_too_dear(pool, each) for pool, each in zip(scenario.fleet, usd, strict=True)])
        kinds, kind = np.unique(closed, axis=1, return_inverse=True)
        month = HOURS_PER_MONTH / demand.horizon_s
        load = np.nan_to_num(demand.rps).T @ _weights(work)
        for block in range(self.blocks.count):
            for index in range(kinds.shape[1]):
                mine = np.flatnonzero((self._window_block == block) & (kind.ravel() == index))
                for some in _alike(mine, load):
                    seconds = demand.seconds[some]
                    yield Hours(
                        block=block,
                        hours=float(seconds.sum()) * month,
                        rps=np.nan_to_num(demand.rps[:, some]) @ seconds / seconds.sum(),
                        usd=[seconds @ each[some] / seconds.sum() for each in usd],
                        closed=tuple(bool(each) for each in kinds[:, index]),
                    )

    def _careful(self, scenario: Scenario) -> Instance:
        option = self.option(scenario)
        usd = prices_of(scenario, self.demand.begin_s)
        demand = with_closed(self.demand, option)
        rps = self._by_block(demand.rps, demand.seconds)
        work = work_at(option, self._usd_by_block(usd), _BUSY_ROWS)
        ceilings = [self._ceilings(option, work, demand, rps, pool) for pool in range(option.shape[2])]
        supplies = tuple(
            supply_of(
                scenario,
                pool,
                self.blocks,
                self._hourly(usd, pool),
                ceilings[pool],
                self._worth(work, rps, option, pool, ceilings[pool]),
            )
            for pool in range(option.shape[2])
        )
        by_block, hours = self._usd_by_block(usd), self.blocks.hours_per_month
        billed = self._billed(option, work, usd, np.mean)
        billed += sleep_usd_per_request(option, option.prepared, by_block, hours)[:, np.newaxis, np.newaxis]
        made = self._made(option, work, rps, billed, supplies)
        return replace(
            within_limits(made, option, work),
            away_late_share=_LATE_WHEN_AWAY * (1.0 - self.targets.slo),
            deferrable=deferrable_of(option, option.prepared, by_block, rps, hours),
        )

    def _optimistic(self, scenario: Scenario) -> Instance:
        option = self.option(scenario)
        usd = prices_of(scenario, self.demand.begin_s)
        rps = self._by_block(np.nan_to_num(self.demand.rps), self.demand.seconds * self.demand.counts)
        late = 1.0 - self.targets.slo
        without = np.minimum(
            late * rps_total(rps, self.blocks) / np.maximum(rps @ self.blocks.hours_per_month, 1e-12), 1.0
        )
        cases = [
            work_at(option, self._usd_by_block(usd), level, least_without=without)
            for level in (_LEVELS if option.routes else _LEVELS[:1])
        ]
        work = _least_of(cases)
        billed = self._billed(option, work, usd, np.min)
        supplies = []
        for pool in range(option.shape[2]):
            supply = supply_of(scenario, pool, self.blocks, self._hourly(usd, pool), None, inf)
            if follows_load(scenario.fleet[pool]) and supply.kind != "reserved":
                # What scales by itself is paid for by the second, and for no less than the work takes.
                billed[:, :, pool] = work.work_s[:, :, pool] * float(self._hourly(usd, pool).min()) / 3600.0
                work.work_s[:, :, pool] = np.where(np.isfinite(work.work_s[:, :, pool]), 0.0, inf)
                supply = Supply(supply.name, "api", np.zeros(self.blocks.count), least=0, most=int(supply.most > 0))
            supplies.append(supply)
        made = self._made(option, work, rps, billed, tuple(supplies))
        return replace(made, late_share=late)

    def _made(
        self, option: Option, work: Work, rps: Floats, usd_per_request: Floats, supplies: tuple[Supply, ...]
    ) -> Instance:
        plan = self.scenario.plan or Planning()
        return Instance(
            hours=self.blocks.hours_per_month,
            transitions=self.blocks.transitions,
            rps=rps,
            work_s=work.work_s,
            usd_per_request=usd_per_request,
            p_correct=work.p_correct,
            shares=work.share,
            supplies=supplies,
            least_accuracy=self.targets.accuracy,
            budget_usd=self.targets.budget_usd_per_month,
            goal=plan.goal,
        )

    def _ceilings(self, option: Option, work: Work, demand: Demand, rps: Floats, pool: int) -> Floats | None:
        """Ceiling of each block, [H], if the pool served all that it may; None for an API."""
        if option.batches[pool] is None:
            return None
        pairs, rates = mixes_of(option, work, rps, pool)
        found = np.ones(self.blocks.count)
        known: dict[bytes, Ceilings] = {}
        for block in range(self.blocks.count):
            if rates[:, block].sum() <= 0.0:
                continue
            weights = rates[:, block] / rates[:, block].sum()
            key = weights.round(2).tobytes()
            if key not in known:
                replica = replica_of(option, pool, pairs, weights, demand.clump)
                used = [pair for pair, weight in zip(pairs, weights, strict=True) if weight > 0.0]
                known[key] = Ceilings(replica, self.targets.slo, [self._least_of(stream) for stream, _ in used])
            work_s = np.array([work.work_s[(*pair, pool)] for pair in pairs])
            factors, shares = self._spread(demand, block, pairs, work_s * work_shares(work, pairs, block))
            found[block] = known[key].for_load(float(rates[:, block] @ work_s), factors, shares)
        return found

    def _spread(
        self, demand: Demand, block: int, pairs: list[tuple[int, int]], work_s: Floats
    ) -> tuple[Floats, Floats]:
        mine = self._window_block == block
        load = sum(demand.rps[stream, mine] * each for (stream, _), each in zip(pairs, work_s, strict=True))
        return busy_spread(np.asarray(load), demand.seconds[mine])

    def _least_of(self, stream: int) -> float:
        return self.targets.slo_of.get(self.scenario.workload[stream].name, 0.0)

    def _worth(self, work: Work, rps: Floats, option: Option, pool: int, ceiling: Floats | None) -> float:
        """Replicas that all the work a pool may do needs in the highest block."""
        if ceiling is None:
            return 0.0
        pairs, rates = mixes_of(option, work, rps, pool)
        work_s = np.array([work.work_s[(*pair, pool)] for pair in pairs])
        with np.errstate(divide="ignore"):
            return float(np.max((work_s @ rates) / ceiling, initial=0.0)) if pairs else 0.0

    def _billed(self, option: Option, work: Work, usd: list[Floats], over_time: Callable[..., Floats]) -> Floats:
        """US dollars a request at each pool, [S, A, P]: tokens of an API; by `over_time`, a function over windows."""
        found = np.zeros(option.shape)
        for index, pool in enumerate(option.scenario.fleet):
            if isinstance(pool, ApiPool):
                fresh, cached, output = over_time(usd[index], axis=0)
                prompt_usd = (1.0 - pool.cached_share) * fresh + pool.cached_share * cached
                found[:, :, index] = work.prompt_tokens * prompt_usd + work.output_tokens * output
        return found

    def _hourly(self, usd: list[Floats], pool: int) -> Floats:
        """Mean price of a replica's hour by block, [H]; zeros of an API."""
        if isinstance(self.scenario.fleet[pool], ApiPool):
            return np.zeros(self.blocks.count)
        return self._means(usd[pool])[:, 0]

    def _usd_by_block(self, usd: list[Floats]) -> list[list[Floats]]:
        means = [self._means(each) for each in usd]
        return [[mean[block] for mean in means] for block in range(self.blocks.count)]

    def _means(self, values: Floats) -> Floats:
        """Means over time by block, [H, n], of values of windows, [W, n]; over all time where a block never comes."""
        seconds = self.demand.seconds
        total = np.bincount(self._window_block, seconds, self.blocks.count)
        overall = seconds @ values / seconds.sum()
        sums = [np.bincount(self._window_block, seconds * column, self.blocks.count) for column in values.T]
        return np.where(total > 0, np.array(sums) / np.maximum(total, 1e-9), overall[:, np.newaxis]).T

    def _by_block(self, rps: Floats, counted_s: Floats) -> Floats:
        """Requests a second by block, [S, H]: those that come in the time that counts, over all the block's time."""
        total = np.bincount(self._window_block, self.demand.seconds, self.blocks.count)
        sums = [np.bincount(self._window_block, counted_s * row, self.blocks.count) for row in rps]
        return np.array(sums) / np.maximum(total, 1e-9)

    def _usd_by_hour(self) -> Floats:
        """Prices of what follows the clock by hour of the week, [n, 168]."""
        seconds = np.maximum(self.demand.per_hour(self.demand.seconds), 1e-9)
        columns = [column for each in prices_of(self.scenario, self.demand.begin_s) for column in each.T[-1:]]
        varied = [column for column in columns if np.ptp(column) > 0.05 * column.mean()]
        found = [self.demand.per_hour(column * self.demand.seconds) / seconds for column in varied]
        return np.array(found).reshape(len(found), 168)


def _too_dear(pool: Pool, usd: Floats) -> NDArray[np.bool_]:
    """Windows in which an API takes no requests as it costs too much, [W]."""
    if not isinstance(pool, ApiPool) or pool.max_usd_per_1m_output is None:
        return np.zeros(usd.shape[0], np.bool_)
    found: NDArray[np.bool_] = usd[:, 2] * 1e6 > pool.max_usd_per_1m_output * (1.0 + 1e-9)
    return found


def _weights(work: Work) -> Floats:
    """What a request of each stream counts for the load, [S]: its least work anywhere, 1 where that is none."""
    least = np.min(np.where(np.isfinite(work.work_s) & (work.work_s > 0), work.work_s, np.inf), axis=2)
    mean = np.array(
        [
            np.nansum(np.where(np.isfinite(own), own, 0.0) * share.mean(axis=1))
            for own, share in zip(least, work.share, strict=True)
        ]
    )
    return np.where(mean > 0, mean, 1.0)


def _alike(windows: Integers, load: Floats) -> Iterator[Integers]:
    """Windows by their load, in a few parts."""
    order = windows[np.argsort(load[windows], kind="stable")]
    yield from (part for part in np.split(order, (_PARTS * order.size).astype(np.int64)) if part.size)


def work_shares(work: Work, pairs: list[tuple[int, int]], block: int) -> Floats:
    """Share of its stream's requests of each pair in a block, [pairs]."""
    return np.array([work.share[stream, strategy, block] for stream, strategy in pairs])


def rps_total(rps: Floats, blocks: WeekBlocks) -> float:
    """Requests a second of all streams, times hours a month."""
    return float((rps @ blocks.hours_per_month).sum())


def _least_of(cases: list[Work]) -> Work:
    """The least work, and the best quality, among loads at which a router looks."""
    first = cases[0]
    if len(cases) == 1:
        return first
    totals = [np.nansum(np.where(np.isfinite(case.work_s), case.work_s, 0.0)) for case in cases]
    least = cases[int(np.argmin(totals))]
    return replace(least, p_correct=np.fmax.reduce([case.p_correct for case in cases]))
