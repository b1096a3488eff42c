"""Capacity that comes and goes all at once: each block as one with it and one without, in which the rest must do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from sim.planning.purchase.instance import Floats, Instance, Mix, Supply, Transition

__all__ = ["by_state", "merged"]

_MOST_UNSURE = 2
"""Supplies that come and go apart from each other; of more than these the surest count by their share of the time."""


def by_state(instance: Instance) -> Instance:
    """The instance with each block split by which supplies are there; itself where none comes and goes at once.

    The parts of a block share its replicas, so that what is bought for the hours with spot capacity is what there is in
    the hours without. Supplies come and go independently of each other and of the load.
    """
    unsure = _unsure(instance)
    if not unsure:
        return instance
    weights, there = _states(instance, unsure)
    count, blocks = weights.size, instance.hours.size
    changes = (
        Transition(each.before * count, each.after * count, each.times_per_month) for each in instance.transitions
    )
    waiting = instance.deferrable
    if waiting is not None:
        waiting = replace(waiting, allowed=np.repeat(waiting.allowed, count))
    return replace(
        instance,
        hours=np.outer(instance.hours, weights).ravel(),
        transitions=tuple(changes),
        rps=np.repeat(instance.rps, count, axis=1),
        shares=None if instance.shares is None else np.repeat(instance.shares, count, axis=2),
        supplies=tuple(_split(s, there[:, p], p in unsure, blocks) for p, s in enumerate(instance.supplies)),
        deferrable=waiting,
        fleet_block=np.repeat(np.arange(blocks) * count, count),
        is_away=np.tile(~there[:, unsure].all(axis=1), blocks),
    )


def merged(instance: Instance, mix: Mix) -> Mix:
    """A mix of `by_state(instance)` in the instance's own blocks: means of what flows over the parts of each."""
    blocks = instance.hours.size
    count = mix.late_rps.shape[1] // blocks
    if count == 1:
        return mix
    weights = _states(instance, _unsure(instance))[0]
    return replace(
        mix,
        replicas=mix.replicas.reshape(-1, blocks, count).max(axis=-1),
        flow_rps=_means(mix.flow_rps, weights),
        late_rps=_means(mix.late_rps, weights),
        deferred_hours=mix.deferred_hours.reshape(-1, blocks, count).sum(axis=-1),
    )


def _means(values: Floats, weights: Floats) -> Floats:
    means: Floats = values.reshape(*values.shape[:-1], -1, weights.size) @ weights
    return means


def _unsure(instance: Instance) -> list[int]:
    """Supplies whose coming and going is followed: those least sure first."""
    found = [p for p, s in enumerate(instance.supplies) if s.together and 0.0 < s.available < 1.0 and s.most > 0]
    return sorted(sorted(found, key=lambda p: instance.supplies[p].available)[:_MOST_UNSURE])


def _states(instance: Instance, unsure: list[int]) -> tuple[Floats, NDArray[np.bool_]]:
    """Shares of the time, [K], and whether each supply is there, [K, P]; the first state has all of them."""
    rows = list(_cases(instance, unsure))
    return np.array([weight for weight, _ in rows]), np.array([there for _, there in rows])


def _cases(instance: Instance, unsure: list[int]) -> Iterator[tuple[float, NDArray[np.bool_]]]:
    for case in product((True, False), repeat=len(unsure)):
        there, weight = np.ones(len(instance.supplies), dtype=bool), 1.0
        for p, up in zip(unsure, case, strict=True):
            there[p] = up
            weight *= instance.supplies[p].available if up else 1.0 - instance.supplies[p].available
        yield weight, there


def _split(supply: Supply, there: NDArray[np.bool_], is_unsure: bool, blocks: int) -> Supply:
    """A supply in the parts of all blocks: paid for and able to serve where it is there."""
    count = there.size
    usd = np.repeat(supply.usd_per_hour, count)
    ceiling = None if supply.ceiling is None else np.repeat(supply.ceiling, count)
    if not is_unsure:
        return replace(supply, usd_per_hour=usd, ceiling=ceiling)
    up = np.tile(there, blocks).astype(float)
    full = up if ceiling is None else ceiling * up
    paid = usd if supply.kind == "reserved" else usd * up
    return replace(supply, usd_per_hour=paid, ceiling=full, available=1.0)
