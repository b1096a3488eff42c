"""What a token costs now and later, pool by pool: as work of full batches, or at an API's rates."""

from __future__ import annotations

from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from sim.control.prices import Prices
from sim.engine.plane import DataPlane
from sim.engine.state import CACHED_INPUT, INPUT, OUTPUT, Floats
from sim.errors import InputError
from sim.fleet import Fleet
from sim.prices import Period, PriceClock, electricity_prices, gpu_prices, token_prices
from sim.scenario import ApiPool, GpuPool, Reserved, Scenario

__all__ = ["MeanPrice", "PoolPrice", "TokenUsd"]

_OFF_PEAK = "off-peak"
_LONG_PROMPT = 1 << 17
_S_PER_HOUR = 3600.0
_WS_PER_KWH = 3.6e6


class TokenUsd(NamedTuple):
    """Dollars of tokens. A prompt of n tokens costs n (prompt + pair n): attention looks at pairs of tokens."""

    prompt: float
    pair: float
    output: float
    """An output token."""

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


class PoolPrice:
    """What tokens cost on one pool."""

    def __init__(self, index: int, scenario: Scenario, fleet: Fleet, plane: DataPlane, prices: Prices) -> None:
        self._index, self._pool, self._spec = index, scenario.fleet[index], fleet.pools[index]
        self._plane, self._prices, self._draw = plane, prices, fleet.draws[index]
        self._mean = MeanPrice(_foreseen(self._pool, scenario), scenario.horizon)
        self._power = _electricity(self._pool, scenario)
        self._mean_power = None if self._power is None else MeanPrice(self._power, scenario.horizon)

    @property
    def is_paid_anyway(self) -> bool:
        """Whether its price is the same whatever it does: reserved GPUs, and those of a pool that does not scale."""
        pool = self._pool
        return isinstance(pool, GpuPool) and (isinstance(pool.offer, Reserved) or not (pool.autoscale or pool.schedule))

    def now(self, now_s: float, context_tokens: float, *, marginal: bool = False) -> TokenUsd:
        """Prices at a moment, of requests with so many tokens of context.

        `marginal` leaves out what is paid anyway, so that of GPUs the electricity remains which work adds.
        """
        rates = self._prices.now(self._index).rates
        return self._tokens(np.array(rates), self._power_usd(now_s, now_s), context_tokens, marginal)

    def mean(self, begin_s: float, end_s: float, context_tokens: float, *, marginal: bool = False) -> TokenUsd:
        """Mean prices over a time ahead, as far as they are foreseen: a random one stands at its mean."""
        rates, power = self._mean.over(begin_s, end_s), self._power_usd(begin_s, end_s)
        return self._tokens(rates, power, context_tokens, marginal)

    def is_named_off_peak(self, now_s: float) -> bool:
        """Whether the window that holds, of its tariff or of its electricity, is named so."""
        windows = [self._prices.now(self._index).window]
        if self._power is not None:
            windows.append(self._power.at(now_s).window)
        return _OFF_PEAK in windows

    def _power_usd(self, begin_s: float, end_s: float) -> float:
        """A kilowatt-hour."""
        return 0.0 if self._mean_power is None else float(self._mean_power.over(begin_s, end_s)[0])

    def _tokens(self, rates: Floats, usd_per_kwh: float, context_tokens: float, marginal: bool) -> TokenUsd:
        if isinstance(self._pool, ApiPool):
            return _at_rates(rates, self._pool.cached_share)
        assert self._draw is not None
        added = marginal and self.is_paid_anyway
        watts = self._draw.busy_w - (self._draw.idle_w if added else 0.0)
        hourly = 0.0 if added else float(rates[0]) * self._pool.tensor_parallel
        usd_per_s = hourly / _S_PER_HOUR + watts * usd_per_kwh / _WS_PER_KWH
        return TokenUsd(*(usd_per_s * seconds for seconds in self._seconds(context_tokens)))

    def _seconds(self, context_tokens: float) -> tuple[float, float, float]:
        """Replica seconds of a prompt token, of a pair of them, and of an output token, in full batches."""
        prompt = max(round(context_tokens), 1)
        one_s, many_s = self._work_s(1, 0), self._work_s(_LONG_PROMPT, 0)
        pair_s = (many_s / _LONG_PROMPT - one_s) / (_LONG_PROMPT - 1)
        return one_s - pair_s, pair_s, self._work_s(prompt, 1) - self._work_s(prompt, 0)

    def _work_s(self, prompt_tokens: int, output_tokens: int) -> float:
        return self._plane.full_batch_s(self._index, 1, prompt_tokens, output_tokens)


def _at_rates(rates: Floats, cached_share: float) -> TokenUsd:
    prompt = (1.0 - cached_share) * float(rates[INPUT]) + cached_share * float(rates[CACHED_INPUT])
    return TokenUsd(prompt, 0.0, float(rates[OUTPUT]))


def _foreseen(pool: GpuPool | ApiPool, scenario: Scenario) -> PriceClock:
    """The prices of a pool as anybody knows them beforehand."""
    start, zone, horizon_s = scenario.start, ZoneInfo(scenario.time_zone), scenario.horizon
    if isinstance(pool, ApiPool):
        return token_prices(pool.tariff, start, zone, horizon_s=horizon_s)
    return gpu_prices(pool.offer, pool.gpu, start, zone, None, horizon_s=horizon_s)


def _electricity(pool: GpuPool | ApiPool, scenario: Scenario) -> PriceClock | None:
    if isinstance(pool, ApiPool) or pool.electricity is None:
        return None
    return electricity_prices(
        pool.electricity, scenario.start, ZoneInfo(scenario.time_zone), horizon_s=scenario.horizon
    )
