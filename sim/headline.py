"""The headline figures of a summary, each with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import isclose, isfinite
from operator import add

import numpy as np
from numpy.typing import NDArray

from sim.ledger import LIFE_LINES
from sim.replication import Replication
from sim.scenario import ApiPool, GpuPool, Reserved, Scenario
from sim.stats import (
    batch_means_interval,
    bootstrap_quantile,
    half_width,
    jackknife,
    mean_of_known,
    prediction_interval,
)
from sim.tally import ANSWERS, COUNTS, LATENCIES, QUANTILES, Tally, batch_figures, figures, quality_figures

__all__ = ["gpus_of", "headline_figures", "is_share", "run_figures", "strategy_figures"]

_SHARES = ("attainment", "accuracy", "expected_accuracy", "busy_share", "work_share", "prefix_hit_share", "share")
"""Last words of the names of figures that lie between 0 and 1."""
_COMPLETED = COUNTS.index("completed")

_BY_THE_CLOCK = ("cost.total_usd", "cost.usd_per_hour", "fleet.gpu_hours")
"""Figures that the clock or control moves from batch to batch: their spread within a day says nothing of chance."""

_Interval = Callable[[str, float | None, Sequence[float]], list[float] | None]
_FEWEST_POOLED = 10
"""Replications from which on a quantile's interval is that of all of them together; see docs/statistics.md."""
_POOLED_SEED = 0
_DAY_S = 86_400.0
_FEWEST_DAYS = 5


def headline_figures(
    scenario: Scenario, replications: Sequence[Replication], *, spread: bool = False
) -> tuple[dict[str, float | None], dict[str, list[float] | None]]:
    """Point estimates and 95 % intervals: Student's over replications, or batch means of a single one.

    Those of quantiles come from all replications together where there are ten or more. With `spread` each replication
    is a world of its own, one of which may be the real one: intervals are those in which another one would lie.
    """
    gpus = gpus_of(scenario)
    runs = run_figures(scenario, replications)
    points = {name: mean_of_known([run[name] for run in runs]) for name in runs[0]}
    if len(runs) == 1:
        run_s = float(replications[0].tally.seconds[0])
        found = _of_batches(points, replications[0].batches, lambda part: batch_figures(part, gpus, run_s))
        found["fleet.work_share"] = None
        steady = all(_is_steady(pool) for pool in scenario.fleet)
        return points, found if steady else found | _intervals_by_days(points, replications[0], gpus)
    completed = [float(run.tally.streams[:, _COMPLETED].sum()) for run in replications]
    interval = _range if spread else _interval
    found = _intervals(points, runs, interval)
    found["requests.completed"] = interval("", mean_of_known(completed), completed)
    pooled = len(runs) >= _FEWEST_POOLED and not spread
    return points, found | (_of_quantiles(points, replications) if pooled else {})


def run_figures(scenario: Scenario, replications: Sequence[Replication]) -> list[dict[str, float]]:
    """The headline figures of each replication by their dotted names; NaN where nothing is there to measure."""
    gpus = gpus_of(scenario)
    return [figures(run.tally, gpus) | {"fleet.work_share": _work_share(run, gpus)} for run in replications]


def is_share(name: str) -> bool:
    """Whether a figure lies between 0 and 1."""
    return name.rpartition(".")[2] in _SHARES


def strategy_figures(
    names: Sequence[str], replications: Sequence[Replication], *, spread: bool = False
) -> tuple[dict[str, dict[str, float | None]], dict[str, list[float] | None]]:
    """By strategy its share of the answers, how many are right, their length; and intervals like those of headlines.

    Of several replications all answers count alike.
    """
    whole = _by_strategy(np.sum([run.tally.answers for run in replications], axis=0), names)
    points = {name: figure if isfinite(figure) else None for name, figure in whole.items()}
    if len(replications) > 1:
        runs = [_by_strategy(run.tally.answers, names) for run in replications]
        intervals = _intervals(points, runs, _range if spread else _interval)
    else:
        intervals = _of_batches(points, replications[0].batches, lambda part: _by_strategy(part.answers, names))
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
    points: Mapping[str, float | None], samples: Sequence[Mapping[str, float]], interval: _Interval
) -> dict[str, list[float] | None]:
    return {
        name: interval(name, point, [sample.get(name, np.nan) for sample in samples]) for name, point in points.items()
    }


def _of_batches(
    points: Mapping[str, float | None], batches: Sequence[Tally], figures_of: Callable[[Tally], Mapping[str, float]]
) -> dict[str, list[float] | None]:
    """Intervals from the parts of one run, each by what the figure would be without it."""
    if len(batches) < 2:
        return dict.fromkeys(points)
    whole = reduce(add, batches)
    of_all, without = figures_of(whole), [figures_of(whole - batch) for batch in batches]
    found: dict[str, list[float] | None] = {}
    for name, point in points.items():
        values = jackknife(of_all.get(name, np.nan), [each.get(name, np.nan) for each in without])
        found[name] = None if point is None else _bounded(name, point, *batch_means_interval(values, point=point)[1:])
    return found


def _of_quantiles(
    points: Mapping[str, float | None], replications: Sequence[Replication]
) -> dict[str, list[float] | None]:
    """Intervals of latency quantiles from the histograms of all replications, wide enough to hold the mean quantile."""
    found: dict[str, list[float] | None] = {}
    histograms = np.stack([run.tally.histogram.sum(axis=0) for run in replications])
    for latency, row in LATENCIES.items():
        for label, probability in QUANTILES.items():
            name = f"latency.{latency}.{label}"
            random = np.random.default_rng(_POOLED_SEED)
            low, high = bootstrap_quantile(histograms[:, row], probability, random)[1:]
            point = points[name]
            found[name] = None if point is None else _bounded(name, point, min(low, point), max(high, point))
    return found


def _interval(name: str, point: float | None, values: Sequence[float]) -> list[float] | None:
    width = half_width(values)
    return None if point is None else _bounded(name, point, point - width, point + width)


def _range(name: str, point: float | None, values: Sequence[float]) -> list[float] | None:
    """Between what and what a figure lies in another world."""
    low, high = prediction_interval(values)[1:]
    return None if point is None else _bounded(name, point, low, high)


def _bounded(name: str, point: float, low: float, high: float) -> list[float] | None:
    """An interval within what the figure may be; None where nothing is known."""
    if not isfinite(low) or not isfinite(high):
        return None
    if isclose(high, point, rel_tol=1e-12) and isclose(low, point, rel_tol=1e-12):
        # No more than rounding: the figure does not depend on chance.
        return [point, point]
    low = max(low, 0.0)
    return [min(low, 1.0), min(high, 1.0)] if is_share(name) else [low, high]


def gpus_of(scenario: Scenario) -> NDArray[np.int64]:
    """GPUs of what is a replica to the engine, by pool [P]; none of an API."""
    return np.array([getattr(pool, "tensor_parallel", 0) for pool in scenario.fleet], np.int64)
