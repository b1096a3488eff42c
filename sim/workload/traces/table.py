"""Rows of a trace as columns, and the rules every row must keep whatever its format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.workload.blocks import NOTHING, Floats, Integers
from sim.workload.lengths import LONGEST_TOKENS

__all__ = ["RawRow", "RowFault", "Table", "first_value_fault", "keep_good"]


class RowFault(Exception):
    """What is wrong with a row: the value, our name of its column (None for the row), the rule it breaks."""

    def __init__(self, value: object, column: str | None, rule: str) -> None:
        super().__init__(value, column, rule)
        self.value, self.column, self.rule = value, column, rule


class RawRow(NamedTuple):
    """One row as it stands in the file; -1 stands for what is not given."""

    time: float
    """Time of arrival: seconds, milliseconds or nanoseconds, as the format counts."""
    prompt_tokens: int
    output_tokens: int
    context_id: int = -1
    question_id: int = -1
    priority: int = -1
    version: int = -1
    prefix_tokens: int = -1
    keep_tokens: int = -1
    agent: int = -1


class Table(NamedTuple):
    """Parsed rows, one column each, [n]."""

    line: Integers
    time: NDArray[Any]
    """float64 or int64, as the format counts."""
    prompt_tokens: Integers
    output_tokens: Integers
    context_id: Integers
    question_id: Integers
    priority: Integers
    version: Integers
    prefix_tokens: Integers
    keep_tokens: Integers
    agent: Integers
    """Which of the agents at work on a context sent the row."""

    @classmethod
    def of(cls, lines: Sequence[int], rows: Sequence[RawRow], time_type: type) -> Table:
        """Rows parsed one by one, from these lines."""
        columns = list(zip(*rows, strict=True)) or [()] * len(RawRow._fields)
        integers = (np.array(column, np.int64) for column in columns[1:])
        return cls(np.array(lines, np.int64), np.array(columns[0], time_type), *integers)

    def where(self, chosen: NDArray[np.bool_]) -> Table:
        """The chosen rows."""
        return self if chosen.all() else Table(*(column[chosen] for column in self))


class _Rule(NamedTuple):
    column: str
    breaks: Callable[[Table], NDArray[np.bool_]]
    text: str


_ALONE = "is given without a context_id"
_RULES = (
    _Rule("time", lambda rows: ~np.isfinite(rows.time), "is not a finite number"),
    _Rule("time", lambda rows: (rows.time < 0) & (rows.time.dtype == np.float64), "must not be negative"),
    _Rule("prompt_tokens", lambda rows: rows.prompt_tokens < 1, "must be at least 1"),
    _Rule("prompt_tokens", lambda rows: rows.prompt_tokens > LONGEST_TOKENS, f"must be at most {LONGEST_TOKENS}"),
    _Rule("output_tokens", lambda rows: rows.output_tokens < 1, "must be at least 1"),
    _Rule("output_tokens", lambda rows: rows.output_tokens > LONGEST_TOKENS, f"must be at most {LONGEST_TOKENS}"),
    _Rule("version", lambda rows: rows.version < NOTHING, "must not be negative"),
    _Rule("version", lambda rows: (rows.version > 0) & (rows.context_id == NOTHING), _ALONE),
    _Rule("prefix_tokens", lambda rows: rows.prefix_tokens < NOTHING, "must not be negative"),
    _Rule("prefix_tokens", lambda rows: rows.prefix_tokens > rows.prompt_tokens, "must be at most the prompt_tokens"),
    _Rule("prefix_tokens", lambda rows: (rows.prefix_tokens > 0) & (rows.context_id == NOTHING), _ALONE),
    _Rule("keep_tokens", lambda rows: rows.keep_tokens < NOTHING, "must not be negative"),
    _Rule(
        "keep_tokens",
        lambda rows: rows.keep_tokens > rows.prompt_tokens + rows.output_tokens,
        "must be at most prompt_tokens and output_tokens together",
    ),
    _Rule("keep_tokens", lambda rows: (rows.keep_tokens > 0) & (rows.context_id == NOTHING), _ALONE),
)


def keep_good(table: Table, last_time: float | None) -> Table:
    """The rows that keep every rule, given the time of the last good row before them.

    Their times may have any order where that is None.
    """
    in_range = np.ones(table.line.size, np.bool_)
    for rule in _RULES:
        in_range &= ~rule.breaks(table)
    sound = table.where(in_range)
    return sound if last_time is None else sound.where(sound.time >= _latest_before(sound.time, last_time))


def first_value_fault(table: Table, last_time: float | None) -> tuple[int, RowFault] | None:
    """Line and fault of the first row that breaks a rule, or None."""
    return min(_value_faults(table, last_time), key=lambda fault: fault[0], default=None)


def _value_faults(table: Table, last_time: float | None) -> Iterator[tuple[int, RowFault]]:
    for rule in _RULES:
        for row in np.flatnonzero(rule.breaks(table))[:1]:
            yield int(table.line[row]), RowFault(getattr(table, rule.column)[row], rule.column, rule.text)
    if last_time is None:
        return
    for row in np.flatnonzero(table.time < _latest_before(table.time, last_time))[:1]:
        yield int(table.line[row]), RowFault(table.time[row], "time", "is earlier than the row before it")


def _latest_before(time: Floats, last_time: float) -> Floats:
    """The latest time of all rows before each row."""
    before = np.concatenate((np.array([last_time], time.dtype), time[:-1]))
    return np.maximum.accumulate(before)[: time.size]
