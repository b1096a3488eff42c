"""Everything shipped that a scenario may name: tariffs, tiers, zones, commitments, and prices by cloud and region."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sim.errors import InputError
from sim.prices.shipped import shipped_carbon, shipped_electricity, shipped_names, shipped_rows, shipped_tokens
from sim.prices.tokens import token_prices
from sim.scenario.energy import ElectricityWindows
from sim.scenario.windows import Calendar

__all__ = ["price_list"]

Row = dict[str, Any]
_NOT_SEARCHED = ("source", "as_of", "note")
_ANY_DAY = datetime(2026, 1, 5)


def price_list(words: Sequence[str] = ()) -> dict[str, list[Row]]:
    """What is shipped, by family, each row with its source and date; only rows that hold all the words, if any.

    Upper case counts as lower. The name of a family is in all its rows.

    Raises:
        InputError: where no row holds all the words.
    """
    wanted = [word.casefold() for word in words]
    found = {family: [row for row in rows() if _holds(family, row, wanted)] for family, rows in _FAMILIES.items()}
    if wanted and not any(found.values()):
        remedy = "leave a word out; `nightshift prices` alone lists all there is"
        raise InputError(" ".join(words), "stands in no shipped price", remedy)
    return {family: rows for family, rows in found.items() if rows}


def _holds(family: str, row: Row, words: Iterable[str]) -> bool:
    texts = [family.replace("_", " "), *(str(value) for key, value in row.items() if key not in _NOT_SEARCHED)]
    text = " ".join(texts).casefold()
    return all(word in text for word in words)


def _tokens() -> Iterator[Row]:
    for name in shipped_names("tokens"):
        tariff = shipped_tokens(name)
        start, zone = tariff.valid_from or _ANY_DAY, ZoneInfo(tariff.time_zone or "UTC")
        clock = token_prices(tariff, start, zone)
        usd = [
            (float(low), float(high))
            for low, high in zip(clock.table.min(0) * 1e6, clock.table.max(0) * 1e6, strict=True)
        ]
        rates = zip(("input_usd_per_1m", "cached_input_usd_per_1m", "output_usd_per_1m"), map(_span, usd), strict=True)
        yield {"name": name, "windows": list(clock.windows), **dict(rates), "bill_by": clock.bill_by, **_origin(tariff)}


def _electricity() -> Iterator[Row]:
    for name in shipped_names("electricity"):
        tariff = shipped_electricity(name)
        if isinstance(tariff, ElectricityWindows):
            prices = [tariff.usd_per_kwh, *(window.usd_per_kwh for window in tariff.windows)]
        else:
            prices = [price / 1e3 for row in tariff.rows for price in row.usd_per_mwh]
        demand = {charge.label: charge.usd_per_kw_month for charge in tariff.demand}
        yield {"name": name, "usd_per_kwh": _span(prices), "demand_usd_per_kw_month": demand, **_origin(tariff)}


def _carbon() -> Iterator[Row]:
    for name in shipped_names("carbon"):
        tariff = shipped_carbon(name)
        grams = [each for row in tariff.rows for each in row.g_co2_per_kwh]
        yield {"name": name, "g_co2_per_kwh": _span(grams), **_origin(tariff)}


def _table(table: str, *columns: str) -> Callable[[], Iterator[Row]]:
    """Rows of a shipped table with some of its columns; what is a number becomes one, what is empty None."""

    def rows() -> Iterator[Row]:
        for row in shipped_rows(table):
            yield {column: _value(row[column]) for column in columns} | {key: row[key] for key in _NOT_SEARCHED}

    return rows


def _value(text: str) -> Any:
    try:
        return float(text) if text else None
    except ValueError:
        return text


def _span(values: Sequence[float]) -> list[float]:
    return [min(values), max(values)]


def _origin(tariff: Calendar) -> Row:
    first, last = (None if moment is None else moment.isoformat() for moment in (tariff.valid_from, tariff.valid_to))
    own = {"note": tariff.note, "source": tariff.source, "as_of": tariff.as_of}
    return {"time_zone": tariff.time_zone, "valid_from": first, "valid_to": last, **own}


_USD = "usd_per_gpu_hour"
_FAMILIES: dict[str, Callable[[], Iterable[Row]]] = {
    "tokens": _tokens,
    "tiers": _table("tiers", "name", "multiplier", "completion_window"),
    "gpus": _table("gpu-prices", "cloud", "region", "gpu", f"on_demand_{_USD}", f"spot_{_USD}"),
    "commitments": _table("commitments", "name", "cloud", "gpu", _USD, "discount", "term"),
    "spot_processes": _table("spot-processes", "name", "cloud", "region", "gpu", f"mean_{_USD}", "volatility"),
    "spot_zones": _table("spot-availability", "name", "up_median_h", "down_median_h", "share_up"),
    "electricity": _electricity,
    "carbon": _carbon,
}
"""What is shipped, by family."""
