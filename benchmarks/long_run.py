"""A run so long that memory or time which grew with it would show. `python -m benchmarks.long_run REQUESTS`."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from time import perf_counter
from typing import Any, NamedTuple

from benchmarks.cases import CASES, scenario_of
from benchmarks.clocks import one_core
from sim.simulation import Progress, simulate

__all__ = ["Seen", "first_with", "long_run", "peak_gb"]


class Seen(NamedTuple):
    """A progress report: when it came, requests arrived by then, most memory held by then."""

    at_s: float
    requests: int
    peak_gb: float


def long_run(requests: int) -> dict[str, Any]:
    """Figures of a run of 8 replicas in a process of its own: rates and peak memory, early and at the end."""
    command = [sys.executable, "-m", "benchmarks.long_run", str(requests)]
    figures: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return figures


def _measure(requests: int) -> dict[str, Any]:
    scenario = scenario_of(CASES[1], requests)
    seen: list[Seen] = []

    def note(progress: Progress) -> None:
        seen.append(Seen(perf_counter(), progress.requests, peak_gb()))

    with one_core():
        summary = simulate(scenario, progress=note).summary
    tenth, nine_tenths = (first_with(seen, share * seen[-1].requests) for share in (0.1, 0.9))
    return {
        "requests": summary["requests"]["offered"],
        "wall_s": summary["speed"]["wall_s"],
        "requests_per_s": summary["speed"]["requests_per_s"],
        "first_tenth_rps": _rate(seen[0], tenth),
        "last_tenth_rps": _rate(nine_tenths, seen[-1]),
        "first_tenth_peak_gb": tenth.peak_gb,
        "peak_gb": peak_gb(),
    }


def first_with(seen: list[Seen], requests: float) -> Seen:
    """The first report by which so many requests had arrived; reports are not evenly spaced."""
    return next(report for report in seen if report.requests >= requests)


def _rate(begin: Seen, end: Seen) -> float:
    return (end.requests - begin.requests) / (end.at_s - begin.at_s)


def peak_gb() -> float:
    """Most memory the process has held, in 1e9 bytes; Linux counts in KiB, macOS in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]))))
