"""Lengths by client and time, from a table of quantiles.

The layout is `client,window_start_s` and `in_mean,in_p50,in_p90,in_p99` and the same for `out_`. A row holds until
the next one of its client; the first one also before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.errors import TraceError
from sim.workload.blocks import Floats, Integers
from sim.workload.client_table import RateTable, repeated
from sim.workload.csv_table import CsvTable, read_table
from sim.workload.lengths import LONGEST_TOKENS
from sim.workload.quantile_laws import QuantileLaws, quantile_laws

__all__ = ["TokenTable", "read_tokens"]

_STATISTICS = ("mean", "p50", "p90", "p99")


@dataclass(frozen=True)
class TokenTable:
    """Laws of lengths by client and time; N rows."""

    prompts: QuantileLaws
    outputs: QuantileLaws
    starts_s: Floats
    """Times at which some client's row begins, [m]."""
    row_of: Integers
    """Row of each client from each of these times on, -1 for a client without any: [m, clients]."""
    until_row: Floats
    """Expected requests of each row and those before it, as a share of all: [N]."""

    def rows(self, time_s: float) -> Integers:
        """Row of each client at a time of the table, -1 where it has none: [clients]."""
        return np.asarray(self.row_of[max(int(np.searchsorted(self.starts_s, time_s, side="right")) - 1, 0)])


def read_tokens(path: Path, rates: RateTable, *, needed: bool) -> TokenTable:
    """The laws in a table for the clients of the rates; `needed` where there are no other lengths.

    Raises:
        TraceError: for a file that cannot be used, with all its faults.
    """
    columns = [f"{side}_{statistic}" for side in ("in", "out") for statistic in _STATISTICS]
    table = read_table(path, ["client"], ["window_start_s", *columns])
    _check(table)
    prompts, outputs = (
        quantile_laws(*(table.numbers[f"{side}_{statistic}"] for statistic in _STATISTICS)) for side in ("in", "out")
    )
    starts_s, row_of = _rows_by_time(table, rates.names)
    expected = _expected_requests(starts_s, row_of, rates, table.line.size)
    if expected.sum() == 0.0:
        if needed:
            rule, remedy = "holds lengths of no client in the rates", "give the table of these clients"
            raise TraceError(path.name, rule, f"{remedy}, or add `lengths` to the stream", where=str(path))
        expected[:] = 1.0
    return TokenTable(prompts, outputs, starts_s, row_of, np.cumsum(expected[:-1]) / expected.sum())


def _check(table: CsvTable) -> None:
    table.check(table.texts["client"] == "", "client", "is missing")
    start_s = table.numbers["window_start_s"]
    table.check(start_s < 0, "window_start_s", "must not be negative")
    table.check(
        repeated(table.texts["client"], start_s), "window_start_s", "comes twice for this client", "leave one out"
    )
    for side in ("in", "out"):
        mean, p50, p90, p99 = (table.numbers[f"{side}_{statistic}"] for statistic in _STATISTICS)
        for statistic in _STATISTICS:
            values = table.numbers[f"{side}_{statistic}"]
            bad = (values < 0) | (values > LONGEST_TOKENS)
            table.check(bad, f"{side}_{statistic}", f"must be from 0 to {LONGEST_TOKENS}")
        table.check(mean <= 0, f"{side}_mean", "must be above 0")
        table.check(p90 < p50, f"{side}_p90", "is below the p50")
        table.check(p99 < p90, f"{side}_p99", "is below the p90")
    table.raise_if_any()


def _rows_by_time(table: CsvTable, names: list[str]) -> tuple[Floats, Integers]:
    place = {name: index for index, name in enumerate(names)}
    client = np.array([place.get(name, -1) for name in table.texts["client"].tolist()], np.int64)
    known = np.flatnonzero(client >= 0)
    starts_s, at = np.unique(table.numbers["window_start_s"], return_inverse=True)
    row_of = np.full((starts_s.size, len(names)), -1, np.int64)
    row_of[at[known], client[known]] = known
    for later in range(1, starts_s.size):
        row_of[later] = np.where(row_of[later] < 0, row_of[later - 1], row_of[later])
    for earlier in range(starts_s.size - 2, -1, -1):
        row_of[earlier] = np.where(row_of[earlier] < 0, row_of[earlier + 1], row_of[earlier])
    return starts_s, row_of


def _expected_requests(starts_s: Floats, row_of: Integers, rates: RateTable, rows: int) -> Floats:
    """Requests that the rates expect under each row of tokens, but for a factor, [rows]."""
    at = np.maximum(np.searchsorted(starts_s, rates.window * rates.window_s, side="right") - 1, 0)
    row = row_of[at, rates.client]
    return np.bincount(row[row >= 0], rates.rate_rps[row >= 0], rows).astype(np.float64)
