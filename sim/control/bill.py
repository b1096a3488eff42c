"""The bill of a run: what the plane, the servers, the prices and the meters know, put together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.control.energy import Energy
from sim.control.fleet_control import FleetControl
from sim.control.prices import Prices
from sim.engine.plane import DataPlane
from sim.invoice import check_books, price_of_time_usd, rounding_usd
from sim.ledger import Charges, Entry
from sim.prices import upfront_usd
from sim.scenario import GpuPool, Scenario

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
    ) -> None:
        self._plane, self._scenario = plane, scenario
        self._prices, self._energy, self._servers = prices, energy, servers
        self._gpus = [pool.gpus_per_replica if isinstance(pool, GpuPool) else 0 for pool in scenario.fleet]
        self._rounded = [_Rounded() for _ in scenario.fleet]

    def other_usd(self, now_s: float) -> NDArray[np.float64]:
        """What each pool has cost up to `now_s` beside replicas' time and tokens, [P]."""
        usd = np.zeros(len(self._gpus))
        for entry in self._entries(now_s):
            usd[entry.pool] += entry.usd
        return usd

    def close(self, end_s: float) -> Charges:
        """The charges of a run that has ended, the books of plane and servers closed.

        Raises:
            EngineError: where the lines do not add up to the invoice.
        """
        s = self._plane.state
        charges = Charges(
            used_usd=s.ended_usd.copy(),
            work_s=s.work_s.copy(),
            prompt_usd=s.prompt_usd.copy(),
            unused_usd=s.unused_usd.copy(),
            unused_s=s.unused_s.copy(),
            billed_tokens=s.billed_tokens.copy(),
            token_usd=s.billed_tokens * s.rates_usd,
            entries=list(self._entries(end_s)),
        )
        time_usd = price_of_time_usd(self._servers.paid, self._prices.log, self._gpus, end_s)
        check_books(charges, time_usd, s.work_usd)
        return charges

    def _entries(self, now_s: float) -> Iterator[Entry]:
        """Lines that belong to pools as a whole, without those that are nothing."""
        yield from (entry for entry in self._energy.entries(now_s) if entry.usd or entry.kwh)
        for p, pool in enumerate(self._scenario.fleet):
            if isinstance(pool, GpuPool):
                window = self._prices.now(p).window
                servers = pool.most_replicas * pool.gpus_per_replica
                shares = {"upfront": upfront_usd(pool.offer, servers, now_s), "minimum_billing": self._rounding_usd(p)}
                yield from (Entry(line, p, window, usd) for line, usd in shares.items() if usd)

    def _rounding_usd(self, p: int) -> float:
        """What has been billed beyond the time of servers that have ended."""
        paid, rounded = self._servers.paid_of(p), self._rounded[p]
        for interval in paid[rounded.intervals :]:
            rounded.usd += rounding_usd(interval, self._prices.log[p], self._gpus[p])
        rounded.intervals = len(paid)
        return rounded.usd


@dataclass
class _Rounded:
    """A sum over the first paid intervals of a pool."""

    intervals: int = 0
    usd: float = 0.0
