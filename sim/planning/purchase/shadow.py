"""What one step more or less of each target, limit, load and price is worth, by deciding again with it changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sim.planning.purchase.instance import Instance, Mix
from sim.planning.purchase.mix import priced, solve
from sim.planning.purchase.mix_names import NO_NAMES, Names
from sim.planning.purchase.mix_words import in_words
from sim.planning.purchase.shadow_steps import BUDGET_STEP_USD, Step, steps_of, with_price

__all__ = ["Shadow", "binding", "break_even", "shadow_prices", "why_not"]

_NOTICED = 1e-4
"""Least share of a month's dollars that counts as a saving; what is less is rounding."""

_NOTICED_GAIN = 1e-3
"""Least gain of right or timely answers, as a share of all, that is told."""

_ROUNDS = 8

_LARGE = 300
_FEW, _MANY = 8, 30
"""Steps that are looked at where there are more, or fewer, than `_LARGE` flows."""


class Shadow(NamedTuple):
    """What one step is worth."""

    name: str
    step: float
    unit: str
    usd: float | None
    """Dollars a month that it saves, negative where it costs; None where the budget is spent anyway, or impossible."""
    gains: dict[str, float]
    """What it adds: `accuracy` and `slo` as shares, `goodput_rps` in requests a second."""
    text: str


def shadow_prices(
    instance: Instance,
    mix: Mix,
    *,
    names: Names = NO_NAMES,
    others: Sequence[Step] = (),
    time_limit_s: float = 1.0,
) -> list[Shadow]:
    """Worth of a step of the budget, of each target, limit, load and price; empty where there is no mix.

    Replicas are whole, so that a step may be worth nothing: then the smallest step that is worth something is told,
    where there is one. `others` are steps whose instances the caller made, such as one with ceilings for another
    target; one of the same name and step takes the place of ours. Of a large instance only the first steps are taken:
    targets, limits, and prices and loads with the most dollars and requests in them.
    """
    if not mix.is_feasible:
        return []
    told = {(step.name, step.step) for step in others}
    ours = [step for step in steps_of(instance, mix, names) if (step.name, step.step) not in told]
    room = _FEW if mix.flow_rps.size > _LARGE else _MANY
    steps = [_worth(instance, mix, step, time_limit_s) for step in [*others, *ours][:room]]
    unused = [p for p in range(len(instance.supplies)) if _is_offered(instance, p) and not mix.usd_by_supply[p]]
    unused = unused[: max(room - len(steps), 0)] if instance.goal == "cheapest" else []
    offers = [_offer(instance, mix, p, time_limit_s) for p in unused]
    return [*_budget(instance, mix, time_limit_s), *steps, *offers]


def binding(instance: Instance, mix: Mix, *, names: Names = NO_NAMES) -> list[str]:
    """What keeps a mix from being cheaper, most telling first, in plain words."""
    return in_words(instance, mix, names) if mix.is_feasible else list(mix.binding)


def break_even(instance: Instance, mix: Mix, p: int, *, time_limit_s: float = 1.0) -> float | None:
    """Share of its price at which supply `p` begins to pay, below 1 where it does not yet; None where it never does.

    The largest f such that some mix saves elsewhere f times what it pays for this supply. Found by Dinkelbach's method
    for ratios (1967): at the best f so far the cheapest mix either saves nothing more or gives a larger f.
    """
    share = 0.0
    usd = mix.usd_per_month
    for _ in range(_ROUNDS):
        found = solve(with_price(instance, p, share), time_limit_s=time_limit_s)
        paid = float(priced(instance, found.replicas, found.flow_rps)[p]) if found.is_feasible else 0.0
        elsewhere = found.usd_per_month - share * paid
        if paid <= 0.0 or usd - found.usd_per_month <= _NOTICED * usd:
            break
        share = (usd - elsewhere) / paid
    return share or None


