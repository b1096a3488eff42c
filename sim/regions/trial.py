"""One way to answer at one point: a short simulation, and what of it counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.regions.grid import OFF_PEAK
from sim.regions.ways import Way
from sim.replication import Replication
from sim.results import Results
from sim.tally import ANSWERS, COUNTS

__all__ = ["PREPARE_ALL", "Trial", "run_trial"]

PREPARE_ALL = ("sleep.min_saving=0", "sleep.budget_usd_per_day=null")
"""Contexts are prepared wherever anything is saved, so that the map shows where that is a loss as well."""

_BUCKET = "6h"
"""Nobody looks at the buckets of a trial."""


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
    off_peak_used_usd: NDArray[np.float64]
    """The part of `used_usd` at off-peak prices."""
    off_peak_bill_usd: NDArray[np.float64]
    """The part of `bill_usd` at off-peak prices."""
    preparing_usd: NDArray[np.float64]
    """Of what was used, the part for preparations."""
    on_contexts: NDArray[np.float64]
    """Questions on contexts."""
    hits: NDArray[np.float64]
    """Questions that found their context prepared."""
    work_share: float
    """Share of what the fleet can do that questions after the warm-up take, if all of them are answered."""

    def repriced(self, factor: float) -> Trial:
        """The same with off-peak prices times a factor, where that changes nothing but the cost."""
        more = factor - 1.0
        return self._replace(
            used_usd=self.used_usd + more * self.off_peak_used_usd,
            bill_usd=self.bill_usd + more * self.off_peak_bill_usd,
            off_peak_used_usd=factor * self.off_peak_used_usd,
            off_peak_bill_usd=factor * self.off_peak_bill_usd,
        )


def run_trial(source: Path | str, overrides: Sequence[str], way: Way, replications: int) -> Trial:
    """Simulate a scenario with all questions answered one way; contexts are prepared where the way says so."""
    from sim.load import load_scenario
    from sim.simulation import simulate

    router = json.dumps({"policy": "always", "strategy": way.strategy})
    sleep = PREPARE_ALL if way.prepares else ("sleep=null",)
    every = [*overrides, *sleep, f"router={router}", f"replications={replications}", f"bucket={_BUCKET}"]
    return _trial(simulate(load_scenario(source, every)))


def _trial(results: Results) -> Trial:
    runs = results.replications
    rows = [_numbers(run) for run in runs]
    streams = len(results.scenario.workload)
    right = np.array([run.tally.answers[:, :, ANSWERS.index("correct")].sum(axis=1) for run in runs])
    used = [run.charges.used_usd.sum(axis=(0, 2, 3, 4, 5)) for run in runs]
    return Trial(
        asked=np.array([row["offered"] for row in rows]),
        right=right,
        known=np.array([row["known"] for row in rows]),
        output_tokens=np.array([row["output_tokens"] for row in rows]),
        used_usd=np.array([run.charges.total_used_usd for run in runs]),
        bill_usd=np.array([run.charges.total_usd for run in runs]),
        off_peak_used_usd=np.array([_off_peak_used_usd(run) for run in runs]),
        off_peak_bill_usd=np.array([_off_peak_used_usd(run) + _off_peak_other_usd(run) for run in runs]),
        preparing_usd=np.array([usd[streams:].sum() for usd in used]),
        on_contexts=np.array([row["asked"] for row in rows]),
        hits=np.array([row["hits"] for row in rows]),
        work_share=_work_share(results, rows),
    )


def _work_share(results: Results, rows: Sequence[Mapping[str, float]]) -> float:
    seconds, measured_s = np.sum([run.tally.seconds for run in results.replications], axis=0).tolist()
    completed, measured = (sum(row[name] for row in rows) for name in ("completed", "measured_offered"))
    work_share = results.summary["fleet"]["work_share"]
    if not (completed and measured_s and work_share):
        return 0.0
    return float(work_share * (measured / measured_s) / (completed / seconds))


def _off_peak_used_usd(run: Replication) -> float:
    usd = run.charges.used_usd.sum(axis=(1, 2, 3, 5))
    return sum(float(usd[p, w]) for p, w in _off_peak_windows(run))


def _off_peak_other_usd(run: Replication) -> float:
    """Unused time, and what of it is rounded up."""
    usd = run.charges.unused_usd.sum(axis=2)
    rounded = (entry for entry in run.charges.entries if entry.line == "minimum_billing" and entry.window == OFF_PEAK)
    return sum(float(usd[p, w]) for p, w in _off_peak_windows(run)) + sum(entry.usd for entry in rounded)


def _off_peak_windows(run: Replication) -> list[tuple[int, int]]:
    """Pools and windows."""
    return [(p, w) for p, names in enumerate(run.windows) for w, name in enumerate(names) if name == OFF_PEAK]


def _numbers(run: Replication) -> dict[str, float]:
    counts = dict(zip(COUNTS, run.tally.streams.sum(axis=0).tolist(), strict=True))
    return counts | dict(zip(ANSWERS, run.tally.answers.sum(axis=(0, 1)).tolist(), strict=True))
