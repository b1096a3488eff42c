"""Measurements as one kind of row: what was in a step on average, and the times that were seen.

All measurements come down to the same three terms of a setup. With `D` a decode step of `rows` rows and `kv`
resident tokens, `P` what a slice of `chunk` prompt tokens adds to it, and `c` the time of a pair of tokens,

    TPOT = D + slices * P + pairs * c
    TTFT = factor * (first_steps * D + first_slices * P + first_pairs * c) + front end

A closed loop of `b` clients, out of step with each other, puts `(b - 1) / output_tokens` prompts into each decode
step. A first token waits for half a step, then for its own slices; the prompts that all arrive at the start
stay on the mean as a share of the rounds. `factor` is what the simulated loop's TTFT has over this estimate (and
`tpot_factor` the same for TPOT), so that a fit to these rows is a fit to simulated loops.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.hardware.setup import Setup
from sim.measurements import ClosedLoop, Measurements, OpenLoop, StepTable
from sim.validation.loops import LENGTH_SPREAD, MAX_STEP_TOKENS, ROUNDS, saturated

__all__ = ["KERNELS", "Runs", "runs_of"]

Floats = NDArray[np.float64]

KERNELS = "gpu-only"
"""The backend of step tables, which hold GPU time and no server."""

_MEAN_LENGTH = (1.0 + LENGTH_SPREAD) / 2.0
_COLUMNS = (
    *("setup", "kind", "rows", "kv_tokens", "chunk", "slices", "pairs"),
    *("first_steps", "first_slices", "first_pairs", "tpot_s", "ttft_s"),
    *("tpot_factor", "ttft_factor", "weight", "place"),
)


@dataclass(frozen=True, eq=False)
class Runs:
    """Rows of all measurements. Columns of `table`, [n]: those of the module's formulas, `setup` (place in `setups`),
    `kind`, `place` (row of the measurement it comes from) and `weight`; a time that was not seen is NaN."""

    setups: tuple[Setup, ...]
    table: pd.DataFrame


def runs_of(measurements: Measurements) -> Runs:
    """Every measurement as rows of one table."""
    setups: list[Setup] = list(measurements.closed_loop.setups)
    parts = list(_closed_loop_parts(measurements.closed_loop))
    for steps in measurements.step_tables:
        if steps.setup.model and steps.setup.gpu:
            parts.append(_step_table_part(steps, len(setups)))
            setups.append(_without_server(steps.setup))
    for log in measurements.open_loop:
        parts.append(_open_loop_part(log, len(setups)))
        setups.append(log.setup)
    frames = [part for part in parts if len(part)]
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(_COLUMNS))
    return Runs(tuple(setups), table)


def _closed_loop_parts(closed: ClosedLoop) -> Iterable[pd.DataFrame]:
    ranks = np.array([setup.data_parallel for setup in closed.setups])
    clients = closed.rows[closed.rows["pattern"] == "clients"]
    if len(clients):
        yield _clients_part(clients, ranks[clients["setup"].to_numpy()])
    batches = closed.rows[closed.rows["pattern"] == "batch"]
    if len(batches):
        yield _batch_decode_part(batches)
        yield _batch_prefill_part(batches)


def _clients_part(rows: pd.DataFrame, ranks: Floats) -> pd.DataFrame:
    prompt, output = (rows[name].to_numpy(float) * _MEAN_LENGTH for name in ("prompt_tokens", "output_tokens"))
    clients = np.maximum(rows["concurrency"].to_numpy(float) / ranks, 1.0)
    chunk = np.minimum(prompt, float(MAX_STEP_TOKENS))
    others, at_start = (clients - 1.0) / output, clients / (2.0 * ROUNDS)
    return _part(
        rows,
        kind="clients",
        rows=clients,
        kv_tokens=clients * (prompt + output / 2.0),
        chunk=chunk,
        slices=others * prompt / chunk,
        pairs=others * prompt**2 / 2.0,
        first_steps=1.5,
        first_slices=(1.0 + at_start) * prompt / chunk,
        first_pairs=(1.0 + at_start) * prompt**2 / 2.0,
        tpot_s=rows["tpot_s"].to_numpy(float),
        ttft_s=np.where(saturated(rows), np.nan, rows["ttft_s"].to_numpy(float)),
        weight=1.0,
    )


def _batch_decode_part(rows: pd.DataFrame) -> pd.DataFrame:
    batch, prompt, output = (rows[name].to_numpy(float) for name in ("concurrency", "prompt_tokens", "output_tokens"))
    kv = batch * (prompt + output / 2.0)
    return _part(rows, kind="batch", rows=batch, kv_tokens=kv, tpot_s=rows["tpot_s"].to_numpy(float), weight=0.5)


def _batch_prefill_part(rows: pd.DataFrame) -> pd.DataFrame:
    batch, prompt = (rows[name].to_numpy(float) for name in ("concurrency", "prompt_tokens"))
    pairs, times = batch * prompt**2 / 2.0, rows["ttft_s"].to_numpy(float)
    return _part(
        rows, kind="batch", chunk=batch * prompt, first_slices=1.0, first_pairs=pairs, ttft_s=times, weight=0.5
    )


def _step_table_part(table: StepTable, setup: int) -> pd.DataFrame:
    rows = table.rows.assign(setup=setup)
    prompt = rows["prompt_tokens"].to_numpy(float)
    return _part(
        rows,
        kind="step",
        rows=rows["decode_rows"].to_numpy(float),
        kv_tokens=rows["kv_tokens"].to_numpy(float),
        chunk=prompt,
        slices=(prompt > 0).astype(float),
        pairs=rows["pairs"].to_numpy(float),
        tpot_s=rows["step_s"].to_numpy(float),
        weight=0.25,
    )


def _open_loop_part(log: OpenLoop, setup: int) -> pd.DataFrame:
    """A row a request: what shared its steps from its first token to its last, as the log itself tells."""
    rows = log.requests.assign(setup=setup)
    shared = _shared_steps(log)
    times = {name: rows[name].to_numpy(float) for name in ("tpot_s", "ttft_s", "waited_s", "prompt_tokens")}
    at_once = times["waited_s"] < 1e-3
    prompt = times["prompt_tokens"]
    chunk = np.minimum(prompt, float(log.max_num_batched_tokens))
    return _part(
        rows,
        kind="open-loop",
        rows=np.maximum(shared["rows"], 1.0),
        kv_tokens=shared["kv_tokens"],
        chunk=chunk,
        slices=shared["prompt_tokens"] / chunk,
        pairs=shared["pairs"],
        first_steps=1.5,
        first_slices=prompt / chunk,
        first_pairs=prompt**2 / 2.0,
        tpot_s=times["tpot_s"],
        ttft_s=np.where(at_once, times["ttft_s"], np.nan),
        weight=0.25,
    )


def _shared_steps(log: OpenLoop) -> dict[str, Floats]:
    """Means over the steps of each request [n]: rows decoding and their KV tokens in its rank, prompt tokens and pairs
    computed a step. Ranks of one server are taken to be equally busy."""
    requests, ranks = log.requests, float(log.setup.data_parallel)
    arrival, prompt, output = (
        requests[name].to_numpy(float) for name in ("arrival_s", "prompt_tokens", "output_tokens")
    )
    first, last = arrival + requests["ttft_s"].to_numpy(float), arrival + requests["e2e_s"].to_numpy(float)
    begins, ends = np.maximum(first[:, None], first[None, :]), np.minimum(last[:, None], last[None, :])
    together = np.maximum(ends - begins, 0.0)
    middle = (begins + ends) / 2.0
    progress = (middle - first[None, :]) / np.maximum(last - first, 1e-9)[None, :]
    kv = prompt[None, :] + progress * output[None, :]
    span, steps = np.maximum(last - first, 1e-9), np.maximum(output - 1.0, 1.0)
    joined = (first[None, :] > first[:, None]) & (first[None, :] < last[:, None])
    own = prompt + output / 2.0
    rows = 1.0 + (together.sum(axis=1) / span - 1.0) / ranks
    resident = own + ((together * kv).sum(axis=1) / span - own) / ranks
    return {
        "rows": rows,
        "kv_tokens": resident,
        "prompt_tokens": (joined @ prompt) / ranks / steps,
        "pairs": (joined @ (prompt**2 / 2.0)) / ranks / steps,
    }


def _part(source: pd.DataFrame, **columns: object) -> pd.DataFrame:
    nothing: dict[str, object] = dict.fromkeys(_COLUMNS, 0.0)
    nothing |= {"tpot_s": np.nan, "ttft_s": np.nan, "tpot_factor": 1.0, "ttft_factor": 1.0, "place": source.index}
    return pd.DataFrame(nothing | {"setup": source["setup"].to_numpy()} | columns, index=source.index)


def _without_server(setup: Setup) -> Setup:
    return setup if setup.backend else Setup(**(vars(setup) | {"backend": KERNELS}))
