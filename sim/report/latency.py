"""How long answers take: the share of them within each time, by stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim import wording as words
from sim.pages.axes import limits_of, log_ticks, tick_text
from sim.report.chart import Chart, Figure, Layout, Table, base_layout, colour_of, dash_of, label_of, rounded
from sim.report.names import LATENCIES
from sim.report.source import METRICS, Source

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["latency_charts"]

_SHARES = (0.01, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 0.999)


def latency_charts(source: Source) -> list[Chart]:
    """A chart for each latency that any request has."""
    return [_chart(source, metric) for metric in METRICS if (source.latency["metric"] == metric).any()]


def _chart(source: Source, metric: str) -> Chart:
    mine = source.latency[source.latency["metric"] == metric]
    bins = {name: mine[mine["stream"] == name].sort_values("begin_s") for name in source.stream_names}
    bins = {name: rows for name, rows in bins.items() if rows["requests"].sum() > 0}
    promised = {name: source.objectives[name][metric] for name in bins if metric in source.objectives[name]}
    title, meaning = LATENCIES[metric]
    place = {name: n for n, name in enumerate(source.stream_names)}
    data = [
        *(_curve(name, rows, place[name]) for name, rows in bins.items()),
        *(_promise(label, at_s, colour) for label, at_s, colour in _promises(promised, place)),
    ]
    limits, rows = _limits(bins, promised), _legend_rows(source)
    return Chart(
        id=f"latency-{metric.removesuffix('_s')}",
        title=title,
        says=f"Curves by stream: the share of answers with a {title[0].lower()}{title[1:]} within each time.",
        figure=Figure(data, _layout(limits, False, rows), _layout(limits, True, rows)),
        table=_table(bins, promised),
        caption=meaning[0].upper() + meaning[1:] + ".",
    )


def _promises(promised: dict[str, float], place: dict[str, int]) -> Iterator[tuple[str, float, str]]:
    """One line for streams that share an objective."""
    for at_s in sorted(set(promised.values())):
        streams = [name for name, other_s in promised.items() if other_s == at_s]
        yield f"objective {words.seconds(at_s)}", at_s, colour_of(place[streams[0]]) if len(streams) == 1 else "@ink"


def _limits(bins: dict[str, pd.DataFrame], promised: dict[str, float]) -> tuple[float, float]:
    """In seconds: where the curves leave the ground, and where they have reached the top."""
    lows = [_quantile(rows, 0.001) for rows in bins.values()]
    highs = [_quantile(rows, 0.9999) for rows in bins.values()]
    return limits_of([value for value in (*lows, *highs, *promised.values()) if value > 0.0])


def _quantile(rows: pd.DataFrame, share: float) -> float:
    """The time within which that share of the answers is, linear within a bin."""
    edges, reached = _curve_of(rows)
    return float(np.interp(share, reached, edges))


def _curve_of(rows: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times, and the share of answers within each: both ends of every bin, as there may be gaps between bins."""
    counts = rows["requests"].to_numpy(np.float64)
    above = np.cumsum(counts) / counts.sum()
    below = above - counts / counts.sum()
    edges = rows[["begin_s", "end_s"]].to_numpy(np.float64).ravel()
    return edges, np.stack([below, above], axis=1).ravel()


def _curve(name: str, rows: pd.DataFrame, place: int) -> dict[str, Any]:
    edges, reached = _curve_of(rows)
    new = np.concatenate([[True], (np.diff(edges) != 0.0) | (np.diff(reached) > 1e-12)])
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label_of(name),
        "x": rounded(edges[new], 5),
        "y": rounded(reached[new], 5),
        "line": {"color": colour_of(place), "dash": dash_of(place), "width": 2},
        "hovertemplate": "%{y:.2%} within %{x:.3~g} s",
    }


def _promise(label: str, at_s: float, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label,
        "x": [at_s, at_s],
        "y": [0.0, 1.0],
        "line": {"color": colour, "dash": "2px,3px", "width": 1.5},
        "hoverinfo": "skip",
    }


def _legend_rows(source: Source) -> int:
    """As many for each latency, so that their charts stand alike side by side."""
    most = [len({given.get(metric) for given in source.objectives.values()} - {None}) for metric in METRICS]
    return len(source.stream_names) + max(most)


def _layout(limits: tuple[float, float], narrow: bool, rows: int) -> Layout:
    low, high = limits
    ticks = log_ticks(low, high)
    legend = 24 + 19 * rows
    return base_layout(
        260 + legend,
        narrow,
        showlegend=True,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        margin={"l": 48, "r": 14, "t": legend - 10, "b": 32},
        xaxis={
            "type": "log",
            "range": [float(np.log10(low)), float(np.log10(high))],
            "tickvals": ticks,
            "ticktext": [tick_text(tick * 1e3) for tick in ticks],
            "gridcolor": "@grid",
            "zeroline": False,
            "fixedrange": True,
        },
        yaxis={"range": [0.0, 1.02], "tickformat": ".0%", "gridcolor": "@grid", "zeroline": False, "fixedrange": True},
    )


def _table(bins: dict[str, pd.DataFrame], promised: dict[str, float]) -> Table:
    columns = ("stream", "answers", *(f"{share * 100:g}% within" for share in _SHARES), "objective")
    rows = [
        (
            name,
            words.count(float(rows["requests"].sum())),
            *(words.seconds(_quantile(rows, share)) for share in _SHARES),
            words.seconds(promised.get(name)),
        )
        for name, rows in bins.items()
    ]
    return Table(columns, rows, "Of the answers of all replications; latency.parquet holds every bin.")
