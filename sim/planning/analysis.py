"""What is known of the points of a space before anything is simulated: where to begin, and what they cost at least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sim.planning.instance import Floats, Integers
from sim.planning.options import Option
from sim.planning.point import Choice, Point, Space, choices_of
from sim.planning.rough import rough_blocks, static_usd_per_hour
from sim.scenario import ApiPool

__all__ = ["Analysis", "Start", "analysed"]


@dataclass(frozen=True)
class Start:
    """What the analytic answer of an option is."""

    is_feasible: bool
    replicas: Integers
    """[P, H]."""
    usd_per_month: float
    bound_usd: float


@dataclass(frozen=True)
class Analysis:
    """A space and what is known of it."""

    space: Space
    usd_per_hour: Floats
    """[P]."""

    def start(self, option: int) -> Start:
        scenario = self.space.options[option].scenario
        replicas = np.array(
            [
                [0 if isinstance(pool, ApiPool) else max(pool.replicas, 1)] * self.space.blocks.count
                for pool in scenario.fleet
            ]
        )
        point = self.space.nearest(option, replicas)
        usd = self.least_usd([point])[0]
        return Start(True, point.array(), float(usd), 0.0)

    def raised(self, point: Point, factors: Floats) -> Point | None:
        """A point with more capacity in the blocks [H] whose factor is below 1."""
        return None

    def least_usd(self, points: Sequence[Point]) -> Floats:
        """No simulated month of these points costs less."""
        if not points:
            return np.zeros(0)
        replicas = np.array([point.replicas for point in points], float)
        hours = self.space.blocks.hours_per_month
        found = np.zeros(len(points))
        for p, choice in enumerate(self.space.choices):
            pool = self.space.options[0].scenario.fleet[p]
            if choice.kind == "api":
                continue
            if choice.kind == "reserved":
                found += replicas[:, p].max(axis=1) * 730.5 * self.usd_per_hour[p]
            elif choice.kind == "on-demand" and (pool.autoscale is None or choice.by_block):
                found += replicas[:, p] @ hours * self.usd_per_hour[p]
        return found

    def hourly_usd(self) -> Floats:
        """What a replica of each pool costs an hour, [P, H]."""
        return np.repeat(self.usd_per_hour[:, None], self.space.blocks.count, axis=1)

    def attainment(self, point: Point) -> float | None:
        """Share of requests within their objectives that is foretold; None where nothing is."""
        return None


def analysed(options: Sequence[Option]) -> Analysis:
    """What is known of the space of these options."""
    scenario = options[0].scenario
    blocks: Any = rough_blocks(scenario)
    most = [1 if isinstance(pool, ApiPool) else max(2 * pool.most_replicas, 4) for pool in scenario.fleet]
    choices = choices_of(scenario, most)
    return Analysis(Space(tuple(options), choices, blocks), static_usd_per_hour(scenario))
