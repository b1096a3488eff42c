"""The charts of a comparison as figures of plotly; `@c0` is a colour of the page's palette, `@c0~~` a light one."""

from __future__ import annotations

from html import escape
from typing import Any

from sim.comparison.words import bars_of, money, points, signed
from sim.pages.palette import DASHES, SYMBOLS

__all__ = ["charts_of"]

_BETTER, _WORSE = "@c2", "@c1"
_ROW = 34
"""Pixels of a bar with its gap; twice as many where its label stands above it."""
_DAYS_FROM_H = 72.0
"""Runs from here on are told in days."""
_LABEL = 44
"""Letters of a label; what is longer is cut."""

Figure = dict[str, Any]


def charts_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The charts of the page: each with id, title, what it shows in words, and a figure."""
    charts = [_cost_chart(found), _slo_chart(found), _accuracy_chart(found), *_by_hour(found)]
    return [chart for chart in charts if chart is not None]


def _chart(key: str, title: str, says: str, figure: Figure) -> dict[str, Any]:
    return {"id": key, "title": title, "says": says, "figure": figure}


_READ = (
    "From A's figure to B's: each bar begins where the one above ends. Green is to the good of B, orange to its harm; "
    "thin lines are 95 % intervals of a bar."
)


def _cost_chart(found: dict[str, Any]) -> dict[str, Any] | None:
    figure, bars = found["figures"]["cost.usd_per_month"], bars_of(found["waterfall"]["cost"])
    if not bars:
        return None
    says = f"{_READ} Dollars a month, by line of the bill and pool."
    return _chart("cost", "Why the bill moves", says, _waterfall(figure, bars, "$", 1.0, good=-1))


def _slo_chart(found: dict[str, Any]) -> dict[str, Any] | None:
    bars = bars_of(found["waterfall"]["slo"])
    if not bars or not found["objectives"]:
        return None
    says = f"{_READ} Per cent of all requests. Of an answer that misses several objectives the first counts."
    figure = found["figures"]["slo.attainment"]
    return _chart(
        "slo", "Why requests meet their objectives or not", says, _waterfall(figure, bars, "%", 100.0, good=1)
    )


def _accuracy_chart(found: dict[str, Any]) -> dict[str, Any] | None:
    bars = bars_of(found["waterfall"]["accuracy"])
    if not bars:
        return None
    figure = found["figures"]["quality.accuracy"]
    says = f"{_READ} Per cent of all answers that can be right or wrong."
    return _chart("accuracy", "Why answers are right or wrong", says, _waterfall(figure, bars, "%", 100.0, good=1))


def _waterfall(
    figure: dict[str, Any], bars: list[tuple[str, dict[str, float | None]]], unit: str, scale: float, *, good: int
) -> Figure:
    """Bars lying on their side, with A above and B below as marks: the axis need not begin at nothing."""
    means = [(difference["mean"] or 0.0) * scale for _, difference in bars]
    begins = [figure["a"] * scale + sum(means[:place]) for place in range(len(means))]
    ends = (figure["a"] * scale, figure["b"] * scale)
    rows = list(range(1, len(bars) + 1))
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "y": rows,
            "x": means,
            "base": begins,
            "width": 0.5,
            "marker": {"color": [_BETTER if mean * good > 0 else _WORSE for mean in means]},
            "error_x": _error(bars, means, scale),
            "text": [signed(_told(abs(mean), unit), mean) for mean in means],
            "customdata": [_hover(label, difference, unit, scale) for label, difference in bars],
            "textposition": "none",
            "hovertemplate": "%{customdata}<extra></extra>",
            "showlegend": False,
        },
        {
            "type": "scatter",
            "mode": "markers",
            "y": [0, len(bars) + 1],
            "x": list(ends),
            "marker": {"color": "@c0", "size": 12, "symbol": SYMBOLS[2]},
            "customdata": [f"{side}: {_told(end, unit)}" for side, end in zip("AB", ends, strict=True)],
            "hovertemplate": "%{customdata}<extra></extra>",
            "showlegend": False,
        },
    ]
    texts = [signed(_told(abs(mean), unit), mean) for mean in means]
    labels = [f"A: {_told(ends[0], unit)}", *(_cut(label) for label, _ in bars), f"B: {_told(ends[1], unit)}"]
    told = [
        labels[0],
        *(f"{label}  <b>{text}</b>" for label, text in zip(labels[1:-1], texts, strict=True)),
        labels[-1],
    ]
    return {"data": data, "wide": _wide(told, unit), "narrow": _narrow(told, unit)}


def _error(bars: list[tuple[str, dict[str, float | None]]], means: list[float], scale: float) -> dict[str, Any]:
    """How far the interval of each bar reaches beyond its end, either way; nothing where it is not known."""
    above, below = [], []
    for (_, difference), mean in zip(bars, means, strict=True):
        low, high = difference["low"], difference["high"]
        above.append(0.0 if high is None else high * scale - mean)
        below.append(0.0 if low is None else mean - low * scale)
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "color": "@ink", "thickness": 1}


def _hover(label: str, difference: dict[str, float | None], unit: str, scale: float) -> str:
    mean, low, high = (None if value is None else value * scale for value in difference.values())
    ends = [signed(_told(abs(end), unit), end) for end in (low, high) if end is not None]
    between = f"<br>95 % interval {' to '.join(ends)}" if len(set(ends)) == 2 else ""
    return f"{escape(label)}<br>{signed(_told(abs(mean or 0.0), unit), mean or 0.0)}{between}"


def _told(value: float, unit: str) -> str:
    return money(value) if unit == "$" else points(value / 100.0).removesuffix("s").removesuffix(" point") + "%"


def _cut(label: str) -> str:
    return escape(label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…")


def _wide(labels: list[str], unit: str) -> dict[str, Any]:
    ticks = {"tickmode": "array", "tickvals": list(range(len(labels))), "ticktext": labels, "automargin": True}
    y = {**ticks, "range": [len(labels) - 0.5, -0.5], "showgrid": False, "zeroline": False, "fixedrange": True}
    return {**_ground(_ROW * len(labels) + 60), "xaxis": _amounts(unit), "yaxis": y, "margin": _margin(10)}


def _narrow(labels: list[str], unit: str) -> dict[str, Any]:
    """Labels above their bars, so that a small page has room for both."""
    above = [
        {
            "xref": "paper",
            "x": 0,
            "y": place - 0.5,
            "text": label,
            "showarrow": False,
            "xanchor": "left",
            "yanchor": "middle",
            "font": {"size": 12, "color": "@ink"},
        }
        for place, label in enumerate(labels)
    ]
    y = {"showticklabels": False, "range": [len(labels) - 0.4, -0.8], "showgrid": False, "zeroline": False}
    height = int(1.6 * _ROW * len(labels)) + 60
    x = _amounts(unit) | {"nticks": 6}
    return {
        **_ground(height),
        "xaxis": x,
        "yaxis": y | {"fixedrange": True},
        "margin": _margin(10),
        "annotations": above,
    }


def _amounts(unit: str) -> dict[str, Any]:
    form = {"tickprefix": "$", "tickformat": ",.6~g"} if unit == "$" else {"ticksuffix": "%"}
    title = {"text": "USD a month" if unit == "$" else "per cent"}
    return {**form, "title": title, "gridcolor": "@grid", "zeroline": False, "fixedrange": True}


def _margin(left: int) -> dict[str, int]:
    return {"l": left, "r": 20, "t": 10, "b": 50}


def _ground(height: int) -> dict[str, Any]:
    return {
        "height": height,
        "font": {"color": "@ink", "family": "system-ui, sans-serif", "size": 13},
        "paper_bgcolor": "@ground",
        "plot_bgcolor": "@ground",
        "hoverlabel": {"align": "left"},
    }


def _by_hour(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Dollars an hour of both sides, and their difference."""
    slots = found["hourly"]
    if len(slots) < 2:
        return []
    in_days = slots[-1]["begin_h"] >= _DAYS_FROM_H
    x = [slot["begin_h"] / (24.0 if in_days else 1.0) for slot in slots]
    axis = {
        "title": {"text": f"{'days' if in_days else 'hours'} since the start"},
        "gridcolor": "@grid",
        "zeroline": False,
    }
    moved = [slot["difference"] for slot in slots]
    # Each value lasts to the next, the last one as long as the one before.
    x, moved, slots = [*x, 2 * x[-1] - x[-2]], [*moved, moved[-1]], [*slots, slots[-1]]
    sides = [_line(side, x, [slot[side.lower()] for slot in slots], place) for place, side in enumerate("AB")]
    mean = [difference["mean"] for difference in moved]
    data = [*_band(x, moved), _line("B - A", x, mean, 4)]
    says = "Dollars an hour, mean over the replications."
    return [
        _chart("hourly", "Cost by the hour", says, _over_time(sides, axis)),
        _chart(
            "difference",
            "Difference by the hour, B - A",
            f"{says} The band is the 95 % interval.",
            _over_time(data, axis),
        ),
    ]


