"""The `router` section of a summary: what was decided, on what grounds, at which price of money, and by which file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from sim.routing.account import RoutingAccount
from sim.scenario import LookingRouter, Scenario, WeighingRouter
from sim.stats import mean_of_known, ratio
from sim.workload.blocks import Floats

if TYPE_CHECKING:
    from router.learned import LearnedRouter

__all__ = ["router_section"]

_HOURS = 24


def router_section(
    scenario: Scenario, accounts: Sequence[RoutingAccount], opened: LearnedRouter | None
) -> dict[str, Any] | None:
    """The section; None where no router looks at requests. Counts and dollars are those of a replication on average."""
    router = scenario.router
    if not isinstance(router, LookingRouter) or not accounts:
        return None
    names = [strategy.name for strategy in scenario.strategies]
    return {
        "policy": router.policy,
        "decisions": mean_of_known([float(account.chosen.sum()) for account in accounts]),
        "price": router.price if isinstance(router, WeighingRouter) else None,
        "load": router.load if isinstance(router, WeighingRouter) else None,
        "latency_s": router.latency,
        "strategies": _strategies(names, accounts),
        "by_hour": _by_hour(scenario, names, accounts),
        "budget": _budget(router, accounts),
        "file": None if opened is None else _file(opened, names, getattr(router, "labels", {})),
    }


def _strategies(names: Sequence[str], accounts: Sequence[RoutingAccount]) -> dict[str, Any]:
    """Share of the decisions for each strategy, and mean terms of the utilities of those it was chosen for."""
    shape = (len(accounts), len(names))
    sums = {name: np.zeros(shape) for name in ("chosen", "p", "cost_usd", "p_late", "value", "lateness")}
    for run, account in enumerate(accounts):
        own = slice(len(names))
        for name in ("chosen", "p", "cost_usd", "p_late"):
            sums[name][run] = getattr(account, name)[:, own].sum(axis=0)
        sums["value"][run] = account.value_usd @ account.p[:, own]
        sums["lateness"][run] = account.lateness_usd @ account.p_late[:, own]
    total = {name: column.sum(axis=0) for name, column in sums.items()}
    return {
        name: {
            "share": ratio(total["chosen"][a], total["chosen"].sum()),
            "p_correct": ratio(total["p"][a], total["chosen"][a]),
            "p_late": ratio(total["p_late"][a], total["chosen"][a]),
            "value_usd": ratio(total["value"][a], total["chosen"][a]),
            "cost_usd": ratio(total["cost_usd"][a], total["chosen"][a]),
            "lateness_usd": ratio(total["lateness"][a], total["chosen"][a]),
        }
        for a, name in enumerate(names)
    }


def _by_hour(scenario: Scenario, names: Sequence[str], accounts: Sequence[RoutingAccount]) -> list[dict[str, Any]]:
    """Share of each strategy in the decisions of each hour of the local day, those without any left out."""
    counts = np.zeros((_HOURS, len(names)))
    begin = scenario.start.replace(tzinfo=ZoneInfo(scenario.time_zone)).astimezone(UTC)
    zone = ZoneInfo(scenario.time_zone)
    for account in accounts:
        middle_s = (account.at_s[1:] + account.at_s[:-1]) / 2.0
        hours = [(begin + timedelta(seconds=float(at_s))).astimezone(zone).hour for at_s in middle_s]
        np.add.at(counts, hours, np.diff(account.counts[:, : len(names)], axis=0))
    return [
        {"hour": hour, "decisions": float(row.sum() / len(accounts)), "shares": _shares(names, row)}
        for hour, row in enumerate(counts)
        if row.sum()
    ]


def _shares(names: Sequence[str], counts: Floats) -> dict[str, float]:
    return dict(zip(names, (counts / counts.sum()).tolist(), strict=True))


def _budget(router: LookingRouter, accounts: Sequence[RoutingAccount]) -> dict[str, Any] | None:
    """How well a budget was kept, and at which multiplier of costs."""
    budget = router.budget if isinstance(router, WeighingRouter) else None
    if budget is None:
        return None
    multipliers = [np.array([pace.mu for pace in account.paces]) for account in accounts]
    spent = [account.spent_usd / account.seconds * 3600.0 for account in accounts if account.seconds]
    return {
        "usd_per_hour": budget.usd_per_hour,
        "spent_usd_per_hour": mean_of_known(spent),
        "multiplier": {
            "start": mean_of_known([float(mu[0]) for mu in multipliers]),
            "end": mean_of_known([float(mu[-1]) for mu in multipliers]),
            "mean": mean_of_known([float(mu.mean()) for mu in multipliers]),
            "most": max(float(mu.max()) for mu in multipliers),
        },
    }


def _file(opened: LearnedRouter, names: Sequence[str], labels: Mapping[str, str]) -> dict[str, Any]:
    """What the router file says of itself, as far as it is about the strategies of the scenario."""
    manifest = opened.manifest
    metrics = manifest.metrics.get("by_strategy", manifest.metrics)
    wanted = {name: labels.get(name, name) for name in names}
    return {
        "trained_on": manifest.trained_on.isoformat(),
        "package": manifest.package,
        "device": opened.device,
        "features": {"version": manifest.feature_spec["version"], "columns": opened.features.spec.width},
        "labels": dict(manifest.labels),
        "has_prepared": manifest.has_prepared,
        "held_out_metrics": {
            name: {key: metrics[label].get(key) for key in ("auc", "ece", "brier")}
            for name, label in wanted.items()
            if label in metrics
        },
    }
