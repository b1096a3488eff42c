"""Reads a trace file as blocks of rows in constant memory, and says what is wrong with it by line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError, TraceError, one_of
from sim.workload.blocks import BLOCK_ROWS, Integers
from sim.workload.columns import in_pieces, joined, taken
from sim.workload.traces.chains import Chains
from sim.workload.traces.formats import FORMATS, Format, detect_format, format_named, split_fields
from sim.workload.traces.lines import Lines, read_lines
from sim.workload.traces.parsers import CsvParser, JsonParser, Parsed, Parser
from sim.workload.traces.rows import TraceRows
from sim.workload.traces.sessions import Sessions, out_of_order
from sim.workload.traces.table import RowFault, Table, first_value_fault, keep_good

__all__ = ["TraceReader"]

_SKIP_REMEDY = "leave out bad rows with `on_bad_row: skip`"


class TraceReader:
    """A trace file, plain or gzip, in one of the formats azure, mooncake, burstgpt, nightshift or agentic.

    A bad row is one that cannot be parsed, lacks a field, has a NaN, infinite or negative time, an earlier
    time than the good row before it, a token count that is not a whole number of 1 to 2^31 - 1, or shares more of
    a context than it has. Requests that failed have no output tokens, so they are bad rows.

    Contexts are read as they are named; in a mooncake trace they follow from the blocks of the prompts (`Chains`).
    The agentic format holds sessions with a clock each: it is read whole, and its rows are in time order as if
    all sessions began at 0.
    """

    def __init__(
        self,
        path: Path | str,
        format: str | None = None,
        on_bad_row: str = "refuse",
    ) -> None:
        """`format` is found from the first line where it is not given; `on_bad_row` is refuse or skip.

        Raises:
            InputError: for a format or a choice that does not exist.
        """
        if on_bad_row not in ("refuse", "skip"):
            raise InputError(on_bad_row, "is not known for on_bad_row", one_of(["refuse", "skip"]))
        self.path = Path(path)
        self.on_bad_row = on_bad_row
        self.skipped = 0
        """Bad rows left out by the latest reading, as far as it went."""
        self._named = None if format is None else format_named(format)

    @property
    def format(self) -> Format:
        """The file's format.

        Raises:
            TraceError: where the file cannot be read or its format cannot be told.
        """
        return self._named or detect_format(self._first_line()[1], self.path)

    @property
    def has_identifiers(self) -> bool:
        """Whether the file tells contexts, questions or priorities."""
        return bool(set(self.format.optional.values()) & set(split_fields(self._first_line()[1]))) or self.has_shares

    @property
    def has_shares(self) -> bool:
        """Whether the file tells what requests share of their contexts, or versions of these."""
        trace_format, first = self.format, self._first_line()[1]
        if trace_format.chain is not None:
            return f'"{trace_format.chain}"' in first
        return trace_format.in_sessions or bool({"version", "prefix_tokens", "keep_tokens"} & set(split_fields(first)))

    def rows(self) -> Iterator[TraceRows]:
        """All good rows, a bounded number at a time; every call reads the file anew.

        Raises:
            TraceError: for a file that cannot be read, lacks columns or holds no good row; with `refuse` for
                the first bad row, naming its line, value and rule.
        """
        trace_format = self.format
        if trace_format.in_sessions:
            yield from in_pieces(self.sessions().together(), BLOCK_ROWS)
            return
        last, origin, chains = _before_all(trace_format), None, Chains()
        for parsed in self._pieces(trace_format):
            table = self._good(parsed, last, trace_format)
            if table.line.size:
                last = table.time[-1]
                origin = _origin(table, trace_format) if origin is None else origin
                yield _with_shares(_in_seconds(table, origin, trace_format), table.line, parsed.chains, chains)
        if origin is None:
            raise self._empty()

    def sessions(self) -> Sessions:
        """All good rows of a file in sessions, which is read whole.

        Raises:
            TraceError: as for `rows`.
        """
        trace_format = self.format
        tables = [self._good(parsed, None, trace_format) for parsed in self._pieces(trace_format)]
        if not any(table.line.size for table in tables):
            raise self._empty()
        return Sessions.of(self._in_agents_order(joined(tables), trace_format))

    def _in_agents_order(self, table: Table, trace_format: Format) -> Table:
        """The rows that come after the row before them of the same agent."""
        while (early := out_of_order(table)).size:
            if self.on_bad_row == "refuse":
                row = int(early[0])
                fault = RowFault(table.time[row], "time", "is earlier than the row before it of the same agent")
                raise _trace_error(fault, trace_format, f"{self.path}:{table.line[row]}")
            self.skipped += early.size
            table = taken(table, np.delete(np.arange(table.line.size), early))
        return table

    def _pieces(self, trace_format: Format) -> Iterator[Parsed]:
        parser, body_line = self._parser(trace_format)
        self.skipped = 0
        for lines in read_lines(self.path):
            yield parser.parse(_from_line(lines, body_line))

    def _parser(self, trace_format: Format) -> tuple[Parser, int]:
        """The parser, and the number of the first line that can be a row."""
        number, first = self._first_line()
        if trace_format.json_lines:
            self._check_keys(trace_format, first)
            return JsonParser(trace_format), number
        header = split_fields(first)
        missing = [name for name in trace_format.columns.values() if name not in header]
        if missing:
            raise self._unlike(trace_format, first, number, missing)
        return CsvParser(trace_format, header), number + 1

    def _check_keys(self, trace_format: Format, first: str) -> None:
        """Refuse a file of another format at once, rather than line by line."""
        if any(other.recognises(first) for other in FORMATS if other is not trace_format):
            raise self._unlike(trace_format, first, 1, list(trace_format.columns.values()))

    def _unlike(self, trace_format: Format, first: str, number: int, missing: list[str]) -> TraceError:
        likely = [other.name for other in FORMATS if other.recognises(first)]
        remedy = f"it looks like `format: {likely[0]}`" if likely else "name the columns in the first line"
        rule = f"lacks {', '.join(missing)} of format {trace_format.name}"
        return TraceError(first, rule, remedy, where=f"{self.path}:{number}")

    def _first_line(self) -> tuple[int, str]:
        """Number and text of the first line that is not blank."""
        for lines in read_lines(self.path):
            for number, text in enumerate(lines.texts, lines.first):
                if text.strip():
                    return number, text
        raise self._empty()

    def _good(self, parsed: Parsed, last: Any, trace_format: Format) -> Table:
        good = keep_good(parsed.table, last)
        bad = len(parsed.faults) + parsed.table.line.size - good.line.size
        if bad and self.on_bad_row == "refuse":
            raise self._fault(parsed, last, trace_format)
        self.skipped += bad
        return good

    def _fault(self, parsed: Parsed, last: Any, trace_format: Format) -> TraceError:
        faults = [*parsed.faults[:1], first_value_fault(parsed.table, last)]
        line, fault = min((found for found in faults if found is not None), key=lambda found: found[0])
        return _trace_error(fault, trace_format, f"{self.path}:{line}")

    def _empty(self) -> TraceError:
        skipped = f" (bad rows skipped: {self.skipped})" if self.skipped else ""
        rule = f"is an empty trace: it holds no request{skipped}"
        return TraceError(self.path.name, rule, "give a file with requests", where=str(self.path))


def _from_line(lines: Lines, first: int) -> Lines:
    """The lines from number `first` on."""
    skipped = min(max(first - lines.first, 0), len(lines.texts))
    return Lines(lines.first + skipped, lines.texts[skipped:]) if skipped else lines


def _before_all(trace_format: Format) -> Any:
    return -np.inf if trace_format.time_type is np.float64 else np.iinfo(np.int64).min


def _origin(table: Table, trace_format: Format) -> Any:
    """What counts as zero: the first request of calendar times, the file's own zero otherwise."""
    return table.time.dtype.type(0) if trace_format.time_type is np.float64 else table.time[0]


