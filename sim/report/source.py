"""What a report is made of: a saved results folder, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sim.errors import InputError
from sim.report.clock import Clock
from sim.saved import SavedResults, load_results
from sim.scenario.quantities import format_duration, parse_duration

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["COLUMNS", "METRICS", "Source", "load_source"]

METRICS = {"ttft_s": "ttft", "tpot_s": "tpot", "e2e_s": "e2e"}
"""Latencies in the tables, by the name of their objective in the scenario."""

COLUMNS: dict[str, tuple[str, ...]] = {
    "buckets": (
        *("replication", "pool", "begin_s", "end_s", "completed", "running", "waiting", "kv_used_share"),
        *("prompt_tokens", "cached_tokens"),
        *("busy_s", "idle_s", "starting_s", "draining_s", "down_s", "off_s"),
        *("busy_usd", "unused_usd", "api_usd", "other_usd", "kwh", "carbon_kg"),
        *("accepting_replicas", "starting_replicas", "window"),
        *("usd_per_gpu_hour", "input_usd_per_1m", "output_usd_per_1m"),
    ),
    "streams": (
        *("replication", "stream", "begin_s", "end_s", "offered", "completed", "rejected", "timed_out", "failed"),
        *("measured_ended", "measured_met", "known", "correct", "asked", "hits", "stale", "late", "expired"),
    ),
    "ledger": ("replication", "line", "pool", "stream", "window", "usd"),
    "latency": ("stream", "metric", "begin_s", "end_s", "requests"),
}
"""The columns that a report reads, by table."""

_TEXTS = {"pool", "stream", "line", "window", "metric"}

_KEYS = {
    "requests": ("offered", "completed", "rejected", "timed_out", "failed", "unfinished", "rejected_by"),
    "cost": ("total_usd", "by_line", "by_pool", "by_stream", "allocated"),
    "fleet": ("step_times",),
    "energy": ("kwh", "carbon_kg"),
    "slo": ("attainment",),
    "quality": ("accuracy",),
    "strategies": (),
    "sleep": (),
    "latency": tuple(METRICS),
    "streams": (),
    "intervals": (),
    "speed": (),
}
_AGAIN = "run the scenario again with `nightshift simulate --out`"


@dataclass(frozen=True)
class Source:
    """A results folder in memory; what is in `scenario` are plain values of its YAML."""

    summary: dict[str, Any]
    scenario: dict[str, Any]
    scenario_text: str
    buckets: pd.DataFrame
    streams: pd.DataFrame
    ledger: pd.DataFrame
    latency: pd.DataFrame

    @property
    def replications(self) -> int:
        """Independent runs behind the figures."""
        return int(self.summary["replications"])

    @cached_property
    def clock(self) -> Clock:
        """The scenario's local time."""
        return Clock.of(self.scenario["start"], self.scenario["time_zone"])

    @cached_property
    def bucket_s(self) -> float:
        """Width of a bucket of the tables; a second where all took no time."""
        widths = self.buckets["end_s"] - self.buckets["begin_s"]
        return float(widths.max()) if len(widths) and widths.max() > 0.0 else 1.0

    @property
    def bucket(self) -> str:
        """The same in words."""
        return format_duration(round(self.bucket_s, 3))

    @property
    def end_s(self) -> float:
        """Where the tables end."""
        return float(self.buckets["end_s"].max()) if len(self.buckets) else 0.0

    @cached_property
    def pools(self) -> list[str]:
        """Names of the pools, as the scenario lists them."""
        return [str(pool["name"]) for pool in self.scenario["fleet"]]

    def pools_of(self, kind: str) -> list[str]:
        """Names of the pools of kind `gpu` or `api`."""
        return [str(pool["name"]) for pool in self.scenario["fleet"] if pool.get("kind", "gpu") == kind]

    @cached_property
    def stream_names(self) -> list[str]:
        """Names of the streams, as the scenario lists them."""
        return [str(stream["name"]) for stream in self.scenario["workload"]]

    @cached_property
    def objectives(self) -> dict[str, dict[str, float]]:
        """What each stream was promised: seconds by metric of the tables, as far as given."""
        return {str(stream["name"]): _objectives(stream.get("slo") or {}) for stream in self.scenario["workload"]}

    @property
    def has_objectives(self) -> bool:
        """Whether any stream was promised anything."""
        return any(self.objectives.values())


def _objectives(slo: Mapping[str, Any]) -> dict[str, float]:
    given = {metric: slo.get(key) for metric, key in METRICS.items()}
    return {metric: parse_duration(value) for metric, value in given.items() if value is not None}


def load_source(folder: Path) -> Source:
    """Read a results folder.

    Raises:
        InputError: where it is none, is of a version without what a report needs, or cannot be read.
    """
    results = load_results(folder)
    _check_summary(folder, results.summary)
    text, scenario = _scenario(folder)
    tables = {name: _table(folder, results, name) for name in COLUMNS}
    return Source(results.summary, scenario, text, **tables)


def _check_summary(folder: Path, summary: Any) -> None:
    if not isinstance(summary, dict) or "scenario" not in summary or "replications" not in summary:
        raise InputError(folder / "summary.json", "is not the summary of a simulation", _AGAIN)
    for section, keys in _KEYS.items():
        missing = [key for key in keys if key not in summary.get(section, {})]
        if section not in summary or missing:
            lacks = f"{section}.{missing[0]}" if missing else section
            raise _of_an_older_version(folder, f"summary.json has no {lacks}")


def _scenario(folder: Path) -> tuple[str, dict[str, Any]]:
    file = folder / "scenario.yaml"
    try:
        text = file.read_text(encoding="utf-8")
        scenario = yaml.safe_load(text)
        whole = isinstance(scenario, dict) and all(_named(scenario.get(key)) for key in ("workload", "fleet"))
    except (OSError, ValueError, yaml.YAMLError):
        whole = False
    if not whole:
        raise InputError(file, "is not there, or not the scenario of these results", _AGAIN)
    return text, {"start": "2026-01-05T00:00:00", "time_zone": "UTC"} | scenario


def _named(parts: Any) -> bool:
    """True for a list of streams or pools, each with a name."""
    return isinstance(parts, list) and bool(parts) and all(isinstance(part, dict) and "name" in part for part in parts)


def _table(folder: Path, results: SavedResults, name: str) -> pd.DataFrame:
    file = folder / f"{name}.parquet"
    if not file.is_file():
        raise _of_an_older_version(folder, f"{file.name} is missing")
    try:
        frame = results.table(name)
    except (OSError, ValueError) as error:
        raise InputError(file, f"cannot be read as a table: {error}", _AGAIN) from None
    missing = [column for column in COLUMNS[name] if column not in frame]
    if missing:
        raise _of_an_older_version(folder, f"{file.name} has no column {missing[0]}")
    return _typed(file, frame[list(COLUMNS[name])])


def _typed(file: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Numbers as floats, also in a column that holds none at all and so has lost its type; texts as they are."""
    numbers = [column for column in frame if column not in _TEXTS]
    try:
        return frame.astype(dict.fromkeys(frame.columns, "object") | dict.fromkeys(numbers, "float64"))
    except (TypeError, ValueError) as error:
        raise InputError(file, f"holds something else than numbers: {error}", _AGAIN) from None


def _of_an_older_version(folder: Path, lack: str) -> InputError:
    return InputError(folder, f"holds results of another version of Nightshift ({lack})", _AGAIN)
