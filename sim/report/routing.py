"""What a router that looks at requests decided: shares of the strategies by hour of the day, and on what grounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim import wording as words
from sim.pages.palette import SYMBOLS
from sim.report.chart import Chart, Figure, Layout, Table, base_layout, colour_of, dash_of, label_of, rounded
from sim.report.source import Source

__all__ = ["router_chart", "router_points", "router_table"]

_PLAIN = {"gridcolor": "@grid", "zeroline": False, "fixedrange": True}


def router_points(source: Source) -> list[str]:
    """Which router it was, and how its budget was kept, in sentences; none without a router that looks at requests."""
    router = source.summary.get("router")
    if not router:
        return []
    looks = [name for name in ("price", "load") if router[name]]
    grounds = f", looking at {' and '.join(looks)}" if looks else ""
    told = [f"Policy {router['policy']}{grounds}: {words.count(router['decisions'])} decisions."]
    file, budget = router["file"], router["budget"]
    if file is not None:
        questions = words.count(file["labels"].get("questions"))
        told.append(f"Its router file was trained on {file['trained_on']}, on {questions} questions.")
    if budget is not None:
        spent, allowed = (words.usd_fine(budget[key]) for key in ("spent_usd_per_hour", "usd_per_hour"))
        most = words.number(budget["multiplier"]["most"])
        told.append(f"Requests used {spent} an hour of {allowed}; costs counted up to {most} times.")
    return told


def router_table(source: Source) -> Table:
    """The mean terms of the utilities of what was chosen; no rows without a router that looks at requests."""
    router = source.summary.get("router") or {"strategies": {}}
    rows = [
        (
            name,
            words.share(terms["share"]),
            words.share(terms["p_correct"]),
            words.usd_per_1k(terms["value_usd"]),
            words.usd_per_1k(terms["cost_usd"]),
            words.usd_per_1k(terms["lateness_usd"]),
            words.share(terms["p_late"]),
        )
        for name, terms in router["strategies"].items()
    ]
    columns = ("strategy", "of decisions", "chance to be right", "value of 1,000", "their cost", "their lateness")
    note = "Means over the decisions for each strategy, as they were expected when it was chosen."
    return Table((*columns, "chance to be late"), rows, note)


def router_chart(source: Source) -> Chart | None:
    """Lines by strategy: the share of the decisions of each hour of the local day; nothing where there is one hour."""
    hours = (source.summary.get("router") or {"by_hour": []})["by_hour"]
    if len(hours) < 2:
        return None
    names = [name for name in hours[0]["shares"] if any(hour["shares"][name] for hour in hours)]
    places = list(hours[0]["shares"])
    data = [_line(name, hours, places.index(name)) for name in names]
    rows = [
        (
            f"{hour['hour']:02d}:00",
            words.count(hour["decisions"]),
            *(words.share(hour["shares"][name]) for name in names),
        )
        for hour in hours
    ]
    return Chart(
        id="router-hours",
        title="Strategies by hour of the day",
        says="Lines by strategy: the share of the decisions of each hour of the local day.",
        figure=Figure(data, _layout(len(names), False), _layout(len(names), True)),
        table=Table(("hour", "decisions", *names), rows),
        caption="Share of all decisions of an hour of the local day, over all days and replications.",
    )


def _row(hour: dict[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    shares = (words.share(hour["shares"][name]) for name in names)
    return (f"{hour['hour']:02d}:00", words.count(hour["decisions"]), *shares)


def _line(name: str, hours: list[dict[str, Any]], place: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": label_of(name),
        "x": [hour["hour"] for hour in hours],
        "y": rounded([hour["shares"][name] for hour in hours], 5),
        "line": {"color": colour_of(place), "dash": dash_of(place), "width": 1.8},
        "marker": {"color": colour_of(place), "symbol": SYMBOLS[place % len(SYMBOLS)], "size": 7},
        "hovertemplate": label_of(name) + ", %{x}:00: %{y:.1%}<extra></extra>",
    }


def _layout(lines: int, narrow: bool) -> Layout:
    legend_rows = -(-lines // (2 if narrow else 4))
    return base_layout(
        260 + 20 * legend_rows,
        narrow,
        showlegend=True,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        margin={"l": 48, "r": 14, "t": 12 + 20 * legend_rows, "b": 40},
        xaxis={
            "gridcolor": "@grid",
            "zeroline": False,
            "fixedrange": True,
            "dtick": 6 if narrow else 3,
            "ticksuffix": ":00",
        },
        yaxis={"tickformat": ".0%", "rangemode": "tozero", "gridcolor": "@grid", "zeroline": False, "fixedrange": True},
    )
