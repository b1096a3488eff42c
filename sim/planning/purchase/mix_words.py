"""Which constraints stand in the way of a purchase, or keep it from being cheaper, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sim.planning.purchase.instance import Instance, Mix
from sim.planning.purchase.mix_names import NO_NAMES, Names

__all__ = ["Relaxation", "in_the_way", "in_words", "relaxations", "savings"]

_AMPLE = 1_000_000
_TELLING = 1e-4
"""Least share of its price that a constraint costs before it is named."""


class Relaxation(NamedTuple):
    """A constraint, and the instance without it."""

    text: str
    change: dict[str, object]
    """Fields of the instance, or of the supply at `supply`."""
    supply: int | None = None
    is_tight: Callable[[Mix], bool] = lambda mix: True
    """Whether a mix goes as far as the constraint lets it."""

    def of(self, instance: Instance) -> Instance:
        """The instance without this constraint."""
        if self.supply is None:
            # A mapping of fields to values has no type that tells which value belongs to which.
            return replace(instance, **self.change)  # type: ignore[arg-type]
        supplies = list(instance.supplies)
        supplies[self.supply] = replace(supplies[self.supply], **self.change)  # type: ignore[arg-type]
        return replace(instance, supplies=tuple(supplies))


def relaxations(instance: Instance) -> list[Relaxation]:
    """Each constraint that somebody set, alone."""
    return [*_promises(instance), *(one for p in range(len(instance.supplies)) for one in _limits(p, instance))]


def in_the_way(instance: Instance, names: Names = NO_NAMES) -> list[str]:
    """Why no mix keeps all constraints: each one whose absence would do, or the fewest found that must go together."""
    from sim.planning.purchase.mix import is_possible

    unserved = _unserved(instance, names)
    if unserved:
        return unserved
    all_of_them = relaxations(instance)
    alone = [one.text for one in all_of_them if is_possible(one.of(instance))]
    if alone:
        return alone
    together = _together(instance, all_of_them)
    if together:
        return ["together: " + "; ".join(one.text for one in together)]
    return ["the work that waits for cheap hours has nowhere to run"]


def savings(instance: Instance, mix: Mix) -> list[tuple[str, float]]:
    """Dollars a month that the cheapest mix would cost less without each constraint, the largest first."""
    from sim.planning.purchase.mix import solve

    plain = replace(instance, goal="cheapest")
    usd = mix.usd_per_month if instance.goal == "cheapest" else solve(plain).usd_per_month
    tight = [one for one in relaxations(plain) if one.is_tight(mix)]
    saved = [(one.text, usd - solve(one.of(plain)).usd_per_month) for one in tight]
    return sorted([each for each in saved if each[1] > 0.0], key=lambda each: -each[1])


def in_words(instance: Instance, mix: Mix, names: Names = NO_NAMES) -> list[str]:
    """What keeps a mix from being cheaper (or better), most telling first; the fullest hours where nothing else is."""
    if instance.goal != "cheapest" and instance.budget_usd is not None:
        told = [f"the budget of ${instance.budget_usd:,.0f} a month"]
    else:
        told = []
    least = _TELLING * mix.usd_per_month
    told += [f"{text} (without it ${usd:,.0f} a month less)" for text, usd in savings(instance, mix) if usd > least]
    return told + _fullest(instance, mix, names)


def _promises(instance: Instance) -> Iterator[Relaxation]:
    if instance.least_accuracy is not None:
        text = f"an accuracy of at least {100.0 * instance.least_accuracy:.4g}%"
        yield Relaxation(text, {"least_accuracy": None})
    if instance.budget_usd is not None:
        yield Relaxation(f"a budget of ${instance.budget_usd:,.0f} a month", {"budget_usd": None})
    if instance.deferrable is not None:
        yield Relaxation("the work that waits for cheap hours", {"deferrable": None})
    if any(supply.ceiling is not None and (supply.ceiling < 1.0).any() for supply in instance.supplies):
        full = tuple(replace(supply, ceiling=None) for supply in instance.supplies)
        yield Relaxation("replicas must not be full, so that nothing waits too long", {"supplies": full})


def _limits(p: int, instance: Instance) -> Iterator[Relaxation]:
    supply = instance.supplies[p]
    if supply.kind == "api":
        if supply.most == 0:
            yield Relaxation(f"{supply.name} may not be used", {"most": 1}, p)
        return
    text = f"no more than {_replicas(supply.most)} of {supply.name}"
    yield Relaxation(text, {"most": _AMPLE}, p, lambda mix: bool((mix.replicas[p] >= supply.most).any()))
    if supply.least > 0:
        text = f"no fewer than {_replicas(supply.least)} of {supply.name}"
        yield Relaxation(text, {"least": 0}, p, lambda mix: bool((mix.replicas[p] <= supply.least).any()))
    if supply.most_started is not None:
        text = f"no more than {supply.most_started} of {supply.name} launched at once"
        yield Relaxation(text, {"most_started": None}, p, lambda mix: _starts_most(instance, p, mix))


def _starts_most(instance: Instance, p: int, mix: Mix) -> bool:
    limit = instance.supplies[p].most_started
    rises = [int(mix.replicas[p, t.after] - mix.replicas[p, t.before]) for t in instance.transitions]
    return limit is not None and max(rises, default=0) >= limit


def _replicas(number: int) -> str:
    return "1 replica" if number == 1 else f"{number} replicas"


def _unserved(instance: Instance, names: Names) -> list[str]:
    """Streams and strategies that nothing can serve and that too many requests use."""
    able = np.asarray((np.isfinite(instance.work_s) & np.isfinite(instance.usd_per_request)).any(axis=2))
    weights = instance.rps @ instance.hours
    total = weights.sum() or 1.0
    if instance.shares is None:
        lost = [(names.stream(int(s)), weights[s] / total) for s in np.flatnonzero(~able.any(axis=1))]
    else:
        used = np.einsum("sah,sh,h->sa", instance.shares, instance.rps, instance.hours) / total
        lost = [(f"{names.stream(s)} by {names.strategy(a)}", used[s, a]) for s, a in np.argwhere(~able)]
    late = 1.0 if instance.goal == "goodput" else instance.late_share
    if sum(share for _, share in lost) <= late:
        return []
    return [f"no pool can serve {text}" for text, share in lost if share > 0.0]


def _together(instance: Instance, relaxed: list[Relaxation]) -> list[Relaxation]:
    """A smallest set that must go: all are left out, and each is put back that does no harm."""
    from sim.planning.purchase.mix import is_possible

    if not is_possible(_without(instance, relaxed)):
        return []
    needed = list(relaxed)
    for one in relaxed:
        fewer = [other for other in needed if other is not one]
        if is_possible(_without(instance, fewer)):
            needed = fewer
    return needed


def _without(instance: Instance, relaxed: Sequence[Relaxation]) -> Instance:
    for one in relaxed:
        instance = one.of(instance)
    return instance


def _fullest(instance: Instance, mix: Mix, names: Names) -> list[str]:
    """The block that decides how many replicas of the dearest pool there are."""
    from sim.planning.purchase.mix import load
    from sim.planning.purchase.mix_model import capacity_per_replica

    owned = [p for p, supply in enumerate(instance.supplies) if supply.kind != "api" and mix.replicas[p].any()]
    if not owned:
        return []
    p = max(owned, key=lambda each: float(mix.usd_by_supply[each]))
    capacity = capacity_per_replica(instance, instance.supplies[p]) * mix.replicas[p]
    full = np.divide(load(instance, mix)[p], capacity, out=np.zeros(capacity.size), where=capacity > 0.0)
    h = int(full.argmax())
    pool = instance.supplies[p].name
    return [f"the load in {names.block(h)}, when {pool} is {100.0 * full[h]:.0f}% as full as it may be"]
