"""Small CSV tables, plain or gzip, read whole and strictly: all faults at once, each with its line."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.errors import Fault, FaultsError, TraceError
from sim.workload.blocks import Floats, Integers
from sim.workload.traces.fields import number
from sim.workload.traces.lines import read_lines
from sim.workload.traces.table import RowFault

__all__ = ["CsvTable", "TableError", "read_table"]

_CORRECT = "correct the row"


class TableError(FaultsError, TraceError):
    """The faults of a table."""


@dataclass
class CsvTable:
    """Columns of a table and what is wrong with them; a field that is no number is NaN, and a fault."""

    path: Path
    line: Integers
    """Line of each row in the file, [n]."""
    texts: dict[str, NDArray[np.str_]]
    numbers: dict[str, Floats]
    _faults: list[tuple[int, Fault]] = field(default_factory=list)

    def check(self, bad: NDArray[np.bool_], column: str, rule: str, remedy: str = _CORRECT) -> None:
        """Note a fault for each row in `bad`, [n], unless that field has one already."""
        values = self.texts[column] if column in self.texts else self.numbers[column]
        known = {(line, fault.path) for line, fault in self._faults}
        for row in np.flatnonzero(bad):
            if (int(self.line[row]), column) not in known:
                value = values[row] if column in self.texts else f"{values[row]:g}"
                self.note(int(self.line[row]), column, value, rule, remedy)

    def note(self, line: int, column: str, value: object, rule: str, remedy: str) -> None:
        """Note one fault; the column is empty where the row as a whole is wrong."""
        self._faults.append((line, Fault(f"{self.path}:{line}", column, value, rule, remedy)))

    def raise_if_any(self) -> None:
        """Raise what has been noted.

        Raises:
            TableError: with all faults, in order of their lines.
        """
        if self._faults:
            raise TableError([fault for _, fault in sorted(self._faults, key=lambda found: found[0])])


def read_table(path: Path, texts: Sequence[str], numbers: Sequence[str]) -> CsvTable:
    """The columns of these names, in any order and among others; blank lines count for nothing.

    Rows with too few or too many fields are left out, and faults.

    Raises:
        TraceError: for a file that cannot be read at all.
        TableError: where the first line lacks a column, or no row follows it.
    """
    lines, rows = _rows(path)
    header = [name.strip() for name in rows[0]] if rows else []
    where = f"{path}:{lines[0] if lines else 1}"
    missing = [name for name in (*texts, *numbers) if header.count(name) != 1]
    if missing:
        rule = f"must be named once in the first line, which has: {', '.join(header) or 'nothing'}"
        raise TableError([Fault(where, name, name, rule, "add the column, or rename one") for name in missing])
    if len(rows) == 1:
        raise TableError([Fault(where, "", path.name, "holds no rows", "give a table with rows")])
    table = CsvTable(path, np.empty(0, np.int64), {}, {})
    _fill(table, header, lines[1:], rows[1:], texts, numbers)
    return table


def _rows(path: Path) -> tuple[list[int], list[list[str]]]:
    lines: list[int] = []
    rows: list[list[str]] = []
    for part in read_lines(path):
        for line, text in enumerate(part.texts, part.first):
            if text.strip():
                lines.append(line)
                rows.append(next(csv.reader([text])) if '"' in text else text.split(","))
    return lines, rows


def _fill(
    table: CsvTable,
    header: list[str],
    lines: list[int],
    rows: list[list[str]],
    texts: Sequence[str],
    numbers: Sequence[str],
) -> None:
    whole = [len(row) == len(header) for row in rows]
    for line, row, good in zip(lines, rows, whole, strict=True):
        if not good:
            table.note(line, "", f"a row of {len(row)} fields", f"must have {len(header)}", _CORRECT)
    table.line = np.array(lines, np.int64)[whole]
    kept = [row for row, good in zip(rows, whole, strict=True) if good]
    for name in texts:
        at = header.index(name)
        table.texts[name] = np.array([row[at].strip() for row in kept], np.str_)
    for name in numbers:
        at = header.index(name)
        table.numbers[name] = _parsed(table, name, [row[at] for row in kept])
        table.check(~np.isfinite(table.numbers[name]), name, "is not a finite number")


def _parsed(table: CsvTable, column: str, fields: list[str]) -> Floats:
    """The numbers; NaN where there is none, with its fault noted."""
    try:
        if not any("_" in field for field in fields):
            return np.array([float(field) for field in fields])
    except ValueError:
        pass
    return np.array([_number(table, line, column, text) for line, text in zip(table.line, fields, strict=True)])


def _number(table: CsvTable, line: int, column: str, text: str) -> float:
    try:
        return number(text, column)
    except RowFault as fault:
        table.note(int(line), column, fault.value, fault.rule, _CORRECT)
        return np.nan
