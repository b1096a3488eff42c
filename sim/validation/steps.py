"""Single steps: their kinds, and what a law says they take."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from sim.steptime import StepTime

__all__ = ["COUNTS", "POINT", "kind_of_step", "predicted_steps_s", "with_slices"]

POINT = ["decode_rows", "kv_tokens", "prompt_tokens", "pairs", "slices"]
"""Columns of `StepTable.rows` that tell a step."""
COUNTS = {"decode_rows": "int64", "kv_tokens": "int64", "prompt_tokens": "int64", "slices": "int64"}


def with_slices(steps: DataFrame) -> DataFrame:
    """The steps with their slices of more than one token: where nothing tells, those with such a prompt hold one."""
    if "slices" in steps:
        return steps
    return steps.assign(slices=(steps.prompt_tokens > 1).astype(np.int64))


def kind_of_step(steps: DataFrame) -> NDArray[np.str_]:
    """[n] "decode", "prefill" or "mixed" (both decode rows and prompt tokens) for each step of a table."""
    return np.where(steps.prompt_tokens == 0, "decode", np.where(steps.decode_rows == 0, "prefill", "mixed"))


def predicted_steps_s(step_time: StepTime, steps: DataFrame) -> NDArray[np.float64]:
    """[n] seconds that each step of a table takes by the law."""
    law = step_time.covering(int(steps.decode_rows.max()))
    columns = (column.to_list() for _, column in with_slices(steps)[POINT].astype(COUNTS).items())
    return np.array([law.mixed_step_s(*step) for step in zip(*columns, strict=True)])
