"""Which strategies the requests of a stream get, as far as the scenario tells before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.scenario.strategies import DirectStrategy, Strategy
from sim.scenario.ways import AlwaysRouter, RandomRouter

if TYPE_CHECKING:
    from sim.scenario import Scenario
    from sim.scenario.demand import Stream

__all__ = ["choices", "own_choice", "strategy_shares"]

_DIRECT = DirectStrategy(name="direct")


def choices(scenario: Scenario, stream: Stream) -> list[Strategy]:
    """The strategies that requests of a stream can get; a direct answer where the scenario has none."""
    if not scenario.strategies:
        return [_DIRECT]
    shares = strategy_shares(scenario, stream)
    return [strategy for strategy, share in zip(scenario.strategies, shares, strict=True) if share]


def strategy_shares(scenario: Scenario, stream: Stream) -> list[float]:
    """Share of a stream's requests that each strategy is expected to get.

    A router that looks at requests is taken to use all strategies alike.
    """
    names, router = [strategy.name for strategy in scenario.strategies] or [""], scenario.router
    if stream.strategy is not None:
        return [float(name == stream.strategy) for name in names]
    if router is None:
        return [float(index == 0) for index in range(len(names))]
    if isinstance(router, AlwaysRouter):
        return [float(name == router.strategy) for name in names]
    if isinstance(router, RandomRouter):
        return [router.weights.get(name, 0.0) / sum(router.weights.values()) for name in names]
    return [1.0 / len(names)] * len(names)


def own_choice(scenario: Scenario, stream: Stream) -> int | None:
    """Index of the strategy that all requests of a stream get; None where the router chooses."""
    names = [strategy.name for strategy in scenario.strategies]
    return None if stream.strategy is None else names.index(stream.strategy)
