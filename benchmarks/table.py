"""The figures as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from benchmarks.cases import LOAD
from benchmarks.serving import Serving

__all__ = [
    "beside_sleep_table",
    "calibration_table",
    "choosing_table",
    "comparing_table",
    "fleet_tables",
    "long_table",
    "month_table",
    "routing_tables",
    "serving_table",
    "startup_table",
]

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
    parts = (row.whole_ns, row.workload_ns, row.engine_ns, row.rest_ns)
    return [
        f"{row.best_rps / 1e6:.2f}",
        f"{row.median_rps / 1e6:.2f}",
        f"{row.cpu_s:.2f}",
        f"{row.mean_outstanding:.0f}",
        *(f"{part:.0f}" for part in parts),
        "-" if row.bare_ns is None else f"{row.bare_ns:.0f}",
        "-" if row.share_of_bare is None else f"{row.share_of_bare:.0%}",
    ]


def comparing_table(figures: Mapping[str, Mapping[str, float]]) -> Table:
    """Wall and CPU times of whole commands."""
    caption = (
        "with machine code in the cache; CPU s: of all cores; load: mean of the last minute, this command's own in it"
    )
    table = Table(title="nightshift compare, whole commands", caption=caption, **PLAIN)
    for column in ("", "median s", "best s", "CPU s", "load"):
        table.add_column(column, justify="left" if column == "" else "right", no_wrap=True)
    for name, row in figures.items():
        table.add_row(name, *(f"{row[key]:.2f}" for key in ("wall_s", "best_wall_s", "cpu_s", "load")))
    return table


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


def fleet_tables(figures: Mapping[str, Any]) -> list[Table]:
    """What each fleet came to, how it differs from the first, and how its servers followed the load."""
    return [_fleets(figures), _differences(figures), _by_hour(figures)]


def _fleets(figures: Mapping[str, Any]) -> Table:
    title = f"A day of {figures['requests']:,.0f} ServeGen requests, {figures['replications']} replications"
    caption = "mean ± half its 95 % interval; worst hour: lowest share of promises kept in one"
    table = Table(title=title, caption=caption, **PLAIN)
    headings = ("fleet", "USD", "SLO kept, %", "worst hour, %", "goodput, req/s", "TTFT p99, s", "launches", "most")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "fleet" else "right")
    for name, row in figures["fleets"].items():
        table.add_row(
            name,
            _told(row["usd"], ",.0f"),
            _told(row["attainment"], ".2f", 100.0),
            _told(row["worst_hour"], ".1f", 100.0),
            _told(row["goodput_rps"], ".2f"),
            _told(row["ttft_p99_s"], ".2f"),
            f"{row['starts']:.0f}",
            f"{row['peak_servers']}",
        )
    return table


def _differences(figures: Mapping[str, Any]) -> Table:
    title = f"Less '{figures['against']}', paired by replication, with 95 % intervals"
    table = Table(title=title, **PLAIN)
    for heading in ("fleet", "USD", "%", "SLO kept, points", "TTFT p99, s"):
        table.add_column(heading, justify="left" if heading == "fleet" else "right", no_wrap=True)
    usd = figures["fleets"][figures["against"]]["usd"]["mean"]
    for name, row in figures["differences"].items():
        table.add_row(
            name,
            _between(row["usd"], "+,.0f"),
            f"{row['usd']['mean'] / usd:+.0%}",
            _between(row["attainment"], "+.2f", 100.0),
            _between(row["ttft_p99_s"], "+.2f"),
        )
    return table


def _by_hour(figures: Mapping[str, Any]) -> Table:
    table = Table(title="Load and servers paid for, by the hour", **PLAIN)
    for heading in ("hour", *(name if name != "rps" else "req/s" for name in figures["by_hour"])):
        table.add_column(heading, justify="right")
    for hour, values in enumerate(zip(*figures["by_hour"].values(), strict=True)):
        table.add_row(str(hour), *(f"{value:.1f}" for value in values))
    return table


def _told(figure: Mapping[str, float], form: str, factor: float = 1.0) -> str:
    mean, width = factor * figure["mean"], factor * (figure["high"] - figure["mean"])
    return f"{mean:{form}} ± {width:{form}}"


def _between(figure: Mapping[str, float], form: str, factor: float = 1.0) -> str:
    mean, low, high = (factor * figure[name] for name in ("mean", "low", "high"))
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"


def beside_sleep_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Latencies of requests without sleep-time work and beside it, and how much of that was done."""
    title = "Two H100s with Llama-3.1-8B: the same requests alone -> beside sleep-time work, ms"
    caption = "asleep: sleep-time work as a share of what the GPUs can do at their best; jobs of 4,000 + 500 tokens"
    table = Table(title=title, caption=caption, **PLAIN)
    for heading in ("load", "TTFT p50", "TTFT p99", "TPOT p50", "TPOT p99", "jobs", "asleep"):
        table.add_column(heading, justify="right")
    for row in rows:
        cells = (_pair(row[name][percent]) for name in ("ttft_s", "tpot_s") for percent in ("p50", "p99"))
        table.add_row(f"{row['load']:.0%}", *cells, f"{row['jobs']:,}", f"{row['asleep_share']:.1%}")
    return table


