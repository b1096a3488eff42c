"""The summary of a replay, in the layout of a simulation's `summary.json`, with what only a client sees beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.lab.replay.cost import Cost
from sim.scenario import Scenario, Slo, Stream
from sim.stats import half_width, ratio
from sim.tally import LATENCIES, QUANTILES, REJECTIONS
from sim.workload.blocks import Floats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["replay_summary"]

_BATCHES = 10
_FEWEST = 100
"""Requests below which no interval is given."""


def replay_summary(
    scenario: Scenario,
    rows: pd.DataFrame,
    gaps_s: Floats,
    cost: Cost,
    client: Mapping[str, Any],
    *,
    horizon_s: float,
    warm_up_s: float,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """The contents of a replay's `summary.json`.

    `rows` are those of the requests and `gaps_s` the times between the pieces of all answers after the warm-up;
    `client` is told as it is. Latencies are those of completed requests that were due after the warm-up; a request that
    did not complete misses its objectives. Intervals are 95 % Student intervals over ten batches of requests, one after
    the other. What a client cannot see is None.
    """
    measured = rows[rows["arrival_s"] >= warm_up_s]
    slos = {stream.name: stream.slo for stream in scenario.workload}
    met = _met(measured, slos)
    seconds = max(horizon_s - warm_up_s, 0.0)
    requests, points = _requests(rows), _points(measured, met)
    return {
        "scenario": scenario.name,
        "seed": scenario.seed,
        "replications": 1,
        "horizon_s": horizon_s,
        "warm_up_s": warm_up_s,
        "requests": requests,
        "errors": dict(Counter(rows["error"].dropna()).most_common()),
        "latency": {**latency_section(measured), "itl_s": _figures(gaps_s)},
        "slo": {
            "attainment": points["slo.attainment"],
            "goodput_rps": ratio(float(met.sum()), seconds),
            "set": any(_objectives(slo) for slo in slos.values()),
        },
        "quality": _UNKNOWN_QUALITY,
        "cost": _cost(cost, requests, horizon_s),
        "energy": {"kwh": None, "carbon_kg": None, "wh_per_1k_output_tokens": None, "by_pool": {}},
        "strategies": _strategies(rows),
        "streams": _streams(scenario.workload, rows, measured, met, seconds),
        "pools": {},
        "sleep": {"prepared": 0, "hit_rate": None, "wasted_share": None},
        "fleet": {
            "gpu_hours": None,
            "busy_share": None,
            "prefix_hit_share": _hit_share(rows),
            "peak_replicas": None,
            "step_times": {},
        },
        "client": dict(client),
        "warnings": list(warnings),
        "intervals": _intervals(measured, met, points),
        "speed": {"requests_per_s": ratio(float(len(rows)), horizon_s), "wall_s": horizon_s},
    }


_UNKNOWN_QUALITY = {"accuracy": None, "expected_accuracy": None, "known": 0}


def _requests(rows: pd.DataFrame) -> dict[str, Any]:
    ends = Counter(rows["status"])
    rejected = {name: ends.get(f"rejected_{name}", 0) for name in REJECTIONS}
    done = rows[rows["status"] == "completed"]
    return {
        "offered": len(rows),
        "completed": ends.get("completed", 0),
        "rejected": sum(rejected.values()),
        **{name: ends.get(name, 0) for name in ("timed_out", "failed", "unfinished")},
        "rejected_by": rejected,
        "attempts": len(rows),
        "retries": 0,
        "skipped_rows": 0,
        "prompt_tokens": int(done["prompt_tokens"].sum()),
        "output_tokens": int(done["output_tokens"].sum()),
        "preemptions": None,
    }


def _met(rows: pd.DataFrame, slos: Mapping[str, Slo]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each request completed within every objective of its stream, [n]."""
    met = (rows["status"] == "completed").to_numpy(bool, copy=True)
    streams = rows["stream"].to_numpy()
    for name, slo in slos.items():
        for column, limit_s in _objectives(slo).items():
            # An answer of one token has no time per token to be late with.
            late = (rows[column] > limit_s).to_numpy(bool)
            met &= ~(late & (streams == name))
    return met


