"""Fronts of cost against accuracy: mixes of which none is both cheaper and better, of one policy or of several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from sim.planning.purchase.instance import Instance, Mix
from sim.planning.purchase.mix import solve
from sim.planning.purchase.shadow import Shadow
from sim.planning.purchase.shadow_steps import BUDGET_STEP_USD

__all__ = ["best_for", "front", "undominated", "worth_of_budget"]

_SAME = 1e-5
_NOTICED_GAIN = 1e-3


def front(instances: Instance | Sequence[Instance], *, points: int = 8, time_limit_s: float = 1.0) -> list[Mix]:
    """Mixes from the cheapest to the most accurate, none of them both dearer and worse than another.

    Where strategies are free, the least accuracy is raised in `points` equal steps from that of the cheapest mix to the
    best one that the budget, or any money, buys (epsilon constraints); a policy with fixed shares is one point. A list
    is of the same purchase under several policies. Accuracy that is not known counts as none.
    """
    each = [instances] if isinstance(instances, Instance) else list(instances)
    return undominated(mix for one in each for mix in _points(one, points, time_limit_s))


def undominated(mixes: Iterable[Mix]) -> list[Mix]:
    """Those of which none other is as cheap and as accurate, cheapest first."""
    kept: list[Mix] = []
    possible = [mix for mix in mixes if mix.is_feasible]
    for mix in sorted(possible, key=lambda mix: (round(mix.usd_per_month, 2), -_accuracy(mix))):
        if not kept or _accuracy(mix) > _accuracy(kept[-1]) + _SAME:
            kept.append(mix)
    return kept


def best_for(instances: Sequence[Instance], budget_usd: float, *, time_limit_s: float = 1.0) -> tuple[int, Mix] | None:
    """The most accurate mix for a budget over policies, and the index of its policy; None where none is within it."""
    found = []
    for index, instance in enumerate(instances):
        mix = solve(replace(instance, goal="accuracy", budget_usd=budget_usd), time_limit_s=time_limit_s)
        if mix.is_feasible:
            found.append((index, mix))
    return max(found, key=lambda each: (_accuracy(each[1]), -each[1].usd_per_month), default=None)


def worth_of_budget(
    instances: Sequence[Instance], budget_usd: float, *, step_usd: float = BUDGET_STEP_USD, time_limit_s: float = 1.0
) -> Shadow:
    """What a little more money buys in right answers, where another policy may be chosen for it."""
    before = best_for(instances, budget_usd, time_limit_s=time_limit_s)
    after = best_for(instances, budget_usd + step_usd, time_limit_s=time_limit_s)
    gain = _accuracy(after[1]) - _accuracy(before[1]) if before is not None and after is not None else 0.0
    told = f"{100.0 * gain:.2g} points of right answers" if gain >= _NOTICED_GAIN else "no more right answers"
    text = f"One more ${step_usd:,.0f} a month buys {told}"
    if gain < _NOTICED_GAIN and before is not None:
        text += _next(instances, before[1], budget_usd, time_limit_s)
    return Shadow("budget_usd_per_month", step_usd, "usd", None, {"accuracy": max(gain, 0.0)}, f"{text}.")


def _next(instances: Sequence[Instance], base: Mix, budget_usd: float, time_limit_s: float) -> str:
    least = _accuracy(base) + _NOTICED_GAIN
    asked = [replace(one, goal="cheapest", budget_usd=None, least_accuracy=least) for one in instances]
    found = [solve(one, time_limit_s=time_limit_s) for one in asked]
    better = min((mix for mix in found if mix.is_feasible), key=lambda mix: mix.usd_per_month, default=None)
    if better is None:
        return "; no money does"
    gain = 100.0 * (better.accuracy - _accuracy(base))
    return f"; the next step takes ${better.usd_per_month - budget_usd:,.0f} and buys {gain:.2g} points"


def _points(instance: Instance, points: int, time_limit_s: float) -> list[Mix]:
    plain = replace(instance, goal="cheapest")
    cheapest = solve(plain, time_limit_s=time_limit_s)
    if not cheapest.is_feasible or instance.shares is not None or not np.isfinite(cheapest.accuracy):
        return [cheapest]
    best = solve(replace(instance, goal="accuracy"), time_limit_s=time_limit_s)
    levels = np.linspace(cheapest.accuracy, best.accuracy, points)[1:-1]
    between = [solve(replace(plain, least_accuracy=float(least)), time_limit_s=time_limit_s) for least in levels]
    return [cheapest, *between, best]


def _accuracy(mix: Mix) -> float:
    return mix.accuracy if np.isfinite(mix.accuracy) else 0.0
