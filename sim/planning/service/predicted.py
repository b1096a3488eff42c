"""What a fleet is expected to come to, and the sums that it is added up from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.planning.purchase.instance import Floats

__all__ = ["Predicted", "Sums"]


@dataclass(frozen=True)
class Predicted:
    """What a fleet is expected to come to; S streams, P pools, H blocks of hours."""

    attainment: float
    """Share of requests within all their objectives."""
    ttft_p99_s: float
    e2e_p99_s: float
    usd_per_month: float
    accuracy: float
    """Share of right answers among those known; NaN where none is."""
    attainment_of: Floats
    """Share of each stream's requests within all their objectives, [S]; NaN of one without requests."""
    attainment_in: Floats
    """The same of each block, [H]; NaN of one without requests."""
    usd_by_pool: Floats
    """[P]"""
    replicas: Floats
    """Mean replicas that are paid, [P, H]."""


class Sums:
    """Requests, dollars and latencies of a month, as they are added up."""

    def __init__(self, streams: int, pools: int, blocks: int) -> None:
        self._requests, self._kept = np.zeros((2, streams, blocks))
        self._right, self._known = 0.0, 0.0
        self._usd, self._paid = np.zeros(pools), np.zeros((pools, blocks))
        self._times: list[tuple[Floats, Floats, Floats]] = []

    def ask(self, stream: int, block: int, requests: float, p_correct: float) -> None:
        """So many requests come."""
        self._requests[stream, block] += requests
        if not np.isnan(p_correct):
            self._known += requests
            self._right += requests * p_correct

    def answer(self, stream: int, block: int, requests: float, kept: float) -> None:
        """So many are answered, of which the share `kept` keeps all objectives."""
        self._kept[stream, block] += requests * kept

    def time(self, ttft_s: Floats, e2e_s: Floats, requests: Floats) -> None:
        """So many requests take so long, [n] each."""
        self._times.append((ttft_s, e2e_s, requests))

    def pay(self, pool: int, usd: float) -> None:
        """For tokens, or in advance."""
        self._usd[pool] += usd

    def rent(self, pool: int, block: int, replica_hours: float, usd_per_hour: float) -> None:
        """For replicas' time."""
        self._paid[pool, block] += replica_hours
        self._usd[pool] += replica_hours * usd_per_hour

    def total(self, hours: Floats) -> Predicted:
        """What it all comes to; `hours` are the blocks' hours a month, [H]."""
        requests = self._requests
        ttft_s, e2e_s = self._p99()
        return Predicted(
            attainment=float(_share(self._kept.sum(), requests.sum())),
            ttft_p99_s=ttft_s,
            e2e_p99_s=e2e_s,
            usd_per_month=float(self._usd.sum()),
            accuracy=self._right / self._known if self._known else float("nan"),
            attainment_of=_share(self._kept.sum(axis=1), requests.sum(axis=1)),
            attainment_in=_share(self._kept.sum(axis=0), requests.sum(axis=0)),
            usd_by_pool=self._usd,
            replicas=self._paid / np.maximum(hours, 1e-9),
        )

    def _p99(self) -> tuple[float, float]:
        if not self._times:
            return float("nan"), float("nan")
        ttft_s, e2e_s, weights = (np.concatenate(columns) for columns in zip(*self._times, strict=True))
        return _quantile(ttft_s, weights, 0.99), _quantile(e2e_s, weights, 0.99)


def _share(part: Floats, of: Floats) -> Floats:
    found: Floats = np.where(of > 0.0, part / np.where(of > 0.0, of, 1.0), np.nan)
    return found


def _quantile(values: Floats, weights: Floats, at: float) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][min(np.searchsorted(total, at * total[-1]), values.size - 1)])
