"""Lines of a text file, plain or gzip, numbered from 1, read in pieces of bounded size."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from sim.errors import TraceError

__all__ = ["Lines", "read_lines"]

_PIECE_BYTES = 1 << 20
_LONGEST_LINE_BYTES = 16 << 20
_GZIP_MAGIC = b"\x1f\x8b"


class Lines(NamedTuple):
    """Successive lines without their ends."""

    first: int
    """Number of the first of them in the file."""
    texts: list[str]


def read_lines(path: Path) -> Iterator[Lines]:
    """All lines of a UTF-8 file, about a megabyte at a time; whether it is gzip follows from its content.

    Raises:
        TraceError: for a file that is missing, unreadable, broken gzip, or no text.
    """
    first = 1
    for piece in _whole_lines(path):
        texts = _decode(piece, path, first).split("\n")
        yield Lines(first, texts)
        first += len(texts)


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Pieces of the file cut at line ends, without the last line end of each."""
    rest = b""
    for piece in _pieces(path):
        head, end, tail = piece.rpartition(b"\n")
        if end:
            yield rest + head
            rest = tail
        else:
            rest += piece
        if len(rest) > _LONGEST_LINE_BYTES:
            rule = f"holds a line of more than {_LONGEST_LINE_BYTES >> 20} MiB"
            raise TraceError(path.name, rule, "give a text file with one request a line", where=str(path))
    if rest:
        yield rest


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as raw:
            yield from _read(raw, path)
    except FileNotFoundError:
        remedy = "check the path; relative paths count from the scenario file"
        raise TraceError(path, "does not exist", remedy) from None
    except IsADirectoryError:
        raise TraceError(path, "is a folder", "name the trace file inside it") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise TraceError(path, f"cannot be read ({reason})", "check the file and its permissions") from None


def _read(raw: IO[bytes], path: Path) -> Iterator[bytes]:
    compressed = raw.read(2) == _GZIP_MAGIC
    raw.seek(0)
    source: IO[bytes] = gzip.GzipFile(fileobj=raw) if compressed else raw  # type: ignore[assignment]
    try:
        while piece := source.read(_PIECE_BYTES):
            yield piece
    except EOFError:
        raise TraceError(path.name, "is a truncated gzip file", "copy or fetch it again", where=str(path)) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        rule = f"is a damaged gzip file ({error})"
        raise TraceError(path.name, rule, "copy or fetch it again", where=str(path)) from None


def _decode(piece: bytes, path: Path, first: int) -> str:
    remedy = "give a UTF-8 text file, plain or .gz"
    if b"\0" in piece:
        line = first + piece[: piece.index(b"\0")].count(b"\n")
        raise TraceError(path.name, "is not a text file", remedy, where=f"{path}:{line}")
    try:
        text = piece.decode("utf-8-sig" if first == 1 else "utf-8")
    except UnicodeDecodeError as error:
        line = first + piece[: error.start].count(b"\n")
        rule = f"is not UTF-8 text (byte 0x{piece[error.start]:02x})"
        raise TraceError(path.name, rule, remedy, where=f"{path}:{line}") from None
    return text.replace("\r\n", "\n").removesuffix("\r")
