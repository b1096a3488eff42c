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
from sim.planning.judge import Judged
from sim.planning.ladder import Ladder, Rung, block_attainment, chance_to_keep
from sim.planning.moves import neighbours
from sim.planning.point import Point
from sim.planning.proof import Proof, left_of, proof_of
from sim.planning.trials import Trial, Trials

__all__ = ["Effort", "Found", "Search"]


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
    """All that keep it, but for the budget, the best first."""
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
    seen: set[Point] = field(default_factory=set)
    """Points that were at least glanced at near another one."""

    @property
    def ladder(self) -> Ladder:
        """Points from little capacity to much."""
        return Ladder(self.analysis, self.trials)

    def run(self) -> Found:
        """The best point there is time to find."""
        is_interrupted = False
        try:
            for option in self.promising():
                if self.trials.may_go_on:
                    self._explore(option)
            self._close()
        except KeyboardInterrupt:
            is_interrupted = True
        proof = proof_of(self.analysis, self.trials, self.aim, self.best, self.budget_usd)
        return Found(self.best, tuple(self._kept()), proof, is_interrupted)

    def _kept(self) -> list[Trial]:
        return sorted((trial for trial in self.trials.known.values() if trial.serves), key=self._key)

    def _key(self, trial: Trial) -> tuple[object, ...]:
        """Smaller is better: those within the budget first, the others by their cost."""
        if not trial.keeps:
            return 1, (trial.judged.mean("usd_per_month"),), trial.point
        return 0, self.aim.rank(trial.judged), trial.point

    def promising(self) -> list[int]:
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
        rung = self._climbed(Rung(self.ladder.level(), self.analysis.space.nearest(option, start.replicas)))
        if rung is not None:
            self._descend(self._lowered(rung))

    def _may_win(self, least_usd: float) -> bool:
        return self.best is None or self._may_beat(least_usd, self.best)

    def _may_beat(self, least_usd: float, trial: Trial) -> bool:
        """Whether a point that costs no less than this may be better than a trial."""
        if not trial.keeps:
            return least_usd < trial.judged.mean("usd_per_month")
        return self.aim.may_beat(least_usd, self.aim.rank(trial.judged), self.budget_usd)

    def _take(self, trials: Sequence[Trial]) -> bool:
        """Remember the best of those that keep the promise; whether it is a new one."""
        before = self.best
        for trial in trials:
            if trial.serves and (self.best is None or self._key(trial) < self._key(self.best)):
                self.best = trial
        return self.best is not before

    def _climbed(self, rung: Rung) -> Rung | None:
        """A rung that keeps the promise, from one on with more and more capacity where it breaks."""
        rungs = [rung]
        for _ in range(self.effort.repairs):
            glances = self.trials.glance([each.point for each in rungs])
            for each, glance in zip(rungs, glances, strict=True):
                last = self.trials.of([each.point])[0] if not self.trials.is_lost(glance) or each is rungs[-1] else None
                if last is not None and last.serves:
                    self._take([last])
                    return each
            if not self.trials.may_go_on:
                return None
            rungs = self.ladder.above(rungs[-1], self.trials.of([rungs[-1].point])[0])
            if not rungs:
                return None
        return None

    def _lowered(self, rung: Rung) -> Trial:
        """The cheapest trial that keeps the promise, from one that does, with fuller and fuller replicas."""
        trial = self.trials.known[rung.point]
        free = np.ones(self.analysis.space.blocks.count, bool)
        while free.any() and self.trials.may_go_on:
            rungs = self.ladder.below(rung, trial, free)
            if not rungs:
                break
            trials = self._glanced([each.point for each in rungs], trial)
            better = [found for found in trials if found.serves and self._key(found) < self._key(trial)]
            if better:
                trial = min(better, key=self._key)
                rung = next(each for each in rungs if each.point == trial.point)
            broken = [found for found in trials if not found.serves]
            if broken:
                free &= ~self.ladder.short_of(broken[0])
            elif not better:
                break
        return trial

    def _glanced(self, points: Sequence[Point], current: Trial) -> list[Trial]:
        """Trials of those that are neither lost nor dearer in the first replication, cheapest first until one serves.

        Those that are lost are told as well.
        """
        found = []
        glances = self.trials.glance(points)
        order = sorted(range(len(points)), key=lambda index: (_first_usd(glances[index]), points[index]))
        for index in order:
            is_lost = self.trials.is_lost(glances[index])
            if not is_lost and not self._may_beat_at_first(glances[index], current):
                continue
            found.append(self.trials.of([points[index]])[0])
            self._take(found[-1:])
            if found[-1].serves and self.aim.goal == "cheapest":
                break
        return found

    def _may_beat_at_first(self, glance: Judged, current: Trial) -> bool:
        """Whether a point is not dearer than another on the same replication."""
        return self.aim.goal != "cheapest" or _first_usd(glance) <= _first_usd(current.judged) + 0.01

    def _descend(self, trial: Trial) -> None:
        """From a point that keeps the promise to better ones near it."""
        tried = 0
        current = trial
        while tried < self.effort.patience and self.trials.may_go_on:
            batch = self._candidates(current)[:2]
            if not batch:
                return
            self.seen.update(batch)
            found = [
                each for each in self._glanced(batch, current) if each.serves and self._key(each) < self._key(current)
            ]
            if found:
                current, tried = min(found, key=self._key), 0
            else:
                tried += len(batch)

    def _candidates(self, trial: Trial) -> list[Point]:
        """Neighbours that may be better and are not known, the largest gain that is to be expected first."""
        attained = block_attainment(trial, self.analysis.space.blocks.count)
        near = neighbours(self.analysis.space, trial.point, np.argsort(attained, kind="stable").tolist())
        near = [point for point in near if point not in self.seen and self._is_worth_a_try(point)]
        usd = trial.judged.mean("usd_per_month")
        slo = self.trials.promise.limit("slo") or 0.0
        chosen = []
        rows = zip(near, self.analysis.least_usd(near), self.analysis.foreseen_usd(near, trial), strict=True)
        for index, (point, least, foreseen) in enumerate(rows):
            if self._may_beat(float(least), trial):
                chance = chance_to_keep(self.analysis, trial.point, point, attained, slo)
                chosen.append((-max(usd - float(foreseen), 0.002 * usd) * chance, index))
        return [near[index] for _, index in sorted(chosen)]

    def _is_worth_a_try(self, point: Point) -> bool:
        if point in self.trials.known:
            return False
        return isfinite(self.starts[point.option].bound_usd) and not self.ladder.is_presumed_lost(point)

    def _close(self) -> None:
        """Try all that may still be better, where there is time for all of it; else the most promising."""
        while self.trials.may_go_on:
            left = left_of(self.analysis, self.trials, self.aim, self.best, self.budget_usd)
            if left is None or not left or len(left) > self.trials.points_left:
                return
            left.sort(key=lambda point: self.ladder.is_presumed_lost(point))
            self._take(self.trials.of(left[:4]))


def nan_to_zero(value: float) -> float:
    """The value, or 0 where it is not known."""
    return value if isfinite(value) else 0.0


def _first_usd(judged: Judged) -> float:
    """Dollars a month in the first replication; infinite where it was refused."""
    return next(iter(judged.values("usd_per_month")), float("inf"))
