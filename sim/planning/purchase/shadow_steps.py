"""Small changes of a purchase, one at a time, whose worth is asked: targets, limits, loads and prices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sim.planning.purchase.instance import Instance, Mix, Supply
from sim.planning.purchase.mix_names import Names

__all__ = ["BUDGET_STEP_USD", "POINT", "TENTH", "Step", "steps_of", "with_price", "with_supply"]

BUDGET_STEP_USD = 1000.0
POINT = 0.01
TENTH = 0.1


class Step(NamedTuple):
    """A change and the instance with it."""

    name: str
    """`slo`, `accuracy`, `load.BLOCK`, `price.POOL`, `most.POOL`, `most_started.POOL`, `least.POOL`, `deferrable`."""
    step: float
    """How far it goes, in `unit`; negative for less."""
    unit: str
    text: str
    """What is changed, as the beginning of a sentence."""
    instance: Instance


def steps_of(instance: Instance, mix: Mix, names: Names) -> list[Step]:
    """All steps that may be worth something, in a fixed order."""
    supplies = range(len(instance.supplies))
    dearest = sorted(supplies, key=lambda p: -float(mix.usd_by_supply[p]))
    return [
        *_targets(instance),
        *(step for p in supplies for step in _limits(instance, mix, p)),
        *(_cheaper(instance, p) for p in dearest if mix.usd_by_supply[p] > 0.0),
        *_loads(instance, names),
    ]


def with_supply(instance: Instance, p: int, **changes: Any) -> Instance:
    """The instance with fields of one supply changed."""
    supplies = list(instance.supplies)
    supplies[p] = replace(supplies[p], **changes)
    return replace(instance, supplies=tuple(supplies))


def with_price(instance: Instance, p: int, factor: float) -> Instance:
    """The instance with all prices of one supply times a factor."""
    supply = instance.supplies[p]
    tokens = instance.usd_per_request.copy()
    tokens[:, :, p] = np.where(np.isfinite(tokens[:, :, p]), tokens[:, :, p] * factor, tokens[:, :, p])
    changed = with_supply(
        instance, p, usd_per_hour=supply.usd_per_hour * factor, usd_per_month=supply.usd_per_month * factor
    )
    return replace(changed, usd_per_request=tokens)


def _targets(instance: Instance) -> Iterator[Step]:
    late, least = instance.late_share, instance.least_accuracy
    if instance.goal != "goodput":
        text = "one point less of requests within their objectives"
        away = instance.away_late_share
        eased = {"away_late_share": away + POINT} if away > 0.0 else {"late_share": min(late + POINT, 1.0)}
        # A mapping of fields to values has no type that tells which value belongs to which.
        yield Step("slo", -POINT, "share", text, replace(instance, **eased))  # type: ignore[arg-type]
    if least is not None:
        text = "one point less of right answers"
        yield Step("accuracy", -POINT, "share", text, replace(instance, least_accuracy=max(least - POINT, 0.0)))
        text = "one point more of right answers"
        yield Step("accuracy", POINT, "share", text, replace(instance, least_accuracy=min(least + POINT, 1.0)))
    if instance.deferrable is not None:
        less = replace(instance.deferrable, work_hours=instance.deferrable.work_hours * (1.0 - TENTH))
        text = "a tenth less of the work that waits for cheap hours"
        yield Step("deferrable", -TENTH, "share", text, replace(instance, deferrable=less))


def _loads(instance: Instance, names: Names) -> Iterator[Step]:
    requests = instance.rps.sum(axis=0) * instance.hours
    for h in np.argsort(-requests, kind="stable").tolist():
        if requests[h] > 0.0:
            rps = instance.rps.copy()
            rps[:, h] *= 1.0 - TENTH
            text = f"a tenth less load in {names.block(h)}"
            yield Step(f"load.{names.block(h)}", -TENTH, "share", text, replace(instance, rps=rps))


def _limits(instance: Instance, mix: Mix, p: int) -> Iterator[Step]:
    supply = instance.supplies[p]
    if supply.kind == "api":
        if supply.most == 0:
            yield Step(f"most.{supply.name}", 1, "use", f"{supply.name} allowed", with_supply(instance, p, most=1))
        return
    if (mix.replicas[p] >= supply.most).any():
        changed = with_supply(instance, p, most=supply.most + 1)
        yield Step(f"most.{supply.name}", 1, "replicas", f"one more replica of {supply.name} allowed", changed)
    if supply.least > 0 and (mix.replicas[p] <= supply.least).any():
        changed = with_supply(instance, p, least=supply.least - 1)
        yield Step(f"least.{supply.name}", -1, "replicas", f"one fewer of {supply.name} required", changed)
    yield from _launches(instance, mix, p, supply)


def _launches(instance: Instance, mix: Mix, p: int, supply: Supply) -> Iterator[Step]:
    limit = supply.most_started
    rises = [int(mix.replicas[p, t.after] - mix.replicas[p, t.before]) for t in instance.transitions]
    if limit is not None and any(rise >= limit for rise in rises):
        text = f"one more launch of {supply.name} at once"
        yield Step(f"most_started.{supply.name}", 1, "launches", text, with_supply(instance, p, most_started=limit + 1))


def _cheaper(instance: Instance, p: int) -> Step:
    name = instance.supplies[p].name
    return Step(f"price.{name}", -TENTH, "share", f"{name} a tenth cheaper", with_price(instance, p, 1.0 - TENTH))
