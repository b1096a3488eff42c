"""The search: from the analytic answer to one that keeps its promise in the simulator, then to better ones near it.

Each option begins where the analysis says. Where the promise breaks, capacity is raised in the blocks of hours that
break it, as a cutting plane does (Atlason, Epelman and Henderson, 2004, doi:10.1023/B:ANOR.0000019095.91642.bb); where
it holds, cheaper neighbours are tried until none is better. At last every point that may still be better is tried, in
the order of what it costs at least, where there are few enough of them: then the best point is the best of the space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import NamedTuple

import numpy as np

from sim.planning.aim import Aim
from sim.planning.analysis import Analysis, Start
from sim.planning.instance import Floats
from sim.planning.moves import neighbours, raised
from sim.planning.point import Point
from sim.planning.proof import Proof, left_of, proof_of
from sim.planning.trials import Trial, Trials

__all__ = ["Effort", "Found", "Search"]

_HARD_STEP, _SMALL_STEP = 0.75, 0.9
"""Factors on how full replicas may be in a block that broke the promise: where most was late, and where little was."""


class Effort(NamedTuple):
    """How long is searched."""

    replications: int
    """By which points are judged."""
    fresh: int
    """Replications on the fresh seed."""
    options: int
    """Options that are searched from their own analytic answer, most promising first."""
    repairs: int
    """Steps to a point that keeps its promise, by option."""
    patience: int
    """Neighbours tried in vain before a point is taken to be the best near it."""
    most_runs: int
    most_requests: float
    """Replications and requests that are simulated before the search ends."""


class Found(NamedTuple):
    """What a search came to."""

    best: Trial | None
    """The best point that keeps the promise; None where none was found."""
    kept: tuple[Trial, ...]
    """All that keep it, the best first."""
    proof: Proof
    is_interrupted: bool


@dataclass
class Search:
    """A search under way."""

    analysis: Analysis
    trials: Trials
    aim: Aim
    effort: Effort
    budget_usd: float | None = None
    best: Trial | None = None
    starts: dict[int, Start] = field(default_factory=dict)
    """Analytic answers by option."""
    explored: list[int] = field(default_factory=list)

    def run(self) -> Found:
        """The best point there is time to find."""
        is_interrupted = False
        try:
            for option in self._promising():
                if self.trials.may_go_on:
                    self._explore(option)
            self._close()
        except KeyboardInterrupt:
            is_interrupted = True
        proof = proof_of(self.analysis, self.trials, self.aim, self.best, self.budget_usd)
        return Found(self.best, tuple(self._kept()), proof, is_interrupted)

    def _kept(self) -> list[Trial]:
        return sorted((trial for trial in self.trials.known.values() if trial.keeps), key=self._key)

    def _key(self, trial: Trial) -> tuple[object, ...]:
        return self.aim.rank(trial.judged), trial.point

    def _promising(self) -> list[int]:
        """Options by their analytic answer, those that are feasible first; those that cannot win are left out."""
        if not self.starts:
            self.starts = {option: self.analysis.start(option) for option in range(len(self.analysis.space.options))}
        possible = [option for option, start in self.starts.items() if isfinite(start.bound_usd)] or list(self.starts)
        return sorted(possible, key=lambda option: self._how_promising(self.starts[option]))[: self.effort.options]

    def _how_promising(self, start: Start) -> tuple[float, ...]:
        """How promising an analytic answer is; the lower the better."""
        if not start.is_feasible:
            return 1.0, -nan_to_zero(start.accuracy), start.usd_per_month
        if self.aim.goal == "accuracy":
            return 0.0, -nan_to_zero(start.accuracy), start.usd_per_month
        return 0.0, start.usd_per_month, -nan_to_zero(start.accuracy)

    def _explore(self, option: int) -> None:
        start = self.starts[option]
        if not self._may_win(start.bound_usd):
            return
        self.explored.append(option)
        kept = self._repaired(self.analysis.space.nearest(option, start.replicas))
        if kept is not None:
            self._descend(kept)

    def _may_win(self, least_usd: float) -> bool:
        if self.best is None:
            return self.budget_usd is None or least_usd <= self.budget_usd
        return self.aim.may_beat(least_usd, self.aim.rank(self.best.judged), self.budget_usd)

    def _take(self, trials: Sequence[Trial]) -> bool:
        """Remember the best of those that keep the promise; whether it is a new one."""
        before = self.best
        for trial in trials:
            if trial.keeps and (self.best is None or self._key(trial) < self._key(self.best)):
                self.best = trial
        return self.best is not before

    def _repaired(self, point: Point) -> Trial | None:
        """A trial that keeps the promise, from a point on with more and more capacity where it breaks."""
        factors = np.ones(self.analysis.space.blocks.count)
        for _ in range(self.effort.repairs):
            trial = self.trials.of([point])[0]
            self._take([trial])
            if trial.keeps:
                return trial
            factors *= self._factors(trial)
            following = self._stronger(trial, factors)
            if following is None or not self.trials.may_go_on:
                return None
            point = following
        return None

    def _stronger(self, trial: Trial, factors: Floats) -> Point | None:
        """A point with more where requests were late; None where more does not help or may not be had."""
        if trial.judged.refused is not None:
            return self._first_more(trial.point)
        mix = self.analysis.mix(trial.point.option, factors)
        found = self.analysis.space.nearest(trial.point.option, mix.replicas) if mix.is_feasible else None
        if found is None or found in self.trials.known or self._is_presumed_lost(found):
            found = self._more(trial.point, self._factors(trial))
        return found

    def _first_more(self, point: Point) -> Point | None:
        fresh = [each for each in raised(self.analysis.space, point) if each not in self.trials.known]
        return fresh[0] if fresh else None

    def _factors(self, trial: Trial) -> Floats:
        """Below 1 in the blocks that broke the promise [H], or in the worst of them."""
        attained = block_attainment(trial, self.analysis.space.blocks.count)
        wanted = self.trials.promise.limit("slo") or 0.95
        bad = attained < wanted
        if not bad.any():
            bad = attained <= np.nanmin(attained)
        return np.where(bad, np.where(attained < 0.6, _HARD_STEP, _SMALL_STEP), 1.0)

    def _more(self, point: Point, factors: Floats) -> Point | None:
        """The cheapest point with one step more of a pool in the blocks that lack it."""
        short = factors < 1.0
        step = 0.3 if (factors <= _HARD_STEP).any() else 0.0
        found = []
        for pool, choice in enumerate(self.analysis.space.choices):
            if not choice.is_free:
                continue
            row = point.array()[pool]
            higher = np.maximum(row + 1, np.ceil(row * (1.0 + step)).astype(np.int64))
            row = np.where(short, higher, row) if choice.by_block else higher
            moved = self.analysis.space.nearest(point.option, point.changed(pool, row.tolist()).array())
            if moved != point and moved not in self.trials.known:
                found.append(moved)
        if not found:
            return None
        costs = self.analysis.least_usd(found)
        return found[int(np.argmin(costs))]

    def _descend(self, trial: Trial) -> None:
        """From a point that keeps the promise to better ones near it."""
        tried = 0
        current = trial
        while tried < self.effort.patience and self.trials.may_go_on:
            batch = self._candidates(current)[:2]
            if not batch:
                return
            found = [each for each in self.trials.of(batch) if each.keeps and self._key(each) < self._key(current)]
            if found:
                current, tried = min(found, key=self._key), 0
                self._take([current])
            else:
                tried += len(batch)

    def _candidates(self, trial: Trial) -> list[Point]:
        """Neighbours that may be better and are not known, the likeliest gain first."""
        attained = block_attainment(trial, self.analysis.space.blocks.count)
        near = neighbours(self.analysis.space, trial.point, np.argsort(attained, kind="stable").tolist())
        near = [point for point in near if point not in self.trials.known and not self._is_presumed_lost(point)]
        if not near:
            return []
        costs = self.analysis.least_usd(near)
        rank, usd = self.aim.rank(trial.judged), trial.judged.mean("usd_per_month")
        chosen = [
            (self._doubt(point, trial, attained), cost - usd, index)
            for index, (point, cost) in enumerate(zip(near, costs.tolist(), strict=True))
            if self.aim.may_beat(cost, rank, self.budget_usd)
        ]
        return [near[index] for *_, index in sorted(chosen)]

    def _doubt(self, point: Point, trial: Trial, attained: Floats) -> float:
        """How likely a neighbour is to break the promise, as classes: 0 where it is foretold to keep it."""
        expected = self.analysis.attainment(point)
        if expected is None:
            lost = np.clip(trial.point.array() - point.array(), 0, None)
            tight = np.where(lost.any(axis=0), 1.0 - attained, 0.0).max(initial=0.0)
            return float(np.ceil(tight * 50.0))
        limit = self.trials.promise.limit("slo") or 0.0
        return 0.0 if expected >= limit else float(np.ceil((limit - expected) * 50.0))

    def _is_presumed_lost(self, point: Point) -> bool:
        """Whether a point with as many replicas of everything has broken the promise."""
        rows = point.array()
        return any(
            not other.keeps and other.point.option == point.option and bool((other.point.array() >= rows).all())
            for other in self.trials.known.values()
        )

    def _close(self) -> None:
        """Try all that may still be better, where there is time for all of it; else the most promising."""
        while self.trials.may_go_on:
            left = left_of(self.analysis, self.trials, self.aim, self.best, self.budget_usd)
            if left is None or not left or len(left) > self.trials.points_left:
                return
            left.sort(key=lambda point: self._is_presumed_lost(point))
            self._take(self.trials.of(left[:4]))


def nan_to_zero(value: float) -> float:
    """The value, or 0 where it is not known."""
    return value if isfinite(value) else 0.0


def block_attainment(trial: Trial, blocks: int) -> Floats:
    """Share of the requests measured in each block that met their objectives, [H]; 1 where there were none."""
    offered = np.array([sum(trial.judged.values(f"blocks.{b}.measured_offered")) for b in range(blocks)])
    met = np.array([sum(trial.judged.values(f"blocks.{b}.measured_met")) for b in range(blocks)])
    return np.where(offered > 0.0, met / np.maximum(offered, 1.0), 1.0)
