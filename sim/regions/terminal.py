"""A map on the terminal: the verdict, then the best way at each point."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from sim import wording as words
from sim.regions.verdict import AXIS_NAMES, says_value

__all__ = ["format_regions", "regions_bar"]

_ROWS = ("load", "price_ratio", "predictability")
_HEADS = {"load": "load", "price_ratio": "price ratio", "predictability": "predictability"}


def format_regions(found: dict[str, Any]) -> Group:
    """The verdict in sentences, and a table with a row for each combination of all axes but the first."""
    points = found["points"]
    lines = [Text(f"- {sentence}") for sentence in found["verdict"]]
    counted = f"{words.things(len(points), 'point')} of {words.things(len(found['ways']), 'way')}"
    legend = "P prepare, T think longer, D direct; in brackets where chance may decide"
    effort = (
        f"{counted}, {words.things(found['replications'], 'replication')} each, in {found['speed']['wall_s']:.0f} s"
    )
    title = Text(f"{words.printable(found['scenario'])}: which way of answering is best where", style="bold")
    named = Text(f"Best way by {AXIS_NAMES['queries']}", style="italic")
    return Group(title, "", *lines, "", named, _table(points), "", Text(f"{legend}\n{effort}", style="dim"))


@contextmanager
def regions_bar() -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on stderr; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("simulating", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _table(points: list[dict[str, Any]]) -> Table:
    queries = list(dict.fromkeys(point["queries"] for point in points))
    varied = [axis for axis in _ROWS if len({point[axis] for point in points}) > 1]
    table = Table(box=None, pad_edge=False)
    for axis in varied:
        table.add_column(_HEADS[axis], justify="right")
    for value in queries:
        table.add_column(says_value("queries", value), justify="center")
    rows: dict[tuple[float, ...], dict[float, str]] = {}
    for point in points:
        rows.setdefault(tuple(point[axis] for axis in varied), {})[point["queries"]] = _mark(point)
    for key, marks in sorted(rows.items()):
        heads = [says_value(axis, value) for axis, value in zip(varied, key, strict=True)]
        table.add_row(*heads, *(marks.get(value, "") for value in queries))
    return table


def _mark(point: dict[str, Any]) -> str:
    letter = str(point["kind"])[0].upper()
    return letter if point["decided"] else f"({letter})"
