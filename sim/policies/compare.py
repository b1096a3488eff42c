"""Policies at equal spending: single strategies, mixes by chance, thresholds, a bandit, a learned router and an oracle.

Every run meets the same requests with the same luck, so differences are paired replication by replication. A policy
with a dial is run at several places of it, which gives what it attains over what it spends; policies are then compared
where they spend the same, straight between neighbouring places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sim.errors import InputError
from sim.policies.curve import METRICS, attained, hull, refined
from sim.policies.family import Family, dialled, families_of, mixed, single
from sim.policies.trial import Cost, Trial, run_trial
from sim.policies.verdict import verdict
from sim.routing.routes import value_usd_of
from sim.scenario import Scenario
from sim.scenario.choices import is_routed, strategy_shares
from sim.stats import Estimate, estimate, paired_difference
from sim.workload.blocks import Floats

__all__ = ["MIX", "Comparison", "compare_policies"]

MIX = "random mix"
"""Name of the policy that mixes single strategies by chance."""
_WEIGHTS = (0.25, 0.5, 0.75)
_LOOKS = {"prices": ("learned, price", "learned"), "load": ("learned, price and load", "learned, price")}
"""What a router may look at beside the request: the policies with and without it."""


class Comparison(NamedTuple):
    """What was run."""

    scenario: Scenario
    cost: Cost
    singles: Mapping[str, Trial]
    """By strategy."""
    families: Mapping[str, Sequence[Trial]]
    """Policies with a dial, and the mix by chance, in the order of their dials; the one they are held against first."""
    spend_usd: Floats
    """Spending at which all are compared, [R]: that of the first family at the scenario's own value."""


def compare_policies(
    source: Path | str,
    overrides: Sequence[str] = (),
    *,
    replications: int = 5,
    places: int = 8,
    cost: Cost = "use",
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Hold the ways to route a scenario against each other at equal spending; what it gives back is JSON.

    `places` are the most of a dial that are run. `progress` is told what is run next.

    Raises:
        InputError: for a scenario whose router does not look at requests, which has fewer than two strategies to
            choose from, or whose streams say no value of a right answer.
    """
    from sim.load import load_scenario

    every = [*overrides, f"replications={replications}"]
    scenario = load_scenario(source, every)
    if scenario.sleep is not None:
        # Contexts are prepared alike under all policies, also under those without a router file.
        every.append("sleep.prepare=rank")
    names = _strategies(scenario)
    value_usd = _value_usd(scenario)

    def run(router: str, at: float, told: str) -> Trial:
        if progress is not None:
            progress(told)
        return run_trial(source, every, router, at, cost)

    singles = {name: run(single(name), np.nan, name) for name in names}
    kept = [names[at] for at in hull([singles[name] for name in names])]
    limits = (singles[kept[0]].spend_usd.mean(), singles[kept[-1]].spend_usd.mean())
    # Before anything else is run, so that a router that cannot be compared is refused at once.
    wanted = families_of(scenario, (kept[0], kept[-1]))
    families = {family.name: _swept(run, family, value_usd, limits, places) for family in wanted}
    families[MIX] = _mixes(run, singles, kept)
    first = families[wanted[0].name]
    spend_usd = next(trial.spend_usd for trial in first if trial.at == value_usd)
    return _told(Comparison(scenario, cost, singles, families, spend_usd))


def _strategies(scenario: Scenario) -> list[str]:
    """Names of those that the routed streams can all get."""
    routed = [stream for stream in scenario.workload if is_routed(scenario, stream)]
    families_of(scenario, ("", ""))
    shares = np.array([strategy_shares(scenario, stream) for stream in routed])
    names = [scenario.strategies[at].name for at in np.flatnonzero((shares > 0.0).all(axis=0))] if routed else []
    if len(names) < 2:
        rule = "leave fewer than two to choose from for all streams that the router looks at"
        raise InputError("strategies", rule, "add strategies, or pools that they can run on")
    return names


def _value_usd(scenario: Scenario) -> float:
    """Of a right answer: where the dials begin."""
    values = [value_usd_of(scenario, stream) for stream in scenario.workload if is_routed(scenario, stream)]
    if not any(values):
        raise InputError("usd_per_correct", "is not known of any stream", "say what a right answer is worth")
    return max(values)


def _swept(
    run: Callable[[str, float, str], Trial], family: Family, value_usd: float, limits: tuple[float, float], places: int
) -> list[Trial]:
    def at(place: float) -> Trial:
        return run(dialled(family, place), place, f"{family.name}, {family.key} {place:.3g}")

    return refined(at, value_usd, limits, places, logarithmic=family.dial == "value")


def _mixes(run: Callable[[str, float, str], Trial], singles: Mapping[str, Trial], kept: Sequence[str]) -> list[Trial]:
    """Single strategies that no mix beats, and mixes of neighbours among them."""
    found = [singles[kept[0]]]
    for pair in pairwise(kept):
        for weight in _WEIGHTS:
            told = f"{1.0 - weight:.0%} {pair[0]}, {weight:.0%} {pair[1]}"
            found.append(run(mixed(pair, (1.0 - weight, weight)), weight, told))
        found.append(singles[pair[1]])
    return found


def _told(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON holds it."""
    first = next(iter(found.families))
    at_equal = {name: _at(trials, found.spend_usd) for name, trials in found.families.items()}
    equal = {
        "usd_per_1k_requests": _spelled(estimate((found.spend_usd * 1e3).tolist())),
        "policies": {
            name: {
                **{metric: _spelled(estimate(values[metric].tolist())) for metric in METRICS},
                "against_mix": _differences(values, at_equal[MIX]),
                "first_against_it": _differences(at_equal[first], values),
            }
            for name, values in at_equal.items()
        },
    }
    result: dict[str, Any] = {
        "scenario": found.scenario.name,
        "replications": int(found.spend_usd.size),
        "cost": found.cost,
        "first": first,
        "at_equal_spending": equal,
        "looking_at": {
            what: _differences(at_equal[more], at_equal[less])
            for what, (more, less) in _LOOKS.items()
            if {more, less} <= at_equal.keys()
        },
        "against_single": {name: _against(found, trial) for name, trial in found.singles.items()},
        "single": {name: _trial(trial) for name, trial in found.singles.items()},
        "curves": {name: [_trial(trial) for trial in trials] for name, trials in found.families.items()},
    }
    return result | {"verdict": verdict(result)}


def _against(found: Comparison, trial: Trial) -> dict[str, Any]:
    """Each policy less a single strategy, where it spends the same."""
    own = {metric: getattr(trial, metric) for metric in METRICS}
    return {name: _differences(_at(trials, trial.spend_usd), own) for name, trials in found.families.items()}


def _at(trials: Sequence[Trial], spend_usd: Floats) -> dict[str, Floats]:
    return {metric: attained(trials, spend_usd, metric) for metric in METRICS}


def _differences(values: Mapping[str, Floats], others: Mapping[str, Floats]) -> dict[str, Any]:
    return {metric: _spelled(paired_difference(values[metric].tolist(), others[metric].tolist())) for metric in METRICS}


def _trial(trial: Trial) -> dict[str, Any]:
    metrics = {metric: _known(getattr(trial, metric).mean()) for metric in METRICS}
    spent = {"usd_per_1k_requests": float(trial.spend_usd.mean() * 1e3)}
    return {"at": _known(trial.at), **spent, **metrics, "shares": dict(trial.shares)}


def _spelled(found: Estimate) -> dict[str, float | None]:
    return {name: _known(value) for name, value in found._asdict().items()}


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
