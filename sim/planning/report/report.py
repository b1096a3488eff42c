"""A plan kept in a folder: a page that needs no network, JSON, and the scenario that can be run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sim import wording as words
from sim.folders import write_files
from sim.pages import in_script, render_page
from sim.planning.report import tables
from sim.planning.report.charts import charts_of
from sim.planning.report.words import (
    analytic_sentences,
    answer_sentences,
    baseline_sentences,
    headline,
    shadow_sentences,
    year_sentences,
)

__all__ = ["plan_page", "save_plan"]

_TEMPLATE = Path(__file__).with_name("page.html")


def save_plan(document: dict[str, Any], folder: Path) -> None:
    """Write `plan.json`, `plan.html` and, where there is a confirmed plan, its scenario `plan.yaml`.

    Raises:
        InputError: where they cannot be written.
    """
    texts = {"plan.json": json.dumps(document, indent=2, allow_nan=False) + "\n", "plan.html": plan_page(document)}
    if document["plan"] is not None:
        texts["plan.yaml"] = document["plan"]["scenario_yaml"]
    write_files(folder, texts)


def plan_page(found: Mapping[str, Any]) -> str:
    """The page; everything in it that comes from the scenario is escaped."""
    charts = charts_of(found)
    return render_page(
        _TEMPLATE,
        name=words.printable(str(found["scenario"])),
        headline=headline(found),
        keeps=None if found["verified"] is None else found["verified"]["keeps_promise"],
        sentences=answer_sentences(found),
        analytic=analytic_sentences(found),
        charts=charts,
        tables=dict(_tables(found)),
        shadow=shadow_sentences(found),
        baselines=baseline_sentences(found),
        year=year_sentences(found),
        binding=found["binding"] or found["analytic"]["binding"],
        runner_up=None if found["runner_up"] is None else found["runner_up"]["why"],
        proof=None if found["proof"] is None else found["proof"]["text"],
        notes=found["notes"],
        speed=_speed(found),
        figures=in_script({key: chart["figure"] for key, chart in charts.items()}),
    )


def _tables(found: Mapping[str, Any]) -> Iterator[tuple[str, tables.Table | None]]:
    """The tables by name; None where there is nothing to show."""
    is_confirmed = found["verified"] is not None
    yield "pools", tables.pools_table(found["plan"] or found["analytic"])
    yield "blocks", tables.blocks_table(found)
    yield "sides", tables.sides_table(found)
    yield "options", _if_rows(tables.options_table(found), least=2)
    yield "promise", tables.promise_table(found) if is_confirmed else None
    yield "streams", _if_rows(tables.streams_table(found), least=2) if is_confirmed else None
    yield "baselines", _if_rows(tables.baselines_table(found))
    yield "front", _if_rows(tables.front_table(found))
    yield "year", _if_rows(tables.year_table(found))


def _if_rows(table: tables.Table, least: int = 1) -> tables.Table | None:
    return table if len(table.rows) >= least else None


def _speed(found: Mapping[str, Any]) -> str:
    speed = found["speed"]
    runs = words.things(speed["simulations"], "run")
    return f"By formulas in {speed['analytic_s']:.1f} s; with {runs} of the simulator in {speed['wall_s']:.0f} s."
