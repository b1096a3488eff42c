"""How far the figures can be trusted, in words."""

from __future__ import annotations

from typing import Any

from sim import wording as words
from sim.report.chart import Table
from sim.report.source import Source

__all__ = ["run_facts", "trust_table"]

_STANDINGS = {
    "measured": "measured on this very setup",
    "calibrated": "fitted to measurements of like setups",
    "assumed": "assumed from data sheets: nothing like it was measured, so hold the times for rough",
    "own file": "from a file of your own",
}


def trust_table(source: Source) -> Table:
    """Where the step times of each pool come from, and how far off they were where that was tested."""
    times: dict[str, dict[str, Any]] = source.summary["fleet"]["step_times"]
    rows = [
        (
            pool,
            _STANDINGS.get(trust["standing"], trust["standing"]),
            trust["basis"],
            words.trust_errors(trust) or "not known",
        )
        for pool, trust in times.items()
    ]
    columns = ("pool", "step times are", "based on", "errors")
    return Table(columns, rows, prose=columns[1:])


def run_facts(source: Source) -> list[tuple[str, str]]:
    """How the run was made: name and value."""
    summary, fleet, requests = source.summary, source.summary["fleet"], source.summary["requests"]
    speed = summary["speed"]
    facts = [
        ("Seed of all randomness", str(summary["seed"])),
        ("Independent replications", words.count(source.replications)),
        ("Warm-up, left out of latencies and objectives", words.hours((summary.get("warm_up_s") or 0.0) / 3600.0)),
        ("Simulated in", words.seconds(speed.get("wall_s"))),
        ("Requests simulated a second", words.count(speed.get("requests_per_s"))),
        ("Most replicas at a time", words.count(fleet.get("peak_replicas"))),
        ("Replicas launched", words.count(fleet.get("starts"))),
        ("Replicas taken back by the provider", words.count(fleet.get("reclaims"))),
        ("Replicas failed", words.count(fleet.get("failures"))),
        ("Attempts, with those sent again", words.count(requests.get("attempts"))),
        ("Set back for want of memory (preemptions)", words.count(requests.get("preemptions"))),
        ("Bad rows of traces skipped", words.count(requests.get("skipped_rows"))),
    ]
    return [(name, value) for name, value in facts if value not in ("-", "0")]
