"""The summary of a run: the figures of the contract, each headline figure with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isclose, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.allocation import pool_usd
from sim.cost import cost_splits
from sim.errors import EngineError
from sim.fleet import Fleet
from sim.ledger import LIFE_LINES
from sim.replication import Replication
from sim.scenario import ApiPool, GpuPool, Reserved, Scenario, Stream
from sim.stats import half_width
from sim.tally import COUNTS, REJECTIONS, batch_figures, figures

__all__ = ["summarise"]

_SHARES = ("slo.attainment", "fleet.busy_share", "fleet.work_share")
_COMPLETED = COUNTS.index("completed")


def summarise(scenario: Scenario, fleet: Fleet, replications: Sequence[Replication], wall_s: float) -> dict[str, Any]:
    """The contents of `summary.json`: means over the replications, intervals under `intervals`.

    Counts and dollars are those of one replication, on average. None stands where there is nothing to measure.
    Only `speed` differs from run to run.
    """
    headline, intervals = _headline(scenario, replications)
    requests = _requests(replications)
    figure = _nested(headline)
    return {
        "scenario": scenario.name,
        "seed": scenario.seed,
        "replications": len(replications),
        "horizon_s": _mean([run.tally.seconds[0] for run in replications]),
        "warm_up_s": scenario.warm_up,
        "requests": requests,
        "latency": figure["latency"],
        "slo": figure["slo"] | {"set": any(_has_objectives(stream) for stream in scenario.workload)},
        "quality": {"accuracy": None},
        "cost": figure["cost"] | {"usd_per_correct": None} | cost_splits(scenario, fleet, replications),
        "energy": _energy(scenario, replications),
        "strategies": _strategies(fleet, replications),
        "streams": _streams(scenario, replications),
        "pools": _pools(scenario, replications),
        "sleep": {"prepared": 0, "hit_rate": None, "wasted_share": None},
        "fleet": figure["fleet"]
        | {
            "peak_replicas": max(run.peak_replicas for run in replications),
            **{name: _count([getattr(run, name) for run in replications]) for name in _EVENTS},
            "step_times": {name: asdict(trust) for name, trust in fleet.trust.items()},
        },
        "intervals": intervals,
        "speed": {
            "requests_per_s": _ratio(requests["offered"] * len(replications), wall_s),
            "wall_s": wall_s,
        },
    }


_EVENTS = ("starts", "reclaims", "failures")
"""What happened to servers."""

_BY_THE_CLOCK = ("cost.total_usd", "cost.usd_per_hour", "fleet.gpu_hours")
"""Figures that the clock or control moves from batch to batch: their spread within a day says nothing of chance."""

_DAY_S = 86_400.0
_FEWEST_DAYS = 5


def _headline(
    scenario: Scenario, replications: Sequence[Replication]
) -> tuple[dict[str, float | None], dict[str, list[float] | None]]:
    """Point estimates and 95 % Student intervals: over replications, or over the batches of a single one."""
    gpus = _gpus(scenario)
    runs = [figures(run.tally, gpus) | {"fleet.work_share": _work_share(run, gpus)} for run in replications]
    points = {name: _mean([run[name] for run in runs]) for name in runs[0]}
    if len(runs) == 1:
        run_s = float(replications[0].tally.seconds[0])
        samples = [batch_figures(batch, gpus, run_s) for batch in replications[0].batches]
        found = _intervals(points, samples) | {"fleet.work_share": None}
        steady = all(_is_steady(pool) for pool in scenario.fleet)
        return points, found if steady else found | _intervals_by_days(points, replications[0], gpus)
    completed = [float(run.tally.streams[:, _COMPLETED].sum()) for run in replications]
    return points, _intervals(points, runs) | {"requests.completed": _interval("", _mean(completed), completed)}


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


def _has_objectives(stream: Stream) -> bool:
    return any(limit_s is not None for limit_s in (stream.slo.ttft, stream.slo.tpot, stream.slo.e2e))


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
    return [min(low, 1.0), min(high, 1.0)] if name in _SHARES else [low, high]


def _gpus(scenario: Scenario) -> NDArray[np.int64]:
    """GPUs of what is a replica to the engine, by pool [P]; none of an API."""
    return np.array([getattr(pool, "tensor_parallel", 0) for pool in scenario.fleet], np.int64)


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        place = tree
        for key in path:
            place = place.setdefault(key, {})
        place[last] = value
    return tree


def _requests(replications: Sequence[Replication]) -> dict[str, Any]:
    runs = [_ends(run) for run in replications]
    count = {name: _count([run[name] for run in runs]) for name in runs[0]}
    ends = {name: count[name] for name in ("completed", "rejected", "timed_out", "failed", "unfinished")}
    return {
        # Not a mean of its own, so that rounding cannot part it from its parts.
        "offered": sum(ends.values()),
        **ends,
        "rejected_by": {name: count[name] for name in REJECTIONS},
        "attempts": count["attempts"],
        "retries": count["retried"],
        "skipped_rows": replications[0].skipped_rows,
        "prompt_tokens": count["prompt_tokens"],
        "output_tokens": count["output_tokens"],
        "preemptions": count["preemptions"],
    }


def _ends(run: Replication) -> dict[str, int]:
    """How the requests of one replication ended.

    Raises:
        EngineError: where one was lost.
    """
    found = dict(zip(COUNTS, run.tally.streams.sum(axis=0).tolist(), strict=True))
    rejected = sum(found[name] for name in REJECTIONS)
    if found["offered"] != found["completed"] + rejected + found["timed_out"] + found["failed"] + run.unfinished:
        raise EngineError(f"{found['offered']} requests came, and not as many ended or are in flight: {found}")
    preemptions = int(run.buckets["preemptions"].sum())
    return found | {"rejected": rejected, "unfinished": run.unfinished, "preemptions": preemptions}


def _energy(scenario: Scenario, replications: Sequence[Replication]) -> dict[str, Any]:
    """What the pools of GPUs drew; carbon is None where no pool says how its electricity is made."""
    drawn = np.mean([run.energy for run in replications], axis=0)
    counts = [isinstance(pool, GpuPool) and pool.carbon is not None for pool in scenario.fleet]
    output_tokens = float(np.mean([int(run.ended_output_tokens.sum()) for run in replications]))
    kwh = float(drawn[:, 0].sum())
    return {
        "kwh": kwh,
        "carbon_kg": float(drawn[counts, 1].sum()) if any(counts) else None,
        "wh_per_1k_output_tokens": _ratio(kwh * 1e6, output_tokens),
        "by_pool": {
            pool.name: {"kwh": float(drawn[p, 0]), "carbon_kg": float(drawn[p, 1]) if counts[p] else None}
            for p, pool in enumerate(scenario.fleet)
            if isinstance(pool, GpuPool)
        },
    }


def _strategies(fleet: Fleet, replications: Sequence[Replication]) -> dict[str, Any]:
    requests = np.sum([run.ended_requests.sum(axis=(0, 1, 3)) for run in replications], axis=0)
    tokens = np.sum([run.ended_output_tokens.sum(axis=(0, 1, 3)) for run in replications], axis=0)
    return {
        strategy.name: {
            "share": _ratio(requests[a], requests.sum()),
            "accuracy": None,
            "mean_output_tokens": _ratio(tokens[a], requests[a]),
        }
        for a, strategy in enumerate(fleet.strategies)
    }


def _pools(scenario: Scenario, replications: Sequence[Replication]) -> dict[str, Any]:
    """What each pool was sent and answered, every attempt counting, and what an answer of it costs."""
    usd = np.mean([pool_usd(run.charges) for run in replications], axis=0)
    found = {}
    for p, pool in enumerate(scenario.fleet):
        rows = [run.buckets[run.buckets["pool"] == p] for run in replications]
        names = ("arrived", "completed", "prompt_tokens", "output_tokens")
        counts = {name: _count([int(row[name].sum()) for row in rows]) for name in names}
        found[pool.name] = {
            "received": counts.pop("arrived"),
            **counts,
            "usd": float(usd[p]),
            "usd_per_1k_requests": _ratio(float(usd[p]) * 1e3, counts["completed"]),
            "usd_per_1m_output_tokens": _ratio(float(usd[p]) * 1e6, counts["output_tokens"]),
        }
    return found


def _streams(scenario: Scenario, replications: Sequence[Replication]) -> dict[str, Any]:
    """What each stream saw, without intervals."""
    found = {}
    for index, stream in enumerate(scenario.workload):
        runs = [figures(run.tally.of_stream(index), _gpus(scenario)) for run in replications]
        flat = {name: _mean([run[name] for run in runs]) for name in runs[0] if name.startswith(("latency", "slo"))}
        ends = [dict(zip(COUNTS, run.tally.streams[index].tolist(), strict=True)) for run in replications]
        counts = {name: _count([end[name] for end in ends]) for name in ("offered", "completed", "timed_out", "failed")}
        rejected = _count([sum(end[name] for name in REJECTIONS) for end in ends])
        found[stream.name] = {**counts, "rejected": rejected, **_nested(flat)}
    return found


def _mean(values: Sequence[float]) -> float | None:
    """Mean of the values that are there; a value that all share is given as it is."""
    known = [float(value) for value in values if isfinite(value)]
    if not known:
        return None
    return known[0] if len(set(known)) == 1 else float(np.mean(known))


def _count(values: Sequence[int]) -> int | float:
    mean = sum(values) / len(values)
    return int(mean) if mean.is_integer() else mean


def _ratio(above: float, below: float) -> float | None:
    return float(above / below) if below else None
