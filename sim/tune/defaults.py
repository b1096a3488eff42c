"""What is varied where nobody says: what the scenario's router, sleep rules and strategies leave to be chosen."""

from __future__ import annotations

from collections.abc import Iterator

from sim.errors import InputError
from sim.scenario import (
    CascadeStrategy,
    CurveQuestions,
    RandomRouter,
    Scenario,
    ThinkStrategy,
    ThresholdRouter,
    WeighingRouter,
)
from sim.tune.space import Choices, Dimension, Range

__all__ = ["default_space", "open_space"]

_WORTH = 10.0
"""Factor up and down by which the value of a right answer is varied."""
_VALUE_USD = (1e-5, 1.0)
"""Where the scenario tells no value."""
_SPENT = 2.0
"""The same for a budget of dollars."""
_BUDGET = 4.0
"""Factor up and down by which tokens of thought are varied."""
_SHARES = {"below": (0.0, 1.0), "above": (0.0, 0.5)}
"""Thresholds of routers, and what they can sensibly be."""


def default_space(scenario: Scenario) -> list[Dimension]:
    """The keys that a scenario leaves to be tuned, most telling first.

    Of a router its threshold, or what it takes a right answer to be worth and its budget; the weights of a random mix;
    the strategy of one that always takes the same. Of sleep-time work its effort and the saving it wants. Of strategies
    how long they think, where answers follow response curves, and where a cascade goes on.

    Raises:
        InputError: where nothing is left to be tuned.
    """
    found = open_space(scenario)
    if not found:
        remedy = "say what to vary with --vary KEY=LOW:HIGH or KEY=A,B,C"
        raise InputError(scenario.name, "has no router, strategies or sleep that leave something to tune", remedy)
    return found


def open_space(scenario: Scenario) -> list[Dimension]:
    """The same; empty where nothing is left to be tuned."""
    return [*_of_router(scenario), *_of_strategies(scenario), *_of_sleep(scenario)]


def _of_router(scenario: Scenario) -> Iterator[Dimension]:
    router, names = scenario.router, [strategy.name for strategy in scenario.strategies]
    if router is None or len(names) < 2:
        return
    if isinstance(router, RandomRouter):
        yield from (Range(f"router.weights.{name}", 0.0, 1.0) for name in names)
    elif router.policy == "always":
        yield Choices("router.strategy", tuple(names))
    if isinstance(router, ThresholdRouter):
        router = router.spelled_out()
    for key, (low, high) in _SHARES.items():
        if hasattr(router, key):
            yield Range(f"router.{key}", low, high)
    if isinstance(router, WeighingRouter):
        yield Range("router.value_usd", *_worth(scenario, router.value_usd), is_log=True)
        if router.budget is not None:
            usd = router.budget.usd_per_hour
            yield Range("router.budget.usd_per_hour", usd / _SPENT, usd * _SPENT, is_log=True)


def _worth(scenario: Scenario, own: float | None) -> tuple[float, float]:
    values = [own] if own else [value for stream in scenario.workload if (value := stream.usd_per_correct)]
    return (min(values) / _WORTH, max(values) * _WORTH) if values else _VALUE_USD


def _of_strategies(scenario: Scenario) -> Iterator[Dimension]:
    curves = any(isinstance(stream.questions, CurveQuestions) for stream in scenario.workload)
    for strategy in scenario.strategies:
        place = f"strategies.{strategy.name}"
        if isinstance(strategy, CascadeStrategy):
            yield Range(f"{place}.escalate_below", 0.0, 1.0)
        elif isinstance(strategy, ThinkStrategy) and curves:
            budget = strategy.budget_tokens
            low, high = max(round(budget / _BUDGET), 1), round(budget * _BUDGET)
            yield Range(f"{place}.budget_tokens", low, high, is_log=True, is_whole=True)


def _of_sleep(scenario: Scenario) -> Iterator[Dimension]:
    if scenario.sleep is None:
        return
    yield Choices("sleep.effort", ("low", "medium", "high"))
    if scenario.sleep.min_saving:
        yield Range("sleep.min_saving", 0.25, 4.0, is_log=True)
