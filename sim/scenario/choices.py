"""Which strategies the requests of a stream get, as far as the scenario tells before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.scenario.reach import may_answer, may_verify, own_steps
from sim.scenario.routers import LookingRouter
from sim.scenario.strategies import DirectStrategy, PlacedStrategy, Strategy, VerifyStrategy
from sim.scenario.ways import AlwaysRouter, RandomRouter

if TYPE_CHECKING:
    from sim.scenario import Scenario
    from sim.scenario.demand import Stream

__all__ = ["choices", "is_routed", "own_choice", "strategies_at_work", "strategy_shares"]

_DIRECT = DirectStrategy(name="direct")


def choices(scenario: Scenario, stream: Stream) -> list[Strategy]:
    """The strategies that requests of a stream can get; a direct answer where the scenario has none."""
    if not scenario.strategies:
        return [_DIRECT]
    shares = strategy_shares(scenario, stream)
    return [strategy for strategy, share in zip(scenario.strategies, shares, strict=True) if share]


def strategies_at_work(scenario: Scenario, stream: Stream) -> list[PlacedStrategy]:
    """Those that do the work of what requests of a stream can get; what a cascade may go on to is among them."""
    strategies = scenario.strategies or [_DIRECT]
    return [placed for chosen in choices(scenario, stream) for placed in own_steps(chosen, strategies)]


def strategy_shares(scenario: Scenario, stream: Stream) -> list[float]:
    """Share of a stream's requests that each strategy is expected to get; 0 for those that none can get.

    A router that looks at requests is taken to use alike all strategies that some pool can answer the stream by, or the
    two between which it chooses.
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
    if isinstance(router, LookingRouter):
        return _alike([_may_choose(scenario, stream, strategy) for strategy in scenario.strategies])
    return [1.0 / len(names)] * len(names)


def own_choice(scenario: Scenario, stream: Stream) -> int | None:
    """Index of the strategy that all requests of a stream get; None where the router chooses."""
    names = [strategy.name for strategy in scenario.strategies]
    return None if stream.strategy is None else names.index(stream.strategy)


def is_routed(scenario: Scenario, stream: Stream) -> bool:
    """Whether each request of a stream is looked at before it gets its strategy."""
    return stream.strategy is None and isinstance(scenario.router, LookingRouter)


def _alike(can: list[bool]) -> list[float]:
    """The same share for all that can be chosen; for all where none can, so that what is wrong is told later."""
    can = can if any(can) else [True] * len(can)
    return [each / sum(can) for each in can]


def _may_choose(scenario: Scenario, stream: Stream, strategy: Strategy) -> bool:
    """Whether a router may choose a strategy: it is one of those it knows, and pools can do all its steps."""
    router = scenario.router
    named = [getattr(router, key) for key in ("cheap", "strong") if hasattr(router, key)]
    if named:
        return strategy.name in named
    return all(_can_do(scenario, stream, placed) for placed in own_steps(strategy, scenario.strategies))


def _can_do(scenario: Scenario, stream: Stream, placed: PlacedStrategy) -> bool:
    verifies = not isinstance(placed, VerifyStrategy) or any(
        may_verify(stream, placed, pool) for pool in scenario.fleet
    )
    return verifies and any(may_answer(stream, placed, pool) for pool in scenario.fleet)
