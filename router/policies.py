"""Policies that need to know nothing of a request: the baselines every router is measured against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Always", "Policy", "RandomMix", "RoundRobin"]


class Policy(Protocol):
    """Chooses a strategy for each request."""

    def choose(self, requests: int) -> NDArray[np.int64]:
        """Index of the strategy for each of the next `requests` requests, shape [requests]."""
        ...


class Always:
    """One strategy for all requests."""

    def __init__(self, strategy: int) -> None:
        self._strategy = strategy

    def choose(self, requests: int) -> NDArray[np.int64]:
        """The one strategy, `requests` times."""
        return np.full(requests, self._strategy, np.int64)


class RoundRobin:
    """Every strategy in turn."""

    def __init__(self, strategies: int) -> None:
        self._strategies = strategies
        self._turn = 0

    def choose(self, requests: int) -> NDArray[np.int64]:
        """The turn goes on from one call to the next."""
        turns = (self._turn + np.arange(requests, dtype=np.int64)) % self._strategies
        self._turn = (self._turn + requests) % self._strategies
        return turns


class RandomMix:
    """A strategy by chance, with given weights."""

    def __init__(self, strategies: Sequence[str], weights: Mapping[str, float], generator: np.random.Generator) -> None:
        edges = np.cumsum([weights.get(name, 0.0) for name in strategies])
        self._edges = edges / edges[-1]
        self._generator = generator

    def choose(self, requests: int) -> NDArray[np.int64]:
        """Independent draws."""
        return np.searchsorted(self._edges, self._generator.random(requests), side="right").astype(np.int64)
