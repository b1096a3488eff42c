"""A comparison on the terminal: the answer first, then figures, then waterfalls as bars of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sim import wording as words
from sim.comparison.words import COLUMNS, around, bars_of, figure_rows, money, points, signed
from sim.terminal import plain_table, titled

__all__ = ["format_comparison"]

_WIDTH = 10
"""Characters of the longest bar."""
_STYLES = {"better": "green", "worse": "red", "open": "dim", "same": "dim"}
_MOST_KEYS = 12


def format_comparison(found: dict[str, Any]) -> Group:
    """The comparison as text and tables for rich to print."""
    answer, *reasons = found["answer"]
    parts: list[RenderableType] = [Text(answer, style="bold"), *(Text(reason) for reason in reasons), ""]
    parts += [*(Text(note, style="dim") for note in found["notes"]), Text(_sides(found), style="dim"), ""]
    parts += [_figures(found), *_waterfalls(found), *_stages(found), *_changed(found)]
    return Group(*parts)


def _sides(found: dict[str, Any]) -> str:
    a, b = (words.printable(str(found[side]["scenario"])) for side in ("a", "b"))
    runs = words.things(found["replications"], "replication")
    return f"A is {a}, B is {b}; {runs}, seed {found['a']['seed']}."


def _figures(found: dict[str, Any]) -> Table:
    table = plain_table(*COLUMNS)
    for *cells, verdict in figure_rows(found, brief=True):
        table.add_row(*cells, Text(verdict, style=_STYLES.get(verdict, "")))
    return table


def _waterfalls(found: dict[str, Any]) -> Iterator[RenderableType]:
    bars = found["waterfall"]
    yield from _waterfall("Cost a month, by line and pool", bars["cost"], money, good=-1)
    if found["objectives"]:
        yield from _waterfall("Objectives met, by what keeps requests from it", bars["slo"], points, good=1)
    yield from _waterfall("Answers right, by what changes", bars["accuracy"], points, good=1)


def _waterfall(
    title: str, bars: list[dict[str, Any]], form: Callable[[float], str], *, good: int
) -> Iterator[RenderableType]:
    """Bars left and right of a common line, with their figures."""
    shown = bars_of(bars)
    if not shown:
        return
    largest = max(abs(difference["mean"] or 0.0) for _, difference in shown)
    table = Table(box=None, pad_edge=False, show_header=False)
    for justify in ("left", "right", "right", "left", "left"):
        table.add_column(justify=justify)
    for label, difference in shown:
        mean = difference["mean"] or 0.0
        bar = Text("█" * max(round(_WIDTH * abs(mean) / largest), 1), style="green" if mean * good > 0 else "red")
        left, right = (bar, "") if mean < 0 else ("", bar)
        table.add_row(Text(label), signed(form(abs(mean)), mean), left, right, around(difference, form))
    yield from titled(title, table)


def _stages(found: dict[str, Any]) -> Iterator[RenderableType]:
    """What each section that differs moves, one after another."""
    if not found["by_change"]:
        return
    table = plain_table("changed, in this order", "cost a month", "objectives met", "answers right")
    for stage in found["by_change"]:
        usd, met, right = (figure["mean"] for figure in stage["figures"].values())
        shares = ("-" if value is None else signed(points(value), value) for value in (met, right))
        table.add_row(" and ".join(stage["sections"]), "-" if usd is None else signed(money(abs(usd)), usd), *shares)
    yield from titled("By change", table)


def _changed(found: dict[str, Any]) -> Iterator[RenderableType]:
    keys = found["changed"]
    if not keys:
        yield from ("", Text("The two scenarios are the same."))
        return
    table = plain_table("key", "A", "B")
    for change in keys[:_MOST_KEYS]:
        table.add_row(*(Text(_shortened(change[name])) for name in ("key", "a", "b")))
    if len(keys) > _MOST_KEYS:
        table.add_row(f"and {words.things(len(keys) - _MOST_KEYS, 'other')}", "", "")
    yield from titled("What differs", table)


def _shortened(value: Any, most: int = 36) -> str:
    text = "-" if value is None else words.printable(str(value))
    return text if len(text) <= most else f"{text[: most - 1]}…"
