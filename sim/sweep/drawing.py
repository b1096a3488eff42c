"""What the charts of a sweep share: their look, and how names and values are written."""

from __future__ import annotations

from typing import Any

from sim.pages.drawing import layout
from sim.sweep.figures import is_share

__all__ = ["Figure", "axis_of", "between", "layout_of", "padded"]

Figure = dict[str, Any]
"""Of plotly: its data, and layouts for wide and narrow pages."""


def padded(low: float, high: float, share: float) -> list[float]:
    apart = (high - low) or abs(high) or 1.0
    return [low - share * apart, high + share * apart]


def between(told: dict[str, Any], form: Any) -> str:
    return "" if told["low"] is None else f" ({form(told['low'])} to {form(told['high'])})"


def axis_of(figure: dict[str, str]) -> dict[str, Any]:
    name = figure["name"]
    axis: dict[str, Any] = {"title": {"text": figure["label"]}}
    if is_share(name):
        return axis | {"tickformat": "~%"}
    if "usd" in name:
        return axis | {"tickprefix": "$"}
    return axis | ({"ticksuffix": " s"} if "_s." in f"{name}." else {})


def layout_of(height: int, x: dict[str, Any], y: dict[str, Any]) -> dict[str, Any]:
    return layout(height, x, y, margin={"l": 20, "r": 14, "t": 12, "b": 30}, showlegend=False)
