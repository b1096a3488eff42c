"""Charts of the fleet of a plan: what is up in each hour of the week, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim.pages.drawing import axis, short
from sim.pages.palette import COLOURS, DASHES
from sim.planning.report.drawing import Figure, figure

__all__ = ["cost_chart", "fleet_chart"]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_OFFER_ORDER = ("reserved", "on-demand", "spot", "api")


def fleet_chart(found: Mapping[str, Any]) -> Figure | None:
    """Servers by hour of the week, stacked by how they are bought; None where that is not known."""
    rows = found["by_hour"]
    if not rows:
        return None
    colours = _colours(found)
    steady = [pool["name"] for pool in _pools(found) if pool["kind"] != "api"]
    hours = list(range(max(row["hour_of_week"] for row in rows) + 1))
    numbers = {(row["pool"], row["hour_of_week"]): row for row in rows}
    data = [
        {
            "type": "bar",
            "name": short(name, 40),
            "x": [hour + 0.5 for hour in hours],
            "y": [numbers[name, hour]["replicas"] if (name, hour) in numbers else 0 for hour in hours],
            "width": 1.0,
            "marker": {"color": colours[name], "line": {"width": 0}},
            "text": [_hour(hour) for hour in hours],
            "textposition": "none",
            "hovertemplate": f"%{{text}}<br>{short(name, 40)}: %{{y}}<extra></extra>",
        }
        for name in steady
    ]
    rate = _rates(found, rows, len(hours))
    data += rate
    ticks = {"tickmode": "array", "tickvals": [24 * day + 12 for day in range(7)], "ticktext": list(_DAYS)}
    x = {**ticks, "range": [0, len(hours)], "showgrid": False, "ticklen": 0}
    y = {"title": {"text": "servers"}, "dtick": _whole_step(data), "rangemode": "tozero"}
    layout: dict[str, Any] = {"barmode": "stack", "bargap": 0, "shapes": _midnights(len(hours))}
    if rate:
        layout["yaxis2"] = axis(
            title={"text": "requests a second"},
            overlaying="y",
            side="right",
            rangemode="tozero",
            tickmode="auto",
            nticks=5,
        )
        layout["yaxis2"]["showgrid"] = False
    return figure(data, 380, x, y, **layout)


def _rates(found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], hours: int) -> list[dict[str, Any]]:
    """The line of the load, where it is known."""
    rps = {block["name"]: block["mean_rps"] for block in found["blocks"]}
    if any(value is None for value in rps.values()):
        return []
    block = {row["hour_of_week"]: row["block"] for row in rows}
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "requests a second",
            "x": list(range(hours + 1)),
            "y": [rps[block[min(hour, hours - 1)]] for hour in range(hours + 1)],
            "yaxis": "y2",
            "line": {"color": "@ink", "width": 1.5, "shape": "hv", "dash": DASHES[2]},
            "hovertemplate": "%{y:.2f} requests a second<extra></extra>",
        }
    ]


def _whole_step(data: Sequence[Mapping[str, Any]]) -> int:
    tallest = max(
        (sum(column) for column in zip(*(bars["y"] for bars in data if bars["type"] == "bar"), strict=True)), default=1
    )
    return max(1, -(-int(tallest) // 8))


def _midnights(hours: int) -> list[dict[str, Any]]:
    line = {"color": "@line", "width": 1}
    return [
        {"type": "line", "xref": "x", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": line}
        for at in range(24, hours, 24)
    ]


def _hour(hour: int) -> str:
    return f"{_DAYS[hour // 24 % 7]} {hour % 24:02d}:00"


def cost_chart(found: Mapping[str, Any]) -> Figure | None:
    """Bars of dollars a month by block of hours, in parts by pool; None where that is not known."""
    pools = [pool for pool in _pools(found) if pool["usd_per_month"]]
    if not pools or not found["by_hour"]:
        return None
    blocks, colours = [block["name"] for block in found["blocks"]], _colours(found)
    by_pool = {pool["name"]: _by_block(found, pool, blocks) for pool in pools}
    places = [*blocks, *(["by the token"] if any(pool["kind"] == "api" for pool in pools) else [])]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": short(name, 40),
            "y": [short(place, 40) for place in places],
            "x": [usd.get(place, 0.0) for place in places],
            "marker": {"color": colours[name]},
            "hovertemplate": f"{short(name, 40)}, %{{y}}: $%{{x:,.0f}}<extra></extra>",
        }
        for name, usd in by_pool.items()
    ]
    x = {"title": {"text": "USD a month"}, "tickprefix": "$", "tickformat": ",.0f"}
    return figure(data, 170 + 46 * len(places), x, {"autorange": "reversed"}, barmode="stack", bargap=0.35)


def _by_block(found: Mapping[str, Any], pool: Mapping[str, Any], blocks: Sequence[str]) -> dict[str, float]:
    """What a pool costs a month in each block: its own bill, shared by what its servers cost in these hours."""
    if pool["kind"] == "api":
        return {"by the token": pool["usd_per_month"]}
    rows = [row for row in found["by_hour"] if row["pool"] == pool["name"]]
    usd = {block: sum(row["usd"] for row in rows if row["block"] == block) for block in blocks}
    whole = sum(usd.values())
    return {block: pool["usd_per_month"] * value / whole for block, value in usd.items()} if whole else {}


def _pools(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The pools of the plan, or of the analytic answer; as they are stacked."""
    pools = (found["plan"] or found["analytic"])["pools"]
    return sorted(pools, key=lambda pool: _OFFER_ORDER.index(pool["kind"]))


def _colours(found: Mapping[str, Any]) -> dict[str, str]:
    return {pool["name"]: f"@c{place % len(COLOURS)}" for place, pool in enumerate(_pools(found))}
