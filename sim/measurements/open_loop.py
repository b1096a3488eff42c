"""Open-loop runs: a folder with the times of each request in requests.jsonl and the server's settings in meta.json."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame

from sim.errors import InputError
from sim.hardware import Catalogue
from sim.measurements.faults import Faults
from sim.measurements.kinds import Assumed, OpenLoop
from sim.measurements.settings import read_settings
from sim.measurements.table_file import read_text
from sim.workload.lengths import LONGEST_TOKENS

__all__ = ["is_open_loop", "read_open_loop"]

_TOKENS = {"prompt_tokens": ("prompt_tokens", "input_toks"), "output_tokens": ("output_tokens", "output_toks")}
_INSTANTS = ("queued_ts", "first_token_ts", "last_token_ts")
_REMEDY = "correct the request or leave it out"

_Row = dict[str, Any]


def is_open_loop(folder: Path) -> bool:
    """Whether a folder holds a run."""
    return (folder / "requests.jsonl").is_file()


def read_open_loop(folder: Path, catalogue: Catalogue, assume: Assumed) -> OpenLoop:
    """The run in a folder.

    Raises:
        InputError: for a file that is missing or unreadable, or settings that are missing or unknown; with
            all faults of the requests at once, each with its line.
    """
    settings = read_settings(folder, catalogue, assume)
    return OpenLoop(source=folder.name, requests=_timed(_requests(folder / "requests.jsonl")), **settings._asdict())


def _timed(requests: DataFrame) -> DataFrame:
    """The requests as in `OpenLoop`."""
    ordered = requests.sort_values("queued_ts", kind="stable", ignore_index=True)
    queued, first, last = (ordered[name] for name in _INSTANTS)
    decoded = (ordered["output_tokens"] - 1).astype(np.float64)
    return DataFrame(
        {
            "arrival_s": queued - queued.min(),
            "prompt_tokens": ordered["prompt_tokens"],
            "output_tokens": ordered["output_tokens"],
            "ttft_s": first - queued,
            "tpot_s": (last - first) / decoded.where(decoded > 0),
            "e2e_s": last - queued,
            "waited_s": ordered["scheduled_ts"] - queued,
        }
    )


def _requests(path: Path) -> DataFrame:
    """Tokens and instants of each request, [n]."""
    faults = Faults(path)
    lines = [(number, text) for number, text in enumerate(read_text(path).split("\n"), 1) if text.strip()]
    rows = [row for number, text in lines if (row := _row(text, number, faults))]
    faults.raise_if_any()
    if len(rows) < 2:
        rule = f"holds too few requests ({len(rows)}) to show how a server fares under load"
        raise InputError(path.name, rule, "give at least 2", where=str(path))
    return DataFrame(rows)


def _row(text: str, line: int, faults: Faults) -> _Row | None:
    """Tokens and instants of a request; None where something is wrong with it."""
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        faults.add(line, "", text, "is no JSON", _REMEDY)
        return None
    if not isinstance(request, dict):
        faults.add(line, "", text, "is no JSON object", _REMEDY)
        return None
    tokens = {ours: _tokens(request, names, line, faults) for ours, names in _TOKENS.items()}
    instants = {name: _instant(request, name, line, faults) for name in _INSTANTS}
    scheduled = _instant(request, "scheduled_ts", line, faults) if "scheduled_ts" in request else math.nan
    row = {**tokens, **instants, "scheduled_ts": scheduled}
    return row if None not in row.values() and _in_order(row, line, faults) else None


def _tokens(request: Mapping[str, Any], names: tuple[str, ...], line: int, faults: Faults) -> int | None:
    name = next((name for name in names if name in request), None)
    if name is None:
        faults.add(line, "", "the request", f"lacks {' or '.join(names)}", _REMEDY)
        return None
    value = request[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LONGEST_TOKENS:
        faults.add(line, name, value, f"is not a whole number of 1 to {LONGEST_TOKENS}", _REMEDY)
        return None
    return value


def _instant(request: Mapping[str, Any], name: str, line: int, faults: Faults) -> float | None:
    value = request.get(name)
    if name not in request:
        faults.add(line, "", "the request", f"lacks {name}", _REMEDY)
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e15:
        faults.add(line, name, value, "is not a time in seconds", _REMEDY)
    else:
        return float(value)
    return None


def _in_order(row: _Row, line: int, faults: Faults) -> bool:
    """Whether the request was queued, scheduled, answered and done in this order, each token taking its time."""
    steps = ["queued_ts", "scheduled_ts", "first_token_ts", "last_token_ts"]
    known = [name for name in steps if not math.isnan(row[name])]
    early = [(name, before) for before, name in pairwise(known) if row[name] < row[before]]
    for name, before in early:
        faults.add(line, name, row[name], f"is before {before} ({row[before]})", _REMEDY)
    timeless = [("first_token_ts", "queued_ts")] + [("last_token_ts", "first_token_ts")] * (row["output_tokens"] > 1)
    at_once = [(name, before) for name, before in timeless if row[name] == row[before]]
    for name, before in at_once:
        faults.add(line, name, row[name], f"is no later than {before}", _REMEDY)
    return not early and not at_once
