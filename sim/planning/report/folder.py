"""The folder of a plan: `plan.json`, `plan.yaml`, `plan.html`, and `points.parquet` with all that was tried."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.folders import check_place
from sim.planning.search.trials import Trials

__all__ = ["check_folder", "points_table", "save_folder"]

_FILES = ("plan.json", "plan.yaml", "plan.html", "points.parquet")


def check_folder(folder: Path) -> None:
    """Refuse a place for a plan before there is work to lose.

    Raises:
        InputError: where it is a file, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(folder, "is a file", "give a folder")
    for name in _FILES:
        check_place(folder / name)


def save_folder(document: dict[str, Any], trials: Trials | None, folder: Path) -> None:
    """Write all files of a plan; others in the folder stay.

    Raises:
        InputError: where they cannot be written.
    """
    from sim.planning.report.report import save_plan

    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_plan(document, folder)
        if trials is not None:
            _write(folder / "points.parquet", points_table(trials))
    except OSError as error:
        raise InputError(folder, f"cannot be written: {error.strerror}", "give a folder you may write to") from None


def points_table(trials: Trials) -> bytes:
    """All trials as a table in Parquet, a row for each: settings, whether it keeps its promise, replicas and means."""
    import pandas as pd

    table = io.BytesIO()
    pd.DataFrame([_row(trials, index) for index in range(len(trials.known))]).to_parquet(table, index=False)
    return table.getvalue()


def _row(trials: Trials, index: int) -> dict[str, Any]:
    trial = list(trials.known.values())[index]
    space, judged = trials.space, trial.judged
    names = space.blocks.names
    bought = {
        f"replicas.{choice.name}.{block}": number
        for choice, row in zip(space.choices, trial.point.replicas, strict=True)
        for block, number in zip(names, row, strict=True)
    }
    return {
        "option": trial.point.option,
        "settings": space.options[trial.point.option].label,
        "keeps_promise": trial.keeps,
        "replications": judged.replications,
        "refused": judged.refused,
        **bought,
        **{name: judged.mean(name) for name in judged.figures},
    }


def _write(file: Path, content: bytes) -> None:
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        aside.write_bytes(content)
        os.replace(aside, file)
    finally:
        aside.unlink(missing_ok=True)
