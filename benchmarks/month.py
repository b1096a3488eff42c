"""`scenarios/month.yaml` in a process of its own: rate and memory. `python -m benchmarks.month [HORIZON]`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from benchmarks.long_run import peak_gb
from sim.load import load_scenario
from sim.simulation import Progress, simulate

__all__ = ["Report", "month", "tenths"]

SCENARIO = Path(__file__).parents[1] / "scenarios" / "month.yaml"
TENTHS = 10


class Report(NamedTuple):
    """A progress report: when it came, requests arrived by then, memory held then."""

    at_s: float
    requests: int
    resident_gb: float


def month(horizon: str | None = None) -> dict[str, Any]:
    """Requests, wall time, rate and memory of the month, or of as much of it as `horizon` says (`3d`)."""
    command = [sys.executable, "-m", "benchmarks.month", *([] if horizon is None else [horizon])]
    figures: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return figures


def _measure(overrides: list[str]) -> dict[str, Any]:
    scenario = load_scenario(SCENARIO, overrides)
    reports: list[Report] = []

    def note(progress: Progress) -> None:
        # Held now, not the most so far: memory that is given back and taken again must show.
        reports.append(Report(perf_counter(), progress.requests, _resident_gb()))

    summary = simulate(scenario, progress=note).summary
    return {
        "scenario": scenario.name,
        "requests": summary["requests"]["offered"],
        "days": summary["horizon_s"] / 86_400.0,
        "wall_s": summary["speed"]["wall_s"],
        "requests_per_s": summary["speed"]["requests_per_s"],
        "peak_gb": peak_gb(),
        "tenths": tenths(reports),
    }


def tenths(reports: list[Report]) -> list[dict[str, float]]:
    """Requests a second of wall time in each tenth of the requests, and the memory held at its end."""
    total, before, found = reports[-1].requests, reports[0], []
    for tenth in range(1, TENTHS + 1):
        end = next(report for report in reports if report.requests * TENTHS >= total * tenth)
        rate = (end.requests - before.requests) / max(end.at_s - before.at_s, 1e-9)
        found.append({"requests_per_s": rate, "resident_gb": end.resident_gb})
        before = end
    return found


def _resident_gb() -> float:
    """Memory the process holds now, in 1e9 bytes; where the system does not tell, the most it has held."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return peak_gb()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024 / 1e9


if __name__ == "__main__":
    print(json.dumps(_measure([f"horizon={horizon}" for horizon in sys.argv[1:]])))
