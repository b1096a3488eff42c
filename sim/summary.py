"""The summary of a run: the figures of the contract, each headline figure with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isclose, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import EngineError
from sim.fleet import Fleet
from sim.ledger import FLAT
from sim.replication import Replication
from sim.scenario import Scenario
from sim.stats import half_width
from sim.tally import COUNTS, batch_figures, figures

__all__ = ["summarise"]

_SHARES = ("slo.attainment", "fleet.busy_share")
_COMPLETED = COUNTS.index("completed")


def summarise(scenario: Scenario, fleet: Fleet, replications: Sequence[Replication], wall_s: float) -> dict[str, Any]:
    """The contents of `summary.json`: means over the replications, intervals under `intervals`.

    Counts and dollars are those of one replication, on average. None stands where there is nothing to measure.
    Only `speed` differs from run to run.
    """
    headline, intervals = _headline(scenario, replications)
    total = headline["cost.total_usd"] or 0.0
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
        "slo": figure["slo"],
        "quality": {"accuracy": None},
        "cost": figure["cost"]
        | {
            "usd_per_correct": None,
            "by_line": _by_line(replications),
            "by_pool": _by_pool(scenario, replications),
            "by_stream": _busy_by(replications, 1, [stream.name for stream in scenario.workload]),
            "by_strategy": _busy_by(replications, 2, [strategy.name for strategy in fleet.strategies]),
            "by_window": {FLAT: total},
        },
        "strategies": _strategies(fleet, replications),
        "streams": _streams(scenario, replications),
        "sleep": {"prepared": 0, "hit_rate": None, "wasted_share": None},
        "fleet": figure["fleet"]
        | {
            "peak_replicas": max(run.peak_replicas for run in replications),
            "step_times": {pool.name: asdict(trust) for pool, trust in zip(scenario.fleet, fleet.trust, strict=True)},
        },
        "intervals": intervals,
        "speed": {
            "requests_per_s": _ratio(requests["offered"] * len(replications), wall_s),
            "wall_s": wall_s,
        },
    }


_BY_THE_CLOCK = ("cost.total_usd", "cost.usd_per_hour", "fleet.gpu_hours")
"""Figures that a switching schedule moves from batch to batch: their spread within one run says nothing of chance."""


def _headline(
    scenario: Scenario, replications: Sequence[Replication]
) -> tuple[dict[str, float | None], dict[str, list[float] | None]]:
    """Point estimates and 95 % Student intervals: over replications, or over the batches of a single one."""
    gpus = _gpus(scenario)
    runs = [figures(run.tally, gpus) for run in replications]
    points = {name: _mean([run[name] for run in runs]) for name in runs[0]}
    if len(runs) == 1:
        run_s = float(replications[0].tally.seconds[0])
        samples = [batch_figures(batch, gpus, run_s) for batch in replications[0].batches]
        unknown = _BY_THE_CLOCK if any(pool.schedule for pool in scenario.fleet) else ()
        return points, _intervals(points, samples) | dict.fromkeys(unknown)
    completed = [float(run.tally.streams[:, _COMPLETED].sum()) for run in replications]
    return points, _intervals(points, runs) | {"requests.completed": _interval("", _mean(completed), completed)}


def _intervals(
    points: Mapping[str, float | None], samples: Sequence[Mapping[str, float]]
) -> dict[str, list[float] | None]:
    return {name: _interval(name, point, [sample[name] for sample in samples]) for name, point in points.items()}


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
    """GPUs of what is a replica to the engine, by pool [P]."""
    return np.array([pool.tensor_parallel for pool in scenario.fleet], np.int64)


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
    ends = {name: count[name] for name in ("completed", "rejected", "timed_out", "unfinished")}
    return {
        # Not a mean of its own, so that rounding cannot part it from its parts.
        "offered": sum(ends.values()),
        **ends,
        "rejected_by": {"too_long": count["too_long"], "no_replica": count["no_replica"]},
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
    rejected = found["too_long"] + found["no_replica"]
    if found["offered"] != found["completed"] + rejected + run.unfinished:
        raise EngineError(f"{found['offered']} requests came, and not as many ended or are in flight: {found}")
    preemptions = sum(int(row["preemptions"]) for row in run.buckets)
    return found | {
        "rejected": rejected,
        "timed_out": 0,
        "unfinished": run.unfinished,
        "preemptions": preemptions,
    }


def _by_line(replications: Sequence[Replication]) -> dict[str, float]:
    return {
        "busy": float(np.mean([run.charges.busy_usd.sum() for run in replications])),
        "idle": float(np.mean([run.charges.idle_usd.sum() for run in replications])),
    }


def _by_pool(scenario: Scenario, replications: Sequence[Replication]) -> dict[str, float]:
    usd = np.mean([run.charges.busy_usd.sum(axis=(1, 2, 3)) + run.charges.idle_usd for run in replications], axis=0)
    return {pool.name: float(value) for pool, value in zip(scenario.fleet, usd, strict=True)}


def _busy_by(replications: Sequence[Replication], axis: int, names: Sequence[str]) -> dict[str, float]:
    """Busy dollars by one of the charges' axes (0 pool, 1 stream, 2 strategy, 3 class)."""
    others = tuple(other for other in range(4) if other != axis)
    usd = np.mean([run.charges.busy_usd.sum(axis=others) for run in replications], axis=0)
    return {name: float(value) for name, value in zip(names, usd, strict=True)}


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


def _streams(scenario: Scenario, replications: Sequence[Replication]) -> dict[str, Any]:
    """What each stream saw, without intervals."""
    found = {}
    for index, stream in enumerate(scenario.workload):
        runs = [figures(run.tally.of_stream(index), _gpus(scenario)) for run in replications]
        flat = {name: _mean([run[name] for run in runs]) for name in runs[0] if name.startswith(("latency", "slo"))}
        offered = _count([int(run.tally.streams[index, 0]) for run in replications])
        found[stream.name] = {"offered": offered, **_nested(flat)}
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
