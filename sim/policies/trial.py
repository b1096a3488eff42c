"""One run of a scenario under one policy, and what of it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from sim.replication import Replication
from sim.results import Results
from sim.scenario import Scenario
from sim.scenario.choices import own_choice
from sim.tally import ANSWERS, COUNTS
from sim.workload.blocks import Floats

__all__ = ["Cost", "Trial", "run_trial"]

Cost = Literal["use", "bill"]
"""What counts as spent: what requests and preparations used, or all that was paid."""

_BUCKET = "6h"
"""Nobody looks at the buckets of a trial."""


class Trial(NamedTuple):
    """What each replication came to, [R] each; of the streams whose strategies are the policy's to choose."""

    at: float
    """Place of the dial; NaN where there is none."""
    spend_usd: Floats
    """Dollars spent on all streams, by question asked."""
    accuracy: Floats
    """Right answers by question asked; one without an answer is not right."""
    late: Floats
    """Questions that missed an objective, by question asked after the warm-up."""
    worth_usd: Floats
    """Value of right answers, less what late ones cost, by question asked; dollars spent are not taken off."""
    shares: Mapping[str, float]
    """Share of the answers by strategy, over all replications."""


def run_trial(source: Path | str, overrides: Sequence[str], router: str, at: float, cost: Cost) -> Trial:
    """Simulate a scenario with a router in place of its own; `overrides` hold for every policy."""
    from sim.load import load_scenario
    from sim.simulation import simulate

    return _trial(simulate(load_scenario(source, [*overrides, f"bucket={_BUCKET}", router])), at, cost)


def _trial(results: Results, at: float, cost: Cost) -> Trial:
    scenario = results.scenario
    open_streams = [place for place, stream in enumerate(scenario.workload) if own_choice(scenario, stream) is None]
    rows = [_numbers(scenario, run, open_streams, cost) for run in results.replications]
    names = [strategy.name for strategy in scenario.strategies]
    own = np.ix_(open_streams, range(len(names)))
    answers = np.sum([run.tally.answers[..., 0][own].sum(axis=0) for run in results.replications], axis=0)
    shares = dict(zip(names, (answers / max(answers.sum(), 1.0)).tolist(), strict=True))
    spend_usd, accuracy, late, worth_usd = np.array(rows).T
    return Trial(at, spend_usd, accuracy, late, worth_usd, shares)


def _numbers(
    scenario: Scenario, run: Replication, streams: Sequence[int], cost: Cost
) -> tuple[float, float, float, float]:
    """Spending, accuracy, lateness and worth of a replication."""
    count = {name: run.tally.streams[streams, place].astype(float) for place, name in enumerate(COUNTS)}
    right = run.tally.answers[streams, :, ANSWERS.index("correct")].sum(axis=1)
    asked = count["offered"].sum()
    late_share = 1.0 - count["measured_met"] / np.maximum(count["measured_offered"], 1.0)
    value_usd = np.array([scenario.workload[stream].usd_per_correct or 0.0 for stream in streams])
    has_slo = np.array([_has_objective(scenario, stream) for stream in streams], float)
    lateness_usd = value_usd * has_slo * late_share * count["offered"]
    usd = run.charges.total_usd if cost == "bill" else float(run.charges.used_usd.sum()) + _variable_usd(run)
    late = float(late_share @ (count["offered"] * has_slo)) / asked
    return usd / asked, float(right.sum()) / asked, late, float((right * value_usd - lateness_usd).sum()) / asked


def _has_objective(scenario: Scenario, stream: int) -> bool:
    slo = scenario.workload[stream].slo
    return any(limit_s is not None for limit_s in (slo.ttft, slo.tpot, slo.e2e))


def _variable_usd(run: Replication) -> float:
    """Lines of pools as a whole that depend on the work, as electricity does."""
    fixed = ("minimum_billing", "upfront", "customer_charge")
    return sum(entry.usd for entry in run.charges.entries if entry.line not in fixed)
