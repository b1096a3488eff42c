"""Pools as what a plan may buy: kind, price, numbers, and the share of time in which they are there."""

from __future__ import annotations

from math import ceil, isfinite

import numpy as np

from sim.planning.needs.blocks import WeekBlocks
from sim.planning.purchase.instance import Floats, Supply
from sim.planning.service.prices import upfront_usd_per_month
from sim.prices.shipped import spot_runs
from sim.scenario import ApiPool, GpuPool, Reserved, Scenario, Spot
from sim.scenario.autoscale import MOST_REPLICAS, ScheduleAutoscale
from sim.scenario.planning import Purchase
from sim.scenario.supply import Pool

__all__ = ["available_share", "failing_share", "fewest_replicas", "follows_load", "supply_of"]


def follows_load(pool: Pool) -> bool:
    """Whether a pool has an autoscaler of its own that looks at the load."""
    return (
        isinstance(pool, GpuPool) and pool.autoscale is not None and not isinstance(pool.autoscale, ScheduleAutoscale)
    )


def available_share(pool: Pool) -> float:
    """Share of the time in which there is capacity to buy: of spot capacity that of its runs."""
    if not isinstance(pool, GpuPool) or not isinstance(pool.offer, Spot) or pool.offer.availability is None:
        return 1.0
    runs = pool.offer.availability
    if runs.zone is not None:
        up, down = spot_runs(runs.zone)
    else:
        assert runs.up is not None
        assert runs.down is not None
        up, down = runs.up, runs.down
    return up.mean / (up.mean + down.mean)


def _comes_and_goes_at_once(pool: GpuPool) -> bool:
    return isinstance(pool.offer, Spot) and pool.offer.availability is not None and pool.offer.availability.together


def failing_share(pool: Pool) -> float:
    """Share of the time in which a server is broken, or starts again after that."""
    if not isinstance(pool, GpuPool) or pool.failures is None:
        return 0.0
    lost_s = pool.failures.repair + pool.start_up_s
    return lost_s / (pool.failures.mtbf + lost_s)


def fewest_replicas(pool: Pool, most: int) -> float:
    """Replicas of a pool, of which `most` have been bought, while nobody comes."""
    if isinstance(pool, GpuPool) and pool.autoscale is not None and follows_load(pool):
        return float(min(pool.autoscale.min, most))
    return float(most)


def supply_of(
    scenario: Scenario, index: int, blocks: WeekBlocks, usd_per_hour: Floats, ceiling: Floats | None, worth: float
) -> Supply:
    """What may be bought of a pool; `worth` is how many replicas its work needs at the ceiling in the highest block.

    With `ceiling` None the answer is the least that anything like it costs: an autoscaled pool is paid for what it
    serves, and starts cost nothing.
    """
    pool = scenario.fleet[index]
    purchase = _purchase(scenario, pool)
    if isinstance(pool, ApiPool):
        may = purchase is None or purchase.most is None or purchase.most > 0
        return Supply(pool.name, "api", np.zeros(blocks.count), least=0, most=int(may))
    kind = pool.offer.kind
    least, most = _numbers(pool, purchase, worth)
    return Supply(
        name=pool.name,
        kind=kind,
        usd_per_hour=usd_per_hour,
        usd_per_month=upfront_usd_per_month(pool),
        least=least,
        most=most,
        by_block=_by_block(pool, purchase),
        most_started=None if purchase is None else purchase.most_started,
        start_up_hours=0.0 if ceiling is None else pool.start_up_s / 3600.0,
        ceiling=None if ceiling is None else ceiling * (1.0 - failing_share(pool)),
        available=available_share(pool),
        together=ceiling is not None and _comes_and_goes_at_once(pool),
    )


def _purchase(scenario: Scenario, pool: Pool) -> Purchase | None:
    """What may be bought of a pool; any number where the plan names none, and None where it names others."""
    named = {} if scenario.plan is None else scenario.plan.pools
    return named.get(pool.name) if named else Purchase()


def _numbers(pool: GpuPool, purchase: Purchase | None, worth: float) -> tuple[int, int]:
    if purchase is None:
        return (0 if follows_load(pool) else pool.most_replicas), pool.most_replicas
    if purchase.most is not None:
        return purchase.least, purchase.most
    enough = ceil(1.25 * worth) + 1 if isfinite(worth) else max(2 * pool.most_replicas, 4)
    return purchase.least, min(max(enough, purchase.least, 1), MOST_REPLICAS)


def _by_block(pool: GpuPool, purchase: Purchase | None) -> bool:
    if isinstance(pool.offer, Reserved):
        return False if purchase is None or purchase.by_block is None else purchase.by_block
    if follows_load(pool):
        return True
    if purchase is None:
        return False
    return True if purchase.by_block is None else purchase.by_block
