"""Fetches public traces into the cache, verified, and finds the file a scenario's trace means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sim.errors import InputError
from sim.paths import cache_home
from sim.scenario import TraceArrivals
from sim.workload.registry import PublicTrace, public_trace

if TYPE_CHECKING:
    from sim.workload.download import Progress

__all__ = ["fetch", "fetch_trace", "fetched_path", "resolve_trace", "trace_format"]


def fetch_trace(
    name: str,
    *,
    sha256: str | None = None,
    accept_unverified: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Path of a public trace in the cache, downloaded if it is not there, and verified by size and SHA-256.

    For a trace whose hash the registry does not hold, give `sha256`, or `accept_unverified` to take what
    comes. A download that was cut goes on where it stopped; one that does not verify is fetched once more
    from the start.

    Raises:
        InputError: for an unknown name, a hash that is not known, a download that fails or does not verify.
    """
    return fetch(public_trace(name), sha256=sha256, accept_unverified=accept_unverified, progress=progress)


def fetch(
    trace: PublicTrace,
    *,
    sha256: str | None = None,
    accept_unverified: bool = False,
    progress: Progress | None = None,
) -> Path:
    """The same for a trace given by its registry entry."""
    from sim.workload.download import download

    expected = _expected_hash(trace, sha256, accept_unverified)
    path = fetched_path(trace)
    if path.is_file() and _mismatch(path, trace, expected) is None:
        return path
    part = path.with_name(path.name + ".part")
    _make_folder(path.parent)
    resumed = part.exists()
    download(trace.url, part, trace.size_bytes, progress)
    if resumed and _mismatch(part, trace, expected) is not None:
        part.unlink()
        download(trace.url, part, trace.size_bytes, progress)
    _keep(part, path, trace, expected)
    return path


def fetched_path(trace: PublicTrace) -> Path:
    """Where the trace lies in the cache once it is fetched."""
    return cache_home() / "traces" / trace.file_name


def resolve_trace(arrivals: TraceArrivals) -> Path:
    """The file to replay: `path` where it is given, else the public trace `name` in the cache.

    Raises:
        InputError: where the public trace is unknown or has not been fetched.
    """
    if arrivals.path is not None:
        return arrivals.path
    trace = public_trace(str(arrivals.name))
    path = fetched_path(trace)
    if not path.is_file():
        remedy = f"run `nightshift trace fetch {trace.name}`, or give the `path` of the file"
        raise InputError(trace.name, "has not been fetched", remedy)
    return path


def trace_format(arrivals: TraceArrivals) -> str:
    """The format given in the scenario, else that of the public trace.

    Raises:
        InputError: where the public trace is unknown.
    """
    return arrivals.format or public_trace(str(arrivals.name)).format


def _expected_hash(trace: PublicTrace, given: str | None, accept_unverified: bool) -> str | None:
    known = trace.sha256 or given
    if known is None and not accept_unverified:
        rule = "has no SHA-256 in the registry to verify it by"
        remedy = "pass --sha256 HASH if you know it, or --accept-unverified to take what comes"
        raise InputError(trace.name, rule, remedy)
    if given is not None and given.lower() != (known or "").lower():
        raise InputError(given, f"is not the SHA-256 of {trace.name}", f"leave it out; it is {known}")
    return known


def _mismatch(path: Path, trace: PublicTrace, expected: str | None) -> str | None:
    """What is wrong with a file, or None."""
    size_bytes = path.stat().st_size
    if trace.size_bytes is not None and size_bytes != trace.size_bytes:
        return f"has {size_bytes} bytes instead of {trace.size_bytes}"
    if expected is not None and (found := _hash(path)) != expected.lower():
        return f"has SHA-256 {found} instead of {expected}"
    return None


def _hash(path: Path) -> str:
    from hashlib import file_digest

    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        rule = f"cannot be made ({error.strerror})"
        raise InputError(folder, rule, "set NIGHTSHIFT_CACHE to a folder you may write to") from None


def _keep(part: Path, path: Path, trace: PublicTrace, expected: str | None) -> None:
    wrong = _mismatch(part, trace, expected)
    if wrong is not None:
        part.unlink()
        remedy = "try again later; if it persists, the file behind the address has changed"
        raise InputError(trace.url, wrong, remedy)
    os.replace(part, path)
