"""How many requests met their objectives, when, and how the others ended."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

from sim import wording as words
from sim.report.chart import (
    Chart,
    Figure,
    Layout,
    Table,
    base_layout,
    category_axis,
    colour_of,
    dash_of,
    label_of,
    rounded,
    time_axis,
)
from sim.report.names import ENDINGS, REJECTIONS
from sim.report.series import MOST_POINTS, MOST_ROWS, mean_over_time, wide_enough, width_in_words
from sim.report.source import Source

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["attainment_chart", "endings_chart", "stream_table", "unanswered"]

_COUNTS = ("offered", "completed", "rejected", "timed_out", "failed", "measured_ended", "measured_met")


def unanswered(source: Source) -> dict[str, float]:
    """Requests that got no answer, by how they ended, in words; the most frequent first, and none without any."""
    requests = source.summary["requests"]
    by_reason = {REJECTIONS.get(key, f"turned away: {key}"): count for key, count in requests["rejected_by"].items()}
    others = {f"{name}: {why}": requests[key] for key, (name, why) in ENDINGS.items() if key != "rejected"}
    found = {name: float(count) for name, count in (by_reason | others).items() if count}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def endings_chart(source: Source) -> Chart | None:
    """Bars of the requests without an answer; nothing where all were answered."""
    ends, offered = unanswered(source), float(source.summary["requests"]["offered"])
    if not ends:
        return None
    labels, most = [_wrapped(name) for name in ends], max(ends.values())
    texts = [f"{words.count(count)} ({words.share(count / offered)})" for count in ends.values()]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "x": rounded(ends.values()),
            "y": list(range(len(ends))),
            "text": texts,
            "textposition": "outside",
            "cliponaxis": False,
            "marker": {"color": "@c1"},
            "hoverinfo": "skip",
        }
    ]
    completed = source.summary["requests"]["completed"]
    rows = [(name, words.count(count), words.share(count / offered)) for name, count in ends.items()]
    rows = [("answered", words.count(completed), words.share(completed / offered)), *rows]
    return Chart(
        id="endings",
        title="Requests without an answer",
        says="Bars: requests by how they ended without an answer. Most often: " + next(iter(ends)) + ".",
        figure=Figure(data, _bars_layout(labels, most, False), _bars_layout(labels, most, True)),
        table=Table(("ended", "requests", "share"), rows),
        caption=f"{words.count(completed)} of {words.count(offered)} requests were answered.",
    )


def _wrapped(name: str) -> str:
    """How a request ended and why, in short rows."""
    ended, _, why = name.partition(": ")
    return "<br>".join([f"<b>{label_of(ended)}</b>", *map(label_of, wrap(why, 20))])


def _bars_layout(labels: list[str], most: float, narrow: bool) -> Layout:
    """With room for the figures behind the bars."""
    return base_layout(
        50 + 60 * len(labels),
        narrow,
        bargap=0.3,
        showlegend=False,
        margin={"l": 8, "r": 24, "t": 4, "b": 36},
        xaxis={
            "range": [0.0, most * (1.8 if narrow else 1.15)],
            "gridcolor": "@grid",
            "zeroline": False,
            "fixedrange": True,
            "tickformat": ",~s",
            "nticks": 4 if narrow else 6,
        },
        yaxis=category_axis(labels),
    )


def attainment_chart(source: Source) -> Chart | None:
    """Lines by stream: the share of requests that met their objectives, over time."""
    if not source.has_objectives or not source.streams["measured_ended"].sum():
        return None
    width_s = wide_enough(source.end_s, source.bucket_s, MOST_POINTS // 4)
    slots = mean_over_time(source.streams, width_s, "stream", sums=_COUNTS)
    names = [name for name in source.stream_names if name in set(slots["stream"])]
    every = sorted(slots["slot"].unique())
    edges = slots.drop_duplicates("slot").set_index("slot").sort_index()
    met = {name: _met(slots, name, every) for name in names}
    data = [_line(name, rounded(values, 5), source.stream_names.index(name)) for name, values in met.items()]
    x = source.clock.stamps([*edges["begin_s"], float(edges["end_s"].iloc[-1])])
    mean = f", on average over {source.replications} replications" if source.replications > 1 else ""
    width = width_in_words(width_s)
    return Chart(
        id="attainment",
        title="Objectives met over time",
        says="Lines by stream: the share of the requests of each time that met all their objectives.",
        figure=Figure(data, _time_layout(source, len(names), False), _time_layout(source, len(names), True), x),
        table=_attainment_table(source, names),
        caption=f"Of the requests that ended in each {width}{mean}; a request without an answer misses.",
    )


def _met(slots: pd.DataFrame, name: str, every: list[int]) -> pd.Series[float]:
    mine = slots[slots["stream"] == name].set_index("slot").reindex(every)
    return mine["measured_met"] / mine["measured_ended"]


def _line(name: str, values: list[float | None], place: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label_of(name),
        "y": [*values, values[-1]],
        "line": {"color": colour_of(place), "dash": dash_of(place), "width": 1.8, "shape": "hv"},
        "hovertemplate": "%{y:.2%}",
    }


def _time_layout(source: Source, lines: int, narrow: bool) -> Layout:
    rows = 0 if lines < 2 else -(-lines // (1 if narrow and lines > 2 else 4))
    return base_layout(
        290 + 20 * rows,
        narrow,
        hovermode="x unified",
        showlegend=lines > 1,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        margin={"l": 56, "r": 10, "t": 12 + 20 * rows, "b": 56},
        xaxis=time_axis(source.scenario["time_zone"]),
        yaxis={
            "rangemode": "nonnegative",
            "tickformat": ".2~%",
            "gridcolor": "@grid",
            "zeroline": False,
            "fixedrange": True,
        },
    )


def _attainment_table(source: Source, names: list[str]) -> Table:
    width_s = wide_enough(source.end_s, source.bucket_s, MOST_ROWS)
    slots = mean_over_time(source.streams, width_s, "stream", sums=_COUNTS)
    every = sorted(slots["slot"].unique())
    begins = slots.drop_duplicates("slot").sort_values("slot")["begin_s"]
    columns = {"from": [source.clock.says(begin) for begin in begins]}
    for name in names:
        columns[name] = [words.share(value) for value in rounded(_met(slots, name, every), 8)]
    note = f"By {width_in_words(width_s)}; streams.parquet holds every {width_in_words(source.bucket_s)}, with counts."
    return Table(tuple(columns), list(zip(*columns.values(), strict=True)), note)


def stream_table(source: Source) -> Table:
    """What each stream came to."""
    rows = []
    for name, stream in source.summary["streams"].items():
        counts = [words.count(stream.get(key)) for key in _COUNTS[:5]]
        met = words.share(stream["slo"]["attainment"]) if source.objectives.get(name) else "none set"
        tails = [words.seconds(stream["latency"][key]["p99"]) for key in ("ttft_s", "e2e_s")]
        rows.append((name, *counts, met, *tails))
    columns = ("stream", "requests", "answered", "turned away", "timed out", "failed", "objectives met")
    return Table((*columns, "first token, 99% within", "whole answer, 99% within"), rows)
