"""A sweep as a flat table: a row for each point and replication."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.sweep.space import value_of
from sim.sweep.sweep import Answer, Sweep

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["sweep_frame"]


def sweep_frame(sweep: Sweep) -> pd.DataFrame:
    """Columns: each key that is varied, `point`, `replication`, `seed`, `key`, `refused`, and every figure by name.

    Numbers stay numbers. A key that a point leaves as it is has the number it has in the scenario, else nothing. A
    refused point has one row without figures, which says why.
    """
    import pandas as pd

    rows = [max(answer.values.shape[-1], 1) if answer.names else 1 for answer in sweep.answers]
    keys = dict.fromkeys(key for axis in sweep.axes for option in axis.options for key in option.settings)
    columns: dict[str, Any] = {key: _settings(sweep, key, rows) for key in keys}
    columns |= {
        "point": np.repeat(np.array([answer.point.number for answer in sweep.answers], np.int64), rows),
        "replication": np.concatenate([np.arange(count) for count in rows] or [np.empty(0, np.int64)]),
    }
    columns.setdefault("seed", np.repeat(np.array([answer.seed for answer in sweep.answers], np.int64), rows))
    columns["key"] = pd.array(np.repeat([answer.key for answer in sweep.answers], rows).tolist(), dtype="string")
    refused = [why for answer, count in zip(sweep.answers, rows, strict=True) for why in [answer.refused] * count]
    columns["refused"] = pd.array(refused, dtype="string")
    columns |= {name: np.concatenate([*_figure(sweep.answers, name)]) for name in sweep.figures()}
    return pd.DataFrame(columns)


def _settings(sweep: Sweep, key: str, rows: list[int]) -> Any:
    """A key's value in each row: whole numbers, numbers, truth or text, whichever holds all of them."""
    import pandas as pd

    texts = {answer.point.settings[key] for answer in sweep.answers if key in answer.point.settings}
    told = {text: value_of(text) for text in texts}
    kinds = {type(value) for value in told.values()}
    if kinds <= {int}:
        dtype = "Int64"
    elif kinds <= {int, float}:
        dtype = "Float64"
    else:
        dtype = "boolean" if kinds == {bool} else "string"
    if dtype == "string":
        told = {text: value if isinstance(value, str) else text for text, value in told.items()}
    standing = {axis.name: number for axis, number in zip(sweep.axes, sweep.standing, strict=True)}
    left = standing.get(key) if dtype in ("Int64", "Float64") else None
    if left is not None and not left.is_integer():
        dtype = "Float64"
    values = [told[text] if (text := answer.point.settings.get(key)) else left for answer in sweep.answers]
    repeated = [value for value, count in zip(values, rows, strict=True) for _ in range(count)]
    return pd.array(repeated, dtype=dtype)


def _figure(answers: list[Answer], name: str) -> Iterator[np.ndarray[Any, np.dtype[np.float64]]]:
    for answer in answers:
        series = answer.series(name)
        count = answer.values.shape[-1] if answer.names else 1
        yield series if series.size else np.full(count, np.nan)
