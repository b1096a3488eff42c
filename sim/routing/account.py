"""What a router that looks at requests has decided in one replication."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.control.pacing import Pace
from sim.workload.blocks import Floats, Integers

__all__ = ["RoutingAccount"]


@dataclass(frozen=True)
class RoutingAccount:
    """S streams, A strategies, T times."""

    chosen: Integers
    """How often each strategy was chosen, [S, A]."""
    p: Floats
    """Sums over these choices of the chance of a right answer that was expected, [S, A]."""
    cost_usd: Floats
    """Of the cost that was expected, without the multiplier, [S, A]."""
    p_late: Floats
    """Of the chance of a late answer, [S, A]."""
    value_usd: Floats
    """What a right answer is worth to the router, by stream, [S]."""
    lateness_usd: Floats
    """What a late answer costs it, by stream, [S]."""
    at_s: Floats
    """Times at which it was looked, [T]."""
    counts: Integers
    """Choices of each strategy up to then, [T, A]."""
    paces: Sequence[Pace]
    """Where the budget stood at each of its ticks; none without one."""
    spent_usd: float
    """What requests that have ended used."""
    seconds: float
    """Length of the run."""
