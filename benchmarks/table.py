"""The figures as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from benchmarks.cases import LOAD
from benchmarks.serving import Serving

__all__ = ["calibration_table", "long_table", "serving_table", "startup_table"]

COLUMNS = ("", "M req/s", "median", "CPU s", "batch", "ns", "workload", "engine", "rest", "bare", "share")

PLAIN: dict[str, Any] = {"box": None, "title_justify": "left", "caption_justify": "left", "pad_edge": False}


def serving_table(rows: Sequence[Serving]) -> Table:
    """Rates, and the parts of a request's time."""
    title = f"Serving on one core, load {LOAD:g} of saturation ({rows[0].saturation_rps:.1f} req/s a replica)"
    caption = (
        "M req/s: best of all runs. ns a request: the whole, its parts, the bare reference loop; share of its speed"
    )
    table = Table(title=title, caption=caption, **PLAIN)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "" else "right", no_wrap=column != "")
    for row in rows:
        table.add_row(row.case, *_cells(row))
    return table


def _cells(row: Serving) -> list[str]:
    parts = (row.whole_ns, row.workload_ns, row.engine_ns, row.rest_ns, row.bare_ns)
    return [
        f"{row.best_rps / 1e6:.2f}",
        f"{row.median_rps / 1e6:.2f}",
        f"{row.cpu_s:.2f}",
        f"{row.mean_outstanding:.0f}",
        *(f"{part:.0f}" for part in parts),
        f"{row.share_of_bare:.0%}",
    ]


def startup_table(figures: Mapping[str, float]) -> Table:
    """Wall times of the command."""
    table = Table(title="What a user waits for", **PLAIN)
    table.add_column("command")
    table.add_column("seconds", justify="right")
    for name, seconds in figures.items():
        table.add_row(name, f"{seconds:.2f}")
    return table


def long_table(figures: Mapping[str, Any]) -> Table:
    """Rate and memory of the long run."""
    table = Table(title=f"A long run: {figures['requests']:,} requests, 8 replicas, {figures['wall_s']:.1f} s", **PLAIN)
    for column in ("", "first tenth", "last tenth", "whole run"):
        table.add_column(column, justify="left" if column == "" else "right")
    rates = (figures[name] for name in ("first_tenth_rps", "last_tenth_rps", "requests_per_s"))
    table.add_row("M req/s", *(f"{rate / 1e6:.2f}" for rate in rates))
    table.add_row("peak memory, GB", f"{figures['first_tenth_peak_gb']:.3f}", "", f"{figures['peak_gb']:.3f}")
    return table


def calibration_table(figures: Mapping[str, float]) -> Table:
    """What fitting and predicting measurements takes."""
    table = Table(title=f"Measurements: {figures['figures']:,} figures", **PLAIN)
    table.add_column("")
    table.add_column("seconds", justify="right")
    table.add_row("calibrate, errors held out", f"{figures['calibrate_s']:.1f}")
    table.add_row("calibrate --quick", f"{figures['calibrate_quick_s']:.1f}")
    table.add_row(f"validate, {figures['figures_per_s']:,.0f} figures a second", f"{figures['validate_s']:.1f}")
    return table
