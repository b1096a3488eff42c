"""Published against simulated on the terminal: targets first, then every point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group as Parts
from rich.table import Table
from rich.text import Text

__all__ = ["format_papers"]

_DIGITS = {"accuracy": ".3f", "points": ".2f", "tokens": ",.1f", "ratio": ".2f", "exponent": ".3f", "questions": ".2f"}
_DIFFERENCES = ("accuracy", "points", "exponent")


def format_papers(payload: Mapping[str, Any]) -> Parts:
    """The payload as text and tables for rich to print, at most 80 columns wide."""
    targets = payload["targets"]
    met = sum(target["met"] for target in targets)
    head = f"{met} of {len(targets)} targets met by {len(payload['rows'])} simulated points"
    notes = Text("\n".join(payload["notes"]), style="dim")
    return Parts(Text(head, style="bold"), "", _targets(payload), "", _points(payload), "", notes)


def _targets(payload: Mapping[str, Any]) -> Table:
    table = _table("", "", "at most", "reached", "")
    for target in payload["targets"]:
        digits = ".2f" if "points" in target["name"] else ".3f"
        verdict = Text("met") if target["met"] else Text("missed", style="bold")
        reached = f"{target['reached']:{digits}}"
        table.add_row(target["name"], target["statistic"], f"{target['at_most']:{digits}}", reached, verdict)
    return table


def _points(payload: Mapping[str, Any]) -> Table:
    table = _table("", "x", "published", "simulated", "error")
    figure = None
    for row in payload["rows"]:
        if row["figure"] != figure:
            figure = row["figure"]
            table.add_row(Text(figure, style="italic"))
        digits = _DIGITS[row["measure"]]
        told = ["-" if row[name] is None else f"{row[name]:{digits}}" for name in ("published", "simulated")]
        table.add_row(f"  {row['series']}", f"{row['x']:,.4g}", *told, _error(row))
    return table


def _error(row: Mapping[str, Any]) -> str:
    if row["error"] is None:
        return "-"
    return f"{row['error']:+{_DIGITS[row['measure']]}}" if row["measure"] in _DIFFERENCES else f"{row['error']:+.1%}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=bool(place))
    return table
