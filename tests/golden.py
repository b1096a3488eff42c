"""Golden summaries of the shipped scenarios; `make golden` writes them anew after a change that is meant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["ALWAYS", "FOLDER", "TRACE", "differences", "golden_summary", "read", "without_speed"]

FOLDER = Path(__file__).parent / "golden"
TRACE = Path(__file__).parents[2] / "shared" / "traces" / "azure-llm-2023-conv.csv.gz"
"""The public trace of `azure-conversation`, where it is at hand."""

STORIES = ("agentic-coding", "small-model-thinks", "lab-day", "lab-router-day")
ROUTED = ("route-by-price-and-load", "what-if-prices-double", "drifting-questions")
PLANNED = ("plan-support-desk", "plan-research-lab")
ALWAYS = (
    *("quickstart", "peak-offpeak", "spot-mix", "month", "sleep-time-paper", "solve-or-verify"),
    *(*STORIES, *ROUTED, *PLANNED),
)
"""Scenarios that need no file; of the longest one day."""

TOLERANCE = 1e-6


def golden_summary(name: str) -> dict[str, Any]:
    """The summary of a shipped scenario as it is now, of the longest the first day or fewer replications."""
    from sim.load import load_scenario
    from sim.simulation import simulate

    shorter = {name: ["horizon=24h"] for name in ("month", "spot-mix")}
    shorter |= {name: ["replications=2"] for name in ("route-by-price-and-load", "what-if-prices-double")}
    shorter |= {name: ["horizon=24h", "replications=2"] for name in PLANNED}
    overrides = ({"azure-conversation": [f"workload.0.arrivals.path={TRACE}"]} | shorter).get(name, [])
    return without_speed(simulate(load_scenario(name, overrides)).summary)


def without_speed(summary: dict[str, Any]) -> dict[str, Any]:
    """The part of a summary that is the same at every run."""
    return {key: value for key, value in summary.items() if key != "speed"}


def read(name: str) -> dict[str, Any]:
    """The golden summary."""
    summary: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return summary


def differences(golden: Any, found: Any, path: str = "") -> Iterator[str]:
    """Where two summaries differ: numbers by more than 1e-6 relative, anything else at all."""
    if isinstance(golden, dict) and isinstance(found, dict):
        for key in sorted(golden.keys() | found.keys()):
            yield from differences(golden.get(key), found.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(golden, list) and isinstance(found, list) and len(golden) == len(found):
        for index, (one, other) in enumerate(zip(golden, found, strict=True)):
            yield from differences(one, other, f"{path}.{index}")
    elif isinstance(golden, int | float) and isinstance(found, int | float):
        if abs(golden - found) > TOLERANCE * max(abs(golden), abs(found)):
            yield f"{path}: {golden} is now {found}"
    elif golden != found:
        yield f"{path}: {golden} is now {found}"


def main() -> None:
    """Write the golden summaries."""
    FOLDER.mkdir(exist_ok=True)
    names = [*ALWAYS, *(["azure-conversation"] if TRACE.is_file() else [])]
    for name in names:
        text = json.dumps(golden_summary(name), indent=2) + "\n"
        (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
