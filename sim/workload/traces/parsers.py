"""Lines of a trace to a table: a whole piece at once where it is clean, line by line where it is not."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sim.workload.blocks import NOTHING
from sim.workload.traces import fields
from sim.workload.traces.formats import Format
from sim.workload.traces.lines import Lines
from sim.workload.traces.table import RawRow, RowFault, Table

__all__ = ["CsvParser", "JsonParser", "Parsed", "Parser"]

_EXACT = 2**53
"""Whole numbers up to here are the same by way of a float; how longer ones are read depends on their digits."""


class Parsed(NamedTuple):
    """What a piece of a file holds: rows, and lines that are no rows."""

    table: Table
    faults: list[tuple[int, RowFault]]
    """Line and fault, in order."""
    chains: dict[int, list[int]]
    """By line, where rows have chains of blocks."""


class Parser(Protocol):
    """Reads lines of one layout; blank lines are passed over."""

    def parse(self, lines: Lines) -> Parsed:
        """Rows and faults of these lines."""


class CsvParser:
    """Reads the lines of a CSV file below its header."""

    def __init__(self, trace_format: Format, header: list[str]) -> None:
        """`header` names the columns; those the format needs must be among them."""
        names = {**trace_format.columns, **trace_format.optional}
        self._width = len(header)
        self._places = {ours: header.index(theirs) for ours, theirs in names.items() if theirs in header}
        self._time_type = trace_format.time_type
        self._readers: dict[str, Callable[[str, str], Any]] = {
            "time": fields.number if trace_format.time_type is np.float64 else fields.instant_ns,
            "prompt_tokens": fields.whole,
            "output_tokens": fields.whole,
            "context_id": fields.identifier,
            "question_id": fields.identifier,
            "priority": fields.priority,
            "version": fields.whole_if_any,
            "prefix_tokens": fields.whole_if_any,
            "keep_tokens": fields.whole_if_any,
            "agent": fields.identifier,
        }

    def parse(self, lines: Lines) -> Parsed:
        """Rows and faults of these lines; lines that are all plain take the fast road to the same table."""
        if lines.texts and all(map(self._is_plain, lines.texts)):
            try:
                return Parsed(self._parse_at_once(lines), [], {})
            except (ValueError, RowFault, DeprecationWarning):
                pass
        return _parse_each(lines, self._row, self._time_type)

    def _is_plain(self, text: str) -> bool:
        return text.count(",") == self._width - 1 and '"' not in text

    def _parse_at_once(self, lines: Lines) -> Table:
        types = {ours: self._plain_type(ours) for ours in self._places}
        with warnings.catch_warnings():
            # Older numpy reads 12.5 as the integer 12 and only warns.
            warnings.simplefilter("error", DeprecationWarning)
            loaded = np.loadtxt(
                lines.texts,
                delimiter=",",
                comments=None,
                ndmin=1,
                usecols=list(self._places.values()),
                dtype=np.dtype(list(types.items())),
            )
        rows = len(lines.texts)
        nothing = np.full(rows, NOTHING, np.int64)
        columns = (self._column(ours, loaded) if ours in self._places else nothing for ours in RawRow._fields)
        return Table(np.arange(lines.first, lines.first + rows, dtype=np.int64), *columns)

    def _plain_type(self, ours: str) -> type:
        if ours == "time" and self._time_type is np.float64:
            return np.float64
        return np.int64 if ours in ("prompt_tokens", "output_tokens") else object

    def _column(self, ours: str, loaded: NDArray[Any]) -> NDArray[Any]:
        values = loaded[ours]
        if values.dtype == np.int64 and bool(((values > _EXACT) | (values < -_EXACT)).any()):
            raise ValueError
        if values.dtype != object:
            return np.ascontiguousarray(values)
        if ours == "time":
            return fields.instants_ns(values.tolist())
        texts = values.tolist()
        known = {text: self._readers[ours](text, ours) for text in set(texts)}
        return np.fromiter((known[text] for text in texts), np.int64, len(texts))

    def _row(self, text: str) -> RawRow:
        found = _split(text)
        if len(found) != self._width:
            raise RowFault(text, None, f"has {len(found)} fields where the header has {self._width}")
        places = self._places.items()
        return RawRow(**{ours: self._readers[ours](found[place], ours) for ours, place in places})


class JsonParser:
    """Reads the lines of a JSON-lines file, each an object with the format's keys."""

    def __init__(self, trace_format: Format) -> None:
        self._names, self._chain = trace_format.columns, trace_format.chain
        self._time_type = trace_format.time_type
        self._chains: list[list[int]] = []

    def parse(self, lines: Lines) -> Parsed:
        """Rows and faults of these lines."""
        self._chains = []
        parsed = _parse_each(lines, self._row, self._time_type)
        return parsed._replace(chains=dict(zip(parsed.table.line.tolist(), self._chains, strict=True)))

    def _row(self, text: str) -> RawRow:
        values = _json_object(text)
        lacking = [name for name in self._names.values() if name not in values]
        if lacking:
            raise RowFault(text, None, f"lacks {lacking[0]}")
        time, prompts, outputs = (_json_number(values[name], ours) for ours, name in self._names.items())
        row = RawRow(time, _whole(prompts, "prompt_tokens"), _whole(outputs, "output_tokens"))
        self._chains.append([] if self._chain is None else _blocks(values.get(self._chain), self._chain))
        return row


def _blocks(value: object, key: str) -> list[int]:
    """A chain of blocks; empty where there is none."""
    if value is None:
        return []
    if isinstance(value, list) and set(map(type, value)) <= {int}:
        return value
    raise RowFault(json.dumps(value), None, f"in {key} is not a list of whole numbers")


def _parse_each(lines: Lines, parse: Callable[[str], RawRow], time_type: type) -> Parsed:
    numbers, rows, faults = [], [], []
    for number, text in enumerate(lines.texts, lines.first):
        if not text.strip():
            continue
        try:
            rows.append(parse(text))
            numbers.append(number)
        except RowFault as fault:
            faults.append((number, fault))
    return Parsed(Table.of(numbers, rows, time_type), faults, {})


def _split(text: str) -> list[str]:
    try:
        return next(csv.reader([text]))
    except csv.Error as error:
        raise RowFault(text, None, f"is not CSV ({error})") from None


def _json_object(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise RowFault(text, None, "is not JSON") from None
    if not isinstance(values, dict):
        raise RowFault(text, None, "is not a JSON object")
    return values


def _json_number(value: object, ours: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RowFault(json.dumps(value), ours, "is not a number")
    try:
        return float(value)
    except OverflowError:
        raise RowFault(value, ours, "is too large") from None


def _whole(value: float, ours: str) -> int:
    if value.is_integer() and abs(value) < 1e18:
        return int(value)
    raise RowFault(value, ours, "is not a whole number")
