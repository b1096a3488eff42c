"""What prices are shipped, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

__all__ = ["format_prices"]

Row = dict[str, Any]


class _Layout(NamedTuple):
    """How a family is shown: its title, and for each column a heading and the key of its value."""

    title: str
    columns: dict[str, str]


def format_prices(families: dict[str, list[Row]], *, brief: bool = False) -> Group:
    """A table for each family, as `price_list` gives them, then the sources by number; `brief`: of GPUs the clouds."""
    sources = list(dict.fromkeys(_source(row) for rows in families.values() for row in rows))
    parts: list[Text | Table | str] = []
    for family, rows in families.items():
        layout = _LAYOUTS[family]
        table = _clouds(rows) if brief and family == "gpus" else _rows(layout, rows, sources)
        parts += ["", Text(layout.title, style="italic"), table]
    told = "\n".join(f"[{number}] {source}" for number, source in enumerate(sources, 1))
    return Group(*parts[1:], "", Text(told, style="dim"))


def _rows(layout: _Layout, rows: Iterable[Row], sources: list[str]) -> Table:
    table = _empty([*layout.columns, ""])
    for row in rows:
        values = [_text(row | {"valid": _validity(row)}, key) for key in layout.columns.values()]
        table.add_row(*map(Text, values), Text(f"[{sources.index(_source(row)) + 1}]"))
    return table


def _clouds(rows: list[Row]) -> Table:
    """What is there of each cloud, without prices."""
    table = _empty(["cloud", "regions", "GPUs"])
    for cloud in dict.fromkeys(row["cloud"] for row in rows):
        mine = [row for row in rows if row["cloud"] == cloud]
        gpus = ", ".join(dict.fromkeys(row["gpu"] for row in mine))
        table.add_row(Text(cloud), str(len({row["region"] for row in mine})), Text(gpus))
    table.add_row("single prices:", "", "nightshift prices CLOUD, or REGION, or GPU")
    return table


def _empty(headings: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, heading in enumerate(headings):
        # A name that is cut cannot be copied.
        table.add_column(heading, no_wrap=place == 0, overflow="fold")
    return table


def _text(row: Row, key: str) -> str:
    value = row[key]
    if isinstance(value, list):
        return "..".join(dict.fromkeys(_number(each) for each in value))
    return "-" if value is None else _number(value)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _validity(row: Row) -> str | None:
    first, last = (str(row.get(key) or "")[:10] for key in ("valid_from", "valid_to"))
    return f"{first}..{last}" if first or last else None


def _source(row: Row) -> str:
    return f"{row['source']} ({row['as_of']})"


_LAYOUTS = {
    "tokens": _Layout(
        "Tariffs of tokens, USD per 1M (tariff: NAME)",
        {"name": "name", "input": "input_usd_per_1m", "output": "output_usd_per_1m", "valid": "valid"},
    ),
    "tiers": _Layout(
        "Service tiers of APIs (tariff: {kind: named, name: ..., tier: NAME})",
        {"name": "name", "times": "multiplier", "answered within": "completion_window"},
    ),
    "gpus": _Layout(
        "GPUs, USD an hour (offer: {cloud: ..., region: ...})",
        {
            "cloud": "cloud",
            "region": "region",
            "GPU": "gpu",
            "on demand": "on_demand_usd_per_gpu_hour",
            "spot": "spot_usd_per_gpu_hour",
        },
    ),
    "commitments": _Layout(
        "Commitments (offer: {kind: reserved, ..., commitment: NAME})",
        {
            "name": "name",
            "cloud": "cloud",
            "GPU": "gpu",
            "USD/h": "usd_per_gpu_hour",
            "off": "discount",
            "term": "term",
        },
    ),
    "spot_processes": _Layout(
        "Random spot prices, USD an hour (offer: {kind: spot, tariff: NAME})",
        {"name": "name", "mean": "mean_usd_per_gpu_hour", "volatility": "volatility"},
    ),
    "spot_zones": _Layout(
        "Spot availability, hours (offer: {kind: spot, availability: {zone: NAME}})",
        {"name": "name", "up": "up_median_h", "down": "down_median_h", "share up": "share_up"},
    ),
    "electricity": _Layout(
        "Electricity, USD a kWh (electricity: NAME)", {"name": "name", "energy": "usd_per_kwh", "valid": "valid"}
    ),
    "carbon": _Layout("Carbon of electricity, g a kWh (carbon: NAME)", {"name": "name", "CO2": "g_co2_per_kwh"}),
}
