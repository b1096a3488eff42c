"""The figures of each replication of a run, by dotted names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from sim.allocation import pool_usd
from sim.cost import lines_usd
from sim.headline import gpus_of
from sim.replication import Replication
from sim.results import Results
from sim.scenario import ApiPool
from sim.tally import figures

__all__ = ["run_figures"]

_OF_STREAMS = ("latency", "slo", "quality")


def run_figures(results: Results) -> dict[str, list[float]]:
    """Every figure of a run, one value per replication; NaN where there is nothing to measure.

    The headline figures of the summary; `cost.used_usd`, what work has cost without unused time, and the same as
    `cost.used_usd_per_1k_requests` and `cost.used_usd_per_correct`; `cost.by_line.LINE` and `cost.by_pool.POOL`;
    `streams.NAME.` with the latencies, objectives and quality of each stream.
    """
    runs = [dict(_figures(results, run)) for run in results.replications]
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: [float(run.get(name, 0.0)) for run in runs] for name in names}


def _figures(results: Results, run: Replication) -> Iterator[tuple[str, float]]:
    gpus = gpus_of(results.scenario)
    told = figures(run.tally, gpus)
    yield from told.items()
    used, bill = run.charges.total_used_usd, run.charges.total_usd
    share = used / bill if bill else 0.0
    yield "cost.used_usd", used
    for name in ("usd_per_1k_requests", "usd_per_correct"):
        yield f"cost.used_{name}", told[f"cost.{name}"] * share
    yield from _of_bill(results, run)
    for index, stream in enumerate(results.scenario.workload):
        for name, value in figures(run.tally.of_stream(index), gpus).items():
            if name.startswith(_OF_STREAMS):
                yield f"streams.{stream.name}.{name}", value


def _of_bill(results: Results, run: Replication) -> Iterator[tuple[str, float]]:
    lines: defaultdict[str, float] = defaultdict(float)
    for line, usd in lines_usd(run.charges, [isinstance(pool, ApiPool) for pool in results.scenario.fleet]):
        lines[line] += usd
    yield from ((f"cost.by_line.{line}", usd) for line, usd in lines.items())
    for pool, usd in zip(results.scenario.fleet, pool_usd(run.charges).tolist(), strict=True):
        yield f"cost.by_pool.{pool.name}", usd
