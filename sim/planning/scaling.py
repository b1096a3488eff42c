"""How many replicas of a pool there are, where it scales by itself."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from sim.planning.latency import Replica
from sim.scenario import GpuPool
from sim.scenario.autoscale import BusyAutoscale, PredictiveAutoscale, QueueAutoscale

__all__ = ["running"]


def running(
    pool: GpuPool, most: int, serving: Replica, rps: float, total_rps: float, rows: Callable[[int], float]
) -> int:
    """Replicas that its autoscaler keeps for `rps` requests a second, of at most `most`.

    `total_rps` are those of its streams together, `rows(n)` the mean rows that n replicas would have.
    """
    scaling = pool.autoscale
    least = min(0 if scaling is None else scaling.min, most)
    if isinstance(scaling, BusyAutoscale):
        wanted = ceil(rps * serving.work_s / scaling.target_busy - 1e-9)
    elif isinstance(scaling, PredictiveAutoscale):
        wanted = ceil((total_rps - scaling.beyond_rps) / scaling.rps_per_replica)
    elif isinstance(scaling, QueueAutoscale):
        return next(
            (n for n in range(max(least, 1 if rps > 1e-6 else 0), most) if rows(n) <= scaling.target_outstanding * n),
            most,
        )
    else:
        return most
    return min(max(wanted, least), most)
