"""Outcomes kept in a folder, each in a file named by what it follows from, so that nothing is run twice."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from sim.errors import InputError
from sim.runs.outcome import Outcome

__all__ = ["Memory", "Store"]


class Store:
    """Outcomes by key, on disk.

    Each is written aside and then put in its place: several sweeps, on several machines that share the folder, may use
    it at once, and one that is killed leaves nothing half done.
    """

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is made when there is something to keep."""
        self.folder = folder

    def file(self, key: str) -> Path:
        """Where an outcome is, or would be."""
        return self.folder / key[:2] / f"{key[2:]}.json"

    def get(self, key: str) -> Outcome | None:
        """The outcome of a run that is done; None where there is none, or none that can be read."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(self.file(key).read_text(encoding="utf-8"))
            return Outcome({name: [*map(float, values)] for name, values in found["figures"].items()}, found["refused"])
        return None

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep an outcome at once; not one that says nothing of its scenario.

        Raises:
            InputError: where it cannot be written.
        """
        if outcome.is_failed:
            return
        file = self.file(key)
        aside = file.with_name(f".{uuid4().hex}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            aside.write_text(json.dumps({"figures": outcome.figures, "refused": outcome.refused}), encoding="utf-8")
            os.replace(aside, file)
        except OSError as error:
            rule = f"cannot be written: {error.strerror}"
            raise InputError(self.folder, rule, "make room, or give a folder that you may write to") from None
        finally:
            aside.unlink(missing_ok=True)

    def __len__(self) -> int:
        """How many outcomes there are."""
        return sum(1 for _ in self.folder.glob("??/*.json"))


class Memory(dict[str, Outcome]):
    """Outcomes by key, for as long as they are wanted."""

    def put(self, key: str, outcome: Outcome) -> None:
        """Remember an outcome."""
        self[key] = outcome
