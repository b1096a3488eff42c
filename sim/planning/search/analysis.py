"""What is known of the points of a space before anything is simulated: where to begin, and what they cost at least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from sim.planning.needs.blocks import WeekBlocks
from sim.planning.purchase.instance import Floats, Instance, Integers, Mix, Supply
from sim.planning.purchase.mix import bound, solve
from sim.planning.search.options import Option
from sim.planning.search.point import Point, Space, choices_of
from sim.planning.search.trials import Trial
from sim.planning.service.estimate import Estimator
from sim.planning.service.supplies import follows_load
from sim.scenario import ApiPool, Spot
from sim.scenario.supply import Pool

__all__ = ["Analysis", "Start", "analysed"]

_ACCURACY_SLACK = 0.01
"""By so much a bound doubts the accuracy that is foretold from a sample of requests."""


@dataclass(frozen=True)
class Start:
    """The analytic answer of an option."""

    is_feasible: bool
    """Whether all that is asked for can be kept, by the careful estimate."""
    replicas: Integers
    """[P, H]."""
    usd_per_month: float
    bound_usd: float
    """No plan of the option costs less; infinite where none can keep the promise."""
    accuracy: float
    mix: Mix


@dataclass
class Analysis:
    """A space and what is known of it."""

    space: Space
    estimator: Estimator
    _instances: dict[int, Instance] = field(default_factory=dict)
    _hopeful: dict[int, Instance] = field(default_factory=dict)
    _bounds: dict[Point, float] = field(default_factory=dict)

    def careful(self, option: int) -> Instance:
        """The purchase to decide on, with replicas no fuller than they may be."""
        if option not in self._instances:
            made = self.estimator.instance(self.space.options[option].scenario)
            # A budget only says whether the cheapest will do.
            made = replace(made, budget_usd=None) if made.goal == "cheapest" else made
            self._instances[option] = self._within(made)
        return self._instances[option]

    def hopeful(self, option: int) -> Instance:
        """The purchase at its very least: no plan that keeps its promise costs less than the best of it."""
        if option not in self._hopeful:
            made = self.estimator.instance(self.space.options[option].scenario, optimistic=True)
            if made.least_accuracy is not None:
                made = replace(made, least_accuracy=max(made.least_accuracy - _ACCURACY_SLACK, 0.0))
            self._hopeful[option] = self._within(replace(made, goal="cheapest", budget_usd=None))
        return self._hopeful[option]

    def _within(self, instance: Instance) -> Instance:
        """With the numbers that the space allows."""
        supplies = tuple(
            replace(
                supply, least=min(choice.least, supply.most) if supply.kind == "api" else choice.least, most=choice.most
            )
            if choice.is_free
            else supply
            for supply, choice in zip(instance.supplies, self.space.choices, strict=True)
        )
        rows = zip(supplies, self.space.choices, self._pools, strict=True)
        return replace(
            instance,
            supplies=tuple(
                supply if supply.kind == "api" or follows_load(pool) else replace(supply, by_block=choice.by_block)
                for supply, choice, pool in rows
            ),
        )

    def point_of(self, option: int, mix: Mix) -> Point:
        """The point of a mix; APIs for what is left over are used where they may be."""
        replicas = mix.replicas if mix.is_feasible else self._everything(option)
        rows = [
            np.full(replicas.shape[1], choice.most) if _is_overflow(pool) else row
            for pool, choice, row in zip(self._pools, self.space.choices, replicas, strict=True)
        ]
        return self.space.nearest(option, np.array(rows))

    @property
    def _pools(self) -> Sequence[Pool]:
        return self.space.options[0].scenario.fleet

    def start(self, option: int) -> Start:
        """Where to begin with an option, and what it costs at least."""
        mix = self.mix(option)
        feasible = mix.is_feasible
        if not feasible:
            mix = self.nearly(option)
        usd = mix.usd_per_month if mix.is_feasible else inf
        replicas = self.point_of(option, mix).array()
        least_usd = bound(self.hopeful(option))
        return Start(feasible, replicas, usd, least_usd, mix.accuracy, mix)

    def mix(self, option: int, factors: Floats | None = None) -> Mix:
        """The best mix by the careful estimate; `factors` [P, H] change how full replicas may be."""
        return solve(_less_full(self.careful(option), factors))

    def nearly(self, option: int, factors: Floats | None = None) -> Mix:
        """The cheapest mix where only the objectives count."""
        made = replace(self.careful(option), least_accuracy=None, budget_usd=None, goal="cheapest")
        return solve(_less_full(made, factors))

    def _everything(self, option: int) -> Integers:
        return np.array([[choice.most] * self.space.blocks.count for choice in self.space.choices])

    def hourly_usd(self, option: int = 0) -> Floats:
        """What a replica of each pool costs an hour, by block, [P, H]."""
        return np.array([supply.usd_per_hour for supply in self.careful(option).supplies])

    def mean_rps(self) -> Floats:
        """Requests a second of all streams by block, [H]."""
        found: Floats = np.nansum(self.careful(0).rps, axis=0)
        return found

    def least_usd(self, points: Sequence[Point]) -> Floats:
        """What the replicas of points cost a month at least, [n]: those that are paid for whatever happens."""
        if not points:
            return np.zeros(0)
        replicas = np.array([point.replicas for point in points], float)
        found = np.zeros(len(points))
        for index, (supply, pool) in enumerate(zip(self.careful(0).supplies, self._pools, strict=True)):
            if _is_certain(pool, supply):
                rows = replicas[:, index]
                paid = _paid(rows, supply.kind == "reserved")
                found += paid @ (supply.usd_per_hour * self.space.blocks.hours_per_month)
                found += rows.max(axis=1) * supply.usd_per_month
        return found

    def bound_of(self, point: Point) -> float:
        """No month of a point in which it keeps its promise costs less; infinite where it cannot carry the load."""
        if point not in self._bounds:
            fixed = _fixed(self.hopeful(point.option), point)
            self._bounds[point] = float(self.least_usd([point])[0]) + max(bound(fixed), 0.0)
        return self._bounds[point]

    def foreseen_usd(self, points: Sequence[Point], trial: Trial) -> Floats:
        """What points near a trial would cost a month [n], each replica being as dear as in it."""
        own = trial.point.array()
        found = np.full(len(points), trial.judged.mean("usd_per_month"))
        replicas = np.array([point.replicas for point in points], float).reshape(len(points), *own.shape)
        hours = self.space.blocks.hours_per_month
        for index, (supply, choice) in enumerate(zip(self.careful(0).supplies, self.space.choices, strict=True)):
            usd = trial.judged.mean(f"pools.{choice.name}.usd_per_month")
            if choice.kind == "api":
                found -= np.where(replicas[:, index, 0] < own[index, 0], usd, 0.0)
                continue
            nominal = supply.usd_per_hour * hours + supply.usd_per_month * hours / hours.sum()
            paid = [_paid(rows, choice.kind == "reserved") for rows in (replicas[:, index], own[index][np.newaxis])]
            before = float((paid[1] @ nominal)[0])
            found += (paid[0] @ nominal - before) * (usd / before if before > 0.0 else supply.available)
        return found

    def capacity_rps(self, option: int) -> Floats:
        """Requests a second of the scenario's mix that a replica serves as full as it may be, [P, H]; 0 of an API."""
        made = self.careful(option)
        shares = np.ones((*made.work_s.shape[:2], made.hours.size)) if made.shares is None else made.shares
        found = np.zeros((len(made.supplies), made.hours.size))
        for p, supply in enumerate(made.supplies):
            if supply.kind != "api":
                work_s = np.where(np.isfinite(made.work_s[:, :, p]), made.work_s[:, :, p], 0.0)
                needed = np.einsum("sh,sah,sa->h", made.rps, shares, work_s) / np.maximum(made.rps.sum(axis=0), 1e-12)
                ceiling = np.ones(made.hours.size) if supply.ceiling is None else supply.ceiling
                found[p] = supply.available * ceiling / np.maximum(needed, 1e-12)
        return found

    def is_risky(self) -> NDArray[np.bool_]:
        """Whether the capacity of a pool may be gone for a time, [P]."""
        return np.array([supply.available < 1.0 for supply in self.careful(0).supplies])


