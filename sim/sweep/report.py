"""A sweep kept in a folder: a page, a table for other tools, and JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from sim import wording as words
from sim.errors import InputError
from sim.folders import check_place, write_files
from sim.pages import in_script, render_page
from sim.sweep.charts import charts_of
from sim.sweep.figures import form_of
from sim.sweep.sweep import Sweep
from sim.sweep.table import sweep_frame
from sim.sweep.words import form_apart, told_counts, told_settings

__all__ = ["RUNS", "check_folder", "save_sweep", "sweep_page"]

RUNS = "runs"
"""A folder of runs by what they follow from, with which a sweep that was stopped goes on."""
_OWN = frozenset({"sweep.json", "sweep.html", "results.parquet", RUNS})
_TEMPLATE = Path(__file__).with_name("page.html")
_MOST_ROWS = 10
"""Points told at each end of a table."""


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than an earlier sweep, or cannot be written; else make it.

    Raises:
        InputError: for it.
    """
    remedy = "give a new folder, or that of an earlier sweep"
    if folder.exists() and not folder.is_dir():
        raise InputError(folder, "is a file", remedy)
    others = sorted(path.name for path in folder.glob("*") if path.name not in _OWN and path.name[0] != ".")
    if others:
        raise InputError(folder, f"holds something other than a sweep ({others[0]})", remedy)
    check_place(folder / "sweep.json")
    folder.mkdir(parents=True, exist_ok=True)


def save_sweep(sweep: Sweep, found: dict[str, Any], folder: Path) -> None:
    """Write `results.parquet`, `sweep.json` and `sweep.html` into a folder.

    Raises:
        InputError: where they cannot be written.
    """
    aside = folder / f".{uuid4().hex}.parquet"
    try:
        sweep_frame(sweep).to_parquet(aside, index=False)
        os.replace(aside, folder / "results.parquet")
    except OSError as error:
        rule = f"cannot be written: {error.strerror or error}"
        raise InputError(folder, rule, "make room, or give another folder") from None
    finally:
        aside.unlink(missing_ok=True)
    text = json.dumps(found, indent=2, allow_nan=False) + "\n"
    write_files(folder, {"sweep.json": text, "sweep.html": sweep_page(found)})


def sweep_page(found: dict[str, Any]) -> str:
    """The page; everything in it that comes from the scenario is escaped."""
    views = [_view(found, figure) for figure in found["figures"]]
    figures = {chart["id"]: chart["figure"] for view in views for chart in view["charts"]}
    refused = [
        (told_settings(point["settings"]), point["refused"])
        for point in found["points"]
        if point["refused"] is not None
    ]
    return render_page(
        _TEMPLATE,
        name=words.printable(str(found["scenario"])),
        notes=found["notes"],
        counts=told_counts(found),
        views=views,
        columns=["", *(figure["label"] for figure in found["figures"])],
        points=list(_points(found)),
        refused=refused[:_MOST_ROWS],
        refused_more=max(len(refused) - _MOST_ROWS, 0),
        figures=in_script(figures),
    )


def _view(found: dict[str, Any], figure: dict[str, str]) -> dict[str, Any]:
    return {
        "title": figure["label"][0].upper() + figure["label"][1:],
        "charts": charts_of(found, figure),
        "effects": list(_effects(found["effects"][figure["name"]], figure["name"])),
    }


def _effects(effects: list[dict[str, Any]], figure: str) -> Iterator[tuple[str, ...]]:
    form, apart = form_of(figure), form_apart(figure)
    for effect in effects:
        least, most = (effect["levels"][effect[name]] for name in ("least", "most"))
        swing = effect["swing"]
        yield (
            words.printable(effect["axis"]),
            f"{form(least['mean'])} at {words.printable(least['label'])}",
            f"{form(most['mean'])} at {words.printable(most['label'])}",
            apart(swing["mean"]),
            words.range_of([swing["low"], swing["high"]], apart) if swing["low"] is not None else "",
            effect["basis"],
        )


def _points(found: dict[str, Any]) -> Iterator[tuple[str, ...] | None]:
    """Rows of the table of points; of many those with the least and the most of the first figure, a gap between."""
    answered = [point for point in found["points"] if point["refused"] is None]
    if not found["figures"]:
        return
    first = found["figures"][0]["name"]
    ranked = sorted(answered, key=lambda point: (point["figures"][first]["mean"] is None, _mean(point, first)))
    gap = len(ranked) > 2 * _MOST_ROWS
    for place, point in enumerate(ranked):
        if gap and place == _MOST_ROWS:
            yield None
        if not gap or place < _MOST_ROWS or place >= len(ranked) - _MOST_ROWS:
            yield told_settings(point["settings"]), *(_cell(point, figure["name"]) for figure in found["figures"])


def _mean(point: dict[str, Any], figure: str) -> float:
    return float(f"{point['figures'][figure]['mean'] or 0.0:.9g}")


def _cell(point: dict[str, Any], figure: str) -> str:
    form, told = form_of(figure), point["figures"][figure]
    interval = "" if told["low"] is None else words.range_of([told["low"], told["high"]], form)
    return form(told["mean"]) + (f" ({interval})" if interval else "")
