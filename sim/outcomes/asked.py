"""Requests as their outcomes see them: what each of them asks, drawn from its key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sim.outcomes.luck import DIFFICULTY, mixed, uniforms
from sim.workload.blocks import NOTHING, Floats, Integers

__all__ = ["Asked", "Luck"]

_GOLDEN = 0.6180339887498949


@dataclass
class Luck:
    """What a stream's requests draw from beside their keys."""

    word: int
    """Word of the stream's questions."""
    predictability: Callable[[Integers], Floats]
    """Ranks of contexts, by their numbers."""
    stratified: bool = False
    """Difficulties in even steps, in the order of the requests."""
    requests: int = 0
    """Requests so far."""

    def asked(self, key: Integers, output_tokens: Integers, context_id: Integers, question_id: Integers) -> Asked:
        """The next requests of the stream."""
        first, self.requests = self.requests, self.requests + key.size
        return Asked(self, key, output_tokens, context_id, question_id, first)


@dataclass
class Asked:
    """Requests of one stream, columns of [n]."""

    luck: Luck
    key: Integers
    output_tokens: Integers
    context_id: Integers
    question_id: Integers
    first: int
    """Number of the first of them in the stream."""

    @cached_property
    def identity(self) -> Integers:
        """What their difficulty hangs on: the question where it has a number, otherwise the request."""
        if np.all(self.question_id == NOTHING):
            return self.key
        return np.where(self.question_id == NOTHING, self.key, mixed(self.luck.word, self.question_id))

    @cached_property
    def own_rank(self) -> Floats:
        """Even numbers in [0, 1), of the questions.

        Stratified ones are steps of the golden ratio: any run of them is spread almost evenly.
        """
        if not self.luck.stratified:
            return uniforms(self.identity, DIFFICULTY)
        number = np.arange(self.first, self.first + self.key.size)
        found: Floats = np.modf(number * _GOLDEN + (self.luck.word >> 11) * 2.0**-53)[0]
        return found

    @cached_property
    def predictability(self) -> Floats:
        """Ranks of their contexts; NaN without one."""
        ranks = np.full(self.key.size, np.nan)
        has = self.context_id != NOTHING
        ranks[has] = self.luck.predictability(self.context_id[has])
        return ranks

    def rows(self, which: Integers) -> Asked:
        """Some of them, with what has been drawn for all."""
        key, output_tokens = self.key[which], self.output_tokens[which]
        some = Asked(self.luck, key, output_tokens, self.context_id[which], self.question_id[which], self.first)
        if self.luck.stratified:
            some.own_rank = self.own_rank[which]
        return some