def _paid(rows: Floats, is_reserved: bool) -> Floats:
    """Replicas that are paid for in each block, [n, H]: of reserved ones always all."""
    return np.repeat(rows.max(axis=1)[:, np.newaxis], rows.shape[1], axis=1) if is_reserved else rows


def _is_overflow(pool: Pool) -> bool:
    """Whether a pool is an API that takes only so many requests a minute."""
    return isinstance(pool, ApiPool) and pool.rate_limit is not None


def _less_full(instance: Instance, factors: Floats | None) -> Instance:
    if factors is None:
        return instance
    supplies = [
        supply if supply.ceiling is None else replace(supply, ceiling=np.clip(supply.ceiling * row, 1e-6, 1.0))
        for supply, row in zip(instance.supplies, factors, strict=True)
    ]
    return replace(instance, supplies=tuple(supplies))


def _is_certain(pool: Pool, supply: Supply) -> bool:
    """Whether replicas are paid for all of their hours at a known price."""
    if isinstance(pool, ApiPool) or supply.kind == "api":
        return False
    if supply.kind == "reserved":
        return True
    has_chance = isinstance(pool.offer, Spot) or pool.failures is not None
    return not (follows_load(pool) or has_chance)


def _fixed(instance: Instance, point: Point) -> Instance:
    """An instance in which nothing is bought any more: what is left is what requests cost beside replicas."""
    supplies = [
        replace(supply, least=min(supply.least, max(row)), most=min(max(row), 1))
        if supply.kind == "api"
        else _bought(supply, row)
        for supply, row in zip(instance.supplies, point.replicas, strict=True)
    ]
    return replace(instance, supplies=tuple(supplies))


