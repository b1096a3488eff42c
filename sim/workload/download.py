"""Downloads over HTTP that resume where they were cut, and keep only what is complete."""

from __future__ import annotations

import re
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from sim.errors import InputError

__all__ = ["Progress", "download"]

Progress = Callable[[int, int | None], None]
"""Called with the bytes held and the bytes expected, as the download goes on."""

_CHUNK_BYTES = 1 << 16
_TIMEOUT_S = 30.0
_TRIES_WITHOUT_PROGRESS = 3
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416
_ELSEWHERE = "check the network, or get the file by other means and give its `path`"


def download(url: str, part: Path, size_bytes: int | None = None, progress: Progress | None = None) -> None:
    """Bring the file at `url` into `part`, going on from the bytes that are already there.

    A connection that is cut is taken up again while each try brings something. A server that cannot send a
    part sends all of it again. `size_bytes`, where known, is what the file must weigh.

    Raises:
        InputError: where the server cannot be reached, refuses, or stops short; what has come stays in
            `part`.
    """
    tries = 0
    while True:
        held = _size(part)
        try:
            return _fetch_rest(url, part, size_bytes, progress)
        except _Cut as cut:
            tries = 0 if _size(part) > held else tries + 1
            if tries == _TRIES_WITHOUT_PROGRESS:
                raise InputError(url, str(cut), "run it again to go on from there") from None


class _Cut(Exception):
    """The connection ended early; another try may bring the rest."""


def _fetch_rest(url: str, part: Path, size_bytes: int | None, progress: Progress | None) -> None:
    """One request for what `part` lacks."""
    if size_bytes is not None and _size(part) > size_bytes:
        part.unlink()
    if _size(part) == size_bytes:
        return
    answer = _ask(url, part)
    if answer is None:
        return
    with answer:
        begin, whole = _extent(answer, _size(part))
        _store(answer, part, begin, lambda held: progress and progress(held, size_bytes or whole))
    wanted = size_bytes or whole
    if wanted is not None and _size(part) < wanted:
        raise _Cut(f"broke off after {_size(part)} of {wanted} bytes")


def _ask(url: str, part: Path) -> HTTPResponse | None:
    """The server's answer to a request for the bytes that `part` lacks; None where there are no more."""
    held = _size(part)
    headers = {"Range": f"bytes={held}-"} if held else {}
    try:
        answer: HTTPResponse = urlopen(Request(url, headers=headers), timeout=_TIMEOUT_S)
        return answer
    except HTTPError as error:
        if error.code != _RANGE_NOT_SATISFIABLE or not held:
            raise InputError(url, f"answered {error.code} {error.reason}", _ELSEWHERE) from None
        if error.headers.get("Content-Range") == f"bytes */{held}":
            return None
        part.unlink()
        raise _Cut("could not go on from where it was") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(url, f"cannot be reached ({reason})", _ELSEWHERE) from None


def _extent(answer: HTTPResponse, held: int) -> tuple[int, int | None]:
    """First byte of the answer in the file, and the whole file's size where the server says it."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if answer.status == _PARTIAL_CONTENT and match and int(match[1]) == held:
        return held, None if match[2] == "*" else int(match[2])
    length = answer.headers.get("Content-Length")
    return 0, int(length) if length else None


def _store(answer: HTTPResponse, part: Path, begin: int, tell: Callable[[int], object]) -> None:
    with part.open("ab" if begin else "wb") as file:
        while chunk := _read(answer):
            file.write(chunk)
            tell(file.tell())


def _read(answer: HTTPResponse) -> bytes:
    try:
        return answer.read(_CHUNK_BYTES)
    except (OSError, HTTPException) as error:
        raise _Cut(f"broke off ({error})") from None


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
