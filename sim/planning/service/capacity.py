"""How full replicas may be so that requests keep their objectives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.planning.purchase.instance import Floats
from sim.planning.service.latency import Replica

__all__ = ["BUSY", "Ceilings", "busy_spread"]

BUSY: Floats = np.concatenate((np.linspace(0.06, 0.96, 16), [1.0]))
"""Shares of full-batch time at which attainment is worked out."""
_FINE: Floats = np.linspace(0.01, 1.0, 100)
_SPREAD = 12
_KEPT_BACK = 0.12
"""Share of what one replica could do that is kept back for chance; of c replicas it is over the square root of c. With
it the ceilings were 0.84 to 1.11 times the greatest loads at which the simulator keeps the same promise."""


def busy_spread(load: Floats, seconds: Floats) -> tuple[Floats, Floats]:
    """How the load of a block is spread over its windows of time: factors on its mean and their shares of requests.

    Of `load` and `seconds` of windows, [W]; factors are means of stretches of sorted windows, at most 12.
    """
    weight = load * seconds
    if load.size == 0 or weight.sum() <= 0.0:
        return np.ones(1), np.ones(1)
    mean = weight.sum() / seconds.sum()
    order = np.argsort(load)
    part = np.minimum((np.cumsum(weight[order]) / weight.sum() * _SPREAD).astype(np.int64), _SPREAD - 1)
    shares = np.bincount(part, weight[order], _SPREAD) / weight.sum()
    spans_s = np.bincount(part, seconds[order], _SPREAD)
    used = shares > 0
    factors: Floats = shares[used] * weight.sum() / spans_s[used] / mean
    return factors, shares[used]


class Ceilings:
    """The ceilings of a replica that serves a mix, by how many there are of it."""

    def __init__(self, replica: Replica, least: float, least_of: Sequence[float]) -> None:
        """`least` is the share of all requests that must keep their objectives, `least_of` that of each class."""
        self._replica, self._least, self._least_of = replica, least, np.array(least_of)
        self._kept: dict[int, Floats] = {}

    def kept(self, replicas: int) -> Floats:
        """Share of each class that keeps its objectives at every share of `BUSY`, [classes, U]."""
        if replicas not in self._kept:
            self._kept[replicas] = self._replica.kept(self._replica.seen(BUSY, replicas), replicas)
        return self._kept[replicas]

    def for_replicas(self, replicas: int, factors: Floats, shares: Floats) -> float:
        """Greatest mean share of full-batch time that so many replicas may be given over a block; 0 if any is too much.

        Where not even idle replicas keep the promise, half of what could be is asked for of what falls short.
        """
        kept = self.kept(replicas)
        over_time = np.array([_over_block(each, factors, shares) for each in kept])
        total = self._replica.weights @ over_time
        best = total[0]
        good = total >= min(self._least, best - (1.0 - best) * 0.5 - 0.005)
        for own, least in zip(over_time, self._least_of, strict=True):
            good &= own >= min(least, own[0] - (1.0 - own[0]) * 0.5 - 0.005)
        first_bad = _FINE.size if good.all() else int(np.argmin(good))
        return float(_FINE[first_bad - 1]) * (1.0 - _KEPT_BACK / replicas**0.5) if first_bad else 0.0

    def for_load(self, replicas_worth: float, factors: Floats, shares: Floats) -> float:
        """The same for as many replicas as this load needs, in replicas' time in full batches."""
        replicas = max(int(np.ceil(replicas_worth)), 1)
        while True:
            ceiling = self.for_replicas(replicas, factors, shares)
            if ceiling * replicas >= replicas_worth or replicas >= 64 or (ceiling == 0.0 and replicas > 8):
                return ceiling
            replicas = max(replicas + 1, int(replicas * 1.2))


def _over_block(kept: Floats, factors: Floats, shares: Floats) -> Floats:
    """Share that is kept over a block whose mean is each share of `_FINE`, [100]."""
    at = _FINE[:, np.newaxis] * factors
    return np.interp(at, BUSY, kept, right=0.0) @ shares
