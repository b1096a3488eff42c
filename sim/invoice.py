"""The invoice, worked out apart from the ledger: what clouds and APIs ask for, from their side of the counter.

A cloud knows when each server ran and what an hour cost when; an API knows how many tokens it gave at which rate.
Neither knows what the time was used for, so its sum must be the sum of the ledger's lines.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.errors import EngineError
from sim.ledger import Charges
from sim.prices import Period

__all__ = ["PaidInterval", "check_books", "last_period", "price_of_time_usd", "rounding_usd"]

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class PaidInterval:
    """A server's time from its launch until it is off, lost or down; of a reserved one the whole run."""

    pool: int
    """Index of the pool in the fleet."""
    server: int
    """Number of the server in its pool."""
    begin_s: float
    end_s: float
    rounding_s: float
    """Seconds that are billed beyond its length; none where the end of the run cut it, as its end is not known."""


def check_books(charges: Charges, time_usd: NDArray[np.float64], booked_usd: NDArray[np.float64]) -> None:
    """Each pool's lines are price x paid time and tokens x rate, to 1e-9 relative.

    `time_usd` [P] is what the paid time of a pool of GPUs comes to, rounding included. `booked_usd` [P, W] is what its
    busy time cost, by which requests must have been charged.

    Raises:
        EngineError: where they are not.
    """
    used = charges.used_usd.sum(axis=(1, 2, 3))
    tokens = charges.token_usd.sum(axis=2)
    _agree("what requests were charged", used.sum(axis=2), "what work and tokens cost", booked_usd + tokens)
    rounding = np.zeros(len(time_usd))
    for entry in charges.entries:
        rounding[entry.pool] += entry.usd if entry.line == "minimum_billing" else 0.0
    lines = used.sum(axis=(1, 2)) + charges.unused_usd.sum(axis=(1, 2)) + rounding
    _agree("the lines of the bill", lines, "the invoice", time_usd + tokens.sum(axis=1))


def _agree(one: str, found: NDArray[np.float64], other: str, wanted: NDArray[np.float64]) -> None:
    # Differences of pennies in a millionth are those of sums of nothing.
    if not np.allclose(found, wanted, rtol=_TOLERANCE, atol=_TOLERANCE * max(float(np.abs(wanted).max()), 1e-3)):
        raise EngineError(f"{one} ({found}) are not {other} ({wanted})")


def price_of_time_usd(
    paid: Sequence[PaidInterval], log: Sequence[Sequence[Period]], gpus: Sequence[int], end_s: float
) -> NDArray[np.float64]:
    """What all paid intervals come to, by pool [P].

    `log` holds the price periods of each pool, the last one lasting to `end_s`; `gpus` those of one server. What is
    rounded up costs what the last moment did.
    """
    usd = np.zeros(len(log))
    for p, periods in enumerate(log):
        mine = [interval for interval in paid if interval.pool == p]
        if not mine:
            continue
        begins = np.array([period.begin_s for period in periods])
        rates = np.array([period.rates[0] for period in periods]) * gpus[p] / 3600.0
        edges = np.append(begins, max(end_s, begins[-1]))
        owed = np.concatenate(([0.0], np.cumsum(np.diff(edges) * rates)))
        spans = np.array([(interval.begin_s, interval.end_s) for interval in mine])
        cost = np.interp(spans[:, 1], edges, owed) - np.interp(spans[:, 0], edges, owed)
        usd[p] = cost.sum() + sum(rounding_usd(interval, periods, gpus[p]) for interval in mine)
    return usd


def rounding_usd(interval: PaidInterval, periods: Sequence[Period], gpus: int) -> float:
    """What the time billed beyond a server's life costs, at the price of its last moment."""
    if not interval.rounding_s:
        return 0.0
    return interval.rounding_s * last_period(interval, periods).rates[0] * gpus / 3600.0


def last_period(interval: PaidInterval, periods: Sequence[Period]) -> Period:
    """The price period of a server's last moment."""
    begun = bisect_left(periods, interval.end_s, key=lambda period: period.begin_s)
    return periods[max(begun - 1, 0)]
