"""Contexts prepared ahead of their questions: how often that was of use, and whether it has paid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sim import wording as words
from sim.report.chart import Chart, Figure, Layout, Table, base_layout, category_axis, rounded, time_axis
from sim.report.series import MOST_POINTS, MOST_ROWS, mean_over_time, wide_enough, width_in_words
from sim.report.source import Source

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["context_charts", "context_points"]

_COUNTS = ("asked", "hits", "stale", "late", "expired")
_FOUND = {
    "hits": ("context was prepared", "@c0"),
    "stale": ("prepared, but changed since", "@c1"),
    "late": ("still being prepared", "@c4"),
    "expired": ("prepared too long ago", "@c3"),
    "unprepared": ("not prepared", "@c6"),
}
"""What a question finds of its context, and its colour."""


def context_points(source: Source) -> list[str]:
    """In sentences: how many questions found their context prepared, what went to waste, and what is left as a gain."""
    summary, asked = source.summary, words.asked(source.summary)
    sleep = summary["sleep"]
    if not asked:
        return []
    hits = words.found_prepared(summary)["context was prepared"]
    told = [f"{words.share(hits / asked)} of {words.count(asked)} questions found their context prepared."]
    if not sleep.get("jobs"):
        return [*told, "Nothing was prepared."]
    if sleep.get("wasted_share") is not None:
        wasted = f"{words.share(sleep['wasted_share'])} of what was spent on preparing was for nothing"
        told.append(f"{wasted}: {words.usd(sleep.get('wasted_usd'))} of {words.usd(sleep.get('cost_usd'))}.")
    net = sleep.get("net_usd")
    if net is not None:
        verdict = "has paid" if net > 0 else "has lost money"
        saved = f"{words.usd(sleep.get('saved_usd'))} saved on answers for {words.usd(sleep.get('cost_usd'))}"
        told.append(f"Preparing {verdict}: {saved}, {words.usd(net)} net. Better answers are not counted in this.")
    return told


def context_charts(source: Source) -> list[Chart]:
    """What questions found over time, and the money; nothing without questions on contexts."""
    if not source.streams["asked"].sum():
        return []
    return [_found_chart(source), *_money_chart(source)]


def _found_chart(source: Source) -> Chart:
    width_s = wide_enough(source.end_s, max(source.bucket_s, 3600.0), MOST_POINTS // 4)
    slots = _slots(source, width_s)
    shares = slots[list(_FOUND)].div(slots["asked"].where(slots["asked"] > 0.0), axis=0)
    drawn = [name for name in _FOUND if slots[name].any() or name == "hits"]
    data = [_area(name, [*(values := rounded(shares[name], 5)), values[-1]]) for name in drawn]
    edges = [*slots["begin_s"], float(slots["end_s"].iloc[-1])]
    mean = f", on average over {source.replications} replications" if source.replications > 1 else ""
    wide, narrow = (_time_layout(source, len(drawn), narrow) for narrow in (False, True))
    return Chart(
        id="contexts-found",
        title="What questions found of their contexts",
        says="Areas over time: shares of the questions on contexts, by what they found prepared.",
        figure=Figure(data, wide, narrow, source.clock.stamps(edges)),
        table=_found_table(source),
        caption=f"Shares of the questions that came in each {width_in_words(width_s)}{mean}.",
    )


def _slots(source: Source, width_s: float) -> pd.DataFrame:
    """Counts of all streams together by slot, with those that found nothing at all."""
    frame = mean_over_time(source.streams, width_s, "stream", sums=_COUNTS)
    slots = frame.groupby("slot").agg({name: "sum" for name in _COUNTS} | {"begin_s": "min", "end_s": "max"})
    found = slots[[name for name in _COUNTS if name != "asked"]].sum(axis=1)
    # Means over replications leave remainders of nothing.
    return slots.assign(unprepared=(slots["asked"] - found).clip(lower=0.0).round(6))


def _area(name: str, values: list[float | None]) -> dict[str, Any]:
    label, colour = _FOUND[name]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label,
        "stackgroup": "found",
        "y": values,
        "fillcolor": f"{colour}~",
        "line": {"width": 0, "color": colour, "shape": "hv"},
        "hovertemplate": "%{y:.1%}",
    }


def _time_layout(source: Source, areas: int, narrow: bool) -> Layout:
    rows = -(-areas // (1 if narrow else 2))
    return base_layout(
        270 + 20 * rows,
        narrow,
        hovermode="x unified",
        showlegend=True,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        margin={"l": 48, "r": 10, "t": 12 + 20 * rows, "b": 56},
        xaxis=time_axis(source.scenario["time_zone"], nticks=5),
        yaxis={"range": [0.0, 1.0], "tickformat": ".0%", "gridcolor": "@grid", "zeroline": False, "fixedrange": True},
    )


def _found_table(source: Source) -> Table:
    width_s = wide_enough(source.end_s, max(source.bucket_s, 3600.0), MOST_ROWS)
    slots = _slots(source, width_s)
    columns = {"from": [source.clock.says(begin_s) for begin_s in slots["begin_s"]]}
    columns["questions"] = [words.count(value) for value in slots["asked"]]
    for name, (label, _) in _FOUND.items():
        columns[label] = [words.count(value) for value in slots[name]]
    note = f"By {width_in_words(width_s)}; streams.parquet holds every {width_in_words(source.bucket_s)}, by stream."
    return Table(tuple(columns), list(zip(*columns.values(), strict=True)), note)


def _money_chart(source: Source) -> list[Chart]:
    """Bars of what was spent, to some use and to none, and of what was saved; nothing where nothing was prepared."""
    sleep = source.summary["sleep"]
    known = [sleep.get(key) for key in ("cost_usd", "wasted_usd", "saved_usd", "net_usd")]
    if not sleep.get("jobs") or None in known:
        return []
    cost, wasted, saved, net = known
    bars = {
        "prepared and used": (cost - wasted, "@c0"),
        "prepared for nothing": (wasted, "@c1"),
        "saved on answers": (saved, "@c2"),
        "saved, less the cost": (net, "@c2" if net > 0 else "@bad"),
    }
    wide, narrow = (_money_layout(list(bars), narrow) for narrow in (False, True))
    chart = Chart(
        id="contexts-money",
        title="What preparing cost and saved",
        says=f"Bars in dollars: spent on preparing contexts, saved on answers, and the difference, {words.usd(net)}.",
        figure=Figure([_money_bars(bars)], wide, narrow),
        table=Table(("", "cost or saving"), [(label, words.usd(usd)) for label, (usd, _) in bars.items()]),
        caption="Saved: what the tokens that answers did not need would have cost when they were asked for.",
    )
    return [chart]


def _money_bars(bars: dict[str, tuple[float, str]]) -> dict[str, Any]:
    usd = [usd for usd, _ in bars.values()]
    return {
        "type": "bar",
        "orientation": "h",
        "x": rounded(usd),
        "y": list(range(len(bars))),
        "text": [words.usd(value) for value in usd],
        "textposition": "auto",
        "cliponaxis": False,
        "marker": {"color": [colour for _, colour in bars.values()]},
        "hoverinfo": "skip",
    }


def _money_layout(labels: list[str], narrow: bool) -> Layout:
    return base_layout(
        60 + 44 * len(labels),
        narrow,
        bargap=0.3,
        showlegend=False,
        margin={"l": 8, "r": 24, "t": 4, "b": 40},
        xaxis={
            "tickformat": "$,~s",
            "gridcolor": "@grid",
            "zeroline": True,
            "zerolinecolor": "@line",
            "fixedrange": True,
            "nticks": 4 if narrow else 6,
        },
        yaxis=category_axis(labels),
    )
