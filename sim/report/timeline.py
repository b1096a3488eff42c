"""Load, replicas, prices and dollars over time: panels one below the other, on one clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim import wording as words
from sim.report.chart import (
    Chart,
    Figure,
    Layout,
    Table,
    base_layout,
    colour_of,
    dash_of,
    label_of,
    rounded,
)
from sim.report.series import MOST_POINTS, MOST_ROWS, mean_over_time, wide_enough, width_in_words
from sim.report.source import Source
from sim.report.windows import Shade, shades_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["timeline_chart"]

_TIMES = ("busy_s", "idle_s", "starting_s", "draining_s", "down_s", "off_s")
_MONEY = ("busy_usd", "unused_usd", "api_usd", "other_usd")
_SUMS = ("arrived", "completed", *_TIMES, *_MONEY, "kwh", "carbon_kg")
_LEVELS = ("running", "waiting", "accepting_replicas", "starting_replicas")
_PRICES = ("usd_per_gpu_hour", "output_usd_per_1m")


@dataclass(frozen=True)
class Line:
    """A series: its name, values by slot, colour and dash; `filled` down to the line below it."""

    name: str
    values: list[float | None]
    colour: str
    dash: str = "solid"
    stacked: bool = False


@dataclass(frozen=True)
class Panel:
    """A chart of the column: what it shows, with its unit, and how its figures are written."""

    title: str
    lines: list[Line]
    form: str = ",.3~g"
    prefix: str = ""
    share: bool = False


def timeline_chart(source: Source) -> Chart | None:
    """The column of panels; nothing where there are no buckets."""
    if source.buckets.empty:
        return None
    width_s = wide_enough(source.end_s, source.bucket_s, MOST_POINTS)
    slots = _slots(source, width_s)
    panels = [panel for panel in _panels(source, slots) if panel.lines]
    begins = slots.drop_duplicates("slot").sort_values("slot")
    x = source.clock.stamps([*begins["begin_s"], float(begins["end_s"].iloc[-1])])
    shades, left_out = shades_of(source)
    make = [_layout(panels, shades, source, narrow) for narrow in (False, True)]
    return Chart(
        id="timeline",
        title="Load, replicas and prices over time",
        says="Lines over the local time of the scenario: " + "; ".join(panel.title for panel in panels) + ".",
        figure=Figure(list(_traces(panels, shades)), make[0], make[1], x),
        table=_table(source),
        caption=_caption(source, width_s, shades, left_out),
    )


def _slots(source: Source, width_s: float) -> pd.DataFrame:
    return mean_over_time(source.buckets, width_s, "pool", sums=_SUMS, levels=_LEVELS, last=_PRICES)


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
    return "; ".join(said) + ". Drag to look closer, double-click to go back."


def _a(width: str) -> str:
    return width if width[0].isdigit() else f"an {width}" if width == "hour" else f"a {width}"


def _panels(source: Source, slots: pd.DataFrame) -> Iterator[Panel]:
    """All panels; those without anything to show have no lines."""
    hours = _hours(slots)
    gpus = [name for name in source.pools_of("gpu") if name in set(slots["pool"])]
    pools = [name for name in source.pools if name in set(slots["pool"])]
    place = {name: n for n, name in enumerate(source.pools)}
    total = slots.groupby("slot")[[*_SUMS, *_LEVELS]].sum()
    yield Panel(
        "Requests a second",
        [
            Line("arriving", _values(total["arrived"] / hours / 3600.0), "@c0"),
            Line("answered", _values(total["completed"] / hours / 3600.0), "@c1", "dot"),
        ],
    )
    yield Panel(
        "Requests in the system",
        [
            Line("being answered", _values(total["running"]), "@c0", stacked=True),
            Line("waiting", _values(total["waiting"]), "@c1", stacked=True),
        ],
    )
    opened = [
        Line(name, _of(slots, name, "accepting_replicas"), colour_of(place[name]), dash_of(place[name]))
        for name in gpus
    ]
    starting = _values(slots[slots["pool"].isin(gpus)].groupby("slot")["starting_replicas"].sum())
    begun = [Line("starting, all pools", starting, "@faint", "dot")] if any(starting) else []
    yield Panel("Replicas open", opened + begun)
    yield Panel(
        "Busy share of paid GPU time",
        [Line(name, _busy(slots, name), colour_of(place[name]), dash_of(place[name])) for name in gpus],
        form=".0%",
        share=True,
    )
    yield Panel(
        "Price of a GPU-hour",
        [
            Line(name, _of(slots, name, "usd_per_gpu_hour"), colour_of(place[name]), dash_of(place[name]))
            for name in gpus
        ],
        form=",.2f",
        prefix="$",
    )
    yield Panel(
        "Price of 1M output tokens, API",
        [
            Line(name, _of(slots, name, "output_usd_per_1m"), colour_of(place[name]), dash_of(place[name]))
            for name in pools
            if name not in gpus
        ],
        form=",.2f",
        prefix="$",
    )
    spent = slots.assign(usd=slots[list(_MONEY)].sum(axis=1))
    if spent["usd"].any():
        yield Panel(
            "Dollars an hour",
            [
                Line(
                    name,
                    _values(_by_slot(spent, name)["usd"].fillna(0.0) / hours),
                    colour_of(place[name]),
                    stacked=True,
                )
                for name in pools
            ],
            form=",.2f",
            prefix="$",
        )
    if total["kwh"].any():
        yield Panel("Power, kW", [Line("power", _values(total["kwh"] / hours), "@c2")])
    if total["carbon_kg"].any():
        yield Panel("Carbon, kg an hour", [Line("carbon", _values(total["carbon_kg"] / hours), "@c6")])


def _hours(slots: pd.DataFrame) -> pd.Series[float]:
    """Length of each slot."""
    edges = slots.drop_duplicates("slot").set_index("slot").sort_index()
    return (edges["end_s"] - edges["begin_s"]) / 3600.0


def _by_slot(slots: pd.DataFrame, pool: str) -> pd.DataFrame:
    """The rows of a pool, one for each slot of the run."""
    every = sorted(slots["slot"].unique())
    return slots[slots["pool"] == pool].set_index("slot").reindex(every)


def _of(slots: pd.DataFrame, pool: str, column: str) -> list[float | None]:
    return _values(_by_slot(slots, pool)[column])


def _busy(slots: pd.DataFrame, pool: str) -> list[float | None]:
    mine = _by_slot(slots, pool)
    return _values(mine["busy_s"] / mine[list(_TIMES)].sum(axis=1))


def _values(column: pd.Series[float]) -> list[float | None]:
    """With the last value once more: a step goes on to the end of its slot."""
    values = rounded(column.to_numpy(), 5)
    return [*values, values[-1]]


def _axis(place: int) -> str:
    return "" if place == 0 else str(place + 1)


def _traces(panels: Sequence[Panel], shades: Sequence[Shade]) -> Iterator[dict[str, Any]]:
    for place, panel in enumerate(panels):
        for n, line in enumerate(panel.lines):
            yield _trace(panel, line, _axis(place), first=n == 0, alone=len(panel.lines) == 1)
    for name, colour in dict.fromkeys((shade.name, shade.colour) for shade in shades):
        yield _key_of(name, colour)


def _trace(panel: Panel, line: Line, axis: str, *, first: bool, alone: bool) -> dict[str, Any]:
    filled = {
        "stackgroup": f"stack{axis}",
        "fillcolor": f"{line.colour}~",
    }
    named = f"%{{y:{panel.form}}}"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label_of(line.name),
        "xaxis": "x",
        "yaxis": f"y{axis}",
        "legend": f"legend{axis}",
        "showlegend": not alone,
        "y": line.values,
        "line": {"color": line.colour, "dash": line.dash, "width": 1.4, "shape": "hv"},
        "hovertemplate": f"{panel.prefix}{named}",
    } | (filled if line.stacked else {})


def _key_of(name: str, colour: str) -> dict[str, Any]:
    """An entry of the legend for a tint; it draws nothing."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label_of(name),
        "x": [None],
        "y": [None],
        "yaxis": "y",
        "legend": "legend",
        "hoverinfo": "skip",
        "marker": {"symbol": "square", "size": 12, "color": f"{colour}~", "line": {"color": colour, "width": 1}},
    }


