"""A chart of a report: a figure of plotly for a wide and for a narrow page, and its data as a table.

Colours are names of the page's palette with a leading `@`; the page puts in those of its theme, `@c0~` a lighter `@c0`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from sim.pages.palette import COLOURS, DASHES

__all__ = [
    "LOW_TIME_STOPS",
    "TIME_STOPS",
    "Chart",
    "Figure",
    "Key",
    "Table",
    "base_layout",
    "category_axis",
    "colour_of",
    "dash_of",
    "label_of",
    "rounded",
    "time_axis",
    "zone_title",
]

Layout = dict[str, Any]

_DAY_MS = 86_400_000
_DAYS = [
    {"dtickrange": [_DAY_MS, 27 * _DAY_MS], "value": "%a %-d %b"},
    {"dtickrange": [27 * _DAY_MS, None], "value": "%b %Y"},
]
TIME_STOPS = [{"dtickrange": [None, _DAY_MS - 1], "value": "%H:%M\n%a %-d %b"}, *_DAYS]
LOW_TIME_STOPS = [{"dtickrange": [None, _DAY_MS - 1], "value": "%a %H:%M"}, *_DAYS]
"""How the ticks of a clock read, by the time between them: in up to two rows, and in one."""


@dataclass(frozen=True)
class Table:
    """Rows of text under their columns; a note says what is not in them, and where it is. `prose` may wrap."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""
    prose: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """What plotly draws. A trace without `x` takes that of the figure, which is the same for many."""

    data: list[dict[str, Any]]
    wide: Layout
    narrow: Layout
    x: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Key:
    """An entry of a legend that the page draws itself: a name, a colour of the palette, a hatching by its place."""

    name: str
    colour: str
    hatch: int = 0


@dataclass(frozen=True)
class Chart:
    """A figure with its words: `says` tells what it shows to those who cannot see it."""

    id: str
    title: str
    says: str
    figure: Figure
    table: Table
    caption: str = ""
    keys: tuple[Key, ...] = ()


def base_layout(height: int, narrow: bool, **more: Any) -> Layout:
    """What all our layouts have in common."""
    small = 12 if narrow else 13
    layout: Layout = {
        "height": height,
        "paper_bgcolor": "@ground",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "@ink", "size": small, "family": "system-ui, sans-serif"},
        "margin": {"l": 48 if narrow else 64, "r": 8 if narrow else 16, "t": 12, "b": 40},
        "hoverlabel": {"bgcolor": "@card", "bordercolor": "@line", "font": {"color": "@ink", "size": small}},
        "hovermode": "closest",
        "dragmode": False,
    }
    return layout | more


def colour_of(place: int) -> str:
    """The colour of the n-th of several things; after seven they come again."""
    return f"@c{place % len(COLOURS)}"


def dash_of(place: int) -> str:
    """The dash of the n-th of several things: no two with the same colour and dash below 49."""
    return DASHES[(place + place // len(COLOURS)) % len(DASHES)]


def label_of(name: str, longest: int = 28) -> str:
    """A name as plotly may show it: cut in the middle where it is long, and never read as markup.

    >>> label_of("<b>x"), label_of("a-very-long-name-that-nobody-reads")
    ('&lt;b&gt;x', 'a-very-long-nam…nobody-reads')
    """
    if len(name) > longest:
        tail = longest // 2 - 2
        name = f"{name[: longest - tail - 1]}…{name[-tail:]}"
    # Plotly reads markup, and only these three as entities.
    return escape(name, quote=False)


def rounded(values: Iterable[float], figures: int = 6) -> list[float | None]:
    """Values with so many figures, as JSON takes them: nothing stands for what is not a number.

    >>> rounded([1234.56789, float("nan")])
    [1234.57, None]
    """
    return [float(f"{value:.{figures}g}") if math.isfinite(value) else None for value in map(float, values)]


def time_axis(time_zone: str, **more: Any) -> dict[str, Any]:
    """A horizontal axis of local times, which cannot be zoomed."""
    return {
        "type": "date",
        "gridcolor": "@grid",
        "hoverformat": "%a %-d %b, %H:%M",
        "fixedrange": True,
        "tickformatstops": TIME_STOPS,
        "title": zone_title(time_zone, 8),
        **more,
    }


def category_axis(labels: Sequence[str]) -> Layout:
    """The axis of horizontal bars at 0, 1, ..., the first on top."""
    return {
        "tickvals": list(range(len(labels))),
        "ticktext": list(labels),
        "autorange": "reversed",
        "automargin": True,
        "fixedrange": True,
        "ticklen": 6,
        "tickcolor": "rgba(0,0,0,0)",
    }


def zone_title(zone: str, standoff: int) -> Layout:
    """The title of an axis of time."""
    return {"text": f"local time, {label_of(zone, 40)}", "standoff": standoff, "font": {"size": 12, "color": "@faint"}}
