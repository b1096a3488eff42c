"""The charts of a sweep as figures of plotly; `@c0` is a colour of the page's palette, `@c0~~` a light one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sim.pages.drawing import short
from sim.sweep.drawing import Figure, axis_of, between, layout_of, padded
from sim.sweep.figures import form_of
from sim.sweep.tornado import tornado, tornado_words

__all__ = ["charts_of"]

_MOST_PANELS = 6
"""Keys that have a panel of their own, the ones that move the figure most."""


def charts_of(found: dict[str, Any], figure: dict[str, str]) -> list[dict[str, Any]]:
    """The charts of a figure: each with id, title, what it shows in words, size and a figure of plotly."""
    name, label = figure["name"], figure["label"]
    effects = found["effects"][name]
    charts = []
    if len(effects) > 1:
        charts.append(_chart("tornado", "What moves it most", tornado_words(effects), tornado(found, effects, figure)))
    if len(found["axes"]) == 2 and found["design"] == "grid" and (heat := _heat(found, figure)):
        charts.append(_chart("heat", "By both keys", f"The mean {label} at every point.", heat))
    limits = _limits(effects)
    for effect in [effect for effect in effects if effect["swing"]["mean"]][:_MOST_PANELS]:
        title = f"By {effect['axis']}"
        charts.append(
            _chart(f"by-{effect['axis']}", title, _panel_words(effect), _panel(found, effect, figure, limits))
        )
    prefix = found["figures"].index(figure)
    return [chart | {"id": f"chart-{prefix}-{place}"} for place, chart in enumerate(charts)]


def _chart(kind: str, title: str, says: str, figure: Figure) -> dict[str, Any]:
    return {"title": title, "says": says, "figure": figure, "is_wide": kind in ("tornado", "heat")}


def _panel_words(effect: dict[str, Any]) -> str:
    if effect["basis"] == "as it is":
        where = "The others as in the scenario"
    else:
        where = f"The mean over {effect['combinations']:,} combinations of the others"
    return f"{where}; the band is the 95 % interval over replications."


def _panel(
    found: dict[str, Any], effect: dict[str, Any], figure: dict[str, str], limits: tuple[float, float]
) -> Figure:
    """A figure by one key: a line with its band where the key is a number, else marks with bars."""
    axis = next(each for each in found["axes"] if each["name"] == effect["axis"])
    levels = effect["levels"]
    is_line = axis["is_number"] and all(_number(level, axis) is not None for level in levels)
    if is_line:
        levels = sorted(levels, key=lambda level: _number(level, axis) or 0.0)
        x: list[Any] = [_number(level, axis) for level in levels]
        data = [*_band(x, levels), _marks(x, levels, figure, "lines+markers")]
    else:
        x = [short(level["label"], 16) for level in levels]
        data = [_marks(x, levels, figure, "markers") | {"error_y": _error_bars(levels)}]
    bottom = {} if is_line else {"type": "category"}
    side = axis_of(figure) | {"title": {"text": ""}, "range": padded(*limits, 0.08)}
    return {"data": data, "wide": layout_of(260, bottom, side), "narrow": layout_of(240, bottom, side)}


def _number(level: dict[str, Any], axis: dict[str, Any]) -> float | None:
    """Where a level stands on an axis of numbers."""
    found = axis["standing"] if level["place"] is None else axis["values"][level["place"]]
    return None if found is None else float(found)


def _marks(x: list[Any], levels: Sequence[dict[str, Any]], figure: dict[str, str], mode: str) -> dict[str, Any]:
    form = form_of(figure["name"])
    return {
        "type": "scatter",
        "mode": mode,
        "x": x,
        "y": [level["mean"] for level in levels],
        "text": [f"{short(level['label'])}: {form(level['mean'])}{between(level, form)}" for level in levels],
        "hovertemplate": "%{text}<extra></extra>",
        "line": {"color": "@c0", "width": 2},
        "marker": {"color": "@c0", "size": 7},
        "showlegend": False,
    }


def _band(x: list[float], levels: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """An area between the ends of intervals, as far as there are any."""
    shared = {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "line": {"width": 0},
        "showlegend": False,
        "hoverinfo": "skip",
    }
    low, high = ([level[end] for level in levels] for end in ("low", "high"))
    return [{**shared, "y": low}, {**shared, "y": high, "fill": "tonexty", "fillcolor": "@c0~~"}]


def _error_bars(levels: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if level["high"] is None else level["high"] - level["mean"] for level in levels],
        "arrayminus": [0.0 if level["low"] is None else level["mean"] - level["low"] for level in levels],
        "color": "@c0",
        "thickness": 1.5,
        "width": 4,
    }


def _heat(found: dict[str, Any], figure: dict[str, str]) -> Figure | None:
    """Cells by the two keys; None where they are too many to be looked at."""
    across, up = found["axes"]
    size = (len(across["values"]), len(up["values"]))
    if min(size) < 2 or max(size) > 60:
        return None
    form, name = form_of(figure["name"]), figure["name"]
    means: list[list[float | None]] = [[None] * size[0] for _ in range(size[1])]
    for point in found["points"]:
        column, row = point["places"]
        means[row][column] = point["figures"][name]["mean"]
    keys = f"{short(across['name'])} %{{x}}<br>{short(up['name'])} %{{y}}"
    told = [[form(value) for value in row] for row in means]
    few = size[0] <= 8 and size[1] <= 12
    data = [
        {
            "type": "heatmap",
            "x": [short(str(value), 14) for value in across["values"]],
            "y": [short(str(value), 14) for value in up["values"]],
            "z": means,
            "text": told,
            **({"texttemplate": "%{text}"} if few else {}),
            "colorscale": "Cividis",
            "showscale": not few,
            "hovertemplate": f"{keys}<br>%{{text}}<extra></extra>",
            "xgap": 2,
            "ygap": 2,
        }
    ]
    x = {"title": {"text": short(across["name"], 34)}, "type": "category", "showgrid": False}
    y = {"title": {"text": short(up["name"], 34)}, "type": "category", "showgrid": False}
    height = 130 + 34 * min(size[1], 16)
    return {"data": data, "wide": layout_of(height, x, y), "narrow": layout_of(height, x, y)}


def _limits(effects: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """The least and the most that any panel shows, so that all have one scale."""
    ends = [value for effect in effects for level in effect["levels"] for value in _reach(level)]
    return min(ends, default=0.0), max(ends, default=1.0)


def _reach(level: dict[str, Any]) -> Iterator[float]:
    yield from (float(level[key]) for key in ("mean", "low", "high") if level[key] is not None)
