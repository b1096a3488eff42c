"""CSV files of measurements: their cells by column and line, and the numbers in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas import DataFrame, Index, Series

from sim.errors import InputError, nearest
from sim.measurements.faults import Faults

__all__ = ["Places", "Sheet", "read_header", "read_sheet", "read_text", "seconds_scale"]

Places = Mapping[str, str]
"""The file's name of each column we read, by our name."""


class Sheet(NamedTuple):
    """A CSV file: texts [n] by column (in lower case, stripped), their index the line in the file; its faults.

    `notes` gathers what is left out of it and why.
    """

    path: Path
    texts: DataFrame
    faults: Faults
    notes: list[str]

    def places(self, needed: Mapping[str, Sequence[str]], optional: Mapping[str, Sequence[str]]) -> Places:
        """Which column of the file is which of ours; each of ours goes by any one of several names.

        Raises:
            MeasurementError: where a needed column is missing, or one is there under two names.
        """
        header = list(self.texts.columns)
        every = {**needed, **optional}
        for ours, names in every.items():
            found = [name for name in names if name in header]
            if len(found) > 1:
                self.faults.add(1, "", " and ".join(found), "say the same thing twice", "leave out one of them")
            elif not found and ours in needed:
                self.add_missing(names, every)
        self.faults.raise_if_any()
        return {ours: name for ours, names in every.items() for name in names if name in header}

    def add_missing(self, names: Sequence[str], every: Mapping[str, Sequence[str]]) -> None:
        """Note that the header has none of these columns; what stands for another one is no misspelling."""
        known = {name for others in every.values() for name in others}
        header = list(self.texts.columns)
        unknown = [name for name in header if name not in known]
        near = next((found for name in names if (found := nearest(name, unknown))), None)
        remedy = f"did you mean '{near}'?" if near else f"the file has: {', '.join(header)}"
        self.faults.add(1, "", "the header", f"lacks the column {' or '.join(names)}", remedy)

    def numbers(self, column: str) -> Series:
        """The numbers of a column, [n] float64; each must be above 0, what is not is a fault."""
        return self._checked(column, lambda values: values <= 0, "must be above 0")

    def not_negative(self, column: str) -> Series:
        """The numbers of a column, [n] float64; each must be at least 0, what is not is a fault."""
        return self._checked(column, lambda values: values < 0, "must not be negative")

    def seconds(self, column: str) -> Series:
        """The times of a column in seconds, [n]; its name ends in _ms or _s. Each must be above 0."""
        return self.numbers(column) * seconds_scale(column)

    def ranks(self, column: str) -> Series:
        """The GPU counts of a column, [n] int64; blank, NaN and 0 are 1, what is no whole number is a fault."""
        texts = self.texts[column]
        blank = texts.str.casefold().isin(["", "nan", "none", "null"])
        values = pd.to_numeric(texts.mask(blank, "1"), errors="coerce").astype(np.float64)
        wrong = ~np.isfinite(values) | (values < 0) | (values % 1 != 0)
        self.faults.add_each(texts[wrong], "is no count of GPUs", "give a whole number, or leave it blank")
        return values.mask(wrong, 1.0).clip(lower=1.0).astype(np.int64)

    def add_unit_faults(self, column: str, lines: Index[int], than: str) -> None:
        """Note times that are "shorter" or "longer" than any can be in the unit that the column names.

        Where that is so of every row the column is at fault, not the rows.
        """
        seconds = column.endswith("_s")
        if 1 < len(lines) == len(self.texts):
            other = column.removesuffix("_s") + "_ms" if seconds else column.removesuffix("_ms") + "_s"
            self.faults.add(1, "", column, f"holds times {than} than any can be", f"did you mean '{other}'?")
            return
        rule = f"is {than} than any can be in {'seconds' if seconds else 'milliseconds'}"
        remedy = "the file has mixed units, or the row is wrong: correct it or leave it out"
        self.faults.add_each(self.texts.loc[lines, column], rule, remedy)

    def need_rows(self, rows: int) -> None:
        """Refuse a file of fewer rows.

        Raises:
            InputError: where there are fewer.
        """
        count = len(self.texts)
        if count < rows:
            rule = "holds no row" if not count else f"holds {count} row, which cannot identify how times grow"
            raise InputError(self.path.name, rule, f"give at least {rows}", where=str(self.path))

    def _checked(self, column: str, breaks: Callable[[Series], Series], rule: str) -> Series:
        texts = self.texts[column]
        values = pd.to_numeric(texts, errors="coerce").astype(np.float64).replace([np.inf, -np.inf], np.nan)
        self.faults.add_each(texts[values.isna()], "is not a finite number", "correct the row or leave it out")
        self.faults.add_each(texts[breaks(values)], rule, "correct the row or leave it out")
        return values


def seconds_scale(column: str) -> float:
    """Seconds in a unit of a column whose name ends in _ms or _s."""
    return 1e-3 if column.endswith("_ms") else 1.0


def read_sheet(path: Path) -> Sheet:
    """The cells of a CSV file with a header line; blank lines are passed over.

    Raises:
        InputError: for a file that is missing, unreadable, no text or empty, a header that names a column
            twice, or lines that have more or fewer fields than it.
    """
    faults = Faults(path)
    lines = _split(path, read_text(path))
    if not lines:
        raise _empty(path)
    (first, header), *body = lines
    names = _columns(header)
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.add(first, "", name, "names more than one column", "leave out or rename the others")
    for number, fields in body:
        if len(fields) != len(names):
            rule = f"has {len(fields)} fields where the header has {len(names)}"
            faults.add(number, "", ",".join(fields), rule, "correct the row or leave it out")
    faults.raise_if_any()
    index = pd.Index([number for number, _ in body], dtype=np.int64)
    cells = [[field.strip() for field in fields] for _, fields in body]
    return Sheet(path, DataFrame(cells, index=index, columns=pd.Index(names), dtype="str"), faults, [])


def read_header(path: Path) -> list[str]:
    """The columns that the first line of a CSV file names, in lower case; the rest of it is not looked at.

    Raises:
        InputError: for a file that is missing, unreadable, no text or empty.
    """
    lines = _split(path, read_text(path).lstrip().partition("\n")[0])
    if not lines:
        raise _empty(path)
    return _columns(lines[0][1])


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        InputError: for a file that is missing, unreadable or not UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(path, "does not exist", "check the path") from None
    except UnicodeDecodeError:
        raise InputError(path.name, "is not UTF-8 text", "give a text file", where=str(path)) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(path, f"cannot be read ({reason})", "check the file and its permissions") from None
    if "\0" in text:
        raise InputError(path.name, "is not a text file", "give a text file", where=str(path))
    return text


def _columns(header: Sequence[str]) -> list[str]:
    return [name.strip().casefold() for name in header]


def _empty(path: Path) -> InputError:
    return InputError(path.name, "is empty", "give a CSV file with a header line", where=str(path))


def _split(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """Line number and fields of each line that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        return [(reader.line_num, fields) for fields in reader if any(map(str.strip, fields))]
    except csv.Error as error:
        where = f"{path}:{reader.line_num}"
        raise InputError(path.name, f"is no CSV ({error})", "correct the line", where=where) from None
