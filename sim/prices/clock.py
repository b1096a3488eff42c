"""Prices over a run: periods one after the other, in each of which nothing changes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import count
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError

__all__ = ["FLAT", "HOURLY", "Period", "PriceClock", "TokenClock", "constant"]

FLAT = "flat"
"""Name of the only window of a price that never changes."""
HOURLY = "hourly"
"""Name of the only window of a series or table, whose price changes by the hour or so."""
_TOKENS = ("input_usd_per_token", "cached_input_usd_per_token", "output_usd_per_token")
_LONGEST_S = 366 * 86_400.0


class Period(NamedTuple):
    """A stretch of a run with one price."""

    begin_s: float
    end_s: float
    """infinity for the last."""
    window: str
    """Name of the tariff's window."""
    rates: tuple[float, ...]
    """One price for each of the clock's `labels`."""


class PriceClock:
    """Prices over a run, looked up as far as they are asked for; asked twice, they answer alike.

    >>> clock = PriceClock(("day",), ("usd_per_kwh",), [Period(0.0, inf, "day", (0.1,))])
    >>> clock.at(3600.0).rates
    (0.1,)
    """

    def __init__(self, windows: tuple[str, ...], labels: tuple[str, ...], periods: Iterable[Period]) -> None:
        self.windows = windows
        """Names of all windows there may be."""
        self.labels = labels
        """What each of the rates is, with its unit."""
        self._known: list[Period] = []
        self._begins: list[float] = []
        self._coming = _merged(iter(periods))
        self._ended: InputError | None = None

    def periods(self) -> Iterator[Period]:
        """Periods from time 0 on without a gap, neighbours being different (unless a year long).

        Raises:
            InputError: on the way, where the tariff or the series ends before it is done with.
        """
        for index in count():
            if index == len(self._known) and not self._learn():
                return
            yield self._known[index]

    def at(self, time_s: float) -> Period:
        """The period that holds `time_s`, which is not negative.

        Raises:
            InputError: where the tariff or the series has ended by then.
        """
        while (not self._known or self._known[-1].end_s <= time_s) and self._learn():
            pass
        return self._known[bisect_right(self._begins, time_s) - 1]

    def index(self, window: str) -> int:
        """Place of a window in `windows`."""
        return self.windows.index(window)

    def _learn(self) -> bool:
        if self._ended is not None:
            raise self._ended
        try:
            period = next(self._coming, None)
        except InputError as error:
            self._ended = error
            raise
        if period is not None:
            self._known.append(period)
            self._begins.append(period.begin_s)
        return period is not None


class TokenClock(PriceClock):
    """Token prices over a run: US dollars a token of input, cached input and output."""

    def __init__(
        self, windows: tuple[str, ...], table: NDArray[np.float64], bill_by: str, periods: Iterable[Period]
    ) -> None:
        super().__init__(windows, _TOKENS, periods)
        self.table = table
        """Rates of each window, [windows, 3]; a window has the same rates whenever it holds."""
        self.bill_by = bill_by
        """The instant of a request whose window counts: arrival, start or completion."""


def constant(rates: tuple[float, ...], labels: tuple[str, ...], window: str = FLAT) -> PriceClock:
    """A price that never changes."""
    return PriceClock((window,), labels, [Period(0.0, inf, window, rates)])


def _merged(periods: Iterator[Period]) -> Iterator[Period]:
    """Neighbours of one window and one price made one, as far as a year.

    The limit ends the search of a change where a tariff has none to come.
    """
    held: Period | None = None
    try:
        for period in periods:
            if held is None:
                held = period
            elif period[2:] == held[2:] and period.begin_s - held.begin_s < _LONGEST_S:
                held = held._replace(end_s=period.end_s)
            else:
                yield held
                held = period
    except InputError:
        if held is not None:
            yield held
        raise
    if held is not None:
        yield held
