"""What the simulator predicts for every measurement, beside what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from sim.errors import CatalogueError, InputError
from sim.hardware import Catalogue
from sim.hardware.setup import Setup
from sim.measurements import ClosedLoop, Measurements, OpenLoop, StepTable
from sim.steptime import StepTime
from sim.steptime.calibration import Calibration
from sim.validation.comparison import COLUMNS, REQUESTS, Comparison
from sim.validation.loops import LoopTimes, Run, kv_room, loop_of, room_of, saturated, serve_loop
from sim.validation.replay import replay_open_loop
from sim.validation.steps import predicted_steps_s
from sim.validation.table_replay import poisson_check

__all__ = ["compare", "configuration_of"]

_Row: TypeAlias = dict[str, Any]

_MS = 1e3
_QUANTITIES = ("ttft_s", "tpot_s", "e2e_s")
_STATISTICS = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def compare(measurements: Measurements, calibration: Calibration, catalogue: Catalogue) -> Comparison:
    """Predicted beside measured: closed loops and logs served by the engine, steps looked up, Poisson on step tables.

    A closed loop is served with the KV cache that its GPUs' memory leaves, a log with the engine's printed capacity
    where it is known. Notes tell what was assumed, and what could not be predicted.
    """
    notes: Counter[str] = Counter()
    logs = [(log, _served_log(log, calibration, catalogue, notes)) for log in measurements.open_loop]
    served = [(log, times) for log, times in logs if times is not None]
    rows = [
        *_closed_loop_rows(measurements.closed_loop, calibration, catalogue, notes),
        *(row for log, times in served for row in _open_loop_rows(log, times, calibration)),
        *(row for table in measurements.step_tables for row in _step_table_rows(table, calibration, notes)),
    ]
    told = (f"{note} ({count} runs)" if count > 1 else note for note, count in notes.items())
    each = [_requests(log, times) for log, times in served]
    requests = pd.concat(each, ignore_index=True) if each else pd.DataFrame(columns=list(REQUESTS))
    return Comparison(pd.DataFrame(rows, columns=list(COLUMNS)), (*measurements.notes, *told), requests)


def configuration_of(setup: Setup) -> str:
    """What served, in words."""
    spread = [("DP", setup.data_parallel), ("EP", setup.expert_parallel)]
    layout = [f"TP{setup.tensor_parallel}", *(f"{word}{count}" for word, count in spread if count > 1)]
    told = (setup.backend, setup.gpu or "unknown GPU", setup.model or "unknown model", setup.weights, *layout)
    return " ".join(word for word in told if word)


def _closed_loop_rows(
    closed: ClosedLoop, calibration: Calibration, catalogue: Catalogue, notes: Counter[str]
) -> Iterator[_Row]:
    waited = saturated(closed.rows)
    laws: dict[tuple[int, int], StepTime] = {}
    for run, is_saturated in zip(_records(closed.rows), waited, strict=True):
        setup = closed.setups[run["setup"]]
        loop = loop_of(setup, run)
        try:
            room = room_of(setup, loop, catalogue)
            if (run["setup"], loop.max_step_tokens) not in laws:
                most = int(closed.rows["concurrency"][closed.rows["setup"] == run["setup"]].max())
                laws[run["setup"], loop.max_step_tokens] = calibration.step_time(
                    setup, catalogue, most, loop.max_step_tokens
                )
        except (CatalogueError, InputError) as error:
            notes[f"{configuration_of(setup)}: not predicted: {error}"] += 1
            continue
        if room is None:
            notes[f"{configuration_of(setup)}: by its memory it holds no such request; served with room for all"] += 1
        times = serve_loop(loop, laws[run["setup"], loop.max_step_tokens], room)
        yield from _loop_rows(run, setup, times, calibration, bool(is_saturated))


def _loop_rows(
    run: Run, setup: Setup, times: LoopTimes, calibration: Calibration, is_saturated: bool
) -> Iterator[_Row]:
    whole = {
        **_served_by(setup, calibration),
        "kind": "batch" if run["pattern"] == "batch" else "closed-loop",
        "saturated": is_saturated,
        "statistic": "mean",
        "prompt_tokens": float(run["prompt_tokens"]),
        "output_tokens": float(run["output_tokens"]),
        "concurrency": float(run["concurrency"]),
        "source": run["source"],
        "line": int(run["line"]),
    }
    measured_e2e = run["ttft_s"] + run["tpot_s"] * (run["output_tokens"] - 1.0)
    predicted_e2e = times.ttft_s + times.tpot_s * (run["output_tokens"] - 1.0)
    figures = {
        "ttft_ms": (run["ttft_s"], times.ttft_s),
        "tpot_ms": (run["tpot_s"], times.tpot_s),
        "e2e_ms": (measured_e2e, predicted_e2e),
    }
    for metric, (measured, predicted) in figures.items():
        if np.isfinite(measured) and measured > 0.0:
            yield {**whole, "metric": metric, "measured": measured * _MS, "predicted": predicted * _MS}


def _served_log(
    log: OpenLoop, calibration: Calibration, catalogue: Catalogue, notes: Counter[str]
) -> pd.DataFrame | None:
    """A log's requests as the engine serves them; None where it cannot."""
    setup = log.setup
    try:
        law = calibration.step_time(setup, catalogue, log.max_num_seqs, log.max_num_batched_tokens)
        room = log.kv_capacity_tokens or kv_room(log.setup, catalogue, log.max_num_seqs, log.max_num_batched_tokens)
        if log.kv_capacity_tokens is None:
            notes[f"{log.source}: the engine's KV capacity is not known; {room:,} tokens from the GPU's memory"] += 1
        return replay_open_loop(
            log.requests,
            law,
            replicas=setup.data_parallel,
            kv_capacity_tokens=room,
            max_num_seqs=log.max_num_seqs,
            max_num_batched_tokens=log.max_num_batched_tokens,
        )
    except (CatalogueError, InputError) as error:
        notes[f"{log.source}: not predicted: {error}"] += 1
        return None


