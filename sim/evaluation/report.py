"""An evaluation kept in a folder: a page that needs no network, and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sim.evaluation import tables
from sim.evaluation.charts import charts_of
from sim.folders import write_files
from sim.pages import in_script, render_page

__all__ = ["evaluation_page", "save_evaluation"]

_TEMPLATE = Path(__file__).with_name("page.html")


def save_evaluation(found: dict[str, Any], folder: Path) -> None:
    """Write `evaluation.html` and `evaluation.json` into a folder, which is made if need be.

    Raises:
        InputError: where they cannot be written.
    """
    text = json.dumps(found, indent=2, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder, {"evaluation.html": evaluation_page(found), "evaluation.json": text})


def evaluation_page(found: dict[str, Any]) -> str:
    """The page; everything in it that comes from files is escaped."""
    views = [found] if "verdict" in found else []
    views += [found["unseen_groups"]] if "unseen_groups" in found else []
    shown = [_view(view, f"view{place}-") for place, view in enumerate(views)]
    figures = {chart["id"]: chart["figure"] for view in shown for chart in view["charts"]}
    log = found.get("off_policy")
    return render_page(
        _TEMPLATE,
        name=tables.title_of(found),
        views=shown,
        log=None if log is None else {"policy": log["policy"], "lines": list(tables.log_lines(log))},
        figures=in_script(figures),
    )


def _view(found: dict[str, Any], prefix: str) -> dict[str, Any]:
    pair = found["pair"]
    return {
        "title": tables.title_of(found),
        "verdict": found["verdict"],
        "charts": charts_of(found, prefix),
        "strategies": (tables.STRATEGY_COLUMNS, list(tables.strategy_rows(found))),
        "pair": None
        if pair is None
        else (tables.PAIR_COLUMNS, list(tables.pair_rows(found)), pair["cheap"], pair["strong"]),
        "spends": (tables.SPEND_COLUMNS, list(tables.spend_rows(found))),
        "same": found["routing"]["same_accuracy"]["as"],
        "savings": (tables.saving_columns(found), list(tables.saving_rows(found))),
        "aiq": [(name, tables.figure(value, 4)) for name, value in found["routing"]["aiq"].items()],
        "counts": f"{found['questions']:,} questions in {found['groups']:,} groups; {found['draws']} draws of groups.",
        "notes": found["notes"],
    }
