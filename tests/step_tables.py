"""Tables of measured steps to fit and to replay: made up from a law, or the public ones read plainly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from pandas import DataFrame, concat, read_csv

from sim.measurements.kinds import Setup, StepTable
from sim.steptime import StepTime

__all__ = ["A100", "BATCHES", "TOKENS", "made_up", "made_up_law", "shared_log", "shared_table", "table_of"]

A100 = {"8b": "8b_a100_tp1", "70b": "70b_a100_tp2"}
BATCHES = (1, 4, 8, 16, 32)
TOKENS = (1, 4, 8, 16, 32, 64, 128, 256)


def made_up_law(token_s: float = 6e-5, pair_s: float = 2e-9) -> StepTime:
    """Steps of 8 ms, 20 us a row and 50 ns a KV token, with `token_s` a prompt token and `pair_s` a pair."""
    base_s, kv_s = 8e-3 + 2e-5 * np.arange(33.0), np.full(33, 5e-8)
    base_s[0] = kv_s[0] = 0.0
    linear_s = 8e-3 + token_s * np.arange(257.0)
    linear_s[0] = 0.0
    return StepTime(base_s[np.newaxis], kv_s[np.newaxis], np.array([np.inf]), linear_s, pair_s)


def made_up(law: StepTime | None = None) -> StepTable:
    """Steps that take what a law says: decode rows, prompts with and without earlier tokens, and both."""
    law = law or made_up_law()
    steps = [(b, b * kv, 0, 0.0) for b, kv in product(BATCHES, (64, 256, 512, 1024))]
    steps += [(0, 0, q, q * (cached + (q + 1) / 2)) for q, cached in product(TOKENS, (0, 256, 512))]
    mixed = product(BATCHES, (128, 1024), (33, 64, 128, 256))
    steps += [(b, b * kv, t - b, (t - b) * (t - b + 1) / 2) for b, kv, t in mixed]
    return table_of([(*step, law.mixed_step_s(*step)) for step in steps])


def table_of(steps: Sequence[tuple[float, ...]]) -> StepTable:
    """A table of (decode rows, KV tokens, prompt tokens, pairs, seconds)."""
    rows = DataFrame(steps, columns=["decode_rows", "kv_tokens", "prompt_tokens", "pairs", "step_s"])
    counts = {"decode_rows": "int64", "kv_tokens": "int64", "prompt_tokens": "int64"}
    return StepTable(Setup(model=None, gpu="A100-80GB-SXM"), "made-up.csv", rows.astype(counts))


def shared_table(shared: Path, name: str) -> StepTable:
    """The decode, mixed and prefill steps measured of one model, "8b" or "70b"."""
    folder = shared / "measurements" / "a100-step-times"
    decode, mixed, prefill = (read_csv(folder / f"{kind}_step_{A100[name]}.csv") for kind in _COLUMNS)
    rows = concat([_decode(decode), _mixed(mixed), _prefill(prefill)], ignore_index=True)
    return StepTable(Setup(model=None, gpu="A100-80GB-SXM"), folder.name, rows)


def shared_log(shared: Path, name: str) -> DataFrame:
    """Requests of one open-loop run, and what was measured of them."""
    log = shared / "measurements" / "open-loop-vllm" / name / "requests.jsonl"
    lines = DataFrame([json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()])
    columns = {"prompt_tokens": lines.input_toks, "output_tokens": lines.output_toks}
    ends = {"ttft_s": lines.first_token_ts - lines.queued_ts, "e2e_s": lines.last_token_ts - lines.queued_ts}
    return DataFrame({"arrival_s": lines.queued_ts - lines.queued_ts.min(), **columns, **ends})


_COLUMNS = ("decode", "mixed", "prefill")


def _decode(file: DataFrame) -> DataFrame:
    columns = {"decode_rows": file.batch_size, "kv_tokens": file.total_kv_tokens}
    return DataFrame({**columns, "prompt_tokens": 0, "pairs": 0.0, "step_s": file.step_ms / 1e3})


def _mixed(file: DataFrame) -> DataFrame:
    rows, q = file.decode_batch, file.prefill_chunk_tokens
    columns = {"decode_rows": rows, "kv_tokens": rows * file.kv_tokens_per_seq}
    return DataFrame({**columns, "prompt_tokens": q, "pairs": q * (q + 1) / 2, "step_s": file.step_ms / 1e3})


def _prefill(file: DataFrame) -> DataFrame:
    q = file.prompt_tokens_in_step
    pairs = q * (file.cached_kv_tokens + (q + 1) / 2)
    return DataFrame(
        {"decode_rows": 0, "kv_tokens": 0, "prompt_tokens": q, "pairs": pairs, "step_s": file.step_ms / 1e3}
    )