def _line(name: str, x: list[float], y: list[float | None], place: int) -> dict[str, Any]:
    line = {"color": f"@c{place}", "dash": DASHES[place % 2], "width": 2, "shape": "hv"}
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": line}


def _band(x: list[float], moved: list[dict[str, float | None]]) -> list[dict[str, Any]]:
    if any(difference["low"] is None for difference in moved):
        return []
    shared = {"type": "scatter", "mode": "lines", "x": x, "showlegend": False, "hoverinfo": "skip"}
    edge = {"width": 0, "shape": "hv", "color": "@c4"}
    low, high = ([difference[end] for difference in moved] for end in ("low", "high"))
    return [
        {**shared, "y": low, "line": edge},
        {**shared, "y": high, "line": edge, "fill": "tonexty", "fillcolor": "@c4~~"},
    ]


def _over_time(data: list[dict[str, Any]], axis: dict[str, Any]) -> Figure:
    y = {"title": {"text": "USD an hour"}, "tickprefix": "$", "gridcolor": "@grid", "zerolinecolor": "@line"}
    # A difference that is the same all day would else be shown by its rounding.
    y["rangemode"] = "tozero"
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    shared = {"xaxis": axis, "yaxis": y | {"automargin": True}, "legend": legend, "hovermode": "x unified"}
    margin = {"l": 60, "r": 20, "t": 30, "b": 50}
    return {"data": data, **{size: {**_ground(320), **shared, "margin": margin} for size in ("wide", "narrow")}}
