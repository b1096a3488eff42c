"""The chart of the months ahead of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sim.pages.drawing import short
from sim.pages.palette import DASHES, SYMBOLS
from sim.planning.report.drawing import Figure, band, figure
from sim.planning.report.words import short_purchase

__all__ = ["year_chart"]


def year_chart(found: Mapping[str, Any]) -> Figure | None:
    """Bill of each month with its band, and the purchases; None where no months are planned."""
    year = found["year"]
    if not year or not year["months"]:
        return None
    months = year["months"]
    x = [month["month"] for month in months]
    known = all(bound is not None for month in months for bound in month["interval"])
    data = [
        *(band(x, [month["interval"] for month in months]) if known else ()),
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "bill of the month",
            "x": x,
            "y": [month["monthly_usd"] for month in months],
            "line": {"color": "@c0", "width": 2},
            "text": [_month(month) for month in months],
            "hovertemplate": "month %{x}: $%{y:,.0f}<br>%{text}<extra></extra>",
        },
        *_purchases(year),
        *_budget(found, x),
    ]
    return figure(data, 380, {"title": {"text": "month"}, "dtick": 1 if len(x) <= 18 else 6}, _USD)


_USD = {"title": {"text": "USD a month"}, "tickprefix": "$", "tickformat": ",.0f", "rangemode": "tozero"}


def _month(month: Mapping[str, Any]) -> str:
    over = month["p_over_budget"]
    told = "" if over is None else f"; over budget with a chance of {over:.0%}"
    return short(f"load {month['load_factor']:.2f} times; {short_purchase(month['pools'])}{told}", 160)


def _purchases(year: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    usd = {month["month"]: month["monthly_usd"] for month in year["months"]}
    bought = [each for each in year["purchases"] if each["month"] in usd]
    if bought:
        yield {
            "type": "scatter",
            "mode": "markers",
            "name": "purchase",
            "x": [each["month"] for each in bought],
            "y": [usd[each["month"]] for each in bought],
            "text": [short(_bought(each), 160) for each in bought],
            "marker": {"color": "@c1", "size": 13, "symbol": SYMBOLS[3]},
            "hovertemplate": "month %{x}: %{text}<extra></extra>",
        }


def _bought(each: Mapping[str, Any]) -> str:
    number = f"{each['replicas']} servers" if "replicas" in each else f"{each['gpus']} GPUs"
    return f"{number} of {each['pool']}: {each['why']}"


def _budget(found: Mapping[str, Any], x: Sequence[int]) -> Iterator[dict[str, Any]]:
    budget = found["targets"]["budget_usd"]
    if budget is not None:
        yield {
            "type": "scatter",
            "mode": "lines",
            "name": "budget",
            "x": [x[0], x[-1]],
            "y": [budget, budget],
            "line": {"color": "@c6", "width": 2, "dash": DASHES[1]},
            "hoverinfo": "skip",
        }
