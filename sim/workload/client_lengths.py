"""Lengths of clients' requests, from a uniform number each: by client and time, or by one law for all.

A client without any row in the table has the lengths of the stream; where the stream has none either, each of its
requests has those of a row drawn by chance, weighted by the requests that the rates expect under it: prompt and
output of such a request come from the same row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sim.scenario import ClientArrivals, ConstantLengths, Lengths, LognormalLengths
from sim.workload.blocks import Floats, Integers
from sim.workload.client_table import RateTable
from sim.workload.lengths import LONGEST_TOKENS, whole_tokens
from sim.workload.token_table import TokenTable, read_tokens

__all__ = ["DRAWS", "ClientLengths", "client_lengths"]

DRAWS = 3
"""Uniform numbers of a request: for its prompt, its output, and its row where it has none of its own."""


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
    table = None if arrivals.tokens is None else read_tokens(arrivals.tokens, every, needed=shared is None)
    place = {name: index for index, name in enumerate(every.names)}
    return ClientLengths([shared] * len(kept.names), table, np.array([place[name] for name in kept.names]))


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
