"""The charts of a plan, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim.planning.report.drawing import Figure
from sim.planning.report.fleet_charts import cost_chart, fleet_chart
from sim.planning.report.worth_charts import baselines_chart, front_chart
from sim.planning.report.year_chart import year_chart

__all__ = ["charts_of"]


def charts_of(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The charts for which there are figures, by id: each with title, what it shows in words, and a figure."""
    charts: Sequence[tuple[str, str, str, Figure | None]] = (
        ("fleet", "The fleet by hour of the week", _FLEET, fleet_chart(found)),
        ("cost", "What it costs, by block of hours", _COST, cost_chart(found)),
        ("baselines", "Against what one would buy without a plan", _BASELINES, baselines_chart(found)),
        ("front", "What other dollars buy", _FRONT, front_chart(found)),
        ("year", "The months ahead", _YEAR, year_chart(found)),
    )
    return {key: {"id": key, "title": title, "says": says, "figure": made} for key, title, says, made in charts if made}


_FLEET = "Servers that are up, by how they are bought; the line is the mean rate of requests of the block."
_COST = "Dollars a month by pool; an API is paid by the token, whatever the hour."
_BASELINES = (
    "Other fleets are the cheapest of their kind that keep the same promise; a pale bar does not keep it. Lines at the "
    "ends of bars are 95 % intervals."
)
_FRONT = (
    "Fleets and policies that no other beats in cost, accuracy and 99th percentile; a cross does not keep the promise, "
    "a ring is by formulas alone, the star is the plan on its fresh seed."
)
_YEAR = "Bill of each month as the load grows; the band is 95 %, triangles are purchases."
