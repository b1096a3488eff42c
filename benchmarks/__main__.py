"""`python -m benchmarks`: measures, prints tables, keeps figures; `--help` tells what can be measured."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.beside_sleep import beside_sleep
from benchmarks.cases import CASES
from benchmarks.choosing import choosing
from benchmarks.clocks import one_core
from benchmarks.comparing import comparing
from benchmarks.long_run import long_run
from benchmarks.measured import calibration_figures
from benchmarks.month import month
from benchmarks.routing import DEFAULT, routing_figures
from benchmarks.servegen import servegen_day
from benchmarks.serving import Serving, measure_serving
from benchmarks.startup import compile_s, help_s, quickstart_s
from benchmarks.table import (
    beside_sleep_table,
    calibration_table,
    choosing_table,
    comparing_table,
    fleet_tables,
    long_table,
    month_table,
    routing_tables,
    serving_table,
    startup_table,
)


def main() -> None:
    """Measure what was asked for."""
    options = _options()
    console = Console() if sys.stdout.isatty() else Console(width=110)
    figures: dict[str, Any] = {}
    if options.routing:
        figures["routing"] = routing_figures(options.routed, options.runs, options.singles, options.router)
        for table in routing_tables(figures["routing"]):
            console.print(table)
    apart = (options.month, options.servegen, options.beside_sleep, options.routing, options.choosing, options.compare)
    if not any(apart):
        figures |= _usual(console, options.requests, options.runs)
    if options.long:
        figures["long"] = long_run(options.long_requests)
        console.print(long_table(figures["long"]))
    if options.measurements:
        figures["measurements"] = calibration_figures(options.measurements)
        console.print(calibration_table(figures["measurements"]))
    if options.month:
        figures["month"] = month(options.month_horizon)
        console.print(month_table(figures["month"]))
    if options.servegen:
        figures["servegen"] = servegen_day(options.servegen, options.replications)
        for table in fleet_tables(figures["servegen"]):
            console.print(table)
    if options.beside_sleep:
        figures["beside_sleep"] = beside_sleep(options.beside_requests, options.slowdown)
        console.print(beside_sleep_table(figures["beside_sleep"]))
    if options.choosing:
        with one_core():
            figures["choosing"] = choosing(options.requests, options.runs)
        console.print(choosing_table(figures["choosing"]))
    if options.compare:
        figures["compare"] = comparing(options.runs)
        console.print(comparing_table(figures["compare"]))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--requests", type=int, default=8_000_000, help="requests of each run (default 8 million)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each case")
    parser.add_argument("--long", action="store_true", help="also the long run: memory and rate over time")
    parser.add_argument("--long-requests", type=int, default=50_000_000, help="its requests (default 50 million)")
    told = "also what calibrating and validating these files and folders takes"
    parser.add_argument("--measurements", type=Path, nargs="+", metavar="PATH", help=told)
    parser.add_argument("--month", action="store_true", help="scenarios/month.yaml, and not what is usual")
    parser.add_argument("--month-horizon", metavar="TIME", help="a shorter one, such as 3d")
    told = "a day of the ServeGen tables in this folder with fixed and scaling fleets, and not what is usual"
    parser.add_argument("--servegen", type=Path, metavar="FOLDER", help=told)
    parser.add_argument("--replications", type=int, default=5, help="of that day (default 5)")
    told = "what requests notice of sleep-time work at three loads, and not what is usual"
    parser.add_argument("--beside-sleep", action="store_true", help=told)
    parser.add_argument("--beside-requests", type=int, default=400_000, help="requests of each load (default 400,000)")
    parser.add_argument("--slowdown", type=float, help="its sleep_slowdown, in place of the default")
    told = "how fast the router is, and not what is usual"
    parser.add_argument("--routing", action="store_true", help=told)
    parser.add_argument("--router", type=Path, default=DEFAULT, metavar="FILE.onnx", help="another than the shipped")
    parser.add_argument("--routed", type=int, default=400_000, help="requests from ready features (default 400,000)")
    parser.add_argument("--singles", type=int, default=20_000, help="requests one at a time (default 20,000)")
    told = "what choosing strategies as requests arrive costs, and not what is usual"
    parser.add_argument("--choosing", action="store_true", help=told)
    parser.add_argument("--compare", action="store_true", help="how long a what-if takes, and not what is usual")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser.parse_args()


def _usual(console: Console, requests: int, runs: int) -> dict[str, Any]:
    serving = _serving(console, requests, runs)
    console.print(serving_table(serving))
    startup_s = _startup()
    console.print(startup_table(startup_s))
    return {"serving": [row.figures() for row in serving], "startup_s": startup_s}


def _serving(console: Console, requests: int, runs: int) -> list[Serving]:
    rows = []
    with one_core(), console.status("measuring") as status:
        for case in CASES:
            status.update(f"measuring: {case.name}")
            rows.append(measure_serving(case, requests, runs))
    return rows


def _startup() -> dict[str, float]:
    return {
        "nightshift --help": help_s(5),
        "nightshift simulate scenarios/quickstart.yaml, warm": quickstart_s(3),
        "compile, once": compile_s(),
    }


if __name__ == "__main__":
    main()
