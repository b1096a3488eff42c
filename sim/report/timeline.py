"""Load, replicas, prices and dollars over time: panels one below the other, on one clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sim.report.chart import LOW_TIME_STOPS, TIME_STOPS, Chart, Figure, Layout, base_layout, label_of, zone_title
from sim.report.panels import Line, Panel, panels_of
from sim.report.series import MOST_POINTS, wide_enough, width_in_words
from sim.report.slots import slots_of
from sim.report.source import Source
from sim.report.timetable import timetable
from sim.report.windows import Shade, shades_of

__all__ = ["timeline_chart"]


def timeline_chart(source: Source) -> Chart | None:
    """The column of panels; nothing where there are no buckets."""
    if source.buckets.empty:
        return None
    width_s = wide_enough(source.end_s, source.bucket_s, MOST_POINTS)
    slots = slots_of(source, width_s)
    panels = panels_of(slots, source.pools)
    x = source.clock.stamps([*slots.edges["begin_s"], float(slots.edges["end_s"].iloc[-1])])
    shades, left_out = shades_of(source)
    wide, narrow = (_layout(panels, shades, source, narrow) for narrow in (False, True))
    return Chart(
        id="timeline",
        title="Load, replicas and prices over time",
        says="Lines over the local time of the scenario: " + "; ".join(panel.title for panel in panels) + ".",
        figure=Figure(list(_traces(panels, shades)), wide, narrow, x),
        table=timetable(source),
        caption=_caption(source, width_s, shades, left_out),
    )


def _caption(source: Source, width_s: float, shades: Sequence[Shade], left_out: bool) -> str:
    said = [f"Each step is {_a(width_in_words(width_s))}"]
    if source.replications > 1:
        said[0] += f", on average over {source.replications} replications"
    if shades:
        said.append("tinted times are tariff windows")
    if left_out:
        said.append("tariff windows change too often to be shown")
    if source.clock.changes(source.end_s):
        said.append("clocks change on the way: an hour is missing, or drawn twice")
    return "; ".join(said) + ". With a mouse, drag to look closer and double-click to go back."


def _a(width: str) -> str:
    return width if width[0].isdigit() else f"an {width}" if width == "hour" else f"a {width}"


def _axis(place: int) -> str:
    return "" if place == 0 else str(place + 1)


def _traces(panels: Sequence[Panel], shades: Sequence[Shade]) -> Iterator[dict[str, Any]]:
    for place, panel in enumerate(panels):
        yield from (_trace(panel, line, _axis(place)) for line in panel.lines)
        yield _empty(_axis(place)) | {"xaxis": f"x{_axis(place + 1)}"}
    for name, colour in dict.fromkeys((shade.name, shade.colour) for shade in shades):
        yield _key_of(name, colour)


def _trace(panel: Panel, line: Line, axis: str) -> dict[str, Any]:
    filled = {
        "stackgroup": f"stack{axis}",
        "fillcolor": f"{line.colour}~",
        "line": {"width": 0, "color": line.colour, "shape": "hv"},
    }
    named = f"%{{y:{panel.form}}}"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label_of(line.name),
        "xaxis": "x",
        "yaxis": f"y{axis}",
        "legend": f"legend{axis}",
        "showlegend": bool(panel.keys),
        "y": line.values,
        "line": {"color": line.colour, "dash": line.dash, "width": 1.4, "shape": "hv"},
        "hovertemplate": f"{panel.prefix}{named}",
    } | (filled if line.stacked else {})


def _key_of(name: str, colour: str) -> dict[str, Any]:
    """An entry of the legend for a tint; it draws nothing."""
    return _empty("") | {
        "name": label_of(name),
        "showlegend": True,
        "legend": "legend",
        "marker": {"symbol": "square", "size": 12, "color": f"{colour}~", "line": {"color": colour, "width": 1}},
    }


def _empty(axis: str) -> dict[str, Any]:
    """A trace that draws nothing, by which plotly knows an axis or an entry of a legend."""
    hidden = {"hoverinfo": "skip", "showlegend": False}
    return {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "yaxis": f"y{axis}"} | hidden


_PANEL_PX, _TICKS_PX, _ROW_PX, _BOTTOM_PX = 124, 26, 20, 64


def _layout(panels: Sequence[Panel], shades: Sequence[Shade], source: Source, narrow: bool) -> Layout:
    """Panels of one height, each below its title, its legend and the ticks of the one above it."""
    rows = [_rows_below(panel, shades if place == 0 else (), narrow) for place, panel in enumerate(panels)]
    heads = [_TICKS_PX * (place > 0) + _ROW_PX * (1 + row) + 8 for place, row in enumerate(rows)]
    inner = sum(heads) + _PANEL_PX * len(panels)
    layout = base_layout(
        inner + _BOTTOM_PX,
        narrow,
        hovermode="x unified",
        dragmode=False if narrow else "zoom",
        margin={"l": 50 if narrow else 60, "r": 10, "t": 0, "b": _BOTTOM_PX},
        xaxis=_time_axis(source),
        annotations=[],
        shapes=[shade.shape() for shade in shades],
    )
    bottom_px = inner
    for place, panel in enumerate(panels):
        bottom_px -= heads[place] + _PANEL_PX
        bottom, top = bottom_px / inner, (bottom_px + _PANEL_PX) / inner
        layout["annotations"].append(_title(panel, top, rows[place]))
        layout[f"xaxis{_axis(place + 1)}"] = _clock_axis(_axis(place), last=place == len(panels) - 1)
        layout[f"yaxis{_axis(place)}"] = _value_axis(panel, [bottom, top])
        layout[f"legend{_axis(place)}"] = _legend(top, beside=not rows[place])
    return layout


_LETTER_PX, _KEY_PX = 6.8, 46
_ROOM_PX = {False: 640, True: 310}


def _rows_below(panel: Panel, shades: Sequence[Shade], narrow: bool) -> int:
    """Rows that the legend takes below the title of a panel; none where it fits beside it."""
    names = [*panel.keys, *sorted({shade.name for shade in shades})]
    if not names:
        return 0
    room = _ROOM_PX[narrow]
    widths = [_LETTER_PX * min(len(name), 28) + _KEY_PX for name in names]
    if sum(widths) <= room and not narrow:
        return 0
    # Plotly gives all entries the room of the widest where they do not fit in one row.
    return 1 if sum(widths) <= room else -(-len(names) // max(int(room // max(widths)), 1))


def _time_axis(source: Source) -> Layout:
    return {
        "type": "date",
        "anchor": "free",
        "position": 0.0,
        "gridcolor": "@grid",
        "linecolor": "@line",
        "showticklabels": False,
        "hoverformat": "%a %-d %b, %H:%M",
        "title": zone_title(source.scenario["time_zone"], 40),
        "showspikes": True,
        "spikemode": "across",
        "spikethickness": 1,
        "spikecolor": "@faint",
        "spikedash": "dot",
    }


def _clock_axis(axis: str, *, last: bool) -> Layout:
    """The hours below a panel; all panels share one clock, so that a moment is marked in all of them."""
    shared = {"type": "date", "overlaying": "x", "matches": "x", "anchor": f"y{axis}", "side": "bottom"}
    drawn = {"showgrid": False, "zeroline": False, "showline": True, "linecolor": "@line", "ticks": "outside"}
    return shared | drawn | {"tickmode": "auto", "tickformatstops": TIME_STOPS if last else LOW_TIME_STOPS}


def _value_axis(panel: Panel, domain: list[float]) -> Layout:
    axis: Layout = {
        "domain": domain,
        "rangemode": "tozero",
        "gridcolor": "@grid",
        "zeroline": False,
        "fixedrange": True,
        "nticks": 5,
        "tickprefix": panel.prefix,
        "tickformat": _tick_format(panel),
    }
    return axis | ({"range": [0.0, 1.04], "tickvals": [0, 0.5, 1]} if panel.form.endswith("%") else {})


def _tick_format(panel: Panel) -> str:
    """Thousands as 10k, what is below a thousand as it is."""
    if panel.form.endswith("%"):
        return panel.form
    if panel.most >= 5_000.0:
        return ",.3~s"
    return ",.2f" if panel.prefix and panel.most < 10.0 else ",.2~f"


def _title(panel: Panel, top: float, rows: int) -> Layout:
    return {
        "text": f"<b>{panel.title}</b>",
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": top,
        "yshift": 4 + _ROW_PX * rows,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
    }


def _legend(top: float, *, beside: bool) -> Layout:
    """Beside the title of a panel, or below it."""
    side = {"x": 1.0, "xanchor": "right"} if beside else {"x": 0.0, "xanchor": "left"}
    ground = {"bgcolor": "rgba(0,0,0,0)", "orientation": "h", "itemsizing": "trace"}
    return side | ground | {"y": top, "yanchor": "bottom"}
