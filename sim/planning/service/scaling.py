"""How many replicas of a pool there are, where it scales by itself."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from sim.planning.service.latency import Replica
from sim.scenario import GpuPool
from sim.scenario.autoscale import BusyAutoscale, PredictiveAutoscale, QueueAutoscale

__all__ = ["running"]


def running(
    pool: GpuPool,
    most: int,
    serving: Replica,
    rps: float,
    all_rps: float,
    rows: Callable[[int], float],
    *,
    wakes: bool,
) -> int:
    """Replicas that its autoscaler keeps, of at most `most`, for `rps` requests a second.

    `all_rps` are those of its streams together, `rows(n)` the mean rows that n replicas would have. An empty pool that
    looks at its own load stays empty unless it `wakes`: while no other takes the requests.
    """
    scaling = pool.autoscale
    assert scaling is not None
    least = min(scaling.min, most)
    if isinstance(scaling, PredictiveAutoscale):
        wanted = ceil((all_rps - scaling.beyond_rps) / scaling.rps_per_replica)
        return min(max(wanted, least), most)
    if least == 0 and not wakes:
        return 0
    first = min(max(least, 1), most)
    if isinstance(scaling, BusyAutoscale):
        return min(max(ceil(rps * serving.work_s / scaling.target_busy - 1e-9), first), most)
    assert isinstance(scaling, QueueAutoscale)
    enough = (number for number in range(first, most) if rows(number) <= scaling.target_outstanding * number)
    return next(enough, most)
