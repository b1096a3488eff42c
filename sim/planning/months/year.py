"""The months ahead: what they cost while the load grows in an unknown way, and when the next reserved GPU pays."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from sim.planning.months.year_choice import Choice, chosen
from sim.planning.months.year_costs import At, Costs, at_load, costs_of
from sim.planning.purchase.instance import Floats, Instance, Integers
from sim.scenario.planning import Growing
from sim.streams import RandomStreams

__all__ = ["Bought", "Lapse", "Month", "Year", "load_paths", "year_ahead"]

_PATHS = 2000
_GRID, _COARSE = 10, 6
_LARGE = 60
"""Answers by stream, strategy and block above which fewer loads are looked at."""
_TERM_MONTHS = 12


class Month(NamedTuple):
    """One month ahead; intervals hold 95 % of the paths that the load may take."""

    month: int
    """1 is the first month after the present one."""
    load_factor: float
    """Mean load as a multiple of the present one."""
    load_interval: tuple[float, float]
    monthly_usd: float
    interval: tuple[float, float]
    p_over_budget: float | None
    """None where there is no budget."""
    p_short: float
    """Chance that the load is more than all that can be bought carries."""
    pools: dict[str, float]
    """Reserved replicas in the plan; of other pools the mean number over the hours at the mean load."""


class Bought(NamedTuple):
    """A purchase of reserved replicas beside those that are there."""

    month: int
    decide_by: int
    """Month by whose end it must be ordered; 0 is now."""
    pool: str
    replicas: int
    saves_usd: float
    """Mean dollars that it saves in its first month, against going on without it."""
    pays_from: float | None
    """Load, as a multiple of the present one, from which on it is cheaper to have it; None where it is needed to carry
    the load at all."""


class Lapse(NamedTuple):
    """Reserved replicas that are not renewed when their commitment ends."""

    month: int
    pool: str
    replicas: int


@dataclass(frozen=True)
class Year:
    """The months ahead."""

    months: list[Month]
    purchases: list[Bought]
    total_usd: float
    interval: tuple[float, float]
    waiting_usd: tuple[float, float, float]
    """What buying nothing more costs in all, beside the plan: mean, and the ends that hold 95 % of the paths."""
    lapses: list[Lapse]
    waiting_p_short: float
    """Chance that without a purchase some month's load cannot be carried."""
    keeps: tuple[str, ...]
    """Reserved pools."""
    terms: tuple[int, ...]
    """Months of commitment of each of them."""


