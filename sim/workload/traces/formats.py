"""Trace formats: which columns they have, how they count time, and how to tell them apart."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np

from sim.errors import TraceError, one_of
from sim.scenario.demand import TraceFormat

__all__ = ["FORMATS", "Format", "detect_format", "format_named", "split_fields"]


@dataclass(frozen=True)
class Format:
    """A layout of trace files: one request a row, as CSV with a header line or as JSON objects."""

    name: TraceFormat
    columns: Mapping[str, str]
    """Name in the file of each column we read, by our name; the first three must be there."""
    optional: Mapping[str, str] = field(default_factory=dict)
    ticks_per_s: float = 1.0
    """Units of the time column in a second."""
    time_type: type = np.float64
    """int64 for calendar times, which count from the first request; float64 for times kept as written."""
    json_lines: bool = False
    chain: str | None = None
    """Key of the list of blocks that a prompt consists of, each named after all text up to its end."""
    in_sessions: bool = False
    """Whether the rows of a context have a clock of their own, which begins at 0."""

    def column_name(self, ours: str) -> str:
        """The name in the file of one of our columns."""
        return {**self.columns, **self.optional}[ours]

    def shown_time(self, ticks: object) -> object:
        """A time as it stands in the file."""
        if self.time_type is np.int64:
            return str(np.datetime64(int(str(ticks)), "ns")).replace("T", " ")
        return ticks

    def recognises(self, first_line: str) -> bool:
        """Whether a file that begins like this has this format."""
        if self.json_lines:
            return set(self.columns.values()) <= set(_keys(first_line))
        return set(self.columns.values()) <= set(split_fields(first_line))


def _columns(time: str, prompt_tokens: str, output_tokens: str) -> dict[str, str]:
    return {"time": time, "prompt_tokens": prompt_tokens, "output_tokens": output_tokens}


FORMATS = (
    Format(
        "azure",
        _columns("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
        ticks_per_s=1e9,
        time_type=np.int64,
    ),
    Format(
        "mooncake",
        _columns("timestamp", "input_length", "output_length"),
        ticks_per_s=1e3,
        json_lines=True,
        chain="hash_ids",
    ),
    Format("burstgpt", _columns("Timestamp", "Request tokens", "Response tokens")),
    Format(
        "nightshift",
        _columns("arrival_s", "prompt_tokens", "output_tokens"),
        {name: name for name in ("context_id", "question_id", "priority", "version", "prefix_tokens", "keep_tokens")},
    ),
    Format(
        "agentic",
        {
            **_columns("t_s", "input_tokens", "output_tokens"),
            "context_id": "context_id",
            "agent": "agent",
            "prefix_tokens": "shared_prefix_tokens_with_prev",
        },
        in_sessions=True,
    ),
)


def format_named(name: str) -> Format:
    """The format of this name.

    Raises:
        TraceError: where there is none.
    """
    for known in FORMATS:
        if known.name == name:
            return known
    raise TraceError(name, "is not a trace format", one_of(get_args(TraceFormat)))


def detect_format(first_line: str, path: Path) -> Format:
    """The format of a file that begins with this line.

    Raises:
        TraceError: where it looks like none of them.
    """
    for known in FORMATS:
        if known.recognises(first_line):
            return known
    remedy = "give its format, and check that the first line names the columns"
    raise TraceError(first_line, "begins no known trace format", remedy, where=f"{path}:1")


def split_fields(line: str) -> list[str]:
    """Fields of a CSV line, stripped; a line that is no CSV is one field."""
    try:
        return [name.strip() for name in next(csv.reader([line]), [])]
    except csv.Error:
        return [line]


def _keys(line: str) -> list[str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return []
    return list(row) if isinstance(row, dict) else []
