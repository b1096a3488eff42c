"""What the charts of a plan share: figures of plotly for wide and narrow screens, bands, names that cannot be markup.

`@c0` is a colour of the page's palette, `@c0~` and `@c0~~` lighter ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim.pages.drawing import layout, short

__all__ = ["Figure", "band", "figure", "reach", "wrapped"]

Figure = dict[str, Any]


def figure(data: list[dict[str, Any]], height: int, x: dict[str, Any], y: dict[str, Any], **more: Any) -> Figure:
    """A figure for wide and for narrow screens; a narrow one is higher, as its legend takes more lines."""
    return {"data": data, "wide": layout(height, x, y, **more), "narrow": layout(height + 40, x, y, **more)}


def wrapped(text: str) -> str:
    """A name in two lines where it is long."""
    words, half = text.split(), len(text) / 2
    if len(text) <= 18 or len(words) < 2:
        return short(text, 40)
    cut = min(range(1, len(words)), key=lambda place: abs(len(" ".join(words[:place])) - half))
    return f"{short(' '.join(words[:cut]), 40)}<br>{short(' '.join(words[cut:]), 40)}"


def band(x: Sequence[int], intervals: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """An area between two lines, out of the legend."""
    shared: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": list(x), "line": {"width": 0}}
    shared |= {"showlegend": False, "hoverinfo": "skip"}
    low, high = ([interval[end] for interval in intervals] for end in (0, 1))
    return [{**shared, "y": low}, {**shared, "y": high, "fill": "tonexty", "fillcolor": "@c0~~"}]


def reach(intervals: Sequence[Sequence[float | None]], values: Sequence[float]) -> dict[str, Any]:
    up, down = [], []
    for (low, high), value in zip(intervals, values, strict=True):
        up.append(0.0 if high is None else high - value)
        down.append(0.0 if low is None else value - low)
    shared = {"type": "data", "symmetric": False, "thickness": 1.5, "width": 4, "color": "@ink"}
    return {**shared, "array": up, "arrayminus": down}
