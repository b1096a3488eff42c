"""The months ahead as a document and in plain words: what to buy next, when, and why."""

from __future__ import annotations

from datetime import date
from typing import Any

from sim.planning.months.year import Bought, Month, Year

__all__ = ["next_purchase", "why", "year_document"]

_MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October"]
_MONTHS += ["November", "December"]  # Not from the locale, so that a document reads the same everywhere.


def year_document(year: Year, start: date | None = None) -> dict[str, Any]:
    """The months ahead as JSON; `start` is a day of the present month, and gives months their names."""
    mean, low, high = year.waiting_usd
    return {
        "months": [_month(each, start) for each in year.months],
        "purchases": [_purchase(year, each, start) for each in year.purchases],
        "lapses": [each._asdict() for each in year.lapses],
        "next_purchase": next_purchase(year, start),
        "total_usd": year.total_usd,
        "interval": list(year.interval),
        "waiting": {"usd": mean, "interval": [low, high], "p_short": year.waiting_p_short},
    }


def next_purchase(year: Year, start: date | None = None) -> str:
    """What to buy next, by when and why, in a few sentences."""
    if not year.keeps:
        return "Nothing has to be bought ahead: every pool is paid for by the hour."
    count = len(year.months)
    if not year.purchases:
        return f"No reserved replica more pays within {count} months: what the load adds is cheaper by the hour."
    first = year.purchases[0]
    each = "each" if first.replicas > 1 else "it"
    order = "now" if first.decide_by == 0 else f"by the end of {_name(first.decide_by, start)}"
    they = "it serves" if each == "it" else "they serve"
    text = f"Order {_more(first)} {order}, so that {they} from {_name(first.month, start)} on. "
    return text + why(year, first) + _waiting(year, count)


def why(year: Year, bought: Bought) -> str:
    """The reason of a purchase, as a sentence."""
    month = year.months[bought.month - 1]
    if bought.pays_from is None:
        return "Without it there may be more load than anything else can carry."
    load = f"{month.load_factor:.2f} times today's load is expected then"
    low, high = month.load_interval
    within = f"{load} ({low:.2f} to {high:.2f})" if high - low > 0.005 else load
    saved = f"it saves ${max(bought.saves_usd, 0.0):,.0f} in that month in the mean"
    return (
        f"From {bought.pays_from:.2f} times today's load on it is busy enough to be cheaper than capacity by the hour; "
        f"{within}, and {saved}."
    )


def _waiting(year: Year, count: int) -> str:
    mean, low, high = year.waiting_usd
    text = f" Buying nothing more would cost ${mean:,.0f} more over {count} months"
    if high - low >= 1.0:
        text += f" (in 95% of cases {_signed(low)} to {_signed(high)})"
    if year.waiting_p_short > 0.0:
        text += f", and with a chance of {100.0 * year.waiting_p_short:.2g}% some month's load could not be carried"
    return text + "."


def _signed(usd: float) -> str:
    return f"-${-usd:,.0f}" if usd < 0.0 else f"${usd:,.0f}"


def _more(bought: Bought) -> str:
    return f"{bought.replicas} more {'replica' if bought.replicas == 1 else 'replicas'} of {bought.pool}"


def _name(month: int, start: date | None) -> str:
    if start is None:
        return f"month {month}" if month else "this month"
    place = start.month - 1 + month
    return f"{_MONTHS[place % 12]} {start.year + place // 12}"


def _month(month: Month, start: date | None) -> dict[str, Any]:
    found = month._asdict() | {"load_interval": list(month.load_interval), "interval": list(month.interval)}
    return found | {"name": _name(month.month, start)}


def _purchase(year: Year, bought: Bought, start: date | None) -> dict[str, Any]:
    return bought._asdict() | {"name": _name(bought.month, start), "why": why(year, bought)}