def _objectives(slo: Slo) -> dict[str, float]:
    limits_s = {"ttft_s": slo.ttft, "tpot_s": slo.tpot, "e2e_s": slo.e2e}
    return {column: limit_s for column, limit_s in limits_s.items() if limit_s is not None}


def latency_section(rows: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    done = rows[rows["status"] == "completed"]
    return {name: _figures(done[name].to_numpy(float)) for name in LATENCIES}


def _figures(values: Floats) -> dict[str, float | None]:
    known = values[np.isfinite(values)]
    if not known.size:
        return dict.fromkeys(("mean", *QUANTILES))
    quantiles = np.quantile(known, list(QUANTILES.values())).tolist()
    return {"mean": float(known.mean()), **dict(zip(QUANTILES, quantiles, strict=True))}


def _points(rows: pd.DataFrame, met: np.ndarray[Any, Any]) -> dict[str, float | None]:
    """The figures that get an interval, by their dotted names."""
    latency = {
        f"latency.{name}.{figure}": value
        for name, figures in latency_section(rows).items()
        for figure, value in figures.items()
    }
    return latency | {"slo.attainment": ratio(float(met.sum()), float(met.size))}


def _intervals(
    rows: pd.DataFrame, met: np.ndarray[Any, Any], points: Mapping[str, float | None]
) -> dict[str, list[float] | None]:
    if len(rows) < _FEWEST:
        return dict.fromkeys(points)
    places = np.array_split(np.arange(len(rows)), _BATCHES)
    batches = [_points(rows.iloc[place], met[place]) for place in places]
    return {name: _interval(point, [batch[name] for batch in batches], name) for name, point in points.items()}


def _interval(point: float | None, values: Sequence[float | None], name: str) -> list[float] | None:
    width = half_width([np.nan if value is None else value for value in values])
    if point is None or not np.isfinite(width):
        return None
    high = point + width
    return [max(point - width, 0.0), min(high, 1.0) if name == "slo.attainment" else high]


def _cost(cost: Cost, requests: Mapping[str, Any], horizon_s: float) -> dict[str, Any]:
    usd = cost.total_usd
    by_request = bool(np.isfinite(cost.request_usd).any())
    return {
        "total_usd": usd,
        "usd_per_hour": None if usd is None else ratio(usd * 3600.0, horizon_s),
        "usd_per_1k_requests": None if usd is None else ratio(usd * 1e3, requests["completed"]),
        "usd_per_1m_output_tokens": None if usd is None else ratio(usd * 1e6, requests["output_tokens"]),
        "usd_per_correct": None,
        "by_line": {"api": usd} if by_request else {},
        "by_strategy": {"direct": usd} if by_request else {},
        "by_window": {},
    }


def _strategies(rows: pd.DataFrame) -> dict[str, Any]:
    done = rows[rows["status"] == "completed"]
    tokens = float(done["output_tokens"].mean()) if len(done) else None
    share = 1.0 if len(done) else None
    return {"direct": {"share": share, "accuracy": None, "expected_accuracy": None, "mean_output_tokens": tokens}}


def _streams(
    streams: Sequence[Stream], rows: pd.DataFrame, measured: pd.DataFrame, met: np.ndarray[Any, Any], seconds: float
) -> dict[str, Any]:
    found = {}
    for stream in streams:
        mine, own = rows[rows["stream"] == stream.name], (measured["stream"] == stream.name).to_numpy()
        counts = _requests(mine)
        good = float(met[own].sum())
        found[stream.name] = {
            **{name: counts[name] for name in ("offered", "completed", "timed_out", "failed", "rejected")},
            "latency": latency_section(measured[own]),
            "slo": {"attainment": ratio(good, float(own.sum())), "goodput_rps": ratio(good, seconds)},
            "quality": _UNKNOWN_QUALITY,
        }
    return found


def _hit_share(rows: pd.DataFrame) -> float | None:
    """Share of the prompt tokens found in a cache, where the server says so."""
    known = rows[rows["cached_tokens"].notna()]
    return ratio(float(known["cached_tokens"].sum()), float(known["prompt_tokens"].sum())) if len(known) else None
