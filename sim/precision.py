"""How many replications it takes until headline figures are known as closely as is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from typing import Any, NamedTuple

from sim.errors import InputError, did_you_mean
from sim.headline import headline_figures, is_share
from sim.replication import Replication
from sim.scenario import Scenario

__all__ = ["DEFAULT_FIGURES", "Precision", "Reached", "precision_warnings"]

DEFAULT_FIGURES = ("cost.total_usd", "latency.e2e_s.mean", "slo.attainment", "quality.accuracy")
"""What a plan is judged by: what it costs, how fast it answers, what it promises and keeps, how often it is right.

Quantiles far out are left to those who ask for them: the 99th percentile takes many times the replications.
"""
_FEWEST = 10
"""Replications before a first look: a spread seen in fewer is itself known to 25 % at best, and runs that happen to
agree would end the search (Law 2015, section 9.4.1)."""
_MOST_GROWTH = 2


class Reached(NamedTuple):
    """How closely one figure is known."""

    mean: float | None
    half_width: float | None
    wanted: float | None
    """Half-width that is asked for."""

    @property
    def is_enough(self) -> bool:
        """Whether the half-width is no more than that."""
        return self.half_width is not None and self.wanted is not None and self.half_width <= self.wanted


@dataclass(frozen=True)
class Precision:
    """Half-widths of the 95 % intervals that are wanted: of shares as they are, of other figures as a share of them.

    Replications are added in rounds that depend on nothing but what has been seen. A relative half-width is held
    against g / (1 + g) of the mean that was found, so that it is at most g of the true mean (Law 2015, section 9.4.1).
    What is drawn because it is not known counts as luck: means over such worlds are what becomes precise.

    Raises:
        InputError: for a precision that is not between 0 and 1, or fewer than ten replications at most.
    """

    wanted: float
    figures: Sequence[str] = ()
    """Dotted names in the summary; those of DEFAULT_FIGURES that are known where left out."""
    most: int = 200
    """Replications at most."""

    def __post_init__(self) -> None:
        if not 0.0 < self.wanted < 1.0:
            raise InputError(f"{self.wanted:g}", "is no precision", "give a share between 0 and 1, such as 0.02")
        if self.most < _FEWEST:
            rule = f"is fewer than the {_FEWEST} replications that a spread can be judged by"
            raise InputError(self.most, rule, "allow more with --most-replications")

    def first(self, scenario: Scenario) -> int:
        """Replications of the first round.

        Raises:
            InputError: where the scenario has more than are allowed.
        """
        if scenario.replications > self.most:
            rule = f"replications of the scenario are more than the {self.most} that are allowed"
            raise InputError(scenario.replications, rule, "raise --most-replications, or lower --replications")
        return max(scenario.replications, _FEWEST)

    def more(self, scenario: Scenario, replications: Sequence[Replication]) -> int:
        """Replications to add; 0 when all figures are known closely enough, or there are as many as are allowed.

        As many as would do if the spread stayed as it is, no more than there are already.

        Raises:
            InputError: for a figure that is in no summary.
        """
        done = len(replications)
        found = self.reached(scenario, replications)
        short = [each for each in found.values() if not each.is_enough]
        if not short or done >= self.most:
            return 0
        needed = max((_needed(each, done) for each in short), default=done)
        return min(max(needed - done, 1), (_MOST_GROWTH - 1) * done, self.most - done)

    def reached(self, scenario: Scenario, replications: Sequence[Replication]) -> dict[str, Reached]:
        """How closely each figure is known, by its dotted name.

        Raises:
            InputError: for a figure that is in no summary.
        """
        points, intervals = headline_figures(scenario, replications)
        for name in self.figures:
            if name not in points:
                raise InputError(name, "is no headline figure", did_you_mean(name, list(points)))
        names = self.figures or [name for name in DEFAULT_FIGURES if points[name] is not None]
        return {name: self._reached(name, points[name], intervals.get(name)) for name in names}

    def _reached(self, name: str, point: float | None, interval: Sequence[float] | None) -> Reached:
        if point is None or interval is None or not isfinite(point):
            return Reached(point, None, None)
        width = max(point - interval[0], interval[1] - point)
        wanted = self.wanted if is_share(name) else self.wanted / (1.0 + self.wanted) * abs(point)
        return Reached(point, width, wanted)

    def section(self, scenario: Scenario, replications: Sequence[Replication]) -> dict[str, Any]:
        """The summary's section: what was wanted, and what was reached with how many replications."""
        found = self.reached(scenario, replications)
        return {
            "wanted": self.wanted,
            "reached": all(each.is_enough for each in found.values()),
            "replications": len(replications),
            "figures": {
                name: {**each._asdict(), "relative": not is_share(name), "reached": each.is_enough}
                for name, each in found.items()
            },
        }


def precision_warnings(section: Mapping[str, Any] | None) -> list[str]:
    """A sentence where the precision that was wanted was not reached."""
    if section is None or section["reached"]:
        return []
    short = [name for name, figure in section["figures"].items() if not figure["reached"]]
    unknown = [name for name in short if section["figures"][name]["half_width"] is None]
    told = f"{section['replications']} replications do not tell {', '.join(short)} to {section['wanted']:g}"
    if unknown:
        return [f"{told}: nothing is there to measure of {', '.join(unknown)}"]
    return [f"{told}: allow more with --most-replications, or ask for less"]


def _needed(figure: Reached, done: int) -> int:
    """Replications that would do by the spread seen so far: half-widths fall with the root of their number."""
    if figure.half_width is None or not figure.wanted:
        return done
    return ceil(done * (figure.half_width / figure.wanted) ** 2)
