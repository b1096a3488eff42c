"""Charts of what a plan is worth: against other ways to buy, against other plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim.pages.drawing import short
from sim.planning.report.drawing import Figure, figure, reach, wrapped
from sim.planning.report.words import dollars, short_purchase

__all__ = ["baselines_chart", "front_chart"]

_COLD_TO_HOT = [[0.0, "@c5"], [0.5, "@c0"], [1.0, "@c1"]]
"""From fast to slow."""


def baselines_chart(found: Mapping[str, Any]) -> Figure | None:
    """Bills of the plan and of each baseline; None where there is none."""
    known = [each for each in found["baselines"] if each["monthly_usd"] is not None]
    if not known or found["plan"] is None or found["goal"] != "cheapest":
        return None
    rows = [("this plan", found["plan"], "@c2"), *((each["name"], each, "@c6") for each in known)]
    usd = [row["monthly_usd"] for _, row, _ in rows]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "showlegend": False,
            "y": [wrapped(name) for name, _, _ in rows],
            "x": usd,
            "text": [dollars(value) for value in usd],
            "textposition": "inside",
            "insidetextanchor": "start",
            "marker": {
                "color": [colour for _, _, colour in rows],
                "opacity": [0.45 if row.get("keeps_promise") is False else 1.0 for _, row, _ in rows],
            },
            "error_x": reach([row["interval"] for _, row, _ in rows], usd),
            "hovertemplate": "%{y}: $%{x:,.0f} a month<extra></extra>",
        }
    ]
    x = {"title": {"text": "USD a month"}, "tickprefix": "$", "tickformat": ",.0f", "rangemode": "tozero"}
    return figure(data, 110 + 50 * len(rows), x, {"autorange": "reversed"}, bargap=0.3)


def front_chart(found: Mapping[str, Any]) -> Figure | None:
    """Points by cost and accuracy, or by objectives met where no accuracy is known, coloured by the 99th percentile.

    None where there is none.
    """
    key = "accuracy" if any(each["accuracy"] is not None for each in found["pareto"]) else "slo_attainment"
    points = [each for each in found["pareto"] if each[key] is not None and each["monthly_usd"] is not None]
    if not points:
        return None
    data = [trace for source in ("simulated", "analytic") if (trace := _points(points, key, source)) is not None]
    if found["plan"] is not None and found["verified"][key] is not None:
        data.append(_plan_mark(found, key))
    x = {"title": {"text": "USD a month"}, "tickprefix": "$", "tickformat": ",.0f"}
    y = {"title": {"text": "right answers" if key == "accuracy" else "objectives met"}, "tickformat": ".0%"}
    bar = {"title": {"text": "E2E p99, s", "side": "right"}, "thickness": 12, "outlinewidth": 0}
    # A legend would draw the numbers of the colour axis as colours; the caption says what the marks are.
    return figure(data, 420, x, y, coloraxis={"colorscale": _COLD_TO_HOT, "colorbar": bar}, showlegend=False)


def _points(points: Sequence[Mapping[str, Any]], key: str, source: str) -> dict[str, Any] | None:
    mine = [each for each in points if each["source"] == source]
    if not mine:
        return None
    names = {"simulated": "simulated", "analytic": "by formulas"}
    kept = ["circle" if each.get("keeps_promise", True) else "x" for each in mine]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": names[source],
        "x": [each["monthly_usd"] for each in mine],
        "y": [each[key] for each in mine],
        "text": [_told(each) for each in mine],
        "marker": {
            "color": [each["e2e_p99_s"] for each in mine],
            "coloraxis": "coloraxis",
            "size": 10,
            "symbol": kept if source == "simulated" else "circle-open",
        },
        "hovertemplate": "$%{x:,.0f}, %{y:.1%}<br>%{text}<extra></extra>",
    }


def _told(point: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{key}={value}" for key, value in point["settings"].items())
    broken = "" if point.get("keeps_promise", True) else "; does not keep the promise"
    return short(f"{short_purchase(point['pools'])}{f'; {settings}' if settings else ''}{broken}", 160)


def _plan_mark(found: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "the plan, on the fresh seed",
        "x": [found["plan"]["monthly_usd"]],
        "y": [found["verified"][key]],
        "marker": {"color": "@c2", "size": 16, "symbol": "star", "line": {"color": "@ink", "width": 1}},
        "hovertemplate": "the plan: $%{x:,.0f}, %{y:.1%}<extra></extra>",
    }
