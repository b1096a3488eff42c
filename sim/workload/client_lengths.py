"""Lengths of clients' requests: laws through published quantiles with the published mean, by client and time.

The layout is `client,window_start_s` and `in_mean,in_p50,in_p90,in_p99` and the same for `out_`. A row holds until
the next one of its client; the first one also before it. A client without any row has the lengths of the stream;
where the stream has none either, each of its requests has those of a row drawn by chance, weighted by the requests
that the rates expect under it: prompt and output of such a request come from the same row.

See `sim.workload.quantile_laws` for the law of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sim.errors import TraceError
from sim.scenario import ClientArrivals, ConstantLengths, Lengths, LognormalLengths
from sim.workload.blocks import Floats, Integers
from sim.workload.client_table import RateTable, repeated
from sim.workload.csv_table import CsvTable, read_table
from sim.workload.lengths import LONGEST_TOKENS, whole_tokens
from sim.workload.quantile_laws import QuantileLaws, quantile_laws

__all__ = ["DRAWS", "ClientLengths", "client_lengths"]

DRAWS = 3
"""Uniform numbers of a request: for its prompt, its output, and its row where it has none of its own."""

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


@dataclass(frozen=True)
class ClientLengths:
    """Where the lengths of each client's requests come from."""

    own: list[Lengths | None]
    """Of each client, where its lengths do not change and are not in the table."""
    table: TokenTable | None
    clients: Integers
    """Index in the table of each client."""

    def tokens(self, client: Integers, uniform: Floats, time_s: float) -> tuple[Integers, Integers]:
        """Prompt and output tokens [r] of requests of these clients at a time of the table; `uniform` is [r, 3]."""
        if self.table is None:
            return self._from_laws(client, uniform)
        row = self.table.rows(time_s)[self.clients][client]
        orphans = np.flatnonzero(row < 0)
        if orphans.size and not self._are_lawful:
            row[orphans] = np.searchsorted(self.table.until_row, uniform[orphans, 2], side="right")
        prompts = self.table.prompts.tokens(row, uniform[:, 0])
        outputs = self.table.outputs.tokens(row, uniform[:, 1])
        if orphans.size and self._are_lawful:
            prompts[orphans], outputs[orphans] = self._from_laws(client[orphans], uniform[orphans])
        return prompts, outputs

    @cached_property
    def _are_lawful(self) -> bool:
        return any(lengths is not None for lengths in self.own)

    def _from_laws(self, client: Integers, uniform: Floats) -> tuple[Integers, Integers]:
        found = np.empty((2, client.size), np.int64)
        first = self.own[0]
        if all(lengths is first for lengths in self.own):
            assert first is not None
            return _quantile(first, uniform)
        for place, lengths in enumerate(self.own):
            mine = client == place
            if lengths is not None and mine.any():
                found[:, mine] = _quantile(lengths, uniform[mine])
        return found[0], found[1]


def client_lengths(
    arrivals: ClientArrivals, shared: Lengths | None, every: RateTable, kept: RateTable
) -> ClientLengths:
    """The lengths of the kept clients of all those in the rates; `shared` are the stream's own.

    Raises:
        TraceError: for a table of tokens that cannot be used, with all its faults.
    """
    if arrivals.clients is not None:
        own = [client.lengths or shared for client in arrivals.clients]
        return ClientLengths(own, None, np.arange(len(own)))
    table = None if arrivals.tokens is None else _token_table(arrivals.tokens, every, needed=shared is None)
    place = {name: index for index, name in enumerate(every.names)}
    return ClientLengths([shared] * len(kept.names), table, np.array([place[name] for name in kept.names]))


def _token_table(path: Path, rates: RateTable, *, needed: bool) -> TokenTable:
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


def _quantile(lengths: Lengths, uniform: Floats) -> tuple[Integers, Integers]:
    """Lengths at these probabilities, [r, 2 or more]."""
    if isinstance(lengths, ConstantLengths):
        rows = uniform.shape[0]
        return np.full(rows, lengths.prompt_tokens, np.int64), np.full(rows, lengths.output_tokens, np.int64)
    if isinstance(lengths, LognormalLengths):
        return (
            _lognormal(lengths.prompt_median, lengths.prompt_sigma, lengths.prompt_max, uniform[:, 0]),
            _lognormal(lengths.output_median, lengths.output_sigma, lengths.output_max, uniform[:, 1]),
        )
    prompt, output = (np.asarray(values) for values in (lengths.prompt_tokens, lengths.output_tokens))
    return _interpolated(prompt, uniform[:, 0]), _interpolated(output, uniform[:, 1])


def _lognormal(median: float, sigma: float, longest: int | None, uniform: Floats) -> Integers:
    from scipy.special import ndtri

    return whole_tokens(median * np.exp(sigma * ndtri(np.maximum(uniform, 1e-300))), longest or LONGEST_TOKENS)


def _interpolated(heights: Floats, uniform: Floats) -> Integers:
    return whole_tokens(np.interp(uniform, np.linspace(0.0, 1.0, heights.size), heights))
