"""A sweep on the terminal: what it came to, the points, and how far it is while it goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from sim import wording as words
from sim.sweep.figures import form_of
from sim.sweep.sweep import Progress
from sim.sweep.words import told_counts, told_settings

__all__ = ["format_sweep", "sweep_bar", "told_progress"]

_MOST_POINTS = 24
"""Points in the table; of more the first and last are shown, by the first figure."""
_MOST_KEYS = 3


def format_sweep(found: dict[str, Any]) -> Group:
    """The notes, then a row for each point."""
    title = Text(f"{words.printable(found['scenario'])}: sweep", style="bold")
    notes = [Text(f"- {note}") for note in found["notes"]]
    parts = [title, "", *notes] if notes else [title]
    if found["counts"]["answered"]:
        parts += ["", _points(found)]
    return Group(*parts, "", Text(told_counts(found), style="dim"))


def _points(found: dict[str, Any]) -> Table:
    """Settings and means; intervals would make lines too long."""
    keys, figures = _keys(found), [figure["name"] for figure in found["figures"]]
    table = Table(box=None, pad_edge=False)
    for column in keys.values() or [""]:
        table.add_column(column, justify="right" if keys else "left", overflow="fold")
    for figure in found["figures"]:
        table.add_column(figure["label"], justify="right")
    answered = [point for point in found["points"] if point["refused"] is None]
    many = len(answered) > _MOST_POINTS and bool(figures)
    for point in _ends(answered, figures[0]) if many else answered:
        if point is None:
            table.add_row(*["..."] * len(table.columns))
            continue
        told = [str(point["settings"][key]) for key in keys] or [told_settings(point["settings"])]
        means = (form_of(name)(point["figures"][name]["mean"]) for name in figures)
        table.add_row(*(Text(words.printable(text)) for text in told), *means)
    return table


def _keys(found: dict[str, Any]) -> dict[str, str]:
    """What has a column of its own, by as much of its name as tells it apart; nothing where lines would be too long."""
    keys = list(found["points"][0]["settings"])
    is_grid = found["design"] == "grid" and all(list(point["settings"]) == keys for point in found["points"])
    return {key: words.printable(_end_of(key, keys)) for key in keys} if is_grid and len(keys) <= _MOST_KEYS else {}


def _end_of(key: str, keys: list[str]) -> str:
    """The last parts of a key, as many as no other key ends with.

    >>> _end_of("fleet.0.replicas", ["fleet.0.replicas", "seed"]), _end_of("a.x", ["a.x", "b.x"])
    ('replicas', 'a.x')
    """
    parts = key.split(".")
    ends = [parts[-count:] for count in range(1, len(parts) + 1)]
    alone = (end for end in ends if sum(other.split(".")[-len(end) :] == end for other in keys) == 1)
    return ".".join(next(alone, parts))


def _ends(points: list[dict[str, Any]], figure: str) -> list[dict[str, Any] | None]:
    """Those with the least and with the most of a figure, and a gap between."""
    ranked = sorted(points, key=lambda point: (point["figures"][figure]["mean"] is None, _mean(point, figure)))
    half = _MOST_POINTS // 2
    return [*ranked[:half], None, *ranked[-half:]]


def _mean(point: dict[str, Any], figure: str) -> float:
    return float(f"{point['figures'][figure]['mean'] or 0.0:.9g}")


@contextmanager
def sweep_bar() -> Iterator[Callable[[Progress], None] | None]:
    """A progress bar on stderr; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("sweeping"), BarColumn(), TextColumn("{task.fields[text]}"))
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task, begun_s = bar.add_task("", total=None, text="begins"), time.perf_counter()

        def show(step: Progress) -> None:
            text = told_progress(step, time.perf_counter() - begun_s)
            bar.update(task, total=step.points, completed=step.done, text=text)

        yield show


def told_progress(step: Progress, elapsed_s: float) -> str:
    """How far a sweep is, how fast it goes, and how long it still takes.

    >>> told_progress(Progress(100, 40, 10, 30, 2), 60.0)
    '40 of 100 points, 10 from the store, 2 refused, 30.0 a minute, 2 min left'
    """
    parts = [f"{words.count(step.done)} of {words.things(step.points, 'point')}"]
    if step.kept:
        parts.append(f"{words.count(step.kept)} from the store")
    if step.refused:
        parts.append(f"{words.count(step.refused)} refused")
    if step.fresh and elapsed_s > 0.0:
        rate = step.fresh / elapsed_s
        parts.append(f"{rate:,.1f} a second" if rate >= 1.0 else f"{60.0 * rate:,.1f} a minute")
        parts.append(f"{_time((step.points - step.done) / rate)} left")
    return ", ".join(parts)


def _time(left_s: float) -> str:
    return f"{left_s:.0f} s" if left_s < 90.0 else words.hours(left_s / 3600.0)
