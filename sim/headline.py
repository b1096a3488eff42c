"""The headline figures of a summary, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose, isfinite

import numpy as np
from numpy.typing import NDArray

from sim.ledger import LIFE_LINES
from sim.replication import Replication
from sim.scenario import ApiPool, GpuPool, Reserved, Scenario
from sim.stats import half_width, mean_of_known
from sim.tally import ANSWERS, COUNTS, batch_figures, figures, quality_figures

__all__ = ["gpus_of", "headline_figures", "strategy_figures"]

_SHARES = ("attainment", "accuracy", "expected_accuracy", "busy_share", "work_share", "prefix_hit_share", "share")
"""Last words of the names of figures that lie between 0 and 1."""
_COMPLETED = COUNTS.index("completed")

_BY_THE_CLOCK = ("cost.total_usd", "cost.usd_per_hour", "fleet.gpu_hours")
"""Figures that the clock or control moves from batch to batch: their spread within a day says nothing of chance."""

_DAY_S = 86_400.0
_FEWEST_DAYS = 5


def headline_figures(
    scenario: Scenario, replications: Sequence[Replication]
) -> tuple[dict[str, float | None], dict[str, list[float] | None]]:
    """Point estimates and 95 % Student intervals: over replications, or over the batches of a single one."""
    gpus = gpus_of(scenario)
    runs = [figures(run.tally, gpus) | {"fleet.work_share": _work_share(run, gpus)} for run in replications]
    points = {name: mean_of_known([run[name] for run in runs]) for name in runs[0]}
    if len(runs) == 1:
        run_s = float(replications[0].tally.seconds[0])
        samples = [batch_figures(batch, gpus, run_s) for batch in replications[0].batches]
        found = _intervals(points, samples) | {"fleet.work_share": None}
        steady = all(_is_steady(pool) for pool in scenario.fleet)
        return points, found if steady else found | _intervals_by_days(points, replications[0], gpus)
    completed = [float(run.tally.streams[:, _COMPLETED].sum()) for run in replications]
    return points, _intervals(points, runs) | {"requests.completed": _interval("", mean_of_known(completed), completed)}


def strategy_figures(
    names: Sequence[str], replications: Sequence[Replication]
) -> tuple[dict[str, dict[str, float | None]], dict[str, list[float] | None]]:
    """By strategy its share of the answers, how many are right, their length; and intervals like those of headlines.

    Of several replications all answers count alike.
    """
    parts = [run.tally for run in replications] if len(replications) > 1 else replications[0].batches
    whole = _by_strategy(np.sum([run.tally.answers for run in replications], axis=0), names)
    points = {name: figure if isfinite(figure) else None for name, figure in whole.items()}
    intervals = _intervals(points, [_by_strategy(part.answers, names) for part in parts])
    nested = {name: {key: points[f"strategies.{name}.{key}"] for key in _OF_STRATEGY} for name in names}
    return nested, intervals


_OF_STRATEGY = ("share", "accuracy", "expected_accuracy", "mean_output_tokens")


def _by_strategy(answers: NDArray[np.float64], names: Sequence[str]) -> dict[str, float]:
    """The figures of every strategy by their dotted names, from the sums of a tally [S, A, 5]."""
    sums = answers.sum(axis=0)
    requests, tokens = (sums[:, ANSWERS.index(name)] for name in ("requests", "output_tokens"))
    found: dict[str, float] = {}
    for a, name in enumerate(names):
        quality = quality_figures(sums[a])
        figure = (
            requests[a] / requests.sum() if requests.sum() else np.nan,
            quality["accuracy"],
            quality["expected_accuracy"],
            tokens[a] / requests[a] if requests[a] else np.nan,
        )
        found |= {f"strategies.{name}.{key}": float(value) for key, value in zip(_OF_STRATEGY, figure, strict=True)}
    return found


def _intervals_by_days(
    points: Mapping[str, float | None], run: Replication, gpus: NDArray[np.int64]
) -> dict[str, list[float] | None]:
    """Intervals of the figures that follow the clock, from the spread of the whole days of one run; None below five.

    Days are alike but for the weekday, a trend and chance, so the interval is wide rather than narrow.
    """
    run_s, buckets = float(run.tally.seconds[0]), run.buckets
    days = int(run_s // _DAY_S)
    if days < _FEWEST_DAYS:
        return dict.fromkeys(_BY_THE_CLOCK)
    day = (buckets["begin_s"] // _DAY_S).astype(np.int64)
    usd = sum(buckets[name] for name in ("busy_usd", "unused_usd", "api_usd", "other_usd"))
    paid_s = buckets["busy_s"] + sum(buckets[f"{line}_s"] for line in LIFE_LINES)
    usd_a_day = np.bincount(day, usd)[:days]
    gpu_hours_a_day = np.bincount(day, paid_s * gpus[buckets["pool"]] / 3600.0)[:days]
    samples = (usd_a_day * (run_s / _DAY_S), usd_a_day * (3600.0 / _DAY_S), gpu_hours_a_day * (run_s / _DAY_S))
    return {
        name: _interval(name, points[name], values.tolist())
        for name, values in zip(_BY_THE_CLOCK, samples, strict=True)
    }


def _is_steady(pool: GpuPool | ApiPool) -> bool:
    """Whether a pool costs the same at all times, whatever comes."""
    if isinstance(pool, ApiPool):
        return False
    steady_price = isinstance(pool.offer, Reserved) and pool.offer.tariff is None
    return steady_price and not pool.schedule and pool.electricity is None


def _work_share(run: Replication, gpus: NDArray[np.int64]) -> float:
    """GPU time that the answers would have taken in full batches, over the time paid for: how full the fleet is."""
    return float(gpus @ run.full_batch_s) / paid_s if (paid_s := float(gpus @ run.tally.pool_s.sum(axis=1))) else np.nan


def _intervals(
    points: Mapping[str, float | None], samples: Sequence[Mapping[str, float]]
) -> dict[str, list[float] | None]:
    return {
        name: _interval(name, point, [sample.get(name, np.nan) for sample in samples]) for name, point in points.items()
    }


def _interval(name: str, point: float | None, values: Sequence[float]) -> list[float] | None:
    width = half_width(values)
    if point is None or not isfinite(width):
        return None
    if isclose(point + width, point, rel_tol=1e-12):
        # No more than rounding: the figure does not depend on chance.
        return [point, point]
    low, high = max(point - width, 0.0), point + width
    is_share = name.rpartition(".")[2] in _SHARES
    return [min(low, 1.0), min(high, 1.0)] if is_share else [low, high]


def gpus_of(scenario: Scenario) -> NDArray[np.int64]:
    """GPUs of what is a replica to the engine, by pool [P]; none of an API."""
    return np.array([getattr(pool, "tensor_parallel", 0) for pool in scenario.fleet], np.int64)
