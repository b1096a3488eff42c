"""Runs as they are read from a file, and those that stand in it more than once."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

__all__ = ["Runs", "rows_named", "without_repeats"]

_SAME = 1e-3
_TIMES = ["ttft_s", "tpot_s"]


class Runs(NamedTuple):
    """Runs of a file: rows as in `ClosedLoop`, but `setup` is the `Setup` itself; notes on what was left out."""

    rows: DataFrame
    notes: tuple[str, ...] = ()


def without_repeats(rows: DataFrame) -> tuple[DataFrame, int]:
    """The rows without those that repeat an earlier one, and how many those are.

    A run is repeated where setup, lengths and concurrency are equal and both times are within 0.1 %: two runs
    never agree so closely. The version of the backend may differ, as some copies lack it.
    """
    setups = rows["setup"].map(lambda setup: replace(setup, backend_version=""))
    alike = rows.groupby([setups, "prompt_tokens", "output_tokens", "concurrency"], sort=False)
    repeated = [line for _, group in alike if len(group) > 1 for line in group.index[_repeats(group[_TIMES])]]
    return rows.drop(index=repeated), len(repeated)


def _repeats(times: DataFrame) -> NDArray[np.bool_]:
    """Which rows are within 0.1 % of an earlier one that is kept, [n]."""
    values = times.to_numpy(dtype=np.float64)
    kept: list[NDArray[np.float64]] = []
    repeated = np.zeros(len(values), np.bool_)
    for place, row in enumerate(values):
        repeated[place] = any(np.all(np.abs(row - other) <= _SAME * other) for other in kept)
        if not repeated[place]:
            kept.append(row)
    return repeated


def rows_named(count: int) -> str:
    """So many rows, in words of a note.

    >>> rows_named(1), rows_named(12)
    ('1 row', '12 rows')
    """
    return "1 row" if count == 1 else f"{count} rows"
