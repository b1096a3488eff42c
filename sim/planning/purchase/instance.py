"""What a purchase is decided on, in numbers: hours, loads, work and prices. Nothing here knows how they were found.

S streams, A strategies, P supplies, H blocks of hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Deferrable", "Floats", "Instance", "Integers", "Mix", "Supply", "Transition"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Transition(NamedTuple):
    """One block of hours gives way to another."""

    before: int
    after: int
    times_per_month: float


@dataclass(frozen=True)
class Supply:
    """A pool: how it is bought, what it costs, and how full it may be."""

    name: str
    kind: Literal["reserved", "on-demand", "spot", "api"]
    usd_per_hour: Floats
    """Price of one replica for an hour, mean over each block, [H]; zeros for an API."""
    usd_per_month: float = 0.0
    """What one replica costs a month beside its hours: its share of payments in advance."""
    least: int = 0
    most: int = 0
    """Fewest and most replicas; of an API 1 where it may be used."""
    by_block: bool = False
    """Whether the number may differ between blocks; reserved replicas are paid for in all of them."""
    most_started: int | None = None
    """Most replicas launched at one transition."""
    start_up_hours: float = 0.0
    """Time paid for at each launch before anything is served."""
    ceiling: Floats | None = None
    """Share of its time in full batches that a replica may be given, so that requests stay within their objectives,
    [H]; 1 where left out, which is more than any replica can do. Of an API the work that it takes at most, in the unit
    of its `work_s`; any where left out."""
    available: float = 1.0
    """Share of the time in which there is capacity at all; for the rest nothing is paid, unless it is reserved."""
    together: bool = False
    """Whether all its replicas come and go at once, so that others must be able to do without them; otherwise a share
    of them is always there."""


@dataclass(frozen=True)
class Deferrable:
    """Work that may wait for cheap or idle hours: contexts prepared ahead of their questions."""

    work_hours: Floats
    """Replica hours a month in full batches that all of it takes, by supply, [P]; infinite where it cannot run."""
    allowed: NDArray[np.bool_]
    """Blocks in which it may run, [H]."""
    least_share: float = 1.0
    """Share of it that must be done."""


@dataclass(frozen=True)
class Instance:
    """A purchase to decide on."""

    hours: Floats
    """Hours a month of each block, [H]; their sum is 730.5."""
    transitions: tuple[Transition, ...]
    rps: Floats
    """Requests a second of each stream, [S, H]."""
    work_s: Floats
    """Replica seconds in full batches that a request takes, [S, A, P]; infinite where it cannot be served, 0 of APIs
    that can."""
    usd_per_request: Floats
    """What a request costs beside replicas' time: tokens of an API, [S, A, P]."""
    p_correct: Floats
    """Chance of a right answer, [S, A]; NaN where it is not known."""
    shares: Floats | None
    """Share of each stream's requests answered by each strategy, [S, A, H]; free to choose where None."""
    supplies: tuple[Supply, ...]
    late_share: float = 0.0
    """Share of all requests that may miss their objectives, and so need not be served at all."""
    least_accuracy: float | None = None
    """Least share of right answers among those whose quality is known."""
    budget_usd: float | None = None
    """Most dollars a month."""
    goal: Literal["cheapest", "accuracy", "goodput"] = "cheapest"
    deferrable: Deferrable | None = None
    away_late_share: float = 0.0
    """Share of all requests that may be given up beside those while capacity that comes and goes at once is away."""
    fleet_block: Integers | None = None
    """Block whose replicas each block has, [H]; its own where left out."""
    is_away: NDArray[np.bool_] | None = None
    """Whether a block is one in which such capacity is away, [H]; none is where left out."""


@dataclass(frozen=True)
class Mix:
    """What an instance came to."""

    is_feasible: bool
    replicas: Integers
    """Replicas of each supply in each block, [P, H]; of an API 1 where it is used."""
    flow_rps: Floats
    """Requests a second of each stream by strategy, supply and block, [S, A, P, H]."""
    late_rps: Floats
    """Requests a second that are given up, [S, H]."""
    deferred_hours: Floats
    """Replica hours a month of deferrable work by supply and block, [P, H]."""
    usd_per_month: float
    usd_by_supply: Floats
    """[P]."""
    accuracy: float
    """Share of right answers among those known; NaN where none is."""
    bound_usd: float
    """No mix that keeps the constraints costs less a month: the solver's own bound."""
    binding: tuple[str, ...] = ()
    """What keeps it from being cheaper, most telling first: names of constraints in plain words."""
