"""One way to answer at one point: a short simulation, and what of it counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.regions.ways import Way
from sim.replication import Replication
from sim.results import Results
from sim.tally import ANSWERS, COUNTS

__all__ = ["PREPARE_ALL", "Trial", "run_trial"]

PREPARE_ALL = ("sleep.min_saving=0", "sleep.budget_usd_per_day=null")
"""Contexts are prepared wherever anything is saved, so that the map shows where that is a loss as well."""

_FIXED_LINES = ("minimum_billing", "upfront", "customer_charge")


class Trial(NamedTuple):
    """What each replication came to, all of shape [R] but where it is said."""

    asked: NDArray[np.float64]
    """Questions."""
    right: NDArray[np.float64]
    """Right answers by stream, [R, S]."""
    known: NDArray[np.float64]
    """Answers that may be right or wrong."""
    output_tokens: NDArray[np.float64]
    """Tokens of answers."""
    used_usd: NDArray[np.float64]
    """What questions and preparations used: all that was paid but for unused time and what is paid in any case."""
    bill_usd: NDArray[np.float64]
    """All that was paid, used or not."""
    preparing_usd: NDArray[np.float64]
    """Of what was used, the part for preparations."""
    on_contexts: NDArray[np.float64]
    """Questions on contexts."""
    hits: NDArray[np.float64]
    """Questions that found their context prepared."""
    work_share: float
    """Share of what the fleet can do that the answers took, had all questions been answered."""


def run_trial(source: Path | str, overrides: Sequence[str], way: Way, replications: int) -> Trial:
    """Simulate a scenario with all questions answered one way; contexts are prepared where the way says so."""
    from sim.load import load_scenario
    from sim.simulation import simulate

    router = json.dumps({"policy": "always", "strategy": way.strategy})
    sleep = PREPARE_ALL if way.prepares else ("sleep=null",)
    every = [*overrides, *sleep, f"router={router}", f"replications={replications}"]
    return _trial(simulate(load_scenario(source, every)))


def _trial(results: Results) -> Trial:
    runs = results.replications
    rows = [_numbers(run) for run in runs]
    streams = len(results.scenario.workload)
    right = np.array([run.tally.answers[:, :, ANSWERS.index("correct")].sum(axis=1) for run in runs])
    used = [run.charges.used_usd.sum(axis=(0, 2, 3, 4, 5)) for run in runs]
    requests = results.summary["requests"]
    answered = requests["completed"] / requests["offered"] if requests["offered"] else 0.0
    work_share = results.summary["fleet"]["work_share"] or 0.0
    return Trial(
        asked=np.array([row["offered"] for row in rows]),
        right=right,
        known=np.array([row["known"] for row in rows]),
        output_tokens=np.array([row["output_tokens"] for row in rows]),
        used_usd=np.array([usd.sum() + _variable_usd(run) for usd, run in zip(used, runs, strict=True)]),
        bill_usd=np.array([run.charges.total_usd for run in runs]),
        preparing_usd=np.array([usd[streams:].sum() for usd in used]),
        on_contexts=np.array([row["asked"] for row in rows]),
        hits=np.array([row["hits"] for row in rows]),
        work_share=work_share / answered if answered else 0.0,
    )


def _variable_usd(run: Replication) -> float:
    """Lines of pools as a whole that depend on the work, as electricity does."""
    return sum(entry.usd for entry in run.charges.entries if entry.line not in _FIXED_LINES)


def _numbers(run: Replication) -> dict[str, float]:
    counts = dict(zip(COUNTS, run.tally.streams.sum(axis=0).tolist(), strict=True))
    return counts | dict(zip(ANSWERS, run.tally.answers.sum(axis=(0, 1)).tolist(), strict=True))
