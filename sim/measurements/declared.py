"""Folders that `nightshift measure` wrote: how they are known, the models that they declare, how the machine drifted.

Such a folder holds a `provenance.json` that names its format and, under `model`, the model that served in the columns
of `data/models.csv`, as one need not be in the catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sim.errors import CatalogueError, InputError
from sim.hardware import Catalogue
from sim.hardware.model import Model
from sim.lab.provenance import FOLDER_FILE, FOLDER_FORMAT

__all__ = ["declared_models", "drift_notes", "is_measured_folder"]

_DRIFT = 0.03
"""Of the reference step, beyond which it is told."""


def is_measured_folder(path: Path) -> bool:
    """True for a folder that `nightshift measure` wrote."""
    return path.is_dir() and _told(path) is not None


def declared_models(paths: Iterable[Path], catalogue: Catalogue) -> Catalogue:
    """The catalogue with the models that measured folders declare: those named, and those around what is named.

    Raises:
        InputError: for a declared model whose shape contradicts itself.
    """
    folders = {folder: None for path in paths for folder in (path, path.parent, path.parent.parent)}
    told = ((folder / FOLDER_FILE, document) for folder in folders if (document := _told(folder)))
    return catalogue.with_models(_model(document["model"], file) for file, document in told if document.get("model"))


def drift_notes(paths: Iterable[Path]) -> Iterator[str]:
    """Loops of measured folders beside which the reference step took longer or shorter than beside the steps.

    Step times fitted to those steps cannot know of it.
    """
    for path in paths:
        parts = (_told(path) or {}).get("parts", {})
        loops = parts.get("loops")
        steps = (loops or {}).get("steps") or parts.get("steps")
        for run in loops["open"] if steps and loops else ():
            drift = sum(run["reference_s"]) / 2 / steps["reference"]["median_s"] - 1.0
            if abs(drift) > _DRIFT:
                name = f"open-loop-{run['load'] * 100:.0f}"
                yield f"{name}: its reference steps took {drift:+.0%} against those of the step table"


def _model(declared: object, file: Path) -> Model:
    try:
        if not isinstance(declared, dict) or not isinstance(declared.get("name"), str):
            raise CatalogueError("model", "is no object with a name", "write it anew with 'nightshift measure'")
        return Model.from_fields(**declared)
    except CatalogueError as error:
        raise InputError(error.value, error.rule, error.remedy, where=str(file)) from None


def _told(folder: Path) -> Mapping[str, Any] | None:
    """What `provenance.json` says, where it is of our format; what else lies under that name is not ours."""
    try:
        document = json.loads((folder / FOLDER_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and document.get("format") == FOLDER_FORMAT else None
