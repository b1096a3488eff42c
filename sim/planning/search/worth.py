"""What the integer program says around a plan: price tags, what binds it, an analytic front, and the months ahead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sim.planning.purchase.instance import Instance, Mix
from sim.planning.purchase.mix import solve
from sim.planning.purchase.mix_names import Names
from sim.planning.search.analysis import Analysis, Start
from sim.planning.search.document import known, short_pools
from sim.planning.search.trials import Trial
from sim.scenario import GpuPool, Reserved, Scenario

__all__ = ["analytic_front", "binding_json", "shadow_json", "year_json"]

_MONTH_S = 730.5 * 3600.0


def _names(analysis: Analysis) -> Names:
    scenario = analysis.space.options[0].scenario
    strategies = [each.name for each in scenario.strategies]
    return Names(analysis.space.blocks.names, [stream.name for stream in scenario.workload], strategies)


def _decided(analysis: Analysis, option: int, start: Start) -> tuple[Instance, Mix]:
    """An instance with the mix it was decided by, without targets beside the objectives where they are out of reach."""
    made = analysis.careful(option)
    if not start.is_feasible:
        made = replace(made, least_accuracy=None, budget_usd=None, goal="cheapest")
    return made, start.mix


def shadow_json(analysis: Analysis, option: int, start: Start) -> dict[str, Any]:
    """What a step of the budget, of each target, limit, load and price is worth, by its name."""
    from sim.planning.purchase.shadow import shadow_prices

    instance, mix = _decided(analysis, option, start)
    found = {}
    for each in shadow_prices(instance, mix, names=_names(analysis)):
        name = "budget_usd_per_month" if each.name.startswith("budget") else each.name
        key = name if name not in found else f"{name} {each.step:+g}"
        found[key] = {
            "step": each.step,
            "unit": each.unit,
            "usd": None if each.usd is None else known(each.usd),
            "buys": each.gains,
            "text": each.text,
        }
    return found


def binding_json(analysis: Analysis, option: int, start: Start) -> list[str]:
    """What keeps the analytic answer from being cheaper, most telling first."""
    from sim.planning.purchase.shadow import binding

    instance, mix = _decided(analysis, option, start)
    return binding(instance, mix, names=_names(analysis))


def analytic_front(analysis: Analysis, starts: dict[int, Start]) -> list[dict[str, Any]]:
    """The analytic answers of which none is dearer and worse than another, as points of a front."""
    from sim.planning.purchase.fronts import undominated

    mixes = {id(start.mix): option for option, start in starts.items()}
    return [
        {
            "monthly_usd": known(mix.usd_per_month),
            "accuracy": known(mix.accuracy),
            "e2e_p99_s": None,
            "slo_attainment": None,
            "source": "analytic",
            "settings": dict(analysis.space.options[mixes[id(mix)]].settings),
            "pools": short_pools(analysis.space, analysis.point_of(mixes[id(mix)], mix)),
        }
        for mix in undominated(start.mix for start in starts.values())
    ]


def year_json(analysis: Analysis, plan: Trial, start: Start, scenario: Scenario, risk: float) -> dict[str, Any] | None:
    """The months ahead of a plan; None where the scenario says nothing of its growth, or its load cannot be carried."""
    from sim.planning.months.year import year_ahead
    from sim.planning.months.year_words import year_document

    growing = None if scenario.plan is None else scenario.plan.growing
    if growing is None:
        return None
    instance, _ = _decided(analysis, plan.point.option, start)
    now = {
        choice.name: max(row)
        for choice, row in zip(analysis.space.choices, plan.point.replicas, strict=True)
        if choice.kind == "reserved"
    }
    budget_usd = None if scenario.plan is None else scenario.plan.targets.budget_usd_per_month
    named = {} if scenario.plan is None else scenario.plan.pools
    found = year_ahead(
        replace(instance, budget_usd=budget_usd),
        growing,
        risk=risk,
        seed=scenario.seed,
        terms={pool.name: _term(pool) for pool in scenario.fleet if isinstance(pool, GpuPool)},
        limited=[name for name, purchase in named.items() if purchase.most is not None],
        now=now,
        usd_factor=_factor(instance, plan, now),
    )
    return None if found is None else year_document(found, scenario.start.date())


def _factor(instance: Instance, plan: Trial, now: Mapping[str, int]) -> float:
    """What a plan costs in simulation over what it is foreseen to cost with as many reserved replicas."""
    supplies = [
        replace(supply, least=now[supply.name], most=now[supply.name]) if supply.name in now else supply
        for supply in instance.supplies
    ]
    foreseen = solve(replace(instance, supplies=tuple(supplies), budget_usd=None))
    usd = plan.judged.mean("usd_per_month")
    return usd / foreseen.usd_per_month if foreseen.is_feasible and foreseen.usd_per_month > 0.0 else 1.0


def _term(pool: GpuPool) -> int:
    """Months of a commitment; one where there is none."""
    term_s = pool.offer.term if isinstance(pool.offer, Reserved) else None
    return max(round((term_s or 0.0) / _MONTH_S), 1)
