"""What a token costs now and later, pool by pool: as work of full batches, or at an API's rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from sim.engine.plane import DataPlane
from sim.engine.state import CACHED_INPUT, INPUT, OUTPUT, Floats
from sim.errors import InputError
from sim.hardware.power import Draw
from sim.prices import Period, PriceClock, electricity_prices
from sim.scenario import ApiPool, GpuPool, Reserved, Scenario, SpotProcess

__all__ = ["MeanPrice", "PoolPrice", "TokenUsd", "pool_prices"]

_DAY_S = 86_400.0
_OFF_PEAK = "off-peak"
_LONG_PROMPT = 1 << 17
_KWH_PER_WS = 1.0 / 3.6e6


class TokenUsd(NamedTuple):
    """Dollars of tokens, at some time: prompts of n tokens cost `prompt` n + `pair` n^2."""

    prompt: float
    pair: float
    output: float

    def of_prompts(self, tokens: Floats) -> Floats:
        """Of reading prompts of so many tokens, [n]."""
        return tokens * (self.prompt + self.pair * tokens)


class MeanPrice:
    """Means of a price clock over any time, from running sums that are made as far as they are asked for.

    Nothing is asked of a tariff beyond `horizon_s`; where it ends, its last price is taken to go on.
    """

    def __init__(self, clock: PriceClock, horizon_s: float | None) -> None:
        self._horizon_s = horizon_s
        self._coming = clock.periods()
        self._begins = [0.0]
        self._sums = [np.zeros(len(clock.labels))]
        self._last: Period = next(self._coming)
        self._rates = [np.array(self._last.rates)]
        self._is_over = False

    def over(self, begin_s: float, end_s: float) -> Floats:
        """Mean rates from `begin_s` to `end_s`, or those at `begin_s` where that is not before."""
        if self._horizon_s is not None:
            begin_s, end_s = min(begin_s, self._horizon_s), min(end_s, self._horizon_s)
        self._learn(max(begin_s, end_s))
        if end_s <= begin_s:
            return self._rates[self._place(begin_s)]
        mean: Floats = (self._sum(end_s) - self._sum(begin_s)) / (end_s - begin_s)
        return mean

    def _sum(self, time_s: float) -> Floats:
        place = self._place(time_s)
        found: Floats = self._sums[place] + self._rates[place] * (time_s - self._begins[place])
        return found

    def _place(self, time_s: float) -> int:
        return max(int(np.searchsorted(self._begins, time_s, side="right")) - 1, 0)

    def _learn(self, until_s: float) -> None:
        while not self._is_over and self._last.end_s <= until_s and self._last.end_s != self._horizon_s:
            try:
                period = next(self._coming, None)
            except InputError:
                period = None
            if period is None:
                self._is_over = True
                return
            self._sums.append(self._sum(period.begin_s))
            self._begins.append(period.begin_s)
            self._rates.append(np.array(period.rates))
            self._last = period
