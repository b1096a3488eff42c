"""How well a sweep uses cores: many points of a small scenario by one process and by several, and kept runs again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, scenario_of
from sim.load import dump_scenario
from sim.runs import Store, executor_of
from sim.sweep.sweep import Plan, Sweep, swept

__all__ = ["sweeping"]

_REQUESTS = 20_000
"""Of each run: some thirty milliseconds."""


def sweeping(points: int, replications: int, workers: int) -> dict[str, Any]:
    """Seconds of the same sweep, from begin to end, with one process, with `workers`, and with all runs kept.

    Efficiency is the time of one process over that of several, times their number; what it takes to start them counts.
    """
    with tempfile.TemporaryDirectory(prefix="nightshift-bench-") as folder:
        file, store = Path(folder) / "sweep.yaml", Store(Path(folder) / "runs")
        file.write_text(dump_scenario(scenario_of(CASES[0], _REQUESTS)), encoding="utf-8")
        # Machine code at hand, as it is in the midst of a sweep.
        swept(file, _plan(2, 1), executor_of(workers=1))
        plan = _plan(points, replications)
        one = swept(file, plan, executor_of(workers=1))
        several = swept(file, plan, executor_of(workers=workers), store=store)
        again = swept(file, plan, executor_of(workers=workers), store=store)
    return {
        "points": points,
        "replications": replications,
        "workers": workers,
        "one_s": one.wall_s,
        "several_s": several.wall_s,
        "efficiency": one.wall_s / (workers * several.wall_s),
        "kept_s": again.wall_s,
        "kept_run": again.fresh,
        "alike": _values(one) == _values(several) == _values(again),
    }


def _plan(points: int, replications: int) -> Plan:
    """Points with other prices and so other bills, all of which take about the same time."""
    vary = f"fleet.0.offer.usd_per_gpu_hour=1:{1 + 0.001 * (points - 1):.3f}:0.001"
    return Plan((vary,), overrides=(f"replications={replications}",))


def _values(sweep: Sweep) -> list[bytes]:
    return [answer.values.tobytes() for answer in sweep.answers]
