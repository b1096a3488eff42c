"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from sim.errors import InputError

__all__ = ["check_place", "check_results_folder", "replace_folder", "write_file", "write_files"]

MARK = "summary.json"
"""The file by which a results folder is known."""

_TABLES = ("requests", "buckets", "streams", "latency", "ledger")
OWN_FILES = frozenset({MARK, "scenario.yaml", "report.html", *(f"{table}.parquet" for table in _TABLES)})
"""What a results folder may hold; nothing else is ever replaced."""


def check_results_folder(folder: Path, own: Collection[str] = OWN_FILES) -> None:
    """Refuse a place for results that holds something else than `own` files, or that cannot be written.

    Raises:
        InputError: where `folder` is a file, the current folder, or a folder with content other than results; and
            where it cannot be written.
    """
    try:
        _check(folder, own)
    except OSError as error:
        remedy = "give a folder that you may write to"
        raise InputError(folder, f"cannot be written: {error.strerror}", remedy) from None


def _check(folder: Path, own: Collection[str]) -> None:
    remedy = "give a new folder, or that of earlier results"
    if folder.exists() and not folder.is_dir():
        raise InputError(folder, "is a file", remedy)
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if held and not (MARK in held and held <= set(own)):
        raise InputError(folder, "holds something other than results", remedy)
    if folder.is_dir() and (folder.is_mount() or folder.samefile(Path.cwd())):
        raise InputError(folder, "cannot be replaced as a whole", "give a folder inside it")
    ground = next(place for place in _real(folder).parents if place.exists())
    if not ground.is_dir() or not os.access(ground, os.W_OK):
        raise InputError(folder, "cannot be written", "give a folder that you may write to")


def replace_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a new folder, then put it in the place of `folder`; a failure leaves all as it was."""
    target = _real(folder)
    with _parents(target), tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as aside:
        new, old = Path(aside, "new"), Path(aside, "old")
        write(new)
        if not target.exists():
            os.replace(new, target)
            return
        os.replace(target, old)
        try:
            os.replace(new, target)
        except BaseException:
            os.replace(old, target)
            raise


@contextmanager
def _parents(target: Path) -> Iterator[None]:
    """The folders above `target`; those that had to be made go again after a failure."""
    made = [place for place in target.parents if not place.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with suppress(OSError):
            for place in made:
                place.rmdir()
        raise


def _real(folder: Path) -> Path:
    """The folder itself, where a link leads to it."""
    return Path(os.path.realpath(folder))


def check_place(file: Path) -> None:
    """Refuse a place for a file before there is work to lose; folders above it need not exist.

    Raises:
        InputError: where it is a folder, or cannot be written.
    """
    if file.is_dir():
        raise InputError(file, "is a folder", "give the name of a file")
    ground = next(place for place in _real(file).parents if place.exists())
    if not ground.is_dir() or not os.access(ground, os.W_OK):
        raise InputError(file, "cannot be written", "give a file in a folder that you may write to")


def write_files(folder: Path, texts: Mapping[str, str]) -> None:
    """Write texts, by file name, into a folder, made if need be; other files in it stay, and none is left half done.

    Raises:
        InputError: where they cannot be written.
    """
    try:
        with _parents(_real(folder) / "file"), tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as aside:
            for name, text in texts.items():
                Path(aside, name).write_text(text, encoding="utf-8")
            for name in texts:
                os.replace(Path(aside, name), folder / name)
    except OSError as error:
        remedy = "give a folder that you may write to"
        raise InputError(folder, f"cannot be written: {error.strerror}", remedy) from None


def write_file(file: Path, text: str) -> None:
    """Write a text aside and put it in its place.

    Raises:
        InputError: where it cannot be written.
    """
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, file)
    except OSError as error:
        remedy = "give a file in a folder that you may write to"
        raise InputError(file, f"cannot be written: {error.strerror}", remedy) from None
    finally:
        aside.unlink(missing_ok=True)
