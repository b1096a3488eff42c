"""The bill of a run: what the plane, the servers, the prices and the meters know, put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from sim.control.energy import Energy
from sim.control.fleet_control import FleetControl
from sim.control.prices import Prices
from sim.engine.plane import DataPlane
from sim.invoice import check_books, last_period, price_of_time_usd, rounding_usd
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

    def other_usd(self, now_s: float) -> float:
        """What has been spent up to `now_s` beside replicas' time and tokens."""
        return sum(entry.usd for entry in self._entries(now_s))

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
                lines = {"upfront": self._upfront(p, pool, now_s), "minimum_billing": self._rounding(p)}
                for line, shares in lines.items():
                    yield from (Entry(line, p, window, usd) for window, usd in _by_window(shares).items() if usd)

    def _upfront(self, p: int, pool: GpuPool, now_s: float) -> Iterator[tuple[str, float]]:
        """Windows and what falls to them of what was paid upfront: to each moment the same."""
        log, gpus = self._prices.log[p], pool.most_replicas * self._gpus[p]
        ends_s = [*(period.begin_s for period in log[1:]), now_s]
        for period, end_s in zip(log, ends_s, strict=True):
            yield period.window, upfront_usd(pool.offer, gpus, end_s - period.begin_s)

    def _rounding(self, p: int) -> Iterator[tuple[str, float]]:
        """Windows in which servers went off, and what was rounded up then."""
        log, gpus = self._prices.log[p], self._gpus[p]
        for interval in self._servers.paid_of(p):
            if interval.rounding_s:
                yield last_period(interval, log).window, rounding_usd(interval, log, gpus)


def _by_window(shares: Iterable[tuple[str, float]]) -> dict[str, float]:
    usd: defaultdict[str, float] = defaultdict(float)
    for window, share in shares:
        usd[window] += share
    return usd
