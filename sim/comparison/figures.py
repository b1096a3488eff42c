"""The headline figures of both sides, and their differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sim.comparison.paired import Better, difference, pairing_gain, verdict_of
from sim.headline import gpus_of
from sim.replication import Replication
from sim.scenario import Scenario
from sim.stats import mean_of_known
from sim.tally import Tally, figures

__all__ = ["FIGURES", "HOURS_A_MONTH", "TOTALS", "Measure", "compared_figures", "figures_of", "of_streams"]

HOURS_A_MONTH = 730.5
"""A year of 365.25 days, over twelve."""


class Measure(NamedTuple):
    """A figure that is compared."""

    name: str
    label: str
    unit: str
    """usd, share, seconds, rate or number: how it is told."""
    better: Better


FIGURES = (
    Measure("cost.usd_per_month", "cost a month", "usd", "lower"),
    Measure("cost.usd_per_hour", "cost an hour", "usd", "lower"),
    Measure("cost.total_usd", "cost of the run", "usd", "lower"),
    Measure("cost.usd_per_1k_requests", "per 1,000 requests", "usd", "lower"),
    Measure("cost.usd_per_correct", "per 1,000 right answers", "usd_per_1k", "lower"),
    Measure("slo.attainment", "objectives met", "share", "higher"),
    Measure("slo.goodput_rps", "goodput", "rate", "higher"),
    Measure("quality.accuracy", "answers right", "share", "higher"),
    *(
        Measure(f"latency.{key}.{part}", f"{label} {part}", "seconds", "lower")
        for key, label in (("ttft_s", "TTFT"), ("tpot_s", "TPOT"), ("e2e_s", "E2E"))
        for part in ("mean", "p99")
    ),
    Measure("fleet.gpu_hours", "GPU hours", "number", "lower"),
    Measure("fleet.gpus", "GPUs paid for", "number", "lower"),
    Measure("fleet.busy_share", "GPUs busy", "share", "neither"),
    Measure("energy.kwh", "energy, kWh", "number", "lower"),
    Measure("energy.kw", "power, kW", "number", "lower"),
)
TOTALS = ("cost.total_usd", "fleet.gpu_hours", "energy.kwh")
"""Figures that grow with the length of a run."""


def figures_of(scenario: Scenario, run: Replication, streams: Sequence[int]) -> dict[str, float]:
    """The figures of one replication; how requests fared is told of the `streams` alone, money of all."""
    gpus = gpus_of(scenario)
    whole, own = figures(run.tally, gpus), figures(of_streams(run.tally, streams), gpus)
    requests = {name: value for name, value in own.items() if name.startswith(("latency", "slo", "quality"))}
    run_h = float(run.tally.seconds[0]) / 3600.0
    kwh = float(run.energy[:, 0].sum())
    return (
        whole
        | requests
        | {
            "cost.usd_per_month": whole["cost.usd_per_hour"] * HOURS_A_MONTH,
            "fleet.gpus": whole["fleet.gpu_hours"] / run_h if run_h else np.nan,
            "energy.kwh": kwh,
            "energy.kw": kwh / run_h if run_h else np.nan,
        }
    )


def of_streams(tally: Tally, streams: Sequence[int]) -> Tally:
    """The tally of some streams' requests; money and replicas are those of all."""
    mine = list(streams)
    names = ("histogram", "latency_sum_s", "latency_count", "streams", "answers")
    return replace(tally, **{name: getattr(tally, name)[mine] for name in names})


def compared_figures(
    a: Sequence[dict[str, float]], b: Sequence[dict[str, float]], *, totals: bool = True
) -> dict[str, dict[str, Any]]:
    """Each figure that both sides have, from those of their replications; `totals` only if both run equally long."""
    measures = [measure for measure in FIGURES if totals or measure.name not in TOTALS]
    found = {measure.name: _compared(measure, a, b) for measure in measures}
    return {name: figure for name, figure in found.items() if figure is not None}


def _compared(measure: Measure, a: Sequence[dict[str, float]], b: Sequence[dict[str, float]]) -> dict[str, Any] | None:
    mine, others = ([run[measure.name] for run in runs] for runs in (a, b))
    mean_a, mean_b = mean_of_known(mine), mean_of_known(others)
    if mean_a is None and mean_b is None:
        return None
    found = difference(mine, others)
    scale = max(abs(mean_a or 0.0), abs(mean_b or 0.0))
    return {
        "a": mean_a,
        "b": mean_b,
        "difference": found,
        "relative": _over(found["mean"], mean_a),
        "relative_interval": [_over(found["low"], mean_a), _over(found["high"], mean_a)],
        "verdict": verdict_of(found, scale, measure.better),
        "pairing_gain": pairing_gain(mine, others),
    }


def _over(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
