"""The panels of the chart over time: which lines each shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim.report.chart import colour_of, dash_of, rounded
from sim.report.slots import Slots

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Line", "Panel", "panels_of"]


@dataclass(frozen=True)
class Line:
    """A series: its name, values by slot, colour and dash; a stacked one is an area on that before it."""

    name: str
    values: list[float | None]
    colour: str
    dash: str = "solid"
    stacked: bool = False


@dataclass(frozen=True)
class Panel:
    """What it shows, with its unit; how its figures are written; whether its lines are pools."""

    title: str
    lines: list[Line]
    form: str = ",.3~g"
    prefix: str = ""
    by_pool: bool = False

    @property
    def keys(self) -> list[str]:
        """Names in its legend; a single line needs none, but for that of a pool."""
        return [line.name for line in self.lines] if len(self.lines) > 1 or self.by_pool else []

    @property
    def most(self) -> float:
        """The largest value."""
        return max((value for line in self.lines for value in line.values if value is not None), default=0.0)


def panels_of(slots: Slots, pools: Sequence[str]) -> list[Panel]:
    """The panels that have something to show; pools keep their colour in all of them."""
    marks = {name: (colour_of(place), dash_of(place)) for place, name in enumerate(pools)}

    def lines(names: Sequence[str], values: Callable[[str], pd.Series[float]], *, stacked: bool = False) -> list[Line]:
        return [Line(name, _values(values(name)), *marks[name], stacked) for name in names]

    every = [
        *_load(slots),
        *_answers(slots, lines),
        *_supply(slots, lines),
        *_prices(slots, lines),
        *_spent(slots, pools, lines),
    ]
    return [panel for panel in every if panel.lines and (panel.most > 0.0 or not panel.prefix)]


_Lines = Callable[..., list[Line]]


def _load(slots: Slots) -> Iterator[Panel]:
    arriving = Line("arriving", _values(slots.arriving), "@c0")
    answered = Line("answered", _values(slots.answered), "@c1", "dot")
    yield Panel("Requests a second", [arriving, answered])
    running = Line("being answered", _values(slots.total["running"]), "@c0", stacked=True)
    waiting = Line("waiting", _values(slots.total["waiting"]), "@c1", stacked=True)
    yield Panel("Requests in the system", [running, waiting])


def _answers(slots: Slots, lines: _Lines) -> Iterator[Panel]:
    """What is known of answers, and what spares work on them, where there is any of it."""
    if slots.right.notna().any():
        yield Panel("Right answers", [Line("right", _values(slots.right), "@c2")], ".0%")
    if slots.total["cached_tokens"].any():
        pools = [name for name in (*slots.gpus, *slots.apis) if slots.of(name, "cached_tokens").any()]
        yield Panel("Prompt tokens found in a cache", lines(pools, slots.cached), ".0%", by_pool=True)


def _supply(slots: Slots, lines: _Lines) -> Iterator[Panel]:
    starting = _values(slots.starting) if slots.gpus else []
    begun = [Line("starting, all pools", starting, "@faint", "dot")] if any(starting) else []
    opened = lines(slots.gpus, lambda name: slots.of(name, "accepting_replicas"))
    yield Panel("Replicas open", opened + begun, by_pool=True)
    yield Panel("Busy share of paid GPU time", lines(slots.gpus, slots.busy), ".0%", by_pool=True)


def _prices(slots: Slots, lines: _Lines) -> Iterator[Panel]:
    hourly = lines(slots.gpus, lambda name: slots.of(name, "usd_per_gpu_hour"))
    yield Panel("Price of a GPU-hour", hourly, ",.2f", "$", by_pool=True)
    tokens = lines(slots.apis, lambda name: slots.of(name, "output_usd_per_1m"))
    yield Panel("Price of 1M output tokens, API", tokens, ",.2f", "$", by_pool=True)


def _spent(slots: Slots, pools: Sequence[str], lines: _Lines) -> Iterator[Panel]:
    paid = [name for name in pools if name in (*slots.gpus, *slots.apis)]
    usd = lines(paid, lambda name: slots.usd_per_hour(name).fillna(0.0), stacked=True)
    yield Panel("Dollars an hour", usd, ",.2f", "$", by_pool=True)
    for title, column, colour in (("Power, kW", "kwh", "@c2"), ("Carbon, kg an hour", "carbon_kg", "@c6")):
        if slots.total[column].any():
            yield Panel(title, [Line(title, _values(slots.total[column] / slots.hours), colour)])


def _values(column: pd.Series[float]) -> list[float | None]:
    """With the last value once more: a step goes on to the end of its slot."""
    values = rounded(column.to_numpy(), 5)
    return [*values, values[-1]]
