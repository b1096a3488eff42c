"""Tariffs of windows: the first that holds counts, else the base."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sim.prices.calendar import Moment, Rule, rule_of
from sim.prices.clock import Period
from sim.prices.run import Run, stretches, while_valid
from sim.scenario.windows import Window, Windowed

__all__ = ["Priced", "names", "windowed"]

Priced = tuple[str, tuple[float, ...]]
"""Name and rates of a window."""


def windowed(tariff: Windowed, windows: Sequence[Window], priced: Sequence[Priced], run: Run) -> Iterator[Period]:
    """Periods of a tariff; `priced` are the names and rates of its windows, in their order, and then of its base."""
    rules = [rule_of(window, tariff.holidays, run.zone) for window in windows]
    periods = (
        Period(begin_s, end_s, *priced[_first_that_holds(rules, moment)])
        for begin_s, end_s, moment in stretches(rules, run)
    )
    return while_valid(periods, tariff, run)


def names(priced: Sequence[Priced]) -> tuple[str, ...]:
    """The different names among windows, in their order."""
    return tuple(dict.fromkeys(name for name, _ in priced))


def _first_that_holds(rules: Sequence[Rule], moment: Moment) -> int:
    return next((index for index, rule in enumerate(rules) if rule.holds(moment)), len(rules))
