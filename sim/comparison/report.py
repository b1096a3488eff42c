"""A comparison kept in a folder: a page that needs no network, JSON, and both scenarios as they were run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sim import wording as words
from sim.comparison.charts import charts_of
from sim.comparison.sides import Sides
from sim.comparison.words import COLUMNS, figure_rows, money, points, signed
from sim.folders import write_files
from sim.load import dump_scenario
from sim.pages import in_script, render_page

__all__ = ["comparison_page", "save_comparison"]

_TEMPLATE = Path(__file__).with_name("page.html")


def save_comparison(found: dict[str, Any], pair: Sides, folder: Path) -> None:
    """Write `compare.html`, `comparison.json`, `a.yaml` and `b.yaml` into a folder, which is made if need be.

    Raises:
        InputError: where they cannot be written.
    """
    texts = {
        "a.yaml": dump_scenario(pair.a),
        "b.yaml": dump_scenario(pair.b),
        "comparison.json": json.dumps(found, indent=2, allow_nan=False) + "\n",
        "compare.html": comparison_page(found),
    }
    write_files(folder, texts)


def comparison_page(found: dict[str, Any]) -> str:
    """The page; everything in it that comes from scenarios is escaped."""
    a, b = (words.printable(str(found[side]["scenario"])) for side in ("a", "b"))
    charts = charts_of(found)
    return render_page(
        _TEMPLATE,
        name=f"{a} and {b}" if a != b else f"{a}, as it is and changed",
        a=a,
        b=b,
        runs=words.things(found["replications"], "replication"),
        seed=found["a"]["seed"],
        answer=found["answer"],
        notes=found["notes"],
        charts=charts,
        figures=in_script({chart["id"]: chart["figure"] for chart in charts}),
        columns=COLUMNS,
        rows=list(figure_rows(found)),
        stages=[_stage(stage) for stage in found["by_change"]],
        changed=[tuple(_told(change[name]) for name in ("key", "a", "b")) for change in found["changed"]],
    )


def _told(value: Any) -> str:
    return "-" if value is None else words.printable(str(value))


def _stage(stage: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table of stages: the sections taken from B, and what that moves."""
    usd, met, right = (figure["mean"] for figure in stage["figures"].values())
    shares = ("-" if value is None else signed(points(value), value) for value in (met, right))
    return (" and ".join(stage["sections"]), "-" if usd is None else signed(money(abs(usd)), usd), *shares)
