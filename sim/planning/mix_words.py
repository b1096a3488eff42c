"""Which constraints stand in the way of a purchase, or keep it from being cheaper, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sim.planning.instance import Instance, Mix, Supply

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

    def of(self, instance: Instance) -> Instance:
        """The instance without this constraint."""
        if self.supply is None:
            return replace(instance, **self.change)  # type: ignore[arg-type]
        supplies = list(instance.supplies)
        supplies[self.supply] = replace(supplies[self.supply], **self.change)  # type: ignore[arg-type]
        return replace(instance, supplies=tuple(supplies))


def relaxations(instance: Instance) -> list[Relaxation]:
    """Each constraint that somebody set, alone."""
    return [*_promises(instance), *(one for p, s in enumerate(instance.supplies) for one in _limits(p, s, instance))]


def in_the_way(instance: Instance, block_names: Sequence[str] = ()) -> list[str]:
    """Why no mix keeps all constraints: each one whose absence would do, or the fewest found that must go together."""
    unserved = _unserved(instance, block_names)
    if unserved:
        return unserved
    all_of_them = relaxations(instance)
    alone = [one.text for one in all_of_them if _is_possible(one.of(instance))]
    if alone:
        return alone
    together = _together(instance, all_of_them)
    if together:
        return ["together: " + "; ".join(one.text for one in together)]
    return ["the work that waits for cheap hours has nowhere to run"]


def savings(instance: Instance, mix: Mix) -> list[tuple[str, float]]:
    """Dollars a month that the cheapest mix would cost less without each constraint, the largest first."""
    from sim.planning.mix import solve

    plain = replace(instance, goal="cheapest")
    usd = mix.usd_per_month if instance.goal == "cheapest" else solve(plain).usd_per_month
    saved = [(one.text, usd - solve(one.of(plain)).usd_per_month) for one in relaxations(plain)]
    return sorted([(text, usd) for text, usd in saved if usd > 0.0], key=lambda each: -each[1])


def in_words(instance: Instance, mix: Mix, block_names: Sequence[str] = ()) -> list[str]:
    """What keeps a mix from being cheaper (or better), most telling first; the fullest hours where nothing else is."""
    if instance.goal != "cheapest" and instance.budget_usd is not None:
        told = [f"the budget of ${instance.budget_usd:,.0f} a month"]
    else:
        told = []
    least = _TELLING * mix.usd_per_month
    told += [f"{text} (without it ${usd:,.0f} a month less)" for text, usd in savings(instance, mix) if usd > least]
    return told + _fullest(instance, mix, block_names)


def _promises(instance: Instance) -> Iterator[Relaxation]:
    if instance.least_accuracy is not None:
        text = f"an accuracy of at least {100.0 * instance.least_accuracy:.4g} %"
        yield Relaxation(text, {"least_accuracy": None})
    if instance.budget_usd is not None:
        yield Relaxation(f"a budget of ${instance.budget_usd:,.0f} a month", {"budget_usd": None})
    if instance.deferrable is not None:
        yield Relaxation("the work that waits for cheap hours", {"deferrable": None})


def _limits(p: int, supply: Supply, instance: Instance) -> Iterator[Relaxation]:
    if supply.kind == "api":
        if supply.most == 0:
            yield Relaxation(f"{supply.name} may not be used", {"most": 1}, p)
        return
    yield Relaxation(f"no more than {_replicas(supply.most)} of {supply.name}", {"most": _AMPLE}, p)
    if supply.least > 0:
        yield Relaxation(f"no fewer than {_replicas(supply.least)} of {supply.name}", {"least": 0}, p)
    if supply.most_started is not None:
        text = f"no more than {supply.most_started} of {supply.name} launched at once"
        yield Relaxation(text, {"most_started": None}, p)
    if supply.ceiling is not None and (supply.ceiling < 1.0).any():
        text = f"replicas of {supply.name} must not be full, so that nothing waits too long"
        yield Relaxation(text, {"ceiling": np.ones(instance.hours.size)}, p)


def _replicas(number: int) -> str:
    return "1 replica" if number == 1 else f"{number} replicas"


def _unserved(instance: Instance, block_names: Sequence[str]) -> list[str]:
    """Streams and strategies that nothing can serve and that too many requests use."""
    able = (np.isfinite(instance.work_s) & np.isfinite(instance.usd_per_request)).any(axis=2)
    weights = instance.rps @ instance.hours
    total = weights.sum() or 1.0
    if instance.shares is None:
        lost = [(f"stream {s + 1}", weights[s] / total) for s in np.flatnonzero(~able.any(axis=1))]
    else:
        used = np.einsum("sah,sh,h->sa", instance.shares, instance.rps, instance.hours) / total
        lost = [(f"stream {s + 1} with strategy {a + 1}", used[s, a]) for s, a in np.argwhere(~able)]
    late = 1.0 if instance.goal == "goodput" else instance.late_share
    if sum(share for _, share in lost) <= late:
        return []
    return [f"no pool can serve {text}" for text, share in lost if share > 0.0]


def _is_possible(instance: Instance) -> bool:
    from sim.planning.mix import bound

    return bound(instance) < float("inf")


def _together(instance: Instance, relaxed: list[Relaxation]) -> list[Relaxation]:
    """A smallest set that must go: all are left out, and each is put back that does no harm."""
    if not _is_possible(_without(instance, relaxed)):
        return []
    needed = list(relaxed)
    for one in relaxed:
        fewer = [other for other in needed if other is not one]
        if _is_possible(_without(instance, fewer)):
            needed = fewer
    return needed


def _without(instance: Instance, relaxed: Sequence[Relaxation]) -> Instance:
    for one in relaxed:
        instance = one.of(instance)
    return instance


def _fullest(instance: Instance, mix: Mix, block_names: Sequence[str]) -> list[str]:
    """The block that decides how many replicas of the dearest pool there are."""
    from sim.planning.mix import load
    from sim.planning.mix_model import capacity_per_replica

    owned = [p for p, supply in enumerate(instance.supplies) if supply.kind != "api" and mix.replicas[p].any()]
    if not owned:
        return []
    p = max(owned, key=lambda each: float(mix.usd_by_supply[each]))
    capacity = capacity_per_replica(instance, instance.supplies[p]) * mix.replicas[p]
    full = np.divide(load(instance, mix)[p], capacity, out=np.zeros(capacity.size), where=capacity > 0.0)
    h = int(full.argmax())
    name = block_names[h] if h < len(block_names) else f"block {h + 1}"
    return [f"the load in {name}, when {instance.supplies[p].name} is {100.0 * full[h]:.0f} % as full as it may be"]
