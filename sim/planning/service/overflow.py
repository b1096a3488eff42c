"""Pools tried one tier after another: what each tier takes, what is left for the next, and what requests see there.

A tier is a shared processor with so much room: what comes when it is full goes on, in bigger clumps than it came
(Fredericks, Bell System Technical Journal 59, 1980, after Wilkinson's equivalent random method of 1956).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.analytic import shared_processor
from sim.planning.purchase.instance import Floats
from sim.planning.service.latency import Replica, Seen, nodes_of

__all__ = ["Met", "Tier", "met_by"]

_MOST_STATES = 1_200
_SWAMPED = 0.1
"""Share of what full batches of one replica would do that is missing when its queue grows; of c replicas it is over the
square root of c: batches are not full all the time, nor loads even."""
_ROUNDS = 8
"""Of the search for how much time prompts take of what is served, and how much that leaves to serve."""


@dataclass(frozen=True)
class Tier:
    """Replicas of equal rank: of each pool how many, and the room for requests."""

    pools: tuple[int, ...]
    replicas: Floats
    """Of each pool, [n]; parts of one are shares of the time."""
    serving: tuple[Replica, ...]
    room: float
    """Most rows at once on all of them; infinite where there is no limit."""


@dataclass(frozen=True)
class Met:
    """What a tier makes of requests that come to it."""

    served_rps: float
    share: Floats
    """Share of those served that each pool serves, [n]."""
    seen: tuple[Seen, ...]
    """What they see, by pool."""
    rows: float
    """Mean rows at once."""
    left_rps: float
    left_clump: float


def met_by(tier: Tier, rps: float, clump: float) -> Met:
    """What becomes of `rps` requests a second that come `clump` at a time."""
    total = float(tier.replicas.sum())
    first = tier.serving[0]
    rows = first.rows_per_request
    full = _rows_of_interest(tier)
    stride = max(full / _MOST_STATES, 1.0)
    states: Floats = np.arange(1, int(full / stride) + 1, dtype=np.float64) * stride
    share = _capacity(tier) / _capacity(tier).sum()
    lost = 0.0
    for _ in range(_ROUNDS):
        busy = _prompts_busy(tier, rps * (1.0 - lost), share)
        speeds = np.array([each.ends_rps(states / total, own) for each, own in zip(tier.serving, busy, strict=True)])
        ends = tier.replicas @ speeds
        chances = shared_processor(np.array(rps), ends, clump * rows / stride)
        mean_speeds = (speeds * tier.replicas[:, np.newaxis]) @ chances[1:]
        share = mean_speeds / max(mean_speeds.sum(), 1e-300)
        lost = (lost + _full(chances, clump * rows / stride)) / 2.0 if np.isfinite(tier.room) else 0.0
    taken = chances[np.newaxis, :-1] if np.isfinite(tier.room) else chances[np.newaxis]
    levels = np.concatenate(([0.0], states))[: taken.shape[1]] / total
    at = nodes_of(levels, taken)
    swamped = np.array([not np.isfinite(tier.room) and rps >= (1.0 - _SWAMPED / total**0.5) * _capacity(tier).sum()])
    served_rps = rps * (1.0 - lost)
    each_rps = served_rps * share / tier.replicas
    busy = _prompts_busy(tier, served_rps, share)
    seen = tuple(
        Seen(at, np.array([[one]]), np.array([[own]]), swamped) for one, own in zip(each_rps, busy, strict=True)
    )
    mean_rows = float(np.concatenate(([0.0], states)) @ chances)
    return Met(served_rps, share, seen, mean_rows, rps * lost, _left_clump(lost, rps, ends, clump, full / rows))


def _rows_of_interest(tier: Tier) -> float:
    """The room, but no more than four times the places of all batches."""
    places = float(sum(4.0 * each.places * own for each, own in zip(tier.serving, tier.replicas, strict=True)))
    return max(min(places, tier.room), 1.0)


def _capacity(tier: Tier) -> Floats:
    return np.array([own / each.work_s for each, own in zip(tier.serving, tier.replicas, strict=True)])


def _prompts_busy(tier: Tier, rps: float, share: Floats) -> Floats:
    """Share of the time of a replica of each pool that prompts take, [n]."""
    prompt_s = np.array([each.prompt_s for each in tier.serving])
    found: Floats = np.minimum(rps * share * prompt_s / tier.replicas, 0.999)
    return found


def _full(chances: Floats, clump: float) -> float:
    """Chance of the last state among states a clump apart, of chances of states one apart: by the trapezoidal rule."""
    ends = (chances[0] + chances[-1]) / 2.0
    return float(min(chances[-1] / (ends + (chances.sum() - ends) / clump), 1.0))


def _left_clump(lost: float, rps: float, ends: Floats, clump: float, room: float) -> float:
    """How many come as one of what is left: variance over mean of the load m left of a by N servers,
    1 - m + a / (N + 1 + m - a), all over the clump (Riordan in Wilkinson 1956; Hayward)."""
    if lost <= 0.0 or room <= 0.0:
        return clump
    load = rps / max(float(ends[-1]) / room, 1e-300) / clump
    left, servers = lost * load, room / clump
    return float(np.clip(clump * (1.0 - left + load / (servers + 1.0 + left - load)), 1.0, 50.0))
