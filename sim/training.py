"""What training costs: paid once, spread over the time or the requests it is good for.

What it does to answers is part of the outcomes. A run bears its part of the cost, in a line of its own, so that a
better model and longer thinking can be weighed against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from sim.errors import InputError
from sim.fleet import Fleet
from sim.ledger import Entry
from sim.scenario import Scenario
from sim.scenario.reach import own_steps

__all__ = ["Spread", "break_even_requests", "spreads_of", "training_entries"]


@dataclass(frozen=True)
class Spread:
    """A cost that was paid once, and what it is spread over: seconds or requests, infinity for the one it is not."""

    usd: float
    pool: int
    """Pool that bears it: the first one that may answer by one of the strategies."""
    strategies: Sequence[int]
    """Strategies whose answers count, by their index."""
    over_s: float = inf
    over_requests: float = inf


def spreads_of(scenario: Scenario, fleet: Fleet) -> list[Spread]:
    """The costs of a scenario's trainings; cascades through a strategy that was trained count with it."""
    spreads = []
    for training in scenario.training:
        strategies = [
            index
            for index, strategy in enumerate(fleet.strategies)
            if any(step.name in training.strategies for step in own_steps(strategy, fleet.strategies))
        ]
        pools = (p for by_strategy in fleet.targets for a in strategies for p in by_strategy[a][0])
        spreads.append(
            Spread(training.usd, next(pools, 0), strategies, training.over or inf, training.over_requests or inf)
        )
    return spreads


def training_entries(
    spreads: Sequence[Spread],
    seconds_by_window: Callable[[int], Mapping[str, float]],
    answered: Callable[[Sequence[int]], int],
) -> Iterator[Entry]:
    """Lines of the bill for what has been used up of each cost so far, without those that are nothing.

    `seconds_by_window` gives the time so far in each tariff window of a pool: to each moment falls the same of what is
    spread over time. `answered` gives the requests that strategies have answered; what is spread over requests
    stands in the pool's first window.
    """
    for spread in spreads:
        windows = seconds_by_window(spread.pool)
        by_requests = spread.usd * answered(spread.strategies) / spread.over_requests
        for n, (window, seconds) in enumerate(windows.items()):
            usd = spread.usd * seconds / spread.over_s + (by_requests if n == 0 else 0.0)
            if usd:
                yield Entry("training", spread.pool, window, usd)


def break_even_requests(usd: float, saving_usd_per_request: float) -> float:
    """Requests after which a training has earned its cost; infinity where it saves nothing.

    `saving_usd_per_request` is what an answer of the same quality costs without the training less what it costs with
    it, the cost of the training itself left out: the difference of two runs' `cost.usd_per_1k_requests` / 1000
    without the line `training`, at equal accuracy. A fleet that is paid for by the hour saves nothing as long as it is
    not made smaller.

    >>> break_even_requests(5000.0, 0.002)
    2500000.0

    Raises:
        InputError: for a cost below zero.
    """
    if usd < 0.0:
        raise InputError(usd, "is a training that costs less than nothing", "give what it costs, zero or more")
    if usd == 0.0:
        return 0.0
    return usd / saving_usd_per_request if saving_usd_per_request > 0.0 else inf
