"""The folder of a measurement: what has been measured in it, kept where the same is asked for again.

`provenance.json` tells what was measured on what, and for each part with which settings (`fingerprint`), which files it
wrote and its figures. A part writes into a folder aside, and its files are put in their places when it is done, so that
one that is interrupted leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from sim.errors import InputError
from sim.folders import write_file
from sim.lab.provenance import FOLDER_FILE, FOLDER_FORMAT

__all__ = ["CARD", "Figures", "MeasuredFolder", "fingerprint"]

CARD = "README.md"
_ASIDE = ".measuring-"

Figures: TypeAlias = dict[str, Any]
"""What a part found, for the card; plain JSON."""


def fingerprint(*what: object) -> str:
    """A digest of settings, plain JSON; the same for the same settings.

    >>> fingerprint({"seed": 1}, [2]) == fingerprint({"seed": 1}, [2]) != fingerprint({"seed": 2}, [2])
    True
    """
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:16]


class MeasuredFolder:
    """A folder of measurements, new or begun."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            InputError: where it is a file, cannot be written, or holds something else than measurements.
        """
        self.path = path
        self.document = _document(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(path, f"cannot be written: {error.strerror}", "give another folder") from None
        if not os.access(path, os.W_OK):
            raise InputError(path, "cannot be written", "give a folder that you may write to")

    @property
    def parts(self) -> Mapping[str, Figures]:
        """What is on record of each part that was measured."""
        parts: Mapping[str, Figures] = self.document["parts"]
        return parts

    def holds(self, part: str, mark: str) -> bool:
        """True if the part was measured with the settings of this fingerprint, and its files are there."""
        known = self.parts.get(part)
        return (
            known is not None
            and known["fingerprint"] == mark
            and all((self.path / file).exists() for file in known["files"])
        )

    def tell(self, **what: object) -> None:
        """Put on record what was measured: keys of the document."""
        self.document.update(what)
        self._save()

    def measure(self, part: str, mark: str, write: Callable[[Path], Figures], *, resumes: bool = False) -> None:
        """Let `write` fill a folder aside with the part's files and give back its figures; then put them in place.

        What an earlier measurement of the part wrote goes, but only then. Where the part `resumes`, it finds in the
        folder what it left there when it was cut off.
        """
        new = self.path / f"{_ASIDE}{part}-{mark}"
        for left in self.path.glob(f"{_ASIDE}{part}-*"):
            if not (resumes and left == new):
                shutil.rmtree(left)
        new.mkdir(exist_ok=True)
        try:
            figures = write(new)
        except BaseException:
            if not resumes:
                shutil.rmtree(new)
            raise
        names = sorted(file.name for file in new.iterdir())
        self._forget(part)
        for name in names:
            os.replace(new / name, self.path / name)
        new.rmdir()
        self.document["parts"][part] = {"fingerprint": mark, "files": names, **figures}
        self._save()

    def _forget(self, part: str) -> None:
        known = self.document["parts"].pop(part, None)
        self._save()
        for name in known["files"] if known else ():
            place = self.path / name
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)

    def _save(self) -> None:
        write_file(self.path / FOLDER_FILE, json.dumps(self.document, indent=1, allow_nan=False) + "\n")


def _document(path: Path) -> dict[str, Any]:
    """What `provenance.json` holds; that of a new folder where there is none."""
    remedy = "give a new folder, or that of an earlier measurement"
    if path.exists() and not path.is_dir():
        raise InputError(path, "is a file", remedy)
    held = [file for file in path.iterdir() if not file.name.startswith(_ASIDE)] if path.is_dir() else []
    if not held:
        return {"format": FOLDER_FORMAT, "parts": {}}
    try:
        document = json.loads((path / FOLDER_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = None
    if (
        not isinstance(document, dict)
        or document.get("format") != FOLDER_FORMAT
        or not _is_sound(document.get("parts"))
    ):
        raise InputError(path, "holds something other than measurements", remedy)
    return document


def _is_sound(parts: object) -> bool:
    return isinstance(parts, dict) and all(
        isinstance(part, dict) and isinstance(part.get("files"), list) and "fingerprint" in part
        for part in parts.values()
    )
