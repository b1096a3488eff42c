"""The best point on a seed that the search has not seen; where it fails there, the next one that does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sim.planning.search.analysis import Analysis
from sim.planning.search.moves import raised
from sim.planning.search.search import Found
from sim.planning.search.trials import Trial, Trials

__all__ = ["Confirmed", "confirmed"]

_MOST_TRIED = 8


class Confirmed(NamedTuple):
    """A point on the seed of the search and on a fresh one."""

    searched: Trial | None
    """None where the search itself has not come by it."""
    fresh: Trial
    failed_before: int = 0
    """Better points that kept the promise in the search and not on the fresh seed."""


def confirmed(found: Found, analysis: Analysis, searched: Trials, fresh: Trials) -> Confirmed:
    """The best point that keeps its promise on the fresh seed; the best of the search where none of several does.

    After the best come the others that kept it in the search, and points with one replica more than the best, in the
    order of their cost. The search must have found one.
    """
    assert found.best is not None
    failed = 0
    for trial in _in_turn(found, analysis, searched):
        again = fresh.of([trial.point])[0]
        if again.keeps:
            return Confirmed(searched.known.get(again.point), again, failed)
        failed += 1
    return Confirmed(found.best, fresh.of([found.best.point])[0], failed)


def _in_turn(found: Found, analysis: Analysis, searched: Trials) -> Iterator[Trial]:
    assert found.best is not None
    yield found.best
    others = [trial.point for trial in found.kept[1:_MOST_TRIED]]
    more = [point for point in raised(analysis.space, found.best.point) if point not in searched.known]
    costs = dict(zip([*others, *more], analysis.least_usd([*others, *more]).tolist(), strict=True))
    costs |= {trial.point: trial.judged.mean("usd_per_month") for trial in found.kept[1:_MOST_TRIED]}
    own = found.best.judged.mean("usd_per_month")
    dearer = sorted((usd, point) for point, usd in costs.items() if usd >= own - 0.005)
    for _, point in dearer[: _MOST_TRIED - 1]:
        trial = searched.of([point])[0]
        if trial.keeps:
            yield trial