_PANEL_PX, _HEAD_PX = 128, 44
_BOTTOM_PX = 56


def _layout(panels: Sequence[Panel], shades: Sequence[Shade], source: Source, narrow: bool) -> Layout:
    head = _HEAD_PX + (22 if narrow else 0)
    inner = len(panels) * (_PANEL_PX + head)
    top = {place: 1.0 - (place * (_PANEL_PX + head) + head) / inner for place in range(len(panels))}
    layout = base_layout(
        inner + _BOTTOM_PX,
        narrow,
        hovermode="x unified",
        dragmode=False if narrow else "zoom",
        margin={"l": 50 if narrow else 60, "r": 10, "t": 0, "b": _BOTTOM_PX},
        xaxis=_time_axis(source),
        annotations=[_title(panel, top[place], head) for place, panel in enumerate(panels)],
        shapes=[shade.shape() for shade in shades],
    )
    for place, panel in enumerate(panels):
        bottom = max(top[place] - _PANEL_PX / inner, 0.0)
        layout[f"yaxis{_axis(place)}"] = _value_axis(panel, [bottom, top[place]])
        layout[f"legend{_axis(place)}"] = _legend(top[place], narrow)
    return layout


def _time_axis(source: Source) -> Layout:
    return {
        "type": "date",
        "anchor": "free",
        "position": 0.0,
        "gridcolor": "@grid",
        "linecolor": "@line",
        "showline": True,
        "hoverformat": "%a %-d %b, %H:%M",
        "title": {"text": f"local time, {label_of(source.scenario['time_zone'], 40)}", "standoff": 8},
        "showspikes": True,
        "spikemode": "across",
        "spikethickness": 1,
        "spikecolor": "@faint",
        "spikedash": "dot",
    }


