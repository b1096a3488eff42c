"""An evaluation on the terminal: the verdict first, then its figures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sim.evaluation import tables

__all__ = ["format_evaluation"]


def format_evaluation(found: dict[str, Any]) -> Group:
    """Everything that was found, and the same of unseen groups where that was asked for."""
    parts: list[RenderableType] = []
    parts += _view(found) if "verdict" in found else [Text(tables.title_of(found), style="bold")]
    if "unseen_groups" in found:
        parts += ["", *_view(found["unseen_groups"])]
    if "off_policy" in found:
        parts += ["", Text(f"From the log, the policy of {found['off_policy']['policy']}", style="italic")]
        parts += [Text(line) for line in tables.log_lines(found["off_policy"])]
    return Group(*parts)


def _view(found: dict[str, Any]) -> list[RenderableType]:
    verdict, routing = found["verdict"], found["routing"]
    parts: list[RenderableType] = [
        Text(tables.title_of(found), style="bold"),
        "",
        Text(verdict["text"], style="bold"),
        *(Text(f"- {sentence}") for sentence in verdict["sentences"]),
        "",
        _table(tables.SHORT_COLUMNS, tables.short_rows(found)),
    ]
    if found["pair"] is not None:
        named = f"Sent on from {found['pair']['cheap']} to {found['pair']['strong']} by"
        parts += ["", Text(named, style="italic"), _table(tables.PAIR_COLUMNS, tables.pair_rows(found))]
    gains = Text("Gain in points at equal spend, over", style="italic")
    parts += ["", gains, _table(tables.gain_columns(found), tables.gain_rows(found))]
    same = f"Savings against always {routing['same_accuracy']['as']}"
    parts += ["", Text(same, style="italic"), _table(tables.saving_columns(found), tables.saving_rows(found))]
    aiq = ", ".join(f"{name} {tables.figure(value, 4)}" for name, value in routing["aiq"].items())
    drawn = f"{found['questions']:,} questions in {found['groups']:,} groups, {found['draws']} draws"
    parts += ["", Text("\n".join([f"AIQ: {aiq}", drawn, *found["notes"]]), style="dim")]
    return parts


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    made = Table(box=None, pad_edge=False)
    for place, column in enumerate(columns):
        made.add_column(column, justify="right" if place else "left")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made
