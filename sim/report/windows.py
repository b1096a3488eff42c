"""Tariff windows over time, as tints behind the lines of a chart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim.prices.clock import FLAT
from sim.report.source import Source

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_SHADES", "Shade", "shades_of", "window_colours"]

MOST_SHADES = 200
"""More than these are noise; then none is drawn."""

_COLOURS = ("@c4", "@c2", "@c3", "@c5", "@c1", "@c6")


def window_colours(source: Source) -> dict[str, str]:
    """A colour for each tariff window, the same in all charts: what holds at any hour first, then by dollars."""
    usd = source.ledger.groupby(source.ledger["window"].fillna(FLAT).astype(str))["usd"].sum()
    names = dict.fromkeys(
        [*usd.sort_values(ascending=False).index, *sorted(source.buckets["window"].dropna().unique())]
    )
    varied = [name for name in names if name != FLAT]
    return {FLAT: "@c0"} | {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(varied)}


@dataclass(frozen=True)
class Shade:
    """A time in which a window holds: local times, name and colour."""

    name: str
    begin: str
    end: str
    colour: str

    def shape(self) -> dict[str, Any]:
        """A rectangle over all panels, behind them."""
        place = {"xref": "x", "yref": "paper", "x0": self.begin, "x1": self.end, "y0": 0, "y1": 1}
        return {"type": "rect", "layer": "below", "line": {"width": 0}, "fillcolor": f"{self.colour}~~"} | place


def shades_of(source: Source) -> tuple[list[Shade], bool]:
    """The times of all windows but each pool's most frequent one, in the first replication; and if they are too many.

    Pools that share a window share its tint.
    """
    first = source.buckets[source.buckets["replication"] == source.buckets["replication"].min()]
    times: dict[tuple[str, float, float], None] = {}
    for pool in source.pools:
        times |= dict.fromkeys(_runs(first[first["pool"] == pool].sort_values("begin_s")))
    if len(times) > MOST_SHADES:
        return [], True
    colours = window_colours(source)
    begins = source.clock.stamps(begin_s for _, begin_s, _ in times)
    ends = source.clock.stamps(end_s for _, _, end_s in times)
    names = [name for name, _, _ in times]
    return [Shade(name, begin, end, colours[name]) for name, begin, end in zip(names, begins, ends, strict=True)], False


def _runs(rows: pd.DataFrame) -> Iterator[tuple[str, float, float]]:
    """Window, begin and end of each stretch of buckets that is not in the usual window."""
    windows = rows["window"].fillna(FLAT).astype(str)
    if windows.nunique() < 2:
        return
    usual = windows.mode().iloc[0]
    stretch = (windows != windows.shift()).cumsum()
    for _, part in rows.assign(window=windows).groupby(stretch.to_numpy()):
        name = str(part["window"].iloc[0])
        if name != usual:
            yield name, float(part["begin_s"].iloc[0]), float(part["end_s"].iloc[-1])