def _requests(log: OpenLoop, served: pd.DataFrame) -> pd.DataFrame:
    """Measured beside predicted of each request, by metric; those of one token have no TPOT."""
    each = [
        pd.DataFrame(
            {
                "source": log.source,
                "saturated": log.saturated,
                "metric": quantity.replace("_s", "_ms"),
                "measured": log.requests[quantity] * _MS,
                "predicted": served[quantity] * _MS,
            }
        )
        for quantity in _QUANTITIES
    ]
    return pd.concat(each, ignore_index=True).dropna()[list(REQUESTS)]


def _open_loop_rows(log: OpenLoop, served: pd.DataFrame, calibration: Calibration) -> Iterator[_Row]:
    whole = {
        **_served_by(log.setup, calibration),
        "kind": "open-loop",
        "saturated": log.saturated,
        "prompt_tokens": float(log.requests["prompt_tokens"].mean()),
        "output_tokens": float(log.requests["output_tokens"].mean()),
        "concurrency": float("nan"),
        "source": log.source,
        "line": 1,
    }
    for quantity in _QUANTITIES:
        found = zip(_statistics(log.requests[quantity]), _statistics(served[quantity]), strict=True)
        for (statistic, measured), (_, predicted) in found:
            metric = quantity.replace("_s", "_ms")
            yield {
                **whole,
                "metric": metric,
                "statistic": statistic,
                "measured": measured * _MS,
                "predicted": predicted * _MS,
            }


def _step_table_rows(table: StepTable, calibration: Calibration, notes: Counter[str]) -> Iterator[_Row]:
    try:
        fitted = calibration.table_of(table.setup)
    except InputError as error:
        notes[f"{table.source}: not predicted: {error}"] += 1
        return
    if fitted is None:
        notes[f"{table.source}: not predicted: the calibration has no table for {configuration_of(table.setup)}"] += 1
        return
    if table.setup.model is None and fitted.setup.model is not None:
        notes[f"{table.source}: names no model; held against the table of {configuration_of(fitted.setup)}"] += 1
    whole = {
        **_served_by(fitted.setup, calibration),
        "seen": True,
        "saturated": False,
        "output_tokens": float("nan"),
        "concurrency": float("nan"),
    }
    predicted_s = predicted_steps_s(fitted.step_time, table.rows)
    for step, predicted in zip(_records(table.rows), predicted_s, strict=True):
        yield {
            **whole,
            "kind": "step-table",
            "metric": "step_ms",
            "statistic": "mean",
            "measured": step["step_s"] * _MS,
            "predicted": predicted * _MS,
            "prompt_tokens": float(step["prompt_tokens"]),
            "source": step["source"],
            "line": int(step["line"]),
        }
    yield from _poisson_rows(table, fitted.step_time, whole, notes)


def _poisson_rows(table: StepTable, law: StepTime, whole: Mapping[str, Any], notes: Counter[str]) -> Iterator[_Row]:
    try:
        checks = poisson_check(table, law)
    except InputError as error:
        notes[f"{table.source}: no Poisson replay: {error}"] += 1
        return
    for check in _records(checks):
        yield {
            **whole,
            "kind": "poisson",
            "configuration": f"{whole['configuration']}, Poisson at {check['load']:.0%} load",
            "metric": check["quantity"].replace("_s", "_ms"),
            "statistic": check["statistic"],
            "measured": check["measured_s"] * _MS,
            "predicted": check["predicted_s"] * _MS,
            "prompt_tokens": float("nan"),
            "source": table.source,
            "line": 1,
        }


def _served_by(setup: Setup, calibration: Calibration) -> _Row:
    return {
        "configuration": configuration_of(setup),
        "gpu": setup.gpu,
        "model": setup.model,
        "backend": setup.backend,
        "weights": setup.weights,
        "gpus": setup.gpus,
        "seen": calibration.saw(setup.gpu, setup.model),
    }


def _statistics(values: pd.Series) -> Iterator[tuple[str, float]]:
    yield "mean", float(values.mean())
    for name, share in _STATISTICS.items():
        yield name, float(values.quantile(share))


def _records(rows: pd.DataFrame) -> Iterator[Run]:
    return ({str(name): value for name, value in row.items()} for row in rows.to_dict("records"))
