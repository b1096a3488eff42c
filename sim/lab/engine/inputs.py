"""What the model is fed, by slot, and the drawing of tokens for many rows at once."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np
from numpy.typing import NDArray

from sim.lab.engine.jobs import Row
from sim.lab.engine.model import Logits
from sim.lab.engine.sampling import choose, log_probabilities

__all__ = ["Inputs"]


class Inputs:
    """By slot: the token to read, how many are in the KV before it, and how the next one is drawn."""

    def __init__(self, slots: int) -> None:
        self.tokens: NDArray[np.int32] = np.zeros(slots, np.int32)
        self.lengths: NDArray[np.int32] = np.zeros(slots, np.int32)
        self._temperatures = np.zeros(slots, np.float32)
        self._seeds = np.zeros(slots, np.uint64)
        self._drawn = np.zeros(slots, np.uint64)
        """Tokens of output so far, which count the draws."""
        self._ruled = np.zeros(slots, np.bool_)

    def put(self, row: Row) -> None:
        """Write down what is to be known of a row that has a slot."""
        slot, job, position = row.slot, row.job, row.in_place
        self.tokens[slot] = row.tokens[position]
        self.lengths[slot] = position
        self._temperatures[slot] = job.temperature
        self._seeds[slot] = job.seed % 2**64
        self._drawn[slot] = row.produced
        self._ruled[slot] = job.force is not None or job.min_tokens > 0

    def advance(self, n: int) -> None:
        """The rows in the first n slots have read their token and drawn the next, as `draw` left it."""
        self.lengths[:n] += 1
        self._drawn[:n] += np.uint64(1)

    def plain(self, n: int) -> bool:
        """Whether the first n slots want nothing but the likeliest token."""
        return not self._temperatures[:n].any() and not self._ruled[:n].any()

    def draw(self, rows: Sequence[Row], logits: Logits, *, logprobs: bool) -> tuple[list[int], list[float]]:
        """The next token of each row, by its logits [n, V], and its log-probability, NaN unless asked for."""
        slots = np.array([row.slot for row in rows])
        ruled: list[int] = np.flatnonzero(self._ruled[slots]).tolist()
        allowed = _without_stops(rows, logits, ruled) if ruled else logits
        tokens = choose(allowed, self._temperatures[slots], self._seeds[slots], self._drawn[slots])
        for i in ruled:
            tokens[i] = _forced(rows[i], int(tokens[i]))
        self.tokens[slots] = tokens
        known: list[float] = log_probabilities(logits, tokens).tolist() if logprobs else [nan] * len(rows)
        return tokens.tolist(), known


def _without_stops(rows: Sequence[Row], logits: Logits, ruled: Sequence[int]) -> Logits:
    """The logits, with those of a row's stop tokens at minus infinity while it is too short to stop."""
    short = [i for i in ruled if rows[i].produced < rows[i].job.min_tokens and rows[i].job.stop]
    if short:
        logits = logits.copy()
        for i in short:
            logits[i, list(rows[i].job.stop)] = -np.inf
    return logits


def _forced(row: Row, token: int) -> int:
    """The token that a row's thinking budget puts in the place of this one; this one where it does not."""
    if row.job.force is None:
        return token
    after, tokens = row.job.force
    place = row.produced - after
    if not 0 <= place < len(tokens):
        return token
    first = row.prompt_tokens
    return token if tokens[-1] in row.tokens[first : first + after] else tokens[place]
