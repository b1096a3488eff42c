"""The bill of a run: what the plane, the servers, the prices and the meters know, put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.control.energy import Energy
from sim.control.fleet_control import FleetControl
from sim.control.prices import Prices
from sim.engine.plane import DataPlane
from sim.engine.state import State
from sim.invoice import check_books, last_period, price_of_time_usd, rounding_usd
from sim.ledger import Charges, Entry
from sim.prices import upfront_usd
from sim.scenario import GpuPool, Scenario
from sim.sleep import SleepAccount, sleep_usd, used_share
from sim.training import Spread, training_entries

__all__ = ["Bill"]


class Bill:
    """The bill of a run, at any time of it and at its end."""

    def __init__(
        self,
        plane: DataPlane,
        scenario: Scenario,
        prices: Prices,
        energy: Energy,
        servers: FleetControl,
        training: Sequence[Spread] = (),
    ) -> None:
        self._plane, self._scenario = plane, scenario
        self._prices, self._energy, self._servers = prices, energy, servers
        self._gpus = [pool.gpus_per_replica if isinstance(pool, GpuPool) else 0 for pool in scenario.fleet]
        self._sums = [_Sums() for _ in scenario.fleet]
        self._training = training

    def other_usd(self, now_s: float) -> NDArray[np.float64]:
        """What each pool has cost up to `now_s` beside replicas' time and tokens, [P]."""
        usd = np.zeros(len(self._gpus))
        for entry in self._entries(now_s):
            usd[entry.pool] += entry.usd
        return usd

    def close(self, end_s: float, sleep: SleepAccount | None = None) -> Charges:
        """The charges of a run that has ended, the books of plane, servers and sleep-time work closed.

        Raises:
            EngineError: where the lines do not add up to the invoice.
        """
        s = self._plane.state
        charges = Charges(
            used_usd=s.ended_usd.copy(),
            work_s=s.work_s.copy(),
            prompt_s=s.prompt_s.copy(),
            unused_usd=s.unused_usd.copy(),
            unused_s=s.unused_s.copy(),
            answered_tokens=_answered_tokens(s, sleep),
            billed_tokens=s.billed_tokens.copy(),
            token_usd=s.billed_tokens * s.rates_usd,
            entries=list(self._entries(end_s)),
            sleep_used_share=None if sleep is None else used_share(sleep, sleep_usd(s.ended_usd)),
        )
        time_usd = price_of_time_usd(self._servers.paid, self._prices.log, self._gpus, end_s)
        check_books(charges, time_usd, s.work_usd)
        return charges

    def _entries(self, now_s: float) -> Iterator[Entry]:
        """Lines that belong to pools as a whole, without those that are nothing."""
        yield from (entry for entry in self._energy.entries(now_s) if entry.usd or entry.kwh)
        for p, pool in enumerate(self._scenario.fleet):
            self._add_up(p, now_s)
            if isinstance(pool, GpuPool):
                yield from _upfront_lines(p, pool, self._sums[p])
                yield from _rounding_lines(p, self._sums[p])
        yield from training_entries(self._training, lambda p: self._sums[p].seconds, self._answered)

    def _answered(self, strategies: Sequence[int]) -> int:
        """Requests answered so far by any of these strategies."""
        return int(self._plane.state.ended_requests[:, :, list(strategies)].sum())

    def _add_up(self, p: int, now_s: float) -> None:
        """Bring a pool's sums up to `now_s`."""
        log, sums = self._prices.log[p], self._sums[p]
        ends_s = [*(period.begin_s for period in log[sums.periods + 1 :]), now_s]
        for period, end_s in zip(log[sums.periods :], ends_s, strict=True):
            sums.seconds[period.window] += end_s - max(period.begin_s, sums.up_to_s)
        sums.periods, sums.up_to_s = len(log) - 1, now_s
        paid = self._servers.paid_of(p)
        for interval in paid[sums.intervals :]:
            if interval.rounding_s:
                sums.rounded_usd[last_period(interval, log).window] += rounding_usd(interval, log, self._gpus[p])
        sums.intervals = len(paid)


def _answered_tokens(s: State, sleep: SleepAccount | None) -> NDArray[np.int64]:
    """Output tokens of answers; sleep-time jobs, of the last stream, answer nobody."""
    tokens = s.ended_output_tokens.copy()
    if sleep is not None:
        tokens[:, -1] = 0
    return tokens


@dataclass
class _Sums:
    """What a pool's price periods and paid intervals come to, by tariff window, as far as they have been looked at."""

    periods: int = 0
    up_to_s: float = 0.0
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Time in each window."""
    intervals: int = 0
    rounded_usd: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """What was rounded up when servers went off in each window."""


def _upfront_lines(p: int, pool: GpuPool, sums: _Sums) -> Iterator[Entry]:
    """To each moment falls the same of what was paid upfront."""
    gpus = pool.most_replicas * pool.gpus_per_replica
    for window, seconds in sums.seconds.items():
        if usd := upfront_usd(pool.offer, gpus, seconds):
            yield Entry("upfront", p, window, usd)


def _rounding_lines(p: int, sums: _Sums) -> Iterator[Entry]:
    yield from (Entry("minimum_billing", p, window, usd) for window, usd in sums.rounded_usd.items())
