"""The variables of a purchase: a column for each number that is decided, with its bounds and its price."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.planning.purchase.instance import Floats, Instance, Integers, Supply

__all__ = ["NONE", "Columns", "columns_of", "hours_usd", "is_one_number", "replica_usd"]

NONE = -1
"""No column: the number is nothing."""

_S = 3600.0


class Columns(NamedTuple):
    """Where each decided number stands, `NONE` where there is none to decide.

    Flows, late requests and deferred work are shares: of a stream's requests in a block, and of all that waits, so that
    a solver's tolerance means the same for a small stream as for a large one.
    """

    replicas: Integers
    """[P, H]; the same column in all blocks where the number cannot differ; of an API whether it is used."""
    peak: Integers
    """Most replicas of a supply that is paid for by its most, [P]."""
    started: Integers
    """Launches at each transition, [P, T]."""
    flow: Integers
    """[S, A, P, H]."""
    late: Integers
    """Given up, [S, A, H]; the same column for all strategies where they are free."""
    deferred: Integers
    """[P, H]."""
    size: int
    """How many there are."""


class _Counter:
    """Hands out columns in order."""

    def __init__(self) -> None:
        self.size = 0

    def where(self, mask: NDArray[np.bool_]) -> Integers:
        """A column for each place that is true."""
        columns = np.full(mask.shape, NONE, dtype=np.int64)
        end = self.size + int(mask.sum())
        columns[mask] = np.arange(self.size, end)
        self.size = end
        return columns


def columns_of(instance: Instance) -> Columns:
    """All columns of an instance, always in the same order."""
    counter = _Counter()
    replicas = _replicas(instance, counter)
    peak = counter.where(np.array([_pays_for_its_peak(supply) for supply in instance.supplies], dtype=bool))
    started = counter.where(_launches(instance))
    flow = counter.where(_served(instance))
    late = _late(instance, counter)
    deferred = counter.where(_deferred(instance))
    return Columns(replicas, peak, started, flow, late, deferred, counter.size)


def is_one_number(supply: Supply) -> bool:
    """Whether a supply has the same number of replicas in all blocks: reserved ones are paid for in all of them."""
    return not supply.by_block or supply.kind in ("reserved", "api")


def hours_usd(instance: Instance, supply: Supply) -> Floats:
    """Dollars a month of one replica in each block, [H]; hours without capacity are not paid for unless reserved."""
    paid_share = 1.0 if supply.kind == "reserved" else supply.available
    return supply.usd_per_hour * instance.hours * paid_share


def replica_usd(instance: Instance) -> Floats:
    """Dollars a month of one replica that is there in all blocks, [P]."""
    return np.array([supply.usd_per_month + hours_usd(instance, supply).sum() for supply in instance.supplies])


def _pays_for_its_peak(supply: Supply) -> bool:
    return not is_one_number(supply) and supply.usd_per_month > 0.0


def _replicas(instance: Instance, counter: _Counter) -> Integers:
    blocks = instance.hours.size
    own = np.arange(blocks) if instance.fleet_block is None else instance.fleet_block
    fleets, fleet = np.unique(own, return_inverse=True)
    one, each = np.ones(1, dtype=bool), np.ones(fleets.size, dtype=bool)
    rows = [
        np.repeat(counter.where(one), blocks) if is_one_number(supply) else counter.where(each)[fleet]
        for supply in instance.supplies
    ]
    return np.array(rows, dtype=np.int64).reshape(len(rows), blocks)


def _launches(instance: Instance) -> NDArray[np.bool_]:
    counted = [not is_one_number(supply) and _launch_matters(supply) for supply in instance.supplies]
    return np.tile(np.array(counted, dtype=bool)[:, None], (1, len(instance.transitions)))


def _launch_matters(supply: Supply) -> bool:
    return supply.most_started is not None or supply.start_up_hours > 0.0


def _asked(instance: Instance) -> NDArray[np.bool_]:
    """Whether a stream has requests for a strategy in a block, [S, A, H]."""
    some = (instance.rps > 0.0)[:, None, :]
    if instance.shares is None:
        return np.repeat(some, instance.work_s.shape[1], axis=1)
    return some & (instance.shares > 0.0)


def _served(instance: Instance) -> NDArray[np.bool_]:
    """Where requests may go, [S, A, P, H]."""
    able = np.isfinite(instance.work_s) & np.isfinite(instance.usd_per_request)
    bought = np.array([supply.most > 0 for supply in instance.supplies], dtype=bool)
    served: NDArray[np.bool_] = _asked(instance)[:, :, None, :] & (able & bought)[..., None]
    return served


def _late(instance: Instance, counter: _Counter) -> Integers:
    asked = _asked(instance)
    if instance.shares is not None:
        return counter.where(asked)
    some: NDArray[np.bool_] = np.asarray(asked.any(axis=1))
    return np.repeat(counter.where(some)[:, None, :], asked.shape[1], axis=1)


def _deferred(instance: Instance) -> NDArray[np.bool_]:
    waiting, blocks = instance.deferrable, instance.hours.size
    if waiting is None:
        return np.zeros((len(instance.supplies), blocks), dtype=bool)
    may = [supply.kind != "api" and supply.most > 0 for supply in instance.supplies]
    able = np.array(may, dtype=bool) & np.isfinite(waiting.work_hours)
    return able[:, None] & waiting.allowed[None, :]
