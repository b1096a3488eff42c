"""Why a bill is another: line by line and pool by pool, and how much of it is price and how much is volume."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import isclose
from typing import Any, NamedTuple

from sim.comparison.bill import Bill, Place, Unit, Use, units_of
from sim.comparison.paired import spread_of
from sim.ledger import LINES

__all__ = ["Change", "cost_split", "cost_waterfall", "line_changes"]

_ROUNDING = 1e-12


class Change(NamedTuple):
    """What a line of a pool came to on both sides, in dollars a month; the three parts sum to the difference."""

    a: float = 0.0
    b: float = 0.0
    price: float = 0.0
    """What B buys, at B's prices less at A's."""
    volume: float = 0.0
    """What B buys less what A buys, both at A's prices."""
    fixed: float = 0.0
    """The difference of what is paid in any case, which has neither a price by the unit nor a volume."""

    def plus(self, other: Change) -> Change:
        """The sum of two."""
        return Change(*(mine + its for mine, its in zip(self, other, strict=True)))


def line_changes(a: Bill, b: Bill) -> dict[tuple[str, str], Change]:
    """By line and pool how the bill changes in one replication.

    Within a tariff window a line's dollars at A's prices are B's dollars over the price index: what B bought there at
    B's prices, over the same at A's. What A bought none of in a window has A's price over all windows, and if A bought
    none of it at all B's: new things are a matter of volume.
    """
    found: defaultdict[tuple[str, str], Change] = defaultdict(Change)
    for place in dict.fromkeys([*a.usd, *b.usd]):
        found[place.line, place.pool] = found[place.line, place.pool].plus(_change(place, a, b))
    return dict(found)


def _change(place: Place, a: Bill, b: Bill) -> Change:
    usd_a, usd_b = a.usd.get(place, 0.0), b.usd.get(place, 0.0)
    units = units_of(place, b if place in b.usd else a)
    if not units:
        return Change(usd_a, usd_b, fixed=usd_b - usd_a)
    price = usd_b * (1.0 - 1.0 / _index([unit for unit in units if unit in b.used], a, b))
    return Change(usd_a, usd_b, price, usd_b - usd_a - price)


def _index(units: Sequence[Unit], a: Bill, b: Bill) -> float:
    """What B bought of the units at B's prices, over the same at A's; 1 where one of them is nothing."""
    now = sum(b.used[unit].usd for unit in units)
    then = sum(b.used[unit].volume * _rate(unit, a, b) for unit in units)
    index = now / then if now and then else 1.0
    return 1.0 if isclose(index, 1.0, rel_tol=_ROUNDING) else index


def _rate(unit: Unit, a: Bill, b: Bill) -> float:
    """A's price of a unit."""
    anywhere = [use for other, use in a.used.items() if (other.kind, other.pool) == (unit.kind, unit.pool)]
    whole = Use(sum(use.volume for use in anywhere), sum(use.usd for use in anywhere))
    for use in (a.used.get(unit, whole), whole, b.used[unit]):
        if use.volume:
            return use.usd / use.volume
    return 0.0


def cost_waterfall(changes: Sequence[dict[tuple[str, str], Change]], *, split: bool = True) -> list[dict[str, Any]]:
    """Bars from A's bill to B's in dollars a month, from the changes of each replication, in the order of the lines.

    Without `split` price and volume are not told apart.
    """
    order = list(LINES)
    bars = sorted(dict.fromkeys(bar for run in changes for bar in run), key=lambda bar: order.index(bar[0]))
    return [_bar(line, pool, [run.get((line, pool), Change()) for run in changes], split) for line, pool in bars]


def _bar(line: str, pool: str, runs: Sequence[Change], split: bool) -> dict[str, Any]:
    parts = {name: spread_of([getattr(run, name) for run in runs]) for name in _PARTS}
    return {
        "line": line,
        "pool": pool,
        "a": sum(run.a for run in runs) / len(runs),
        "b": sum(run.b for run in runs) / len(runs),
        "difference": spread_of([run.b - run.a for run in runs]),
        **(parts if split else dict.fromkeys(_PARTS)),
    }


_PARTS = ("price", "volume", "fixed")


def cost_split(changes: Sequence[dict[tuple[str, str], Change]]) -> dict[str, Any]:
    """The whole difference by what it comes from: prices, volumes, and what is paid in any case; dollars a month."""
    return {
        name: spread_of([sum(getattr(change, name) for change in run.values()) for run in changes]) for name in _PARTS
    }
