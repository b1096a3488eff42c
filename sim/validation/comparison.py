"""What was measured beside what the simulator predicts, and the error of each figure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from pandas import DataFrame

__all__ = ["COLUMNS", "REQUESTS", "SERVING", "Comparison", "with_errors"]

COLUMNS = (
    "kind",
    "configuration",
    "gpu",
    "model",
    "backend",
    "weights",
    "gpus",
    "seen",
    "saturated",
    "metric",
    "statistic",
    "measured",
    "predicted",
    "prompt_tokens",
    "output_tokens",
    "concurrency",
    "source",
    "line",
)
"""Columns of `Comparison.rows`, in their order."""

REQUESTS = ("source", "saturated", "metric", "measured", "predicted")
"""Columns of `Comparison.requests`, in their order."""

SERVING = frozenset({"closed-loop", "batch", "open-loop"})
"""Kinds in which a whole server was measured; the others are "step-table" and "poisson"."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Measured and predicted figures, a row for each run, metric and statistic.

    Columns of `rows`, [n]: `kind` (one of `SERVING`, "step-table" or "poisson"), `configuration` (what served, in
    words), `gpu`, `model`, `backend`, `weights`, `gpus` (count), `seen` (the pair of GPU and model was in the
    fit), `saturated` (requests waited for room), `metric` ("ttft_ms", "tpot_ms", "e2e_ms", "step_ms"), `statistic`
    ("mean", "p50", "p90", "p99"), `measured` and `predicted` (both in the unit of the metric), `prompt_tokens`,
    `output_tokens` and `concurrency` (NaN where they do not apply), `source` (file or folder) and `line`.
    """

    rows: DataFrame
    notes: tuple[str, ...] = ()
    """What was left out or assumed, and why, for the reader."""
    requests: DataFrame = field(default_factory=lambda: DataFrame(columns=list(REQUESTS)))
    """Each request of the logs, by metric, measured beside predicted; columns as of `rows`."""


def with_errors(rows: DataFrame) -> DataFrame:
    """The rows with their `error`, (predicted - measured) / measured; NaN where there is no prediction.

    End-to-end times are given back in seconds, as the metric "e2e_s".
    """
    in_ms = rows["metric"].eq("e2e_ms").to_numpy()
    scale = np.where(in_ms, 1e-3, 1.0)
    measured = rows["measured"].to_numpy(np.float64) * scale
    predicted = rows["predicted"].to_numpy(np.float64) * scale
    predicted = np.where(np.isfinite(predicted), predicted, np.nan)
    metric = rows["metric"].where(~in_ms, "e2e_s")
    error = (predicted - measured) / measured
    return rows.assign(metric=metric, measured=measured, predicted=predicted, error=error)
