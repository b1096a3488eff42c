"""Points from little capacity to much: mixes by the careful estimate, with fuller or less full replicas.

Where a point broke its promise, replicas of those blocks are taken to carry less, and the mix is decided anew, as by
the cutting planes of Atlason, Epelman and Henderson (2004). Beside it stands one that counts on nothing that may be
taken away.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.planning.purchase.instance import Floats
from sim.planning.search.analysis import Analysis
from sim.planning.search.judge import misses
from sim.planning.search.point import Point
from sim.planning.search.trials import Trial, Trials

__all__ = ["Ladder", "Rung", "block_attainment", "chance_to_keep"]

_STEP, _HARD_STEP = 0.92, 0.8
"""Factors on how full replicas may be: where few requests were late, and where many were."""
_MOST_SOLVED = 14
_NEVER = 1e-6
_RUNGS = 2
"""Points that are tried side by side."""


class Rung(NamedTuple):
    """How full replicas may be beside the careful estimate, and the point that follows."""

    factors: Floats
    """[P, H]."""
    point: Point


class Ladder(NamedTuple):
    """Rungs above and below others."""

    analysis: Analysis
    trials: Trials

    def level(self) -> Floats:
        """The factors of the estimate as it is, [P, H]."""
        return np.ones((len(self.analysis.space.choices), self.analysis.space.blocks.count))

    def above(self, rung: Rung, trial: Trial) -> list[Rung]:
        """Up to two rungs with more capacity where a trial broke the promise; none where no more may be had."""
        if trial.judged.refused is not None:
            return list(self._any_more(rung))[:_RUNGS]
        short = self.short_of(trial)
        attained = block_attainment(trial, short.size)
        step = np.where(short, np.where(attained < 0.8, _HARD_STEP, _STEP), 1.0)
        option = trial.point.option
        risky = self.analysis.is_risky() & trial.point.array()[:, short].any(axis=1)
        surer = rung.factors.copy()
        surer[risky] = _NEVER
        found = self._solved(option, rung.factors * step, step)
        if (rung.factors[risky] > _NEVER).any():
            # Beside more of everything, a mix that does without what may be taken away.
            points = [each.point for each in found[:1]]
            found = [*found[:1], *(each for each in self._solved(option, surer, step)[:1] if each.point not in points)]
        return found or list(self._any_more(rung))[:_RUNGS]

    def below(self, rung: Rung, trial: Trial, free: NDArray[np.bool_]) -> list[Rung]:
        """Up to two cheaper rungs with fuller replicas in the blocks that are free [H]."""
        step = np.where(free, 1.0 / _STEP, 1.0)
        usd = float(self.analysis.least_usd([trial.point])[0])
        found = self._solved(trial.point.option, rung.factors * step, step)
        return [each for each in found if self.analysis.least_usd([each.point])[0] < usd]

    def short_of(self, trial: Trial) -> NDArray[np.bool_]:
        """Blocks in which requests were late more often than promised, [H]; the worst where there are none.

        All of them where it is not the objectives that are missed.
        """
        chances = misses(trial.judged, self.trials.service)
        if not any(chance > self.trials.promise.risk for name, chance in chances.items() if name.startswith("slo")):
            return np.ones(self.analysis.space.blocks.count, bool)
        attained = block_attainment(trial, self.analysis.space.blocks.count)
        short = attained < (self.trials.promise.limit("slo") or 0.95)
        return short if short.any() else attained <= attained.min()

    def is_presumed_lost(self, point: Point) -> bool:
        """Whether a point with as many replicas of everything has broken the promise."""
        rows = point.array()
        return any(
            not other.serves and other.point.option == point.option and bool((other.point.array() >= rows).all())
            for other in self.trials.known.values()
        )

    def _solved(self, option: int, factors: Floats, step: Floats) -> list[Rung]:
        """Rungs not tried yet, one step after the other."""
        found: list[Rung] = []
        for _ in range(_MOST_SOLVED):
            mix = self.analysis.mix(option, factors)
            if not mix.is_feasible:
                mix = self.analysis.nearly(option, factors)
            if not mix.is_feasible or len(found) == _RUNGS:
                break
            point = self.analysis.point_of(option, mix)
            is_new = point not in self.trials.known and point not in [each.point for each in found]
            if is_new and not self.is_presumed_lost(point):
                found.append(Rung(factors.copy(), point))
            factors = factors * step
        return found

    def _any_more(self, rung: Rung) -> Iterator[Rung]:
        """Rungs with a replica more of one pool in all blocks, the most capacity for a dollar first."""
        space, option = self.analysis.space, rung.point.option
        capacity = self.analysis.capacity_rps(option).mean(axis=1)
        usd = float(self.analysis.least_usd([rung.point])[0])
        found = []
        for pool, choice in enumerate(space.choices):
            row = rung.point.array()[pool]
            more = np.minimum(np.maximum(row + 1, np.ceil(1.2 * row).astype(np.int64)), choice.most)
            point = rung.point.changed(pool, more.tolist())
            if choice.is_free and point not in self.trials.known and space.holds(point):
                cost = float(self.analysis.least_usd([point])[0]) - usd
                found.append(((cost + 1e-9) / max(capacity[pool] * float((more - row).mean()), 1e-9), point))
        yield from (Rung(rung.factors, point) for _, point in sorted(found))


def block_attainment(trial: Trial, blocks: int) -> Floats:
    """Share of the requests measured in each block that met their objectives, [H]; 1 where there were none."""
    offered = np.array([sum(trial.judged.values(f"blocks.{b}.measured_offered")) for b in range(blocks)])
    met = np.array([sum(trial.judged.values(f"blocks.{b}.measured_met")) for b in range(blocks)])
    return np.where(offered > 0.0, met / np.maximum(offered, 1.0), 1.0)


def chance_to_keep(analysis: Analysis, point: Point, other: Point, attained: Floats, slo: float) -> float:
    """How likely a neighbour is to keep what a point keeps: by what capacity it loses where requests are late."""
    capacity = analysis.capacity_rps(point.option)
    before = (capacity * point.array()).sum(axis=0)
    after = (capacity * other.array()).sum(axis=0)
    lost = np.clip(1.0 - after / np.maximum(before, 1e-12), 0.0, 1.0)
    apis = [choice.kind == "api" for choice in analysis.space.choices]
    given_up = (point.array() - other.array())[apis].max(initial=0)
    tight = np.clip((1.0 - attained) / max(1.0 - slo, 1e-3), 0.05, 1.0)
    return exp(-10.0 * float((lost * tight).max()) - 2.0 * float(given_up))
