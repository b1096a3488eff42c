"""Writes any trace in Nightshift's own layout."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sim.errors import InputError
from sim.workload.blocks import NOTHING, PRIORITIES, Integers
from sim.workload.traces import TraceReader, TraceRows

__all__ = ["convert_trace", "write_rows"]

_NEEDED = "arrival_s,prompt_tokens,output_tokens"
_IDENTIFIERS = ",context_id,question_id,priority"
_SHARES = ",version,prefix_tokens,keep_tokens"


def convert_trace(source: Path, target: Path, format: str | None = None, on_bad_row: str = "refuse") -> dict[str, Any]:
    """Write a trace as a nightshift CSV, gzip if the name ends with .gz, and give back what was written.

    Reading the new file gives the same numbers to the last bit. Columns of context, question and priority are
    there if the source has any of them, and those of version, prefix and keep_tokens likewise. Sessions with a
    clock each all begin at 0. The file appears when it is whole.

    Returns:
        `file`, `format` of the source, `rows` written and bad rows `skipped`.

    Raises:
        TraceError: for a source that cannot be read as a trace.
        InputError: for a target that cannot be written.
    """
    reader = TraceReader(source, format, on_bad_row)
    with _aside(Path(target)) as file:
        rows = write_rows(file, reader.rows(), identifiers=reader.has_identifiers, shares=reader.has_shares)
    return {"file": str(target), "format": reader.format.name, "rows": rows, "skipped": reader.skipped}


def write_rows(file: IO[bytes], blocks: Iterator[TraceRows], *, identifiers: bool, shares: bool = False) -> int:
    """Write blocks of rows as nightshift CSV, with the columns asked for, and give back how many rows there were."""
    file.write(f"{_NEEDED}{_IDENTIFIERS if identifiers else ''}{_SHARES if shares else ''}\n".encode())
    count = 0
    for rows in blocks:
        columns = [rows.arrival_s.tolist(), rows.prompt_tokens.tolist(), rows.output_tokens.tolist()]
        if identifiers:
            columns += [_identifiers(rows.context_id), _identifiers(rows.question_id), _names(rows.priority)]
        if shares:
            columns += [rows.version.tolist(), rows.prefix_tokens.tolist(), rows.keep_tokens.tolist()]
        lines = (",".join(map(str, row)) for row in zip(*columns, strict=True))
        file.write(("\n".join(lines) + "\n").encode())
        count += rows.arrival_s.size
    return count


def _identifiers(column: Integers) -> list[int | str]:
    return ["" if value == NOTHING else value for value in column.tolist()]


def _names(column: Integers) -> list[str]:
    return ["" if value == NOTHING else PRIORITIES[value] for value in column.tolist()]


@contextmanager
def _aside(target: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `target` when all has gone well, and vanishes otherwise."""
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with aside.open("wb") as raw, _packed(raw, target) as file:
            yield file
        os.replace(aside, target)
    except OSError as error:
        rule = f"cannot be written ({error.strerror})"
        raise InputError(target, rule, "give a file in a folder that you may write to") from None
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def _packed(raw: IO[bytes], target: Path) -> Iterator[IO[bytes]]:
    if target.suffix != ".gz":
        yield raw
        return
    # Neither name nor time inside, so that the same trace gives the same bytes.
    with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
        yield packed  # type: ignore[misc]
