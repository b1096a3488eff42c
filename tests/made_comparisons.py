"""Made-up comparisons of measured and predicted times, whose errors are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from pandas import DataFrame

from sim.validation.comparison import COLUMNS, Comparison

BASE: dict[str, Any] = {
    "kind": "closed-loop",
    "configuration": "vllm H100-SXM Llama-3.1-8B bf16 TP1",
    "gpu": "H100-SXM",
    "model": "Llama-3.1-8B",
    "backend": "vllm",
    "weights": "bf16",
    "gpus": 1,
    "seen": True,
    "saturated": False,
    "metric": "tpot_ms",
    "statistic": "mean",
    "measured": 10.0,
    "predicted": 11.0,
    "prompt_tokens": 1024.0,
    "output_tokens": 128.0,
    "concurrency": 8.0,
    "source": "runs.csv",
    "line": 2,
}


def row(**changes: Any) -> dict[str, Any]:
    """A row of a comparison, 10 % too slow unless told otherwise."""
    return BASE | changes


def frame(*rows: dict[str, Any]) -> DataFrame:
    return DataFrame(list(rows), columns=list(COLUMNS))


def comparison(runs: int = 24, *notes: str) -> Comparison:
    """A comparison of every kind: closed loops on six GPUs, batches, an open loop, a step table and a replay."""
    rows = [*_closed_loops(runs), *_open_loop(), *_steps()]
    return Comparison(frame(*rows), notes or ("runs.csv: 3 rows left out: a pipeline",))


def own_logs() -> DataFrame:
    """Logs of our own engine, below its most and above it."""
    calm, full = {"source": "open-loop-60"}, {"source": "open-loop-110", "saturated": True}
    return frame(*(one for where in (calm, full) for one in _open_loop(backend="nightshift", **where)))


def _closed_loops(runs: int) -> list[dict[str, Any]]:
    draws = np.random.default_rng(3)
    gpus = ("A100-80GB-SXM", "B200-SXM", "B300-SXM", "GB200", "H100-SXM", "H200-SXM")
    models = ("Llama-3.1-8B", "Qwen3-32B", "MiniMax-M2.5")
    rows = []
    for line in range(runs):
        gpu, model = gpus[line % 6], models[(line // 6) % 3]
        concurrency = float(2 ** draws.integers(0, 9))
        times = {"ttft_ms": 30.0 * concurrency**0.8, "tpot_ms": 6.0 + 0.1 * concurrency}
        for metric, typical in times.items():
            measured = typical * draws.lognormal(0.0, 0.5)
            seen, saturated = model != "MiniMax-M2.5", concurrency >= 256
            rows.append(
                row(
                    configuration=f"vllm {gpu} {model} fp8 TP4",
                    kind="batch" if line % 11 == 10 else "closed-loop",
                    gpu=gpu,
                    model=model,
                    gpus=4,
                    metric=metric,
                    measured=measured,
                    predicted=measured * draws.lognormal(0.0, 0.06 if seen else 0.15) * (0.6 if saturated else 1.0),
                    concurrency=concurrency,
                    seen=seen,
                    saturated=saturated,
                    line=line + 2,
                )
            )
    return rows


def _open_loop(**changes: Any) -> list[dict[str, Any]]:
    served = {"kind": "open-loop", "configuration": "vllm RTX-PRO-6000-Server Qwen3-30B-A3B bf16 DP2"}
    where = {"gpu": "RTX-PRO-6000-Server", "model": "Qwen3-30B-A3B", "source": "dp2", "line": 0, "gpus": 2} | changes
    unknown = {"prompt_tokens": np.nan, "output_tokens": np.nan, "concurrency": np.nan}
    return [
        row(**served, **where, **unknown, metric=metric, statistic=statistic, measured=value, predicted=1.04 * value)
        for metric, typical in (("ttft_ms", 120.0), ("tpot_ms", 14.0), ("e2e_ms", 4200.0))
        for statistic, value in (("mean", typical), ("p50", 0.9 * typical), ("p90", 2 * typical), ("p99", 3 * typical))
    ]


def _steps() -> list[dict[str, Any]]:
    table = {"configuration": "A100-80GB-SXM TP1 steps", "source": "steps_8b_a100_tp1", "model": None, "backend": ""}
    gpu = {"gpu": "A100-80GB-SXM"}
    steps = [
        row(kind="step-table", metric="step_ms", measured=value, predicted=1.01 * value, line=line, **table, **gpu)
        for line, value in enumerate((8.0, 9.5, 14.0), 2)
    ]
    poisson = [
        row(kind="poisson", metric=metric, statistic=statistic, measured=100.0, predicted=101.0, **table, **gpu)
        for metric in ("ttft_ms", "e2e_ms")
        for statistic in ("mean", "p99")
    ]
    return [*steps, *poisson]
