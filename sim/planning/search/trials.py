"""Points tried in the simulator, each once: in batches of replications, and no further than the promise needs.

Every point meets the same replications, so that two of them differ by what was bought and not by luck. A point that has
missed its promise by so much that no further replications could keep it is not run on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sim.planning.search.judge import Judged, Promise, cannot_keep, joined, keeps_promise
from sim.planning.search.point import Point, Space
from sim.planning.search.realise import Refused, realised
from sim.planning.search.simulated import Task, tasks_side_by_side
from sim.scenario import Scenario
from sim.streams import RandomStreams

__all__ = ["Runner", "Trial", "Trials", "seed_of", "seeds_of"]

Runner = Callable[[Sequence[Task], int | None], Iterator[Judged]]
_LARGEST_SEED = 2**31
_UNTIL_FIRST = 4.0
"""By so much longer a first plan that keeps its promise is looked for."""


class Trial(NamedTuple):
    """A point and what it came to."""

    point: Point
    judged: Judged
    keeps: bool
    """Whether it keeps the promise; one that was not run on does not."""
    serves: bool
    """Whether it keeps all of the promise but the budget."""


def seed_of(seed: int, purpose: str) -> int:
    """The seed of a purpose: another one than the scenario's, and always the same."""
    found = RandomStreams(seed, 0).word(f"plan/{purpose}") % _LARGEST_SEED
    return found if found != seed else found + 1


def seeds_of(seed: int, replications: int) -> tuple[int, ...]:
    """A seed for each replication in which a point is tried; the first is the given one.

    >>> seeds = seeds_of(7, 3)
    >>> seeds[0], len(set(seeds))
    (7, 3)
    """
    return (seed, *(seed_of(seed, f"replication/{number}") for number in range(1, replications)))


@dataclass
class Trials:
    """Trials of a space under one promise, on one set of replications."""

    space: Space
    promise: Promise
    seeds: Sequence[int]
    """One for each replication."""
    first: int = 1
    """Replications that are run before it is asked whether a point is lost."""
    workers: int | None = None
    runner: Runner = tasks_side_by_side
    most_requests: float = float("inf")
    """Simulated requests after which no more should be asked for."""
    most_runs: int = 1_000_000
    """The same of replications."""
    tell: Callable[[Trial], None] | None = None
    known: dict[Point, Trial] = field(default_factory=dict)
    _parts: dict[Point, list[Judged]] = field(default_factory=dict)
    runs: int = 0
    """Replications simulated."""
    requests: float = 0.0
    """Requests simulated."""

    @property
    def service(self) -> Promise:
        """The promise without the budget."""
        return self.promise.without("budget")

    @property
    def replications(self) -> int:
        """How many a point is judged by."""
        return len(self.seeds)

    @property
    def may_go_on(self) -> bool:
        """Whether there is time for more; there is more of it while nothing keeps its promise."""
        longer = 1.0 if any(trial.serves for trial in self.known.values()) else _UNTIL_FIRST
        return self.requests < longer * self.most_requests and self.runs < longer * self.most_runs

    @property
    def points_left(self) -> int:
        """How many more points there is time for, with all their replications."""
        each = self.requests / max(self.runs, 1) or 1.0
        left = min((self.most_requests - self.requests) / each, self.most_runs - self.runs)
        return int(max(left, 0.0) / self.replications)

    def of(self, points: Sequence[Point]) -> list[Trial]:
        """What points came to, in their order; those that are not known yet are run side by side."""
        fresh = [point for point in dict.fromkeys(points) if point not in self.known]
        self._run(fresh, self.seeds[: self.first])
        self._run([point for point in fresh if not self._is_lost(point)], self.seeds)
        for point in fresh:
            judged = joined(self._parts[point])
            whole = judged.replications == self.replications
            serves = whole and keeps_promise(judged, self.service)
            trial = Trial(point, judged, serves and keeps_promise(judged, self.promise), serves)
            self.known[point] = trial
            if self.tell is not None:
                self.tell(trial)
        return [self.known[point] for point in points]

    def glance(self, points: Sequence[Point]) -> list[Trial]:
        """What points came to in the first replication, side by side; those that are lost by it are known for good."""
        self._run(list(dict.fromkeys(points)), self.seeds[: self.first])
        self.of([point for point in points if self._is_lost(point)])
        return [self._at_first(point) for point in points]

    def _at_first(self, point: Point) -> Trial:
        judged = joined(self._parts[point][: self.first])
        serves = keeps_promise(judged, self.service)
        return Trial(point, judged, serves and keeps_promise(judged, self.promise), serves)

    def _run(self, points: Sequence[Point], seeds: Sequence[int]) -> None:
        """Run what is missing of these replications."""
        tasks, places = [], []
        for point in points:
            done = len(self._parts.setdefault(point, []))
            if done >= len(seeds):
                continue
            made = realised(self.space, point)
            if isinstance(made, Refused):
                self._parts[point] = [Judged(refused=made.why)] * len(self.seeds)
                continue
            tasks += [self._task(made, seed) for seed in seeds[done:]]
            places += [point] * (len(seeds) - done)
        for point, judged in zip(places, self.runner(tasks, self.workers), strict=True):
            self._parts[point].append(judged)
            self.runs += judged.replications
            self.requests += sum(judged.values("offered"))

    def _is_lost(self, point: Point) -> bool:
        return cannot_keep(joined(self._parts[point]), self.service, self.replications)

    def _task(self, scenario: Scenario, seed: int) -> Task:
        return Task(scenario, seed, 1, tuple(self.space.blocks.block.tolist()))
