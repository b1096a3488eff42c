"""What a user waits for: help, a warm run of the quickstart, and the first compile."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

__all__ = ["compile_s", "help_s", "quickstart_s"]

QUICKSTART = str(Path(__file__).parents[1] / "scenarios" / "quickstart.yaml")
SHORT = ("--set", "horizon=1h", "--set", "warm_up=0", "--replications", "1")


def help_s(runs: int) -> float:
    """Median wall time of `nightshift --help`."""
    return median(_wall_s("--help") for _ in range(runs))


def quickstart_s(runs: int) -> float:
    """Median wall time of the quickstart, with machine code in the cache."""
    _wall_s("simulate", QUICKSTART, *SHORT)
    return median(_wall_s("simulate", QUICKSTART) for _ in range(runs))


def compile_s() -> float:
    """Wall time that an empty cache adds to a run."""
    with tempfile.TemporaryDirectory(prefix="nightshift-bench-") as folder:
        cold_s, warm_s = (_wall_s("simulate", QUICKSTART, *SHORT, NIGHTSHIFT_CACHE=folder) for _ in range(2))
    return cold_s - warm_s


def _wall_s(*arguments: str, **environment: str) -> float:
    command = [sys.executable, "-c", "from sim.cli import main; main()", *arguments]
    begun_s = perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | environment)
    return perf_counter() - begun_s