def _value_axis(panel: Panel, domain: list[float]) -> Layout:
    axis: Layout = {
        "domain": domain,
        "rangemode": "tozero",
        "gridcolor": "@grid",
        "zeroline": False,
        "fixedrange": True,
        "nticks": 5,
        "tickprefix": panel.prefix,
        "tickformat": ".0%" if panel.share else ",.3~s" if not panel.prefix else ",.2~f",
    }
    return axis | ({"range": [0.0, 1.04], "tickvals": [0, 0.5, 1]} if panel.share else {})


def _title(panel: Panel, top: float, head: int) -> Layout:
    return {
        "text": f"<b>{panel.title}</b>",
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": top,
        "yshift": head - 18,
        "xanchor": "left",
        "yanchor": "top",
        "showarrow": False,
    }


def _legend(top: float, narrow: bool) -> Layout:
    """Beside the title of a panel, or below it."""
    side = {"x": 0.0, "xanchor": "left"} if narrow else {"x": 1.0, "xanchor": "right"}
    ground = {"bgcolor": "rgba(0,0,0,0)", "orientation": "h", "itemsizing": "trace"}
    return side | ground | {"y": top, "yanchor": "bottom"}


def _table(source: Source) -> Table:
    """By slots wide enough that the whole run is in few rows."""
    width_s = wide_enough(source.end_s, source.bucket_s, MOST_ROWS)
    slots = _slots(source, width_s)
    gpus = [name for name in source.pools_of("gpu") if name in set(slots["pool"])]
    apis = [name for name in source.pools_of("api") if name in set(slots["pool"])]
    hours = _hours(slots)
    total = slots.groupby("slot")[[*_SUMS, *_LEVELS]].sum()
    begins = slots.drop_duplicates("slot").sort_values("slot")["begin_s"]
    usd = total[list(_MONEY)].sum(axis=1)
    columns: dict[str, list[str]] = {
        "from": [source.clock.says(begin) for begin in begins],
        "arriving": [f"{value:,.2f}/s" for value in total["arrived"] / hours / 3600.0],
        "answered": [f"{value:,.2f}/s" for value in total["completed"] / hours / 3600.0],
        "being answered": list(map(words.number, total["running"])),
        "waiting": list(map(words.number, total["waiting"])),
        **_pool_columns(slots, gpus, "accepting_replicas", "replicas of {}", words.number),
        **{f"busy, {name}": list(map(words.share, _busy(slots, name)[:-1])) for name in gpus},
        **_pool_columns(slots, gpus, "usd_per_gpu_hour", "GPU-hour, {}", words.usd),
        **_pool_columns(slots, apis, "output_usd_per_1m", "1M output tokens, {}", words.usd),
        "dollars": list(map(words.usd, usd)),
    }
    if total["kwh"].any():
        columns |= {"kWh": list(map(words.number, total["kwh"])), "kg CO2": list(map(words.number, total["carbon_kg"]))}
    note = f"By {width_in_words(width_s)}; buckets.parquet holds every {width_in_words(source.bucket_s)}, with more columns."
    return Table(tuple(columns), list(zip(*columns.values(), strict=True)), note)


def _pool_columns(
    slots: pd.DataFrame, pools: Sequence[str], column: str, title: str, form: Callable[[float | None], str]
) -> Mapping[str, list[str]]:
    return {title.format(name): list(map(form, _of(slots, name, column)[:-1])) for name in pools}
