"""Points run in the simulator: every figure by replication, dollars by the month, and how each block of hours went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sim.errors import InputError
from sim.planning.search.judge import Judged, Values
from sim.scenario import Scenario
from sim.tally import COUNTS

if TYPE_CHECKING:
    from sim.results import Results

__all__ = ["HOURS_PER_MONTH", "Task", "run_task", "tasks_side_by_side"]

HOURS_PER_MONTH = 730.5
_BUCKET_S = 3600.0
"""Nobody looks closer at a trial: blocks are made of hours."""
_OFFERED = COUNTS.index("offered")


class Task(NamedTuple):
    """A scenario to run with a seed, and which block each local hour of the week is in [168]."""

    scenario: Scenario
    seed: int
    replications: int
    block_of_hour: tuple[int, ...]


def run_task(task: Task) -> Judged:
    """What a scenario came to; refused where it cannot be run."""
    from sim.runs.figures import run_figures
    from sim.simulation import simulate

    bucket_s = max(task.scenario.bucket, _BUCKET_S)
    changes = {"seed": task.seed, "replications": task.replications, "bucket": bucket_s}
    try:
        results = simulate(task.scenario.model_copy(update=changes))
    except InputError as error:
        return Judged(refused=str(error))
    figures = {name: tuple(values) for name, values in run_figures(results).items()}
    # Rounded, as sums in another order are no difference between two plans.
    figures["usd_per_month"] = tuple(round(usd * HOURS_PER_MONTH, 6) for usd in figures["cost.usd_per_hour"])
    figures["offered"] = tuple(float(run.tally.streams[:, _OFFERED].sum()) for run in results.replications)
    return Judged(figures | _of_pools(results, figures) | _of_blocks(results, np.asarray(task.block_of_hour)))


def _of_pools(results: Results, figures: Mapping[str, Values]) -> dict[str, Values]:
    """By pool its dollars a month, requests answered, and the share of its paid time that is busy."""
    found: dict[str, Values] = {}
    months = [HOURS_PER_MONTH * 3600.0 / float(run.tally.seconds[0]) for run in results.replications]
    for index, pool in enumerate(results.scenario.fleet):
        usd = figures.get(f"cost.by_pool.{pool.name}", (0.0,) * len(months))
        found[f"pools.{pool.name}.usd_per_month"] = tuple(a * b for a, b in zip(usd, months, strict=True))
        rows = [run.buckets[run.buckets["pool"] == index] for run in results.replications]
        found[f"pools.{pool.name}.completed"] = tuple(float(each["completed"].sum()) for each in rows)
        time_s = [run.tally.pool_s[index] for run in results.replications]
        found[f"pools.{pool.name}.busy_share"] = tuple(_share(float(each[0]), float(each.sum())) for each in time_s)
    return found


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _of_blocks(results: Results, block_of_hour: np.ndarray) -> dict[str, Values]:
    """By block the requests measured, those of them that met their objectives, and all requests offered."""
    start = results.scenario.start
    found: dict[str, list[float]] = {}
    for run in results.replications:
        rows = run.stream_buckets
        middle_h = (rows["begin_s"] + rows["end_s"]) / 7200.0
        hour = (start.weekday() * 24 + start.hour + start.minute / 60.0 + middle_h).astype(np.int64) % 168
        blocks = block_of_hour[hour]
        for name in ("measured_offered", "measured_met", "offered"):
            sums = np.bincount(blocks, rows[name], minlength=int(block_of_hour.max()) + 1)
            for block, value in enumerate(sums.tolist()):
                found.setdefault(f"blocks.{block}.{name}", []).append(value)
    return {name: tuple(values) for name, values in found.items()}


def tasks_side_by_side(tasks: Sequence[Task], workers: int | None = None) -> Iterator[Judged]:
    """What tasks came to in their order, in as many processes as there are cores unless `workers` says."""
    from joblib import Parallel, delayed

    if workers == 1 or len(tasks) < 2:
        yield from map(run_task, tasks)
    else:
        yield from Parallel(n_jobs=workers or -1, return_as="generator")(delayed(run_task)(task) for task in tasks)
