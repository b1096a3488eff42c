"""What a month costs at any load with any reserved fleet: decided on a grid once, read off between its points."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from math import ceil
from typing import NamedTuple

import numpy as np

from sim.planning.purchase.instance import Floats, Instance, Integers, Mix
from sim.planning.purchase.mix import attempt, is_possible, relaxed_usd
from sim.planning.purchase.shadow_steps import with_supply

__all__ = ["Costs", "at_load", "costs_of", "reserved_of"]

_MOST_FLEETS = 16
_LARGE = 300
"""Flows above which fleets are compared in parts of replicas, and only the best fleet of each load in whole ones."""
_BISECTIONS = 5

At = Callable[[float], Instance]


class Costs(NamedTuple):
    """Dollars of a month by load and reserved fleet; K fleets, G loads, Q reserved supplies."""

    supplies: list[int]
    """Which supplies are reserved, [Q]."""
    fleets: Integers
    """Reserved replicas, [K, Q], the present fleet first."""
    factors: Floats
    """Loads as multiples of the present one, [G], rising."""
    usd: Floats
    """[K, G]; of a load above what a fleet can carry, what it costs at the most that it can."""
    carries: Floats
    """Largest load that each fleet can carry with everything that can be had by the hour, [K]."""
    mixes: list[list[Mix | None]]
    """The cheapest mix with each fleet at each load, [K][G]; None where there is none."""

    def of(self, fleet: int, factors: Floats) -> Floats:
        """Dollars of a month with one fleet at any loads, straight between the grid's points."""
        loads = np.minimum(factors, self.carries[fleet])
        usd: Floats = np.interp(loads, self.factors, self.usd[fleet])
        return usd

    def is_short(self, fleet: int, factors: Floats) -> Floats:
        """1 where a load is more than one fleet can carry, else 0."""
        return np.where(factors > self.carries[fleet], 1.0, 0.0)


def reserved_of(instance: Instance) -> list[int]:
    """Supplies that are bought ahead and for all hours."""
    return [p for p, supply in enumerate(instance.supplies) if supply.kind == "reserved"]


def at_load(instance: Instance, limited: Collection[str] = ()) -> At:
    """The instance at any multiple of its load: requests and waiting work grow alike, and so does the most that can be
    bought, but for the pools named in `limited`."""

    def at(factor: float) -> Instance:
        waiting = instance.deferrable
        if waiting is not None:
            waiting = replace(waiting, work_hours=waiting.work_hours * factor)
        supplies = tuple(
            s if s.kind == "api" or s.name in limited else replace(s, most=ceil(s.most * max(factor, 1.0)))
            for s in instance.supplies
        )
        return replace(instance, rps=instance.rps * factor, deferrable=waiting, supplies=supplies)

    return at


def costs_of(at: At, factors: Floats, now: Mapping[str, int] | None = None) -> Costs | None:
    """The table: the cheapest mix at each load, then each fleet that is the best somewhere at every load.

    `factors` [G] rise; `now` are the reserved replicas that are there, by pool, and those of the cheapest mix at the
    present load where left out. None where not even the present load, 1, can be carried.
    """
    present = attempt(at(1.0))
    if present is None:
        return None
    mixes = [attempt(at(float(factor))) for factor in factors]
    supplies = reserved_of(at(1.0))
    names = [at(1.0).supplies[p].name for p in supplies]
    there = [(now or {}).get(name, int(present.replicas[p, 0])) for p, name in zip(supplies, names, strict=True)]
    best = [mix.replicas[supplies, 0] for mix in (present, *mixes) if mix is not None]
    fleets = _fleets(np.array(there, dtype=np.int64), best)
    if present.flow_rps.size > _LARGE:
        tried, usd = _scaled(at, factors, supplies, fleets, mixes)
    else:
        tried = [[attempt(_fixed(at(float(factor)), supplies, fleet)) for factor in factors] for fleet in fleets]
        usd = np.array([[_usd(mix) for mix in row] for row in tried])
    carries = np.array([_carried(at, factors, supplies, fleet, row) for fleet, row in zip(fleets, usd, strict=True)])
    return Costs(supplies, fleets, factors, _filled(usd), carries, tried)


def _fleets(present: Integers, best: list[Integers]) -> Integers:
    """Reserved fleets worth comparing: the present one, the best at each load, and those in between."""
    found = [step for fleet in best for end in (fleet, np.maximum(present, fleet)) for step in _between(present, end)]
    unique = {tuple(fleet.tolist()): fleet for fleet in [present, *found]}
    order = sorted(list(unique.values())[1:], key=lambda fleet: (int(fleet.sum()), fleet.tolist()))
    places = np.linspace(0, len(order) - 1, min(len(order), _MOST_FLEETS - 1)).round().astype(int)
    return np.array([present, *(order[place] for place in np.unique(places))])


def _between(low: Integers, high: Integers) -> list[Integers]:
    """Fleets on the way from one to another, all supplies moving together."""
    steps = int(np.abs(high - low).max(initial=0))
    return [np.round(low + (high - low) * step / steps).astype(np.int64) for step in range(1, steps + 1)]


def _fixed(instance: Instance, supplies: list[int], fleet: Integers) -> Instance:
    for p, replicas in zip(supplies, fleet.tolist(), strict=True):
        instance = with_supply(instance, p, least=replicas, most=replicas)
    return instance


def _usd(mix: Mix | None) -> float:
    return float("inf") if mix is None else mix.usd_per_month


def _scaled(
    at: At, factors: Floats, supplies: list[int], fleets: Integers, mixes: list[Mix | None]
) -> tuple[list[list[Mix | None]], Floats]:
    """The table in parts of replicas, each load's column raised as much as whole ones cost more with its best fleet."""
    columns = [_column(at(float(factor)), supplies, fleets, mix) for factor, mix in zip(factors, mixes, strict=True)]
    return [list(mixes) for _ in fleets], np.array(columns).T


def _column(instance: Instance, supplies: list[int], fleets: Integers, mix: Mix | None) -> Floats:
    in_parts = np.array([relaxed_usd(_fixed(instance, supplies, fleet)) for fleet in fleets])
    best = relaxed_usd(instance)
    raised = mix.usd_per_month / best if mix is not None and best > 0.0 else 1.0
    usd: Floats = in_parts * max(raised, 1.0)
    return usd


def _carried(at: At, factors: Floats, supplies: list[int], fleet: Integers, usd: Floats) -> float:
    """The largest load that a fleet can carry; without end where it can carry the grid's largest."""
    if np.isfinite(usd).all():
        return float("inf")
    able = np.flatnonzero(np.isfinite(usd))
    if able.size == 0:
        return 0.0
    low, high = float(factors[able[-1]]), float(factors[min(able[-1] + 1, factors.size - 1)])
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        if is_possible(_fixed(at(middle), supplies, fleet)):
            low = middle
        else:
            high = middle
    return low


def _filled(usd: Floats) -> Floats:
    """The table with the last known cost where a fleet cannot carry the load."""
    filled = usd.copy()
    for row in filled:
        known = np.flatnonzero(np.isfinite(row))
        if known.size:
            row[:] = np.interp(np.arange(row.size), known, row[known])
    return filled
