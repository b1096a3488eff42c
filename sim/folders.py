"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from sim.errors import InputError

__all__ = ["check_results_folder", "replace_folder", "write_file"]

MARK = "summary.json"
"""The file by which a results folder is known."""


def check_results_folder(folder: Path) -> None:
    """Refuse a place for results that holds something else, or that cannot be written.

    Raises:
        InputError: where `folder` is a file, or a folder with content but no results in it.
    """
    remedy = "give a new folder, or that of earlier results"
    if folder.exists() and not folder.is_dir():
        raise InputError(folder, "is a file", remedy)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise InputError(folder, "holds something other than results", remedy)
    ground = next(place for place in folder.absolute().parents if place.exists())
    if not ground.is_dir() or not os.access(ground, os.W_OK):
        raise InputError(folder, "cannot be written", "give a folder that you may write to")


def replace_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a new folder, then put it in the place of `folder`; a failure leaves nothing."""
    target = folder.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as aside:
        new, old = Path(aside, "new"), Path(aside, "old")
        write(new)
        if target.exists():
            os.replace(target, old)
        os.replace(new, target)


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
