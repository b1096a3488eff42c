"""A run so long that memory or time which grew with it would show. `python -m benchmarks.long_run REQUESTS`."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from time import perf_counter
from typing import Any

from benchmarks.cases import CASES, scenario_of
from benchmarks.clocks import one_core
from sim.simulation import Progress, simulate

__all__ = ["long_run"]

TENTH = 20
"""Progress is reported 200 times in a run."""


def long_run(requests: int) -> dict[str, Any]:
    """Figures of a run of 8 replicas in a process of its own: rates and peak memory, early and at the end."""
    command = [sys.executable, "-m", "benchmarks.long_run", str(requests)]
    figures: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return figures


def _measure(requests: int) -> dict[str, Any]:
    scenario = scenario_of(CASES[1], requests)
    seen: list[tuple[float, int, float]] = []

    def note(progress: Progress) -> None:
        seen.append((perf_counter(), progress.requests, _peak_gb()))

    with one_core():
        summary = simulate(scenario, progress=note).summary
    return {
        "requests": summary["requests"]["offered"],
        "wall_s": summary["speed"]["wall_s"],
        "requests_per_s": summary["speed"]["requests_per_s"],
        "first_tenth_rps": _rate(seen[: TENTH + 1]),
        "last_tenth_rps": _rate(seen[-TENTH - 1 :]),
        "first_tenth_peak_gb": seen[TENTH][2],
        "peak_gb": _peak_gb(),
    }


def _rate(seen: list[tuple[float, int, float]]) -> float:
    (begin_s, before, _), (end_s, after, _) = seen[0], seen[-1]
    return (after - before) / (end_s - begin_s)


def _peak_gb() -> float:
    """Most memory the process has held, in 1e9 bytes; Linux counts in KiB, macOS in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]))))
