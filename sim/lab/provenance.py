"""Where a measurement comes from: machine, driver, versions, code, command and date, in or beside every file.

A JSON file holds it under `provenance`, a Parquet file in its metadata, and a file of any other kind has it beside it,
as `NAME.provenance.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sim.errors import InputError
from sim.folders import write_file

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = [
    "FOLDER_FILE",
    "FOLDER_FORMAT",
    "KEY",
    "Provenance",
    "machine",
    "parquet_provenance",
    "provenance",
    "sidecar_of",
    "spoken_command",
    "write_parquet",
    "write_sidecar",
]

Provenance: TypeAlias = dict[str, Any]
"""`date` (UTC), `command`, `commit` (null outside a checkout), `changed` (whether the checkout differs from it),
`source` (a digest of our code, known everywhere), `versions` by package, and `hardware` as of `machine`."""

FOLDER_FILE = "provenance.json"
"""What a folder that `nightshift measure` wrote is known by."""
FOLDER_FORMAT = "nightshift-measurements-1"
"""What this file says that it is."""

KEY = "provenance"
"""Under which it stands in JSON and in a Parquet file's metadata."""

_PACKAGES = ("numpy", "pandas", "pyarrow", "onnxruntime", "onnx")
_RUNTIMES = ("onnxruntime-gpu", "onnxruntime")
_GPU_FIELDS = {
    "name": "name",
    "driver": "driver_version",
    "memory_mib": "memory.total",
    "sm_clock_mhz": "clocks.max.sm",
    "memory_clock_mhz": "clocks.max.memory",
    "power_limit_w": "power.limit",
}
_TEXTS = ("name", "driver")
_PATIENCE_S = 20.0


def provenance(command: str | None = None, *, provider: str = "cpu", now: datetime | None = None) -> Provenance:
    """Where what is measured now comes from; `command` is this process's own unless given.

    What cannot be found out is null.
    """
    commit, changed = _checkout()
    return {
        "date": (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": spoken_command(sys.argv) if command is None else command,
        "commit": commit,
        "changed": changed,
        "source": _source_digest(),
        "versions": dict(_versions()),
        "hardware": machine(provider),
    }


def machine(provider: str = "cpu") -> dict[str, Any]:
    """The machine: `provider`, `cpu`, `cores` this process may use, `memory_gb`, `system`, and `gpu`, null where none
    is used or nothing tells: `name`, `driver`, `memory_mib`, `sm_clock_mhz`, `memory_clock_mhz`, `power_limit_w`."""
    return {
        "provider": provider,
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        "gpu": _gpu() if provider == "cuda" else None,
    }


def spoken_command(words: Sequence[str]) -> str:
    """A command line as one would type it, its paths by their last name alone.

    >>> spoken_command(["/usr/bin/nightshift", "measure", "--out", "/home/me/h100", "--model=/home/me/lab"])
    'nightshift measure --out h100 --model=lab'
    """
    first, *rest = words or ["nightshift"]
    is_ours = Path(first).stem in ("cli", "nightshift", "-c", "__main__")
    return shlex.join(["nightshift" if is_ours else Path(first).name, *map(_bare, rest)])


def _bare(word: str) -> str:
    option, joint, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return option + joint + (Path(value).name if "/" in value and "://" not in value else value)


def sidecar_of(file: Path) -> Path:
    """The file that holds the provenance of another.

    >>> sidecar_of(Path("a100/steps.csv")).name
    'steps.csv.provenance.json'
    """
    return file.with_name(f"{file.name}.{KEY}.json")


def write_sidecar(file: Path, origin: Mapping[str, Any]) -> Path:
    """Write the provenance of a file beside it; gives back where.

    Raises:
        InputError: where it cannot be written.
    """
    place = sidecar_of(file)
    write_file(place, json.dumps(origin, indent=1, allow_nan=False) + "\n")
    return place


def write_parquet(rows: DataFrame, file: Path, origin: Mapping[str, Any]) -> None:
    """Write a table as Parquet, its provenance among the metadata; whole or not at all.

    Raises:
        InputError: where it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(rows, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), KEY.encode(): json.dumps(origin, allow_nan=False).encode()}
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        pq.write_table(table.replace_schema_metadata(metadata), aside, compression="zstd")
        os.replace(aside, file)
    except OSError as error:
        remedy = "give a file in a folder that you may write to"
        raise InputError(file, f"cannot be written: {error.strerror}", remedy) from None
    finally:
        aside.unlink(missing_ok=True)


def parquet_provenance(file: Path) -> Provenance | None:
    """The provenance in a Parquet file's metadata; None where there is none."""
    import pyarrow.parquet as pq

    found = (pq.read_schema(file).metadata or {}).get(KEY.encode())
    return None if found is None else json.loads(found)


def _versions() -> Iterator[tuple[str, str | None]]:
    from importlib.metadata import PackageNotFoundError, version

    yield "python", platform.python_version()
    for package in ("nightshift", *_PACKAGES):
        names = _RUNTIMES if package == "onnxruntime" else (package,)
        for name in names:
            try:
                yield name, version(name)
                break
            except PackageNotFoundError:
                continue
        else:
            yield package, None


def _source_digest() -> str:
    """The first 16 hexadecimal digits of a digest of our packages' Python files."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for file in sorted(path for package in ("sim", "router") for path in (root / package).rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _checkout() -> tuple[str | None, bool | None]:
    """The commit of the checkout that this code lies in, and whether files differ from it; None where it is none."""
    root = Path(__file__).resolve().parents[2]
    top = _said(["git", "-C", str(root), "rev-parse", "--show-toplevel"])
    if top is None or Path(top).resolve() != root:
        return None, None
    changes = _said(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    return _said(["git", "-C", str(root), "rev-parse", "HEAD"]), None if changes is None else bool(changes)


def _said(command: Sequence[str]) -> str | None:
    """What a program prints; None where it is not there, fails, or does not answer."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_name() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, None) or platform.processor() or None


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _gpu() -> dict[str, Any] | None:
    """The first GPU as `nvidia-smi` tells of it; None where that is not there."""
    query = ["nvidia-smi", f"--query-gpu={','.join(_GPU_FIELDS.values())}", "--format=csv,noheader,nounits"]
    told = _said(query)
    if not told:
        return None
    cells = [cell.strip() for cell in told.splitlines()[0].split(",")]
    return {name: _figure(cell, name) for name, cell in zip(_GPU_FIELDS, cells, strict=False)}


def _figure(cell: str, name: str) -> str | float | None:
    if name in _TEXTS:
        return cell or None
    try:
        return float(cell)
    except ValueError:
        return None
