"""What a what-if takes: `nightshift compare` as a whole command, with machine code in the cache."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

__all__ = ["DAY", "comparing"]

DAY = """
name: day
horizon: 24h
warm_up: 30m
seed: 7
models: [Llama-3.1-8B]
workload:
  - name: chat
    arrivals: {kind: daily, mean_rps: 10, peak_hour: 14, amplitude: 0.6, burstiness_cv: 1.5}
    lengths: {kind: lognormal, prompt_median: 900, prompt_sigma: 1.0, output_median: 150, output_sigma: 0.8}
    slo: {ttft: 1s, e2e: 30s}
fleet:
  - name: h100
    gpu: H100-SXM
    model: Llama-3.1-8B
    replicas: 2
    offer: {kind: reserved, usd_per_gpu_hour: 2.10}
"""
"""A day at ten requests a second, 864,000 of them, on two H100s."""


def comparing(runs: int, replications: tuple[int, ...] = (1, 3, 5)) -> dict[str, dict[str, float]]:
    """By what is run the median wall and CPU seconds of the whole command, and the load of the machine after it.

    `nothing` is a comparison of ten simulated seconds: what starting up takes.
    """
    with tempfile.TemporaryDirectory(prefix="nightshift-bench-") as folder:
        day = Path(folder, "day.yaml")
        day.write_text(DAY, encoding="utf-8")
        compare: tuple[str, ...] = ("compare", str(day), "--set-b", "fleet.h100.replicas=3")
        short = (*compare, "--set", "horizon=10s", "--set", "warm_up=0s")
        _took_s(*short)
        cases: dict[str, tuple[str, ...]] = {"ten simulated seconds": short}
        cases |= {f"two days, replications {n}": (*compare, "--replications", str(n)) for n in replications}
        return {name: _figures(arguments, runs) for name, arguments in cases.items()}


def _figures(arguments: tuple[str, ...], runs: int) -> dict[str, float]:
    took = [_took_s(*arguments) for _ in range(runs)]
    return {
        "wall_s": median(wall_s for wall_s, _ in took),
        "best_wall_s": min(wall_s for wall_s, _ in took),
        "cpu_s": median(cpu_s for _, cpu_s in took),
        "load": os.getloadavg()[0],
    }


def _took_s(*arguments: str) -> tuple[float, float]:
    """Wall time, and time on cores, of a command."""
    command = [sys.executable, "-c", "from sim.cli import main; main()", *arguments]
    begun, begun_s = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall_s, done = perf_counter() - begun_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, done.ru_utime + done.ru_stime - begun.ru_utime - begun.ru_stime