def why_not(instance: Instance, mix: Mix, other: Mix) -> str:
    """Why a mix was chosen before another one of the same instance, in plain words."""
    if not other.is_feasible:
        return "It keeps not all targets: " + "; ".join(other.binding) + "."
    more = other.usd_per_month - mix.usd_per_month
    parts = _differences(instance, mix, other)
    if abs(more) < 1.0:
        return "It costs the same" + (f": {parts}." if parts else ".")
    return f"It costs {_usd(abs(more))} a month {'more' if more > 0 else 'less'}" + (f": {parts}." if parts else ".")


def _differences(instance: Instance, mix: Mix, other: Mix) -> str:
    by_supply = other.usd_by_supply - mix.usd_by_supply
    order = sorted(range(by_supply.size), key=lambda p: -abs(by_supply[p]))
    return ", ".join(_difference(instance, p, by_supply[p], mix, other) for p in order if abs(by_supply[p]) >= 1.0)


def _difference(instance: Instance, p: int, usd: float, mix: Mix, other: Mix) -> str:
    supply = instance.supplies[p]
    text = f"{_usd(abs(usd))} {'more' if usd > 0 else 'less'} for {supply.name}"
    if supply.kind == "api":
        return text
    before, after = (each.replicas[p] @ instance.hours / instance.hours.sum() for each in (mix, other))
    return f"{text} ({after:.4g} replicas in the mean instead of {before:.4g})"


def _worth(instance: Instance, mix: Mix, step: Step, time_limit_s: float) -> Shadow:
    found = solve(step.instance, time_limit_s=time_limit_s)
    if not found.is_feasible:
        return _shadow(step, None, {}, f"{step.text} cannot be done: {'; '.join(found.binding)}")
    gains = {} if instance.goal == "cheapest" else _gains(instance, mix, found)
    if instance.goal != "cheapest":
        return _shadow(step, None, gains, f"{step.text} {_bought(gains)}")
    usd = mix.usd_per_month - found.usd_per_month
    if abs(usd) > _NOTICED * mix.usd_per_month:
        return _shadow(step, usd, gains, f"{step.text} {'saves' if usd > 0 else 'costs'} {_usd(abs(usd))} a month")
    if step.name == "accuracy" and instance.shares is not None:
        fixed = f": as these strategies are chosen, {100.0 * mix.accuracy:.3g}% of answers are right"
        return _shadow(step, 0.0, gains, f"{step.text} changes nothing{fixed}")
    if step.name == "accuracy" and step.step > 0:
        return _shadow(step, 0.0, gains, f"{step.text} costs nothing, because replicas are whole")
    return _shadow(step, 0.0, gains, f"{step.text} saves nothing{_smallest(instance, mix, step, time_limit_s)}")


def _shadow(step: Step, usd: float | None, gains: dict[str, float], text: str) -> Shadow:
    return Shadow(step.name, step.step, step.unit, usd, gains, _sentence(text))


def _smallest(instance: Instance, mix: Mix, step: Step, time_limit_s: float) -> str:
    """The smallest change of a target that saves something: the best that a slightly smaller budget buys."""
    below = replace(instance, budget_usd=mix.usd_per_month * (1.0 - 2.0 * _NOTICED))
    if step.name == "slo" and step.instance.late_share != instance.late_share and instance.goal != "goodput":
        found = solve(replace(below, goal="goodput"), time_limit_s=time_limit_s)
        points = 100.0 * (_late_share(instance, found) - instance.late_share)
        target = "of requests within their objectives"
    elif step.name == "accuracy" and instance.least_accuracy is not None:
        found = solve(replace(below, goal="accuracy", least_accuracy=None), time_limit_s=time_limit_s)
        points, target = 100.0 * (instance.least_accuracy - found.accuracy), "of right answers"
    else:
        return ", because replicas are whole"
    if not found.is_feasible:
        return ", because nothing cheaper can be bought"
    saved = mix.usd_per_month - found.usd_per_month
    return f", because replicas are whole; {points:.2g} points less {target} save {_usd(saved)} a month"