def _in_seconds(table: Table, origin: Any, trace_format: Format) -> TraceRows:
    time: NDArray[Any] = table.time - origin
    shares = (np.maximum(column, 0) for column in (table.version, table.prefix_tokens, table.keep_tokens))
    identifiers = (table.context_id, table.question_id, table.priority)
    return TraceRows(time / trace_format.ticks_per_s, table.prompt_tokens, table.output_tokens, *identifiers, *shares)


def _with_shares(rows: TraceRows, line: Integers, blocks: dict[int, list[int]], chains: Chains) -> TraceRows:
    """The rows with the contexts that follow from their blocks; a later prompt may share all of an earlier one."""
    found = [(row, blocks[number]) for row, number in enumerate(line.tolist()) if blocks.get(number)]
    if not found:
        return rows
    places = [chains.place(chain, int(rows.prompt_tokens[row])) for row, chain in found]
    at = np.array([row for row, _ in found])
    rows.context_id[at] = [place.context for place in places]
    rows.prefix_tokens[at] = [place.shared_tokens for place in places]
    rows.keep_tokens[at] = rows.prompt_tokens[at]
    return rows


def _trace_error(fault: RowFault, trace_format: Format, where: str) -> TraceError:
    value, remedy = fault.value, f"correct the row, or {_SKIP_REMEDY}"
    if fault.column is None:
        return TraceError(value, fault.rule, remedy, where=where)
    if fault.column == "time" and isinstance(value, np.generic):
        value = trace_format.shown_time(value)
    return TraceError(value, f"in {trace_format.column_name(fault.column)} {fault.rule}", remedy, where=where)
