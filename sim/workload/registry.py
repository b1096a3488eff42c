"""Registry of public traces: where each is, what it must weigh and hash to, and how to cite it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from sim.errors import InputError, did_you_mean
from sim.paths import data_path

__all__ = ["PublicTrace", "load_registry", "public_trace"]


@dataclass(frozen=True)
class PublicTrace:
    """A trace that anyone can download."""

    name: str
    url: str
    size_bytes: int | None
    """None where we have not seen the file ourselves."""
    sha256: str | None
    """None where we have not seen the file ourselves."""
    format: str
    licence: str
    citation: str
    source: str
    """Repository, path and version of the file, and how its size and hash are known."""

    @property
    def file_name(self) -> str:
        """Name of the file in the cache: the trace's name with the ending of the download."""
        return self.name + PurePosixPath(urlsplit(self.url).path).suffix


def load_registry() -> dict[str, PublicTrace]:
    """All public traces by name, from `data/traces.csv`."""
    with data_path("traces.csv").open(encoding="utf-8", newline="") as file:
        return {row["name"]: _public_trace(row) for row in csv.DictReader(file)}


def public_trace(name: str) -> PublicTrace:
    """The public trace of this name.

    Raises:
        InputError: where there is none.
    """
    registry = load_registry()
    if name not in registry:
        raise InputError(name, "is no public trace we know", did_you_mean(name, registry))
    return registry[name]


def _public_trace(row: dict[str, str]) -> PublicTrace:
    return PublicTrace(
        name=row["name"],
        url=row["url"],
        size_bytes=int(row["size_bytes"]) if row["size_bytes"] else None,
        sha256=row["sha256"] or None,
        format=row["format"],
        licence=row["licence"],
        citation=row["citation"],
        source=row["source"],
    )
