"""The charts of a sweep as figures of plotly; `@c0` is a colour of the page's palette, `@c0~~` a light one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from sim.sweep.figures import form_of, is_share

__all__ = ["charts_of"]

_MOST_BARS = 12
_MOST_PANELS = 6
"""Keys that have a panel of their own, the ones that move the figure most."""
_BAR_PX = 46

Figure = dict[str, Any]


def charts_of(found: dict[str, Any], figure: dict[str, str]) -> list[dict[str, Any]]:
    """The charts of a figure: each with id, title, what it shows in words, size and a figure of plotly."""
    name, label = figure["name"], figure["label"]
    effects = found["effects"][name]
    charts = []
    if len(effects) > 1:
        charts.append(
            _chart("tornado", "What moves it most", _tornado_words(effects), _tornado(found, effects, figure))
        )
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


def _tornado_words(effects: Sequence[dict[str, Any]]) -> str:
    more = len(effects) - _MOST_BARS
    left = f" The {_MOST_BARS} longest bars of {len(effects)}." if more > 0 else ""
    where = (
        "with the others as in the scenario"
        if all(effect["basis"] == "as it is" for effect in effects)
        else "as a mean over combinations of the others"
    )
    meet = " Colours meet at the scenario as it is." if where.endswith("scenario") else ""
    return (
        f"From the lowest to the highest mean that each key gives, {where}; its values stand at the ends.{meet}{left}"
    )


def _tornado(found: dict[str, Any], effects: Sequence[dict[str, Any]], figure: dict[str, str]) -> Figure:
    """Bars from the least to the most, in two colours that meet where the scenario as it is stands."""
    form, shown = form_of(figure["name"]), list(reversed(effects[:_MOST_BARS]))
    ends = [[effect["levels"][effect[end]] for end in ("least", "most")] for effect in shown]
    middles = [_middle(found, effect) for effect in shown]
    names = [_short(effect["axis"]) for effect in shown]
    below = [(least["mean"], middle - least["mean"]) for (least, _), middle in zip(ends, middles, strict=True)]
    above = [(middle, most["mean"] - middle) for (_, most), middle in zip(ends, middles, strict=True)]
    hover = [
        f"{_short(effect['axis'])}<br>{form(effect['swing']['mean'])} apart{_between(effect['swing'], form)}"
        for effect in shown
    ]
    data = [_bars(names, below, "@c5", hover), _bars(names, above, "@c1", hover)]
    for side, place in (("left", 0), ("right", 1)):
        texts = [
            f" {_short(pair[place]['label'], 12)} " if effect["swing"]["mean"] else ""
            for pair, effect in zip(ends, shown, strict=True)
        ]
        data.append(_texts([pair[place]["mean"] for pair in ends], names, texts, f"middle {side}"))
    low, high = min(pair[0]["mean"] for pair in ends), max(pair[1]["mean"] for pair in ends)
    x = _axis_of(figure) | {"title": {"text": ""}, "range": _padded(low, high, 0.16)}
    height = 60 + _BAR_PX * len(shown)
    narrow_x = x | {"range": _padded(low, high, 0.3), "nticks": 4}
    y = {"automargin": True, "tickfont": {"size": 12}}
    # On a narrow page the names stand above their bars, as beside them they would leave no room.
    labels = [
        {"x": 0, "xref": "paper", "xanchor": "left", "y": name, "yshift": 22, "text": name, "showarrow": False}
        for name in names
    ]
    narrow = _layout(70 + 60 * len(shown), narrow_x, y | {"showticklabels": False}) | {"annotations": labels}
    more = {"barmode": "overlay", "bargap": 0.45}
    return {"data": data, "wide": _layout(height, x, y) | more, "narrow": narrow | more | {"bargap": 0.6}}


def _middle(found: dict[str, Any], effect: dict[str, Any]) -> float:
    """The scenario as it is, where that is among the levels; else the mean of all."""
    base = next(axis["as_it_is"] for axis in found["axes"] if axis["name"] == effect["axis"])
    means = {level["place"]: float(level["mean"]) for level in effect["levels"]}
    if None in means:
        return means[None]
    return means[base] if base in means else sum(means.values()) / len(means)


def _bars(names: list[str], spans: list[tuple[float, float]], colour: str, hover: list[str]) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "base": [begin for begin, _ in spans],
        "x": [length for _, length in spans],
        "marker": {"color": colour},
        "text": hover,
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
    }


def _texts(x: list[float], y: list[str], texts: list[str], position: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "text",
        "x": x,
        "y": y,
        "text": texts,
        "textposition": position,
        "textfont": {"color": "@ink", "size": 12},
        "hoverinfo": "skip",
        "showlegend": False,
        "cliponaxis": False,
    }


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
        x = [_short(level["label"], 16) for level in levels]
        data = [_marks(x, levels, figure, "markers") | {"error_y": _error_bars(levels)}]
    bottom = {} if is_line else {"type": "category"}
    side = _axis_of(figure) | {"title": {"text": ""}, "range": _padded(*limits, 0.08)}
    return {"data": data, "wide": _layout(260, bottom, side), "narrow": _layout(240, bottom, side)}


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
        "text": [f"{_short(level['label'])}: {form(level['mean'])}{_between(level, form)}" for level in levels],
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
    keys = f"{_short(across['name'])} %{{x}}<br>{_short(up['name'])} %{{y}}"
    told = [[form(value) for value in row] for row in means]
    few = size[0] <= 8 and size[1] <= 12
    data = [
        {
            "type": "heatmap",
            "x": [_short(str(value), 14) for value in across["values"]],
            "y": [_short(str(value), 14) for value in up["values"]],
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
    x = {"title": {"text": _short(across["name"], 34)}, "type": "category", "showgrid": False}
    y = {"title": {"text": _short(up["name"], 34)}, "type": "category", "showgrid": False}
    height = 130 + 34 * min(size[1], 16)
    return {"data": data, "wide": _layout(height, x, y), "narrow": _layout(height, x, y)}


def _limits(effects: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """The least and the most that any panel shows, so that all have one scale."""
    ends = [value for effect in effects for level in effect["levels"] for value in _reach(level)]
    return min(ends, default=0.0), max(ends, default=1.0)


def _reach(level: dict[str, Any]) -> Iterator[float]:
    yield from (float(level[key]) for key in ("mean", "low", "high") if level[key] is not None)


def _padded(low: float, high: float, share: float) -> list[float]:
    apart = (high - low) or abs(high) or 1.0
    return [low - share * apart, high + share * apart]


def _between(told: dict[str, Any], form: Any) -> str:
    return "" if told["low"] is None else f" ({form(told['low'])} to {form(told['high'])})"


def _axis_of(figure: dict[str, str]) -> dict[str, Any]:
    name = figure["name"]
    axis: dict[str, Any] = {"title": {"text": figure["label"]}}
    if is_share(name):
        return axis | {"tickformat": "~%"}
    if "usd" in name:
        return axis | {"tickprefix": "$"}
    return axis | ({"ticksuffix": " s"} if "_s." in f"{name}." else {})


def _layout(height: int, x: dict[str, Any], y: dict[str, Any]) -> dict[str, Any]:
    axis = {"gridcolor": "@grid", "linecolor": "@line", "zeroline": False, "automargin": True}
    return {
        "height": height,
        "margin": {"l": 20, "r": 14, "t": 12, "b": 30},
        "paper_bgcolor": "@ground",
        "plot_bgcolor": "@ground",
        "font": {"color": "@ink", "size": 13},
        "hoverlabel": {"bgcolor": "@card", "font": {"color": "@ink"}},
        "showlegend": False,
        "xaxis": {**axis, **x},
        "yaxis": {**axis, **y},
    }


def _short(name: str, most: int = 28) -> str:
    """A name as plotly may show it: cut in the middle where it is long, never read as markup."""
    half = (most - 1) // 2
    return escape(name if len(name) <= most else f"{name[:half]}…{name[-half:]}").replace("%{", "% {")
