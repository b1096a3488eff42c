"""What a table of outcomes tells of its questions beside their outcomes: text, and columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sim.errors import InputError, did_you_mean
from sim.outcomes.tables import OutcomeTable, mark_of, read_rows, texts_in
from sim.workload.blocks import Floats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["number_columns", "texts_of"]

_TEXT = "text"


def number_columns(path: Path, table: OutcomeTable, names: Sequence[str]) -> dict[str, Floats]:
    """Columns of the file by name, one number a question in the order of the table, [Q] each.

    Raises:
        InputError: for a column that the file does not have, that is not a finite number somewhere, or that differs
            from row to row of one question: then it is known only once the question has been answered.
    """
    return dict(_number_columns(path, mark_of(path), tuple(table.questions), tuple(names)))


@lru_cache(maxsize=4)
def _number_columns(
    path: Path, mark: tuple[int, ...], questions: tuple[str, ...], names: tuple[str, ...]
) -> dict[str, Floats]:
    """The same of a file with this `mark`."""
    rows = read_rows(path)
    question = texts_in(rows["question"])
    found = {}
    for name in names:
        key = name.casefold()
        if key not in rows:
            rule = f"lacks the feature '{name}', which the router looks at"
            remedy = f"add the column, or train a router on this table; {did_you_mean(name, list(rows.columns))}"
            raise InputError(path.name, rule, remedy, where=str(path))
        values = _numbers(rows[key])
        by_question = values.groupby(question)
        first = by_question.first().reindex(list(questions)).to_numpy(np.float64)
        if not np.isfinite(first).all():
            place = questions[int(np.flatnonzero(~np.isfinite(first))[0])]
            raise InputError(f"feature '{name}'", f"is no number for question {place}", "fill it in", where=str(path))
        if ((by_question.max() - by_question.min()) > 0.0).any():
            rule = "differs between rows of one question, so it is not known before an answer"
            raise InputError(f"feature '{name}'", rule, "train a router without it", where=str(path))
        found[name] = first
    return found


def texts_of(path: Path, table: OutcomeTable) -> list[str]:
    """The text of each question, from the column `text`.

    Raises:
        InputError: where the file has no such column.
    """
    rows = read_rows(path)
    if _TEXT not in rows:
        remedy = "add it, or train a router on columns of numbers alone"
        raise InputError(path.name, "lacks the column text, which the router reads", remedy, where=str(path))
    first = rows[_TEXT].groupby(texts_in(rows["question"])).first()
    return [str(text) for text in first.reindex(list(table.questions))]


def _numbers(column: pd.Series) -> pd.Series:
    import pandas as pd

    return pd.to_numeric(column, errors="coerce").astype(np.float64)