def load_paths(growing: Growing, seed: int, paths: int = _PATHS) -> Floats:
    """Loads of the months ahead as multiples of the present one, [N, M].

    The middle path grows by `per_year`; the logarithm of the error walks at random, with standard deviation
    error * sqrt(months / 12) after some months. Paths come in pairs of opposite errors, so that the middle is exact.
    """
    months = np.arange(1, growing.months + 1) / 12.0
    normal = RandomStreams(seed, 0).generator("plan/load-ahead").standard_normal((paths // 2, growing.months))
    walk = np.cumsum(normal, axis=1) * growing.error / np.sqrt(12.0)
    both = np.concatenate([walk, -walk])
    factors: Floats = (1.0 + growing.per_year) ** months * np.exp(both)
    return factors


def year_ahead(
    instance: Instance,
    growing: Growing,
    *,
    risk: float,
    seed: int,
    terms: Mapping[str, int] | None = None,
    limited: Collection[str] = (),
    at: At | None = None,
    now: Mapping[str, int] | None = None,
    usd_factor: float = 1.0,
) -> Year | None:
    """The months ahead with the best purchases of reserved replicas; None where the present load cannot be carried.

    `terms` are months of commitment by pool (12 where not given); `limited` names pools whose `most` does not grow with
    the load; `at` gives the instance at a multiple of the load, and is the instance scaled where left out. `now` are
    the reserved replicas of the plan that is carried out, by pool; those of the cheapest mix where left out.
    `usd_factor` is what that plan costs in simulation over what it was decided at: all dollars are multiplied by it. A
    plan for accuracy or goodput keeps what it reaches now.

    Purchases are fixed now for all months (an order is placed before the load is known); what the load turns out to be
    is met by the hour. Among fleets with at most `risk` chance of a load that nothing can carry, the summed mean of the
    months' bills is the least: a two-stage program by sample average (Kleywegt, Shapiro & Homem-de-Mello 2002), whose
    second stage is read off a table of decided months, straight between loads.
    """
    budget_usd, plain = instance.budget_usd, _kept(instance)
    ahead = at or at_load(plain, limited)
    factors = load_paths(growing, seed)
    points = _GRID if plain.p_correct.size * plain.hours.size <= _LARGE else _COARSE
    costs = costs_of(ahead, _grid(factors, points), now)
    if costs is None:
        return None
    costs = costs._replace(usd=costs.usd * usd_factor)
    usd, short = _samples(costs, factors)
    names = [plain.supplies[p].name for p in costs.supplies]
    months = [(terms or {}).get(name, _TERM_MONTHS) for name in names]
    choice = _best(usd, short, risk, costs.fleets, months, growing.lead_months)
    return _year(plain, growing, costs, choice, usd, short, factors, budget_usd, months)


def _kept(instance: Instance) -> Instance:
    """The instance without its budget, keeping the accuracy and goodput that it reaches now."""
    if instance.goal == "cheapest":
        return replace(instance, budget_usd=None)
    from sim.planning.purchase.mix import solve

    now = solve(instance)
    requests = float((instance.rps @ instance.hours).sum()) or 1.0
    late = max(float((now.late_rps @ instance.hours).sum()) / requests + 1e-6, instance.late_share)
    least = now.accuracy - 1e-4 if np.isfinite(now.accuracy) else None
    return replace(instance, goal="cheapest", budget_usd=None, late_share=min(late, 1.0), least_accuracy=least)


def _grid(factors: Floats, points: int) -> Floats:
    """Loads from the least to the largest likely one, evenly in their logarithm, [G]."""
    loads = np.unique(factors)
    if loads.size <= 2 * points:
        return loads
    low, high = np.quantile(loads, [0.001, 0.999])
    grid: Floats = np.geomspace(min(low, 1.0), max(high, 1.0) * (1.0 + 1e-9), points)
    return grid


def _samples(costs: Costs, factors: Floats) -> tuple[Floats, Floats]:
    """Dollars of each month on each path with each fleet, and whether it is short, both [K, N, M]."""
    fleets = range(costs.fleets.shape[0])
    return np.stack([costs.of(k, factors) for k in fleets]), np.stack([costs.is_short(k, factors) for k in fleets])


def _best(usd: Floats, short: Floats, risk: float, fleets: Integers, terms: Sequence[int], lead_months: int) -> Choice:
    mean = usd.mean(axis=1).T
    excess = np.maximum(short.mean(axis=1).T - risk, 0.0)
    too_short = float(mean.sum(axis=0).max()) * ((excess > 0.0) + excess)
    choice = chosen(mean + too_short, fleets, terms, lead_months)
    months, kinds = mean.shape[0], fleets.shape[1]
    return choice or Choice(np.zeros(months, dtype=np.int64), np.zeros((months, kinds), dtype=np.int64))


def _year(
    instance: Instance,
    growing: Growing,
    costs: Costs,
    choice: Choice,
    usd: Floats,
    short: Floats,
    factors: Floats,
    budget_usd: float | None,
    terms: Sequence[int],
) -> Year:
    at_months = np.arange(growing.months)
    bills, lacks = usd[choice.fleets, :, at_months].T, short[choice.fleets, :, at_months].T
    months = [
        _month(instance, costs, m, int(choice.fleets[m]), factors[:, m], bills[:, m], lacks[:, m], budget_usd)
        for m in range(growing.months)
    ]
    waiting = usd[0].sum(axis=1) - bills.sum(axis=1)
    low, high = _middle(waiting)
    return Year(
        months,
        _purchases(instance, growing, costs, choice, usd, short),
        float(bills.sum(axis=1).mean()),
        _middle(bills.sum(axis=1)),
        (float(waiting.mean()), low, high),
        _lapses(instance, costs, choice),
        float(short[0].any(axis=1).mean()),
        tuple(instance.supplies[p].name for p in costs.supplies),
        tuple(terms),
    )


def _month(
    instance: Instance,
    costs: Costs,
    m: int,
    fleet: int,
    loads: Floats,
    bills: Floats,
    lacks: Floats,
    budget_usd: float | None,
) -> Month:
    over = None if budget_usd is None else float((bills > budget_usd).mean())
    load = float(loads.mean())
    pools = _pools(instance, costs, fleet, load)
    return Month(m + 1, load, _middle(loads), float(bills.mean()), _middle(bills), over, float(lacks.mean()), pools)


def _pools(instance: Instance, costs: Costs, fleet: int, load: float) -> dict[str, float]:
    mix = costs.mixes[fleet][int(np.abs(np.log(costs.factors / load)).argmin())]
    found = {}
    for p, supply in enumerate(instance.supplies):
        if p in costs.supplies:
            found[supply.name] = float(costs.fleets[fleet, costs.supplies.index(p)])
        elif mix is not None and supply.kind != "api":
            found[supply.name] = round(float(mix.replicas[p] @ instance.hours / instance.hours.sum()), 2)
    return found


def _purchases(
    instance: Instance, growing: Growing, costs: Costs, choice: Choice, usd: Floats, short: Floats
) -> list[Bought]:
    """Each rise of a reserved pool over the month before."""
    found = []
    fleets = [0, *choice.fleets.tolist()]
    for m, (before, after) in enumerate(pairwise(fleets)):
        for q, more in enumerate((costs.fleets[after] - costs.fleets[before]).tolist()):
            if more > 0:
                name = instance.supplies[costs.supplies[q]].name
                saves = float((usd[before, :, m] - usd[after, :, m]).mean())
                start = max(m + 1 - growing.lead_months, 0)
                needed = float(short[before, :, m].mean()) > float(short[after, :, m].mean())
                pays = None if needed else _pays_from(costs, before, after)
                found.append(Bought(m + 1, start, name, more, saves, pays))
    return found


def _lapses(instance: Instance, costs: Costs, choice: Choice) -> list[Lapse]:
    fleets = [0, *choice.fleets.tolist()]
    return [
        Lapse(m + 1, instance.supplies[costs.supplies[q]].name, less)
        for m, (before, after) in enumerate(pairwise(fleets))
        for q, less in enumerate((costs.fleets[before] - costs.fleets[after]).tolist())
        if less > 0
    ]


def _pays_from(costs: Costs, before: int, after: int) -> float:
    """The load from which on one fleet saves most beside another: whole replicas make single loads jump about."""
    fine = np.linspace(costs.factors[0], costs.factors[-1], 1000)
    saved = costs.of(before, fine) - costs.of(after, fine)
    return float(fine[int(np.cumsum(saved[::-1])[::-1].argmax())])


def _middle(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