def _bought(supply: Supply, row: Sequence[int]) -> Supply:
    """Capacity of so many full replicas in each block, free of charge."""
    number = np.array(row, float)
    there = int(number.any())
    return Supply(supply.name, supply.kind, 0.0 * number, least=there, most=there, ceiling=number)


def analysed(options: Sequence[Option], estimator: Estimator | None = None) -> Analysis:
    """What is known of the space of these options.

    Raises:
        InputError: for what a scenario names and cannot be used.
    """
    scenario = options[0].scenario
    made = estimator or Estimator(scenario)
    blocks = _living(made)
    if blocks is not made.blocks:
        made = Estimator(scenario, blocks)
    supplies = made.instance(scenario).supplies
    choices = choices_of(scenario, [supply.most for supply in supplies])
    return Analysis(Space(tuple(options), choices, blocks), made)


def _living(estimator: Estimator) -> WeekBlocks:
    """The blocks that the scenario comes to; the hours of others go to the block at the same time of another day."""
    blocks = estimator.blocks
    lives = blocks.hours_per_month > 0.0
    if lives.all():
        return blocks
    kept = np.flatnonzero(lives)
    number = {int(old): new for new, old in enumerate(kept)}
    found = [number[_living_block(blocks, lives, hour)] for hour in range(blocks.block.size)]
    names = [blocks.names[old] for old in kept]
    return WeekBlocks.of(names, np.array(found), estimator.demand)


def _living_block(blocks: WeekBlocks, lives: np.ndarray, hour: int) -> int:
    days = blocks.block.size // 24
    for day in range(days):
        block = int(blocks.block[(hour + 24 * day) % blocks.block.size])
        if lives[block]:
            return block
    return int(np.flatnonzero(lives)[0])
