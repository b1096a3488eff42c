"""Rates of clients by window: read from a table in the layout of the ServeGen tables, or from clients by hand.

The layout is `client,t_s,rate_rps,cv_interarrival,dist`, `dist` being Gamma or Weibull; further columns, such as
the fitted shape p1 and scale p2 of the published tables, are not read. Rate and variation are taken as the truth:
the fitted parameters agree with them for Gamma rows, while the Weibull fits mean another rate (by up to a factor of
three, and wildly in some rows) and another variation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError, TraceError
from sim.scenario import ClientArrivals, InlineClient
from sim.scenario.clients import MOST_CV
from sim.scenario.quantities import format_duration
from sim.workload.blocks import Floats, Integers
from sim.workload.csv_table import CsvTable, read_table
from sim.workload.gaps import GapLaws, gap_laws

__all__ = ["RateTable", "read_rates", "repeated"]

_MOST_WINDOWS = 10_000_000
_LAWS = ("gamma", "weibull")


@dataclass(frozen=True)
class RateTable:
    """Rows by window, then client; R rows, W windows."""

    names: list[str]
    """Names of the clients, whole numbers in their order before texts."""
    window_s: float
    first_row: Integers
    """First row of each window, and the number of rows at the end, [W + 1]."""
    client: Integers
    """Index of the client of each row, [R]."""
    rate_rps: Floats
    """[R]"""
    laws: GapLaws
    """[R]"""

    @property
    def windows(self) -> int:
        """Windows from hour 0 of the table to its end."""
        return self.first_row.size - 1

    @property
    def span_s(self) -> float:
        """Length of the table."""
        return self.windows * self.window_s

    @property
    def window(self) -> Integers:
        """Window of each row, [R]."""
        return np.repeat(np.arange(self.windows), np.diff(self.first_row))

    def rows(self, window: int) -> slice:
        """Rows of a window."""
        return slice(int(self.first_row[window]), int(self.first_row[window + 1]))

    def busiest(self, clients: int | None) -> RateTable:
        """The same table with only so many clients, those with most requests."""
        requests = np.bincount(self.client, self.rate_rps, len(self.names))
        kept = np.sort(np.argsort(-requests, kind="stable")[:clients])
        place = np.full(len(self.names), -1)
        place[kept] = np.arange(kept.size)
        chosen = place[self.client] >= 0
        return RateTable(
            names=[self.names[client] for client in kept],
            window_s=self.window_s,
            first_row=np.concatenate(([0], np.cumsum(chosen)))[self.first_row],
            client=place[self.client][chosen],
            rate_rps=self.rate_rps[chosen],
            laws=self.laws.of(chosen),
        )


def read_rates(arrivals: ClientArrivals) -> RateTable:
    """The rates of all clients, before `busiest` and `scale`.

    Raises:
        TraceError: for a file that cannot be used, with all its faults.
        InputError: for a `begin` beyond its end.
    """
    if arrivals.clients is not None:
        return _steady(arrivals.clients, arrivals.window)
    assert arrivals.path is not None
    table = read_table(arrivals.path, ["client", "dist"], ["t_s", "rate_rps", "cv_interarrival"])
    _check(table, arrivals.window)
    rates = _rate_table(table, arrivals.window)
    if not rates.client.size:
        raise TraceError(arrivals.path.name, "holds no request", "give rates above zero", where=str(arrivals.path))
    if arrivals.begin >= rates.span_s:
        rule = f"lies at or after the end of {arrivals.path.name} ({format_duration(rates.span_s)})"
        raise InputError(f"begin: {format_duration(arrivals.begin)}", rule, "lower it")
    return rates


def _check(table: CsvTable, window_s: float) -> None:
    time_s, rate, cv = (table.numbers[name] for name in ("t_s", "rate_rps", "cv_interarrival"))
    table.check(table.texts["client"] == "", "client", "is missing")
    known = np.isin(np.char.lower(table.texts["dist"]), _LAWS)
    table.check(~known, "dist", "is not a known law of gaps", "give Gamma or Weibull")
    table.check((time_s < 0) | (time_s % window_s != 0), "t_s", *_off_the_windows(window_s))
    table.check(time_s >= _MOST_WINDOWS * window_s, "t_s", f"is more than {_MOST_WINDOWS} windows", "start at hour 0")
    table.check((rate < 0) | (rate > 1e9), "rate_rps", "must be from 0 to 1e9")
    table.check((rate > 0) & ((cv <= 0) | (cv > MOST_CV)), "cv_interarrival", f"must be above 0, {MOST_CV:g} at most")
    table.check(repeated(table.texts["client"], time_s), "t_s", "comes twice for this client", "leave one row out")
    table.raise_if_any()


def _off_the_windows(window_s: float) -> tuple[str, str]:
    return f"is no multiple of the window ({format_duration(window_s)})", "correct it, or set `window` to the table's"


def repeated(client: NDArray[np.str_], time_s: Floats) -> NDArray[np.bool_]:
    """Rows whose client and time have come before, [n]."""
    place = np.unique(client, return_inverse=True)[1]
    order = np.lexsort((time_s, place))
    again = np.zeros(order.size, np.bool_)
    again[order[1:]] = (np.diff(place[order]) == 0) & (np.diff(time_s[order]) == 0)
    return again


def _rate_table(table: CsvTable, window_s: float) -> RateTable:
    names = sorted(set(table.texts["client"].tolist()), key=_by_number)
    index = {name: place for place, name in enumerate(names)}
    client = np.array([index[name] for name in table.texts["client"].tolist()], np.int64)
    window = (table.numbers["t_s"] // window_s).astype(np.int64)
    windows = int(window.max()) + 1
    order = np.lexsort((client, window))
    order = order[table.numbers["rate_rps"][order] > 0]
    weibull = np.char.lower(table.texts["dist"]) == "weibull"
    return RateTable(
        names=names,
        window_s=window_s,
        first_row=np.searchsorted(window[order], np.arange(windows + 1)).astype(np.int64),
        client=client[order],
        rate_rps=table.numbers["rate_rps"][order],
        laws=gap_laws(table.numbers["cv_interarrival"][order], weibull[order]),
    )


def _by_number(name: str) -> tuple[bool, int, str]:
    whole = name.isascii() and name.isdigit()
    return not whole, int(name) if whole else 0, name


def _steady(clients: list[InlineClient], window_s: float) -> RateTable:
    """One window, which repeats."""
    weibull = np.array([client.distribution == "weibull" for client in clients])
    return RateTable(
        names=[client.name for client in clients],
        window_s=window_s,
        first_row=np.array([0, len(clients)]),
        client=np.arange(len(clients)),
        rate_rps=np.array([client.rps for client in clients]),
        laws=gap_laws(np.array([client.cv for client in clients]), weibull),
    )