def _late_share(instance: Instance, mix: Mix) -> float:
    requests = float((instance.rps @ instance.hours).sum())
    return float((mix.late_rps @ instance.hours).sum()) / requests if requests > 0.0 else 0.0


def _gains(instance: Instance, before: Mix, after: Mix) -> dict[str, float]:
    """What the second mix has more of."""
    late = _late_share(instance, before) - _late_share(instance, after)
    rps = float((instance.rps @ instance.hours).sum() / instance.hours.sum())
    gains = {"slo": late, "goodput_rps": late * rps, "accuracy": after.accuracy - before.accuracy}
    return {name: _rounded(value) for name, value in gains.items() if np.isfinite(value)}


def _rounded(value: float) -> float:
    return 0.0 if abs(value) < 1e-5 else value


def _bought(gains: dict[str, float]) -> str:
    """A predicate: what is bought, or nothing."""
    parts = [
        f"{100.0 * gains[name]:.2g} points of {what}"
        for name, what in (("accuracy", "right answers"), ("slo", "requests within their objectives"))
        if gains.get(name, 0.0) >= _NOTICED_GAIN
    ]
    return "buys " + " and ".join(parts) if parts else "buys nothing"


def _budget(instance: Instance, mix: Mix, time_limit_s: float) -> Iterator[Shadow]:
    """What one more $1,000 a month buys: right answers where strategies are free, else requests served in time."""
    usd = mix.usd_per_month if instance.goal == "cheapest" else instance.budget_usd
    if usd is None:
        return
    goal = instance.goal if instance.goal != "cheapest" else ("accuracy" if instance.shares is None else "goodput")
    here = replace(instance, goal=goal, budget_usd=usd * (1.0 + 1e-9))
    base = solve(here, time_limit_s=time_limit_s)
    more = solve(replace(here, budget_usd=usd + BUDGET_STEP_USD), time_limit_s=time_limit_s)
    gains = _gains(instance, base, more)
    text = f"one more {_usd(BUDGET_STEP_USD)} a month {_bought(gains)}"
    if text.endswith("nothing"):
        text += _least_extra(here, base, usd, time_limit_s)
    yield Shadow("budget_usd_per_month", BUDGET_STEP_USD, "usd", None, gains, _sentence(text))


def _least_extra(here: Instance, base: Mix, usd: float, time_limit_s: float) -> str:
    """The smallest addition to the budget that buys anything."""
    late = _late_share(here, base)
    if here.goal == "accuracy" and np.isfinite(base.accuracy):
        asked = replace(here, least_accuracy=base.accuracy + _NOTICED_GAIN)
        what = "right answer"
    elif here.goal == "goodput" and late > _NOTICED_GAIN:
        asked = replace(here, late_share=late - _NOTICED_GAIN)
        what = "request within its objectives"
    else:
        return ": it is all that these strategies can give"
    found = solve(replace(asked, goal="cheapest", budget_usd=None), time_limit_s=time_limit_s)
    if not found.is_feasible:
        return ": no budget buys more"
    return f": the first {what} more takes {_usd(max(found.usd_per_month - usd, 0.0))}"


def _is_offered(instance: Instance, p: int) -> bool:
    return instance.supplies[p].most > 0 and bool(np.isfinite(instance.work_s[:, :, p]).any())


def _offer(instance: Instance, mix: Mix, p: int, time_limit_s: float) -> Shadow:
    """From which price on a supply that is not bought would be."""
    name = instance.supplies[p].name
    share = break_even(instance, mix, p, time_limit_s=time_limit_s)
    if share is None:
        return Shadow(f"price.{name}", -1.0, "share", 0.0, {}, _sentence(f"{name} is of no use at any price"))
    text = f"{name} is not bought; it would be if it were {100.0 * (1.0 - share):.2g}% cheaper"
    return Shadow(f"price.{name}", share - 1.0, "share", 0.0, {}, _sentence(text))


def _usd(value: float) -> str:
    return f"${value:,.0f}" if value >= 10.0 else f"${value:,.2f}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