def choosing_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """What a request costs the engine with so many strategies to choose from; one is none to choose from."""
    table = Table(title="Choosing strategies as requests arrive, engine alone, one core", **PLAIN)
    for heading in ("", "strategies", "M req/s", "ns", "ratio"):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for row in rows:
        rate = f"{row['requests_per_s'] / 1e6:.2f}"
        table.add_row(row["case"], str(row["strategies"]), rate, f"{row['ns']:.0f}", f"{row['ratio']:.2f}")
    return table


def _pair(figure: Mapping[str, float]) -> str:
    return f"{1e3 * figure['alone']:.1f} -> {1e3 * figure['beside']:.1f} ({figure['growth']:+.1%})"


def month_table(figures: Mapping[str, Any]) -> Table:
    """Rate and memory of the month, tenth by tenth."""
    title = (
        f"{figures['scenario']}: {figures['requests']:,} requests of {figures['days']:.1f} days in"
        f" {figures['wall_s']:.0f} s, {figures['requests_per_s'] / 1e6:.2f} M req/s, peak {figures['peak_gb']:.3f} GB"
    )
    table = Table(title=title, caption="GB: resident memory at the end of each tenth of the requests", **PLAIN)
    table.add_column("tenth")
    for tenth in range(1, len(figures["tenths"]) + 1):
        table.add_column(str(tenth), justify="right")
    table.add_row("M req/s", *(f"{tenth['requests_per_s'] / 1e6:.2f}" for tenth in figures["tenths"]))
    table.add_row("GB", *(f"{tenth['resident_gb']:.3f}" for tenth in figures["tenths"]))
    return table


def routing_tables(figures: Mapping[str, Any]) -> list[Table]:
    """Rates of blocks, and times of single decisions."""
    title = f"Routing on one core: {figures['strategies']} strategies, {figures['features']} features"
    rates, times = Table(title=title, **PLAIN), Table(title="One request at a time, ms", **PLAIN)
    for table, columns in (
        (rates, ("", "requests/s", "a CPU second")),
        (times, ("", "p50", "p99", "CPU p50", "CPU p99")),
    ):
        for column in columns:
            table.add_column(column, justify="left" if column == "" else "right")
    for name, row in figures["figures"].items():
        if "requests_per_s" in row:
            rates.add_row(name, f"{row['requests_per_s']:,.0f}", f"{row['requests_per_cpu_s']:,.0f}")
        else:
            keys = ("p50_ms", "p99_ms", "cpu_p50_ms", "cpu_p99_ms")
            times.add_row(name, *(f"{row[key]:.3f}" for key in keys))
    return [rates, times]
