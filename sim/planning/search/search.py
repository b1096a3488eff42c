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

from sim.planning.search.aim import Aim
from sim.planning.search.analysis import Analysis, Start
from sim.planning.search.ladder import Ladder, Rung, block_attainment, chance_to_keep
from sim.planning.search.moves import neighbours
from sim.planning.search.point import Point
from sim.planning.search.proof import Proof, left_of, proof_of
from sim.planning.search.trials import Trial, Trials

__all__ = ["Effort", "Found", "Search"]

_BATCH = 2
"""Neighbours that are tried side by side."""
_MOST_CLIMBS = 3
"""Climbs from one analytic answer, each from where the last one broke the promise."""


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
    until_requests: float = float("inf")
    until_runs: float = float("inf")
    """Simulated requests and replications at which the present steps end."""
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
            options = self.promising()
            for place, option in enumerate(options):
                # Each option gets an even part of the time that is left, and the best one what is left at last.
                self._allow(1.0 / (len(options) - place + 1))
                self._explore(option)
            self._allow(1.0)
            if self.best is not None:
                self._descend(self.best)
            self._close()
        except KeyboardInterrupt:
            is_interrupted = True
        proof = proof_of(self.analysis, self.trials, self.aim, self.best, self.budget_usd)
        return Found(self.best, tuple(self._kept()), proof, is_interrupted)

    def _allow(self, share: float) -> None:
        """Let the next steps take a share of the time that is left."""
        trials = self.trials
        self.until_requests = trials.requests + share * (trials.most_requests - trials.requests)
        self.until_runs = trials.runs + share * (trials.most_runs - trials.runs)

    @property
    def _may_go_on(self) -> bool:
        return self.trials.requests < self.until_requests and self.trials.runs < self.until_runs

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
        """From the analytic answer up to a point that keeps the promise, and down to better ones.

        All steps are judged by the first replication; where they end, by all of them.
        """
        start = self.starts[option]
        if not self._may_win(start.bound_usd):
            return
        rung: Rung | None = Rung(self.ladder.level(), self.analysis.space.nearest(option, start.replicas))
        for _ in range(_MOST_CLIMBS):
            rung = None if rung is None else self._climbed(rung)
            if rung is None:
                return
            kept = self._settled(self._lowered(rung))
            if kept is not None:
                self._descend(kept)
                return

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
            trials = [self._looked_at(trial) for trial in self.trials.glance([each.point for each in rungs])]
            serving = [each for each, trial in zip(rungs, trials, strict=True) if trial.serves]
            if serving:
                return serving[0]
            rungs = self.ladder.above(rungs[-1], trials[-1]) if self._may_go_on else []
            if not rungs:
                return None
        return None

    def _looked_at(self, trial: Trial) -> Trial:
        """All that is known of what was glanced at."""
        return self.trials.known.get(trial.point, trial)

    def _lowered(self, rung: Rung) -> list[Trial]:
        """Better and better trials from a rung that keeps the promise on, with fuller and fuller replicas."""
        path = self.trials.glance([rung.point])
        free = np.ones(self.analysis.space.blocks.count, bool)
        while free.any() and self._may_go_on:
            rungs = self.ladder.below(rung, path[-1], free)
            trials = self.trials.glance([each.point for each in rungs])
            better = [trial for trial in trials if trial.serves and self._key(trial) < self._key(path[-1])]
            broken = [trial for trial in trials if not trial.serves]
            if better:
                path.append(min(better, key=self._key))
                rung = next(each for each in rungs if each.point == path[-1].point)
            if broken:
                free &= ~self.ladder.short_of(broken[0])
            elif not better:
                break
        return path

    def _settled(self, path: Sequence[Trial]) -> Trial | None:
        """The last trial of a path that keeps the promise by all replications; None where none does."""
        for step in reversed(path):
            trial = self.trials.of([step.point])[0]
            if trial.serves:
                self._take([trial])
                return trial
            if not self._may_go_on:
                return None
        return None

    def _descend(self, kept: Trial) -> None:
        """From a point that keeps the promise to better ones near it."""
        while self._may_go_on:
            following = self._settled(self._steps_down(kept))
            if following is None:
                return
            kept = following

    def _steps_down(self, kept: Trial) -> list[Trial]:
        """Better and better neighbours by the first replication, until some were tried in vain."""
        path: list[Trial] = []
        current, tried = self.trials.glance([kept.point])[0], 0
        while tried < self.effort.patience and self._may_go_on:
            batch = self._candidates(current)[:_BATCH]
            if not batch:
                break
            self.seen.update(batch)
            better = [
                trial for trial in self.trials.glance(batch) if trial.serves and self._key(trial) < self._key(current)
            ]
            tried = 0 if better else tried + len(batch)
            if better:
                current = min(better, key=self._key)
                path.append(current)
        return path

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
