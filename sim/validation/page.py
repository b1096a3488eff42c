"""The report of a validation as one page that needs no network: answer, chart, tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from sim.pages import in_script, render_page
from sim.pages.axes import log_ticks, tick_text
from sim.validation import wording
from sim.validation.chart import BAND, Panel, Series, chart_panels, chart_rows
from sim.validation.payload import Payload

__all__ = ["validation_figure", "validation_page"]

_TEMPLATE = Path(__file__).with_name("page.html")
_AXES = ("", "2")
_SHORT = {"ttft_ms": "TTFT", "tpot_ms": "TPOT"}
_PLACES = {
    "wide": {
        "xaxis.domain": [0.0, 0.45],
        "xaxis2.domain": [0.55, 1.0],
        "yaxis.domain": [0.0, 1.0],
        "yaxis2.domain": [0.0, 1.0],
        "legend.y": -0.16,
        "dragmode": "pan",
        "height": 560,
    },
    "narrow": {
        "xaxis.domain": [0.0, 1.0],
        "xaxis2.domain": [0.0, 1.0],
        "yaxis.domain": [0.56, 1.0],
        "yaxis2.domain": [0.0, 0.44],
        "legend.y": -0.09,
        "dragmode": False,
        "height": 860,
    },
}
"""Where the panels lie on a wide page and on a narrow one, for plotly's `relayout`; a finger scrolls a narrow one."""


def validation_page(payload: Payload) -> str:
    """An HTML page with the figure, its script inside, and every figure of the chart as a table below it."""
    return render_page(
        _TEMPLATE,
        **payload,
        words=wording,
        chart_rows=chart_rows(payload["rows"]),
        figure=in_script(validation_figure(payload)),
        places=in_script(_PLACES),
    )


def validation_figure(payload: Payload) -> dict[str, Any]:
    """The chart as a figure of plotly, `data` and `layout`: two panels side by side that share their legend."""
    panels = chart_panels(payload["rows"])
    drawn = [(axis, series) for axis, panel in zip(_AXES, panels, strict=True) for series in panel.series]
    named = {series.gpu: place for place, (_, series) in reversed(list(enumerate(drawn)))}
    marks = [_marks(series, axis, place == named[series.gpu]) for place, (axis, series) in enumerate(drawn)]
    lines = [line for axis, panel in zip(_AXES, panels, strict=True) for line in _lines(panel, axis)]
    return {"data": [*lines, *marks], "layout": _layout(panels)}


def _marks(series: Series, axis: str, in_legend: bool) -> dict[str, Any]:
    filled = {"symbol": series.mark.symbol, "opacity": 0.8}
    hollow = {"symbol": series.mark.symbol + "-open", "opacity": 0.9}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": series.gpu,
        "legendgroup": series.gpu,
        "showlegend": in_legend,
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
        "x": [measured for measured, _ in series.points],
        "y": [predicted for _, predicted in series.points],
        "text": [escape(f"{label}, saturated" if series.saturated else label) for label in series.labels],
        "marker": {"color": series.mark.colour, "size": 7} | (hollow if series.saturated else filled),
        "hovertemplate": "%{text}<br>measured %{x:.4g} ms<br>predicted %{y:.4g} ms<extra></extra>",
    }


def _lines(panel: Panel, axis: str) -> Iterator[dict[str, Any]]:
    """The diagonal, and the lines beside it."""
    low, high = panel.limits
    for ratio, dash in ((1.0, "solid"), (1.0 + BAND, "dash"), (1.0 - BAND, "dash")):
        ends = max(low, low / ratio), min(high, high / ratio)
        yield {
            "type": "scatter",
            "mode": "lines",
            "xaxis": f"x{axis}",
            "yaxis": f"y{axis}",
            "x": list(ends),
            "y": [end * ratio for end in ends],
            "line": {"color": "#888888", "width": 1.2, "dash": dash},
            "hoverinfo": "skip",
            "showlegend": False,
        }


def _layout(panels: Sequence[Panel]) -> dict[str, Any]:
    layout: dict[str, Any] = {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 70, "r": 12, "t": 12, "b": 10},
        "legend": {"orientation": "h", "y": -0.14, "yanchor": "top", "x": 0.0, "itemsizing": "constant"},
        "hovermode": "closest",
    }
    for axis, panel in zip(_AXES, panels, strict=True):
        layout[f"xaxis{axis}"] = _axis(panel, "measured") | {"anchor": f"y{axis}"}
        layout[f"yaxis{axis}"] = _axis(panel, "predicted") | {"anchor": f"x{axis}"}
    return layout


def _axis(panel: Panel, says: str) -> dict[str, Any]:
    low, high = panel.limits
    ticks = log_ticks(low, high)
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": [tick_text(tick) for tick in ticks],
        "title": {"text": f"{says} {_SHORT[panel.metric]}", "standoff": 8},
        "showline": True,
        "mirror": True,
        "zeroline": False,
    }
