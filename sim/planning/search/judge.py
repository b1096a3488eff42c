"""Whether simulated figures keep a promise: one rule for the search, its proof and the baselines.

A replication is one possible month. What another one would come to is foretold by the Student predictive distribution:
of R values with mean m and standard deviation s the next lies below x with the chance that a Student variable of R - 1
degrees of freedom lies below (x - m) / (s sqrt(1 + 1/R)). A plan keeps its promise where the chance to miss is at most
`risk` for each target by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, sqrt
from typing import NamedTuple

import numpy as np

from sim.scenario.planning import Targets

__all__ = [
    "Judged",
    "Promise",
    "Target",
    "Values",
    "cannot_keep",
    "chance_below",
    "joined",
    "keeps_promise",
    "misses",
    "promise_of",
]

Values = tuple[float, ...]
_BETWEEN = 1e-3
"""By so much the chance to miss may be lower between the rests that are tried."""


class Target(NamedTuple):
    """Something promised: a figure that is at least, or at most, a limit."""

    name: str
    figure: str
    """Dotted name of the figure."""
    limit: float
    at_most: bool = False
    ceiling: float = 1.0
    """Highest value the figure can have."""


@dataclass(frozen=True)
class Promise:
    """All that is promised, and the largest chance to miss each of it."""

    targets: tuple[Target, ...]
    risk: float

    def limit(self, name: str) -> float | None:
        """The limit of a target; None where it is not promised."""
        return next((target.limit for target in self.targets if target.name == name), None)

    def without(self, name: str) -> Promise:
        """The promise without one target."""
        return Promise(tuple(target for target in self.targets if target.name != name), self.risk)


@dataclass(frozen=True)
class Judged:
    """What a point came to in the simulator. R replications, H blocks."""

    figures: Mapping[str, Values] = field(default_factory=dict)
    """By dotted name, [R]; dollars a month are `usd_per_month`."""
    refused: str | None = None

    @property
    def replications(self) -> int:
        """How many there are."""
        return len(self.figures.get("usd_per_month", ()))

    def values(self, name: str) -> Values:
        """A figure by replication; NaN where it is not known."""
        return self.figures.get(name, (float("nan"),) * self.replications)

    def mean(self, name: str) -> float:
        """The mean of what is known of a figure; NaN where nothing is."""
        known = _known(self.values(name))
        return float(np.mean(known)) if known else float("nan")


def promise_of(targets: Targets, *, slo_is_promised: bool = True) -> Promise:
    """What targets of a scenario promise; without objectives where `slo_is_promised` is not."""
    found = [Target("slo", "slo.attainment", targets.slo)] if slo_is_promised else []
    found += [Target(f"slo of {name}", f"streams.{name}.slo.attainment", x) for name, x in targets.slo_of.items()]
    if targets.accuracy is not None:
        found.append(Target("accuracy", "quality.accuracy", targets.accuracy))
    of = targets.accuracy_of.items()
    found += [Target(f"accuracy of {name}", f"streams.{name}.quality.accuracy", x) for name, x in of]
    if targets.budget_usd_per_month is not None:
        found.append(Target("budget", "usd_per_month", targets.budget_usd_per_month, at_most=True, ceiling=inf))
    return Promise(tuple(found), targets.risk)


def keeps_promise(judged: Judged, promise: Promise) -> bool:
    """Whether the chance to miss is at most the risk, for every target."""
    return judged.refused is None and all(chance <= promise.risk for chance in misses(judged, promise).values())


def misses(judged: Judged, promise: Promise) -> dict[str, float]:
    """The chance to miss each target, by its name. Of what has nothing to measure, only accuracy is missed."""
    return {target.name: _miss(judged, target) for target in promise.targets}


def _miss(judged: Judged, target: Target) -> float:
    values = _known(judged.values(target.figure))
    if not values:
        return 1.0 if target.name.startswith("accuracy") else 0.0
    return _miss_of(values, target)


def _miss_of(values: Sequence[float], target: Target) -> float:
    if target.at_most:
        return chance_below([-value for value in values], -target.limit)
    return chance_below(values, target.limit)


def chance_below(values: Sequence[float], limit: float) -> float:
    """Chance that a further value lies below a limit; of equal values, and of a single one, 0 or 1.

    >>> round(chance_below([0.95, 0.96, 0.97], 0.96), 6)
    0.5
    >>> chance_below([0.96], 0.95), chance_below([0.94, 0.94], 0.95)
    (0.0, 1.0)
    """
    from scipy.special import stdtr

    count, mean = len(values), float(np.mean(values))
    spread = float(np.std(values, ddof=1)) * sqrt(1.0 + 1.0 / count) if count > 1 else 0.0
    if spread <= 1e-12 * abs(mean):
        return float(mean < limit and not np.isclose(mean, limit, rtol=1e-12, atol=0.0))
    return float(stdtr(count - 1, (limit - mean) / spread))


def cannot_keep(judged: Judged, promise: Promise, replications: int) -> bool:
    """Whether no further replications, up to so many, could still make it keep its promise.

    Exact: the rest is taken to be the best it can be. Of any rest the mean over the standard deviation is highest where
    all of it is equal, as it is a concave function over a convex one.
    """
    if judged.refused is not None:
        return True
    return any(_is_lost(judged, target, promise.risk, replications) for target in promise.targets)


def _is_lost(judged: Judged, target: Target, risk: float, replications: int) -> bool:
    values = _known(judged.values(target.figure))
    rest = replications - judged.replications
    if not values or rest <= 0:
        return _miss(judged, target) > risk and bool(values or rest <= 0)
    tries = _rests(values, target)
    return all(_miss_of([*values, *[one] * rest], target) > risk + _BETWEEN for one in tries)


def _rests(values: Sequence[float], target: Target) -> list[float]:
    """Values the rest may have, from the limit to the best there is, close enough to find a rest that would do."""
    worst = min(values) if not target.at_most else max(values)
    far = abs(worst - target.limit)
    best = min(target.ceiling, target.limit + 64.0 * far) if not target.at_most else max(target.limit - 64.0 * far, 0.0)
    between = np.linspace(target.limit, best, 257)
    return [*between.tolist(), *values]


def joined(parts: Sequence[Judged]) -> Judged:
    """Replications of several runs as those of one."""
    for part in parts:
        if part.refused is not None:
            return part
    names = dict.fromkeys(name for part in parts for name in part.figures)
    return Judged({name: tuple(value for part in parts for value in part.values(name)) for name in names})


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if isfinite(value)]
