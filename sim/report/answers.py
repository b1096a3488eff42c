"""How good the answers are: by strategy, against what they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sim import wording as words
from sim.pages.axes import limits_of, log_ticks
from sim.pages.palette import SYMBOLS
from sim.report.chart import Chart, Figure, Layout, Table, base_layout, colour_of, label_of, rounded
from sim.report.source import Source

__all__ = ["answer_charts", "answer_table"]


class _Measure(NamedTuple):
    """What is held against accuracy: id, title, sentence, key of a strategy in the summary, and how it is written."""

    id: str
    title: str
    says: str
    key: str
    form: Callable[[float | None], str]


_MEASURES = (
    _Measure(
        "answers-cost", "Right answers against what they cost", "dollars for 1,000 answers", "usd_per_1k_requests",
        words.usd,
    ),
    _Measure(
        "answers-tokens", "Right answers against their length", "tokens generated for an answer", "mean_output_tokens",
        words.count,
    ),
)  # fmt: skip


def answer_charts(source: Source) -> list[Chart]:
    """A dot for each strategy, against cost and against tokens; none where there is nothing to compare."""
    charts = [_chart(source, measure) for measure in _MEASURES]
    return [chart for chart in charts if len(chart.figure.data) > 1]


def _chart(source: Source, measure: _Measure) -> Chart:
    ways = {name: way for name, way in _ways(source).items() if way["accuracy"] is not None and way[measure.key]}
    places = list(_ways(source))
    data = [_dot(source, name, way, places.index(name), measure) for name, way in ways.items()]
    limits = limits_of([way[measure.key] for way in ways.values()])
    wide, narrow = (_layout(measure, limits, len(ways), narrow) for narrow in (False, True))
    return Chart(
        id=measure.id,
        title=measure.title,
        says=f"Dots by strategy: the share of right answers against {measure.says}.",
        figure=Figure(data, wide, narrow),
        table=answer_table(source),
        caption=f"Across: {measure.says}. Bars are 95 % intervals. Up and to the left is better.",
    )


def _ways(source: Source) -> dict[str, dict[str, Any]]:
    ways: dict[str, dict[str, Any]] = source.summary["strategies"]
    return ways


def _dot(source: Source, name: str, way: dict[str, Any], place: int, measure: _Measure) -> dict[str, Any]:
    accuracy = way["accuracy"]
    low, high = source.summary["intervals"].get(f"strategies.{name}.accuracy") or (accuracy, accuracy)
    told = f"{words.share(accuracy)} right, {measure.form(way[measure.key])}, {words.share(way['share'])} of answers"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label_of(name),
        "x": rounded([way[measure.key]]),
        "y": rounded([accuracy]),
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": rounded([high - accuracy]),
            "arrayminus": rounded([accuracy - low]),
            "color": colour_of(place),
            "thickness": 1.5,
            "width": 5,
        },
        "marker": {"color": colour_of(place), "symbol": SYMBOLS[place % len(SYMBOLS)], "size": 11},
        "hovertemplate": label_of(told, 80),
    }


def _layout(measure: _Measure, limits: tuple[float, float], dots: int, narrow: bool) -> Layout:
    low, high = limits
    every = log_ticks(low, high)
    ticks = every[:: -(-len(every) // 4)] if narrow else every
    prefix = "$" if measure.form is words.usd else ""
    rows = -(-dots // (2 if narrow else 3))
    return base_layout(
        270 + 20 * rows,
        narrow,
        showlegend=True,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        margin={"l": 48, "r": 14, "t": 12 + 20 * rows, "b": 32},
        xaxis={
            "type": "log",
            "range": [float(np.log10(low)), float(np.log10(high))],
            "tickvals": ticks,
            "ticktext": [f"{prefix}{tick:,g}" for tick in ticks],
            "tickangle": 0,
            "gridcolor": "@grid",
            "zeroline": False,
            "fixedrange": True,
        },
        yaxis={"tickformat": ".0%", "gridcolor": "@grid", "zeroline": False, "fixedrange": True, "nticks": 6},
    )


def answer_table(source: Source) -> Table:
    """What each strategy came to; no rows where there is one and nothing is known of its answers."""
    ways = _ways(source)
    if len(ways) < 2 and all(way["accuracy"] is None for way in ways.values()):
        ways = {}
    intervals = source.summary["intervals"]
    rows = [
        (
            name,
            words.share(way["share"]),
            words.share(way["accuracy"]),
            words.range_of(intervals.get(f"strategies.{name}.accuracy"), words.share) or "-",
            words.share(way.get("expected_accuracy")),
            words.count(way["mean_output_tokens"]),
            words.usd(way.get("usd_per_1k_requests")),
            words.usd_per_1k(way.get("usd_per_correct")),
        )
        for name, way in ways.items()
    ]
    columns = ("strategy", "of all answers", "right", "95 % interval", "expected", "tokens", "1,000 answers")
    note = "Costs hold a share of what was paid and not used, and nothing of what preparing contexts costs."
    return Table((*columns, "1,000 right answers"), rows, note)
