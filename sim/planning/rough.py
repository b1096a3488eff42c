"""Stand-in for the analytic part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from sim.planning.instance import Floats, Integers, Transition
from sim.scenario import ApiPool, Reserved, Scenario, Spot
from sim.scenario.quantities import parse_hours
from sim.scenario.shape import WEEKDAYS

__all__ = ["Blocks", "rough_blocks", "static_usd_per_hour"]


@dataclass(frozen=True)
class Blocks:
    """Blocks of the local week."""

    names: tuple[str, ...]
    block: Integers
    hours_per_month: Floats
    transitions: tuple[Transition, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.names)

    def windows(self, block: int) -> list[tuple[list[str], str]]:
        """None."""
        return []


def rough_blocks(scenario: Scenario) -> Any:
    """The plan's own blocks, or one for all hours."""
    asked = [] if scenario.plan is None else scenario.plan.blocks
    of = np.full(168, len(asked))
    for index in reversed(range(len(asked))):
        start, end = parse_hours(asked[index].hours)
        for day in asked[index].days:
            base = WEEKDAYS.index(day) * 24
            stop = end // 3600 if end > start else end // 3600 + 24
            for hour in range(start // 3600, stop):
                of[(base + hour) % 168] = index
    names = [each.name for each in asked] + (
        ["all hours" if not asked else "other hours"] if (of == len(asked)).any() else []
    )
    first = scenario.start.weekday() * 24 + scenario.start.hour
    hours = max(round((scenario.horizon or 604800.0) / 3600.0), 1)
    count = np.bincount(np.array([of[(first + n) % 168] for n in range(hours)]), minlength=len(names))
    moves = {(int(of[n - 1]), int(of[n])) for n in range(168) if of[n - 1] != of[n]}
    return Blocks(tuple(names), of, count * 730.5 / hours, tuple(Transition(a, b, 1.0) for a, b in sorted(moves)))


def static_usd_per_hour(scenario: Scenario) -> Floats:
    """What a replica of each pool costs an hour, [P]."""
    from sim.prices import gpu_prices

    found = []
    for pool in scenario.fleet:
        if isinstance(pool, ApiPool):
            found.append(0.0)
            continue
        clock = gpu_prices(
            pool.offer, pool.gpu, scenario.start, ZoneInfo(scenario.time_zone), None, horizon_s=scenario.horizon
        )
        found.append(clock.at(0.0).rates[0] * pool.gpus_per_replica)
    return np.array(found)
