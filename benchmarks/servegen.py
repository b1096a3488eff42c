"""A day of the ServeGen workload: a fleet sized for its peak against fleets that follow the load.

The day is 24 hours of the table `language-m-large`, from hour 228 on: the rate runs from a fifth of its highest to
all of it and back, clients come in bursts, and half an hour may bring three times the load of the one before. Scaled
to 27 requests a second on average it is served by Llama-3.1-70B on servers of four H100s, which take five minutes to
start. All fleets meet the same requests, replication by replication.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim.replication import Replication
from sim.results import Results
from sim.scenario import GpuPool, Scenario
from sim.simulation import simulate
from sim.stats import estimate, paired_difference
from sim.tally import figures

__all__ = ["FIGURES", "FLEETS", "compare_fleets", "servegen_day"]

TABLE = "language-m-large"
HOUR_S = 3600.0

FIGURES = {
    "usd": "cost.total_usd",
    "attainment": "slo.attainment",
    "goodput_rps": "slo.goodput_rps",
    "ttft_p99_s": "latency.ttft_s.p99",
    "gpu_hours": "fleet.gpu_hours",
}
"""Figures of each replication, by their names in the summary; `worst_hour` besides."""

POOL = {
    "name": "h100",
    "gpu": "H100-SXM",
    "model": "Llama-3.1-70B",
    "tensor_parallel": 4,
    "offer": {"kind": "on-demand", "usd_per_gpu_hour": 2.50},
}
SCALING = {"min": 2, "max": 16, "tick": "30s", "start_up": "5m", "cool_down": "15m"}
FLEETS: dict[str, dict[str, Any]] = {
    "fixed, for the peak": {"replicas": 11},
    "fixed, for the day": {"replicas": 8},
    "queue": {"autoscale": {"kind": "queue", "target_outstanding": 16, "average": "5m", **SCALING}, "replicas": 6},
    "busy": {"autoscale": {"kind": "busy", "target_busy": 0.35, "average": "5m", **SCALING}, "replicas": 6},
    "predictive": {"autoscale": {"kind": "predictive", "rps_per_replica": 4.5, **SCALING}, "replicas": 6},
}
"""The first has the fewest servers that keep 99 % of the promises in the busiest hour; the second, which needs
hindsight, about as many promises of the day as the fleets that scale."""


def servegen_day(
    folder: Path, replications: int = 5, fleets: Mapping[str, Mapping[str, Any]] = FLEETS
) -> dict[str, Any]:
    """Figures of the day for each fleet, and their paired differences from the first; `folder` holds the tables."""
    arrivals = {
        "kind": "clients",
        "path": folder / f"{TABLE}.rates.csv.gz",
        "tokens": folder / f"{TABLE}.tokens.csv.gz",
        "begin": "228h",
        "scale": 0.15,
    }
    day = {
        "name": "servegen-day",
        "horizon": "24h",
        "replications": replications,
        "workload": [{"name": "language", "arrivals": arrivals, "slo": {"ttft": "2s", "tpot": "100ms"}}],
        "forecast": {"error": 0.15, "correlation": "1h"},
    }
    return compare_fleets(day, POOL, fleets)


def compare_fleets(
    fields: Mapping[str, Any], pool: Mapping[str, Any], fleets: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Figures of each fleet with 95 % intervals, their paired differences from the first, and the course of each.

    `fields` are those of the scenario but for its fleet, `fleets` what each changes in the one pool. By the hour are
    given the requests a second and the servers paid for, averaged over the replications.
    """
    runs = {
        name: simulate(Scenario.model_validate({**fields, "bucket": "10m", "fleet": [{**pool, **changes}]}))
        for name, changes in fleets.items()
    }
    by_replication = {name: _by_replication(results) for name, results in runs.items()}
    first, *others = by_replication
    reference = by_replication[first]
    return {
        "replications": len(runs[first].replications),
        "requests": runs[first].summary["requests"]["offered"],
        "against": first,
        "fleets": {
            name: {figure: estimate(values)._asdict() for figure, values in by_replication[name].items()}
            | {"peak_servers": results.summary["fleet"]["peak_replicas"], "starts": results.summary["fleet"]["starts"]}
            | {"requests": [_requests(run) for run in results.replications]}
            for name, results in runs.items()
        },
        "differences": {
            name: {
                figure: paired_difference(values, reference[figure])._asdict()
                for figure, values in by_replication[name].items()
            }
            for name in others
        },
        "by_hour": {"rps": _rps_by_hour(runs[first].replications)}
        | {name: _servers_by_hour(results.replications) for name, results in runs.items()},
    }


def _by_replication(results: Results) -> dict[str, list[float]]:
    (pool,) = results.scenario.fleet
    assert isinstance(pool, GpuPool)
    gpus = np.array([pool.tensor_parallel])
    told = [figures(run.tally, gpus) for run in results.replications]
    found = {name: [figure[key] for figure in told] for name, key in FIGURES.items()}
    return found | {"worst_hour": [_worst_hour(run) for run in results.replications]}


def _requests(run: Replication) -> int:
    return int(run.stream_buckets["offered"].sum())


def _worst_hour(run: Replication) -> float:
    """Lowest share of promises kept in an hour: those kept in it, of the requests that came in it."""
    offered, met = (_summed_by_hour([run], "stream_buckets", (name,)) for name in ("measured_offered", "measured_met"))
    some = offered > 0
    return min(float((met[some] / offered[some]).min()), 1.0)


def _rps_by_hour(runs: Sequence[Replication]) -> list[float]:
    rates: list[float] = (_summed_by_hour(runs, "stream_buckets", ("offered",)) / HOUR_S / len(runs)).tolist()
    return rates


def _servers_by_hour(runs: Sequence[Replication]) -> list[float]:
    paid = ("busy_s", "idle_s", "starting_s", "draining_s")
    servers: list[float] = (_summed_by_hour(runs, "buckets", paid) / HOUR_S / len(runs)).tolist()
    return servers


def _summed_by_hour(runs: Sequence[Replication], table: str, columns: Sequence[str]) -> np.ndarray:
    rows = np.concatenate([getattr(run, table) for run in runs])
    return np.bincount((rows["begin_s"] // HOUR_S).astype(np.int64), sum(rows[column] for column in columns))
