"""A chart of a report: a figure of plotly for a wide and for a narrow page, and its data as a table.

Colours are names of the page's palette with a leading `@`; the page puts in those of its theme, `@c0~` a lighter `@c0`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from sim.pages.palette import COLOURS, DASHES

__all__ = ["Chart", "Figure", "Table", "base_layout", "colour_of", "dash_of", "label_of", "rounded", "rows_of"]

Layout = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows of text under their columns; a note says what is not in them, and where it is."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """What plotly draws. A trace without `x` takes that of the figure, which is the same for many."""

    data: list[dict[str, Any]]
    wide: Layout
    narrow: Layout
    x: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Chart:
    """A figure with its words: `says` tells what it shows to those who cannot see it."""

    id: str
    title: str
    says: str
    figure: Figure
    table: Table
    caption: str = ""


def base_layout(height: int, narrow: bool, **more: Any) -> Layout:
    """What all our layouts have in common."""
    small = 12 if narrow else 13
    layout: Layout = {
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
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
    return escape(name)


def rounded(values: Iterable[float], figures: int = 6) -> list[float | None]:
    """Values with so many figures, as JSON takes them: nothing stands for what is not a number.

    >>> rounded([1234.56789, float("nan")])
    [1234.57, None]
    """
    return [float(f"{value:.{figures}g}") if math.isfinite(value) else None for value in map(float, values)]


def rows_of(columns: Sequence[Sequence[Any]], forms: Sequence[Callable[[Any], str]]) -> list[tuple[str, ...]]:
    """Columns of values as rows of text."""
    texts = [[form(value) for value in column] for column, form in zip(columns, forms, strict=True)]
    return list(zip(*texts, strict=True))
