"""Files of step times, JSON in one of two forms.

The full form holds the tables of `StepTime` as they are:

    {"decode_base_s": [[0, ...]], "decode_kv_s": [[0, ...]], "kv_edges": [null], "linear_s": [0, ...],
     "attention_s_per_pair": 1e-9, "slice_s": 3e-4, "front_end_s": 0.02, "front_end_steps": 1.5}

where null is infinity, and the time of a prompt's slice and the front end may be left out. The short form is what a
person can measure:

    {"prefill": {"a_s": 0.006, "b_s_per_token": 2.6e-5, "c_s_per_token_pair": 1e-9},
     "decode": {"rows": [1, 8, 64], "base_s": [0.006, 0.0063, 0.008], "kv_s": [5e-8, 5e-8, 5e-8]},
     "front_end": {"s": 0.02, "steps": 1.5}}

where the front end may be left out too. Decode times between the given rows are interpolated; below the first row
they are the first row's.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.steptime.table import Floats, StepTime

__all__ = ["load_step_time", "read_json", "save_step_time", "step_time_from", "step_time_to"]

_TABLES = ("decode_base_s", "decode_kv_s", "kv_edges", "linear_s")
_MOST_ROWS = 1_048_576
_FULL = (*_TABLES, "attention_s_per_pair")
_PREFILL = ("a_s", "b_s_per_token", "c_s_per_token_pair")
_DECODE = ("rows", "base_s", "kv_s")
_FRONT_END = ("front_end_s", "front_end_steps")
_OPTIONAL = ("slice_s", *_FRONT_END)


def save_step_time(step_time: StepTime, path: Path) -> None:
    """Write step times in the full form, whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(json.dumps(step_time_to(step_time)) + "\n", encoding="utf-8")
    os.replace(aside, path)


def step_time_to(step_time: StepTime) -> dict[str, Any]:
    """The full form of step times."""
    tables: dict[str, Any] = {name: getattr(step_time, name).tolist() for name in _TABLES}
    tables["kv_edges"] = [None if math.isinf(edge) else edge for edge in tables["kv_edges"]]
    tables["attention_s_per_pair"] = step_time.attention_s_per_pair
    return tables | {name: getattr(step_time, name) for name in _OPTIONAL if getattr(step_time, name)}


def load_step_time(path: Path) -> StepTime:
    """Step times from a JSON file in either form.

    Raises:
        InputError: where the file is missing, is not JSON, lacks a key or holds something that is not a time.
    """
    return step_time_from(read_json(path), where=str(path))


def read_json(path: Path) -> object:
    """What a JSON file holds.

    Raises:
        InputError: where the file cannot be read or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "give the path of a step-time file") from None
    except ValueError:
        raise InputError(path, "is not a JSON file", "write step times as JSON in UTF-8") from None


def step_time_from(content: object, where: str) -> StepTime:
    """Step times in either form.

    Raises:
        InputError: for a key that lacks or a value that is not a time; it names `where`.
    """
    try:
        whole = _mapping(content, "the file")
        return _from_short_form(whole) if "prefill" in whole or "decode" in whole else _from_full_form(whole)
    except InputError as error:
        raise InputError(error.value, error.rule, error.remedy, where=where) from None


def _from_full_form(whole: Mapping[str, Any]) -> StepTime:
    _only(whole, _FULL, "the file", optional=_OPTIONAL)
    edges = whole["kv_edges"]
    finite = [math.inf if edge is None else edge for edge in edges] if isinstance(edges, list) else edges
    return StepTime(
        decode_base_s=_table(whole["decode_base_s"], "decode_base_s", dimensions=2),
        decode_kv_s=_table(whole["decode_kv_s"], "decode_kv_s", dimensions=2),
        kv_edges=_table(finite, "kv_edges"),
        linear_s=_table(whole["linear_s"], "linear_s"),
        attention_s_per_pair=_number(whole["attention_s_per_pair"], "attention_s_per_pair"),
        **{name: _number(whole[name], name) for name in _OPTIONAL if name in whole},
    )


def _from_short_form(whole: Mapping[str, Any]) -> StepTime:
    _only(whole, ("prefill", "decode"), "the file", optional=("front_end",))
    prefill, decode = _mapping(whole["prefill"], "prefill"), _mapping(whole["decode"], "decode")
    _only(prefill, _PREFILL, "prefill")
    _only(decode, _DECODE, "decode")
    front_end_s, front_end_steps = _front_end(whole)
    step_s, token_s, pair_s = (_number(prefill[key], key) for key in _PREFILL)
    rows, base_s, kv_s = (_table(decode[key], key) for key in _DECODE)
    _check_rows(rows, base_s, kv_s)
    every_row = np.arange(int(rows[-1]) + 1)
    decode_base_s, decode_kv_s = np.interp(every_row, rows, base_s), np.interp(every_row, rows, kv_s)
    decode_base_s[0] = decode_kv_s[0] = 0.0
    return StepTime(
        decode_base_s=decode_base_s[np.newaxis],
        decode_kv_s=decode_kv_s[np.newaxis],
        kv_edges=np.array([np.inf]),
        linear_s=np.array([0.0, step_s + token_s, step_s + 2 * token_s]),
        attention_s_per_pair=pair_s,
        front_end_s=front_end_s,
        front_end_steps=front_end_steps,
    )


def _front_end(whole: Mapping[str, Any]) -> tuple[float, float]:
    """Seconds and steps of the short form's front end; none where it has none."""
    if "front_end" not in whole:
        return 0.0, 0.0
    front_end = _mapping(whole["front_end"], "front_end")
    _only(front_end, ("s", "steps"), "front_end")
    return _number(front_end["s"], "front_end.s"), _number(front_end["steps"], "front_end.steps")


def _check_rows(rows: Floats, base_s: Floats, kv_s: Floats) -> None:
    rising = len(rows) and rows[0] >= 1 and (rows[1:] > rows[:-1]).all() and rows[-1] <= _MOST_ROWS
    if not rising or (rows != np.floor(rows)).any():
        raise InputError(rows.tolist(), "must be rising whole numbers from 1 on", "give the batch sizes as decode.rows")
    if not len(rows) == len(base_s) == len(kv_s):
        lengths = [len(rows), len(base_s), len(kv_s)]
        raise InputError(lengths, "are not one length", "give a base_s and a kv_s for each of decode.rows")


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(name, "must be a JSON object", "see the step-time forms in the documentation")
    return value


def _only(given: Mapping[str, Any], keys: Sequence[str], name: str, optional: Sequence[str] = ()) -> None:
    missing = [key for key in keys if key not in given]
    unknown = [key for key in given if key not in (*keys, *optional)]
    if missing or unknown:
        rule = f"lacks {', '.join(missing)}" if missing else f"has unknown {', '.join(unknown)}"
        more = f"; {', '.join(optional)} may be left out" if optional else ""
        raise InputError(name, rule, f"give exactly {', '.join((*keys, *optional))}{more}")


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise InputError(value, f"is not a time ({name})", "give a finite number of seconds, zero or more")
    return float(value)


def _table(value: object, name: str, dimensions: int = 1) -> Floats:
    remedy = "give a JSON list of numbers" if dimensions == 1 else "give a JSON list of lists of one length, of numbers"
    try:
        table = np.array(value, dtype=np.float64) if isinstance(value, list) else np.zeros(())
    except (TypeError, ValueError, OverflowError):
        raise InputError(name, "must hold only numbers, in rows of one length", remedy) from None
    if table.ndim != dimensions:
        raise InputError(name, f"must be a list of {dimensions} level(s)", remedy)
    return table
