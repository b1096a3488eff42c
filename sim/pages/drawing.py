"""What charts of pages share: layouts of plotly in the palette's colours, and names that cannot be markup.

`@c0` is a colour of the page's palette, `@c0~` and `@c0~~` lighter ones.
"""

from __future__ import annotations

from html import escape
from typing import Any

__all__ = ["axis", "layout", "short"]

_BELOW_PX = 90
"""Below a chart, for the name of its axis and the legend."""


def layout(
    height_px: int, x: dict[str, Any], y: dict[str, Any], *, legend_px: float = 55.0, **more: Any
) -> dict[str, Any]:
    """A layout with its legend so far below the chart."""
    return {
        "height": height_px,
        "margin": {"l": 50, "r": 12, "t": 12, "b": _BELOW_PX},
        "paper_bgcolor": "@ground",
        "plot_bgcolor": "@ground",
        "font": {"color": "@ink", "size": 13},
        "hoverlabel": {"bgcolor": "@card", "font": {"color": "@ink"}},
        "legend": {"orientation": "h", "yanchor": "top", "y": -legend_px / (height_px - _BELOW_PX - 12)},
        "xaxis": axis(**x),
        "yaxis": axis(**y),
        **more,
    }


def axis(**more: Any) -> dict[str, Any]:
    """An axis in the colours of the page."""
    return {"gridcolor": "@grid", "linecolor": "@line", "zeroline": False, "automargin": True, **more}


def short(text: str, most: int = 28) -> str:
    """A name as plotly may show it: cut in the middle where it is long, never read as markup.

    >>> short("a<b"), short("abcdefgh", most=5)
    ('a&lt;b', 'ab…gh')
    """
    half = (most - 1) // 2
    cut = text if len(text) <= most else f"{text[: most - 1 - half]}…{text[-half:]}"
    return escape(cut).replace("%{", "% {")
