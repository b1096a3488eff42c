"""A search on the terminal: what it came to, and the points of the front beside the scenario as it is."""

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
from sim.tune.objectives import OBJECTIVES
from sim.tune.words import told_setting

__all__ = ["format_tuning", "tuning_bar"]

_MARKS = {"better": "+", "worse": "-", "open": "?", "same": "="}


def format_tuning(found: dict[str, Any]) -> Group:
    """The notes, and a row for each confirmed point; before that the front of the search, where none is confirmed."""
    title = Text(f"{words.printable(found['scenario'])}: settings tried", style="bold")
    notes = [Text(f"- {note}") for note in found["notes"]]
    if found["points"]:
        legend = "+ better, - worse than as it is beyond chance, ? open, = the same; * beaten by none on the fresh seed"
        settings = _settings(found["points"])
        return Group(title, "", *notes, "", _confirmed(found), "", *settings, "", Text(legend, style="dim"))
    front = [trial for trial in found["trials"] if trial["on_front"]]
    return Group(title, "", *notes, "", _searched(found, front), "", *_settings(front))


@contextmanager
def tuning_bar() -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on stderr; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("trying settings", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _confirmed(found: dict[str, Any]) -> Table:
    table = _table(found)
    for point in found["points"]:
        number = str(point["point"]) + ("*" if point["on_front"] else "")
        table.add_row(number, *(_cell(point, each["name"]) for each in found["objectives"]))
    return table


def _table(found: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="left")
    for each in found["objectives"]:
        table.add_column(OBJECTIVES[each["name"]].label, justify="right")
    return table


def _settings(points: list[dict[str, Any]]) -> list[Text]:
    """What stands behind the numbers: settings, and the fleet where one was sized."""
    return [Text(f"{number}: {told_setting(point['settings'])}{_fleet(point)}") for number, point in enumerate(points)]


def _fleet(point: dict[str, Any]) -> str:
    servers = [f"{words.printable(name)} {count}" for name, count in point.get("fleet", {}).items()]
    return f"; {', '.join(servers)}" if servers else ""


def _cell(point: dict[str, Any], name: str) -> str:
    """The mean on the fresh seed with its interval, and whether it differs from that of the scenario as it is."""
    told, fresh = OBJECTIVES[name].told, point["fresh"][name]
    interval = "" if fresh["low"] in (None, fresh["high"]) else f" ({told(fresh['low'])} to {told(fresh['high'])})"
    mark = f" {_MARKS[point['verdict'][name]]}" if point["settings"] else ""
    return f"{told(fresh['mean'])}{interval}{mark}"


def _searched(found: dict[str, Any], front: list[dict[str, Any]]) -> Table:
    table = _table(found)
    for number, trial in enumerate(front):
        names = [each["name"] for each in found["objectives"]]
        table.add_row(str(number), *(OBJECTIVES[name].told(trial[name]) for name in names))
    return table
