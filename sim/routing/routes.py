"""How the streams of a scenario get their strategies, as the engine is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from router.types import Rule
from sim.engine.specs import RouteSpec
from sim.scenario import (
    BanditRouter,
    DifficultyThresholdRouter,
    GainThresholdRouter,
    LookingRouter,
    Scenario,
    Stream,
    ThresholdRouter,
    WeighingRouter,
)
from sim.scenario.choices import is_routed, strategy_shares

__all__ = ["routes_of", "value_usd_of"]


def routes_of(scenario: Scenario) -> list[RouteSpec]:
    """Of every stream; none at all where no router looks at requests."""
    if not isinstance(scenario.router, LookingRouter):
        return []
    return [_route(scenario, scenario.router, stream) for stream in scenario.workload]


def value_usd_of(scenario: Scenario, stream: Stream) -> float:
    """What a right answer to a stream is worth to the router."""
    own = scenario.router.value_usd if isinstance(scenario.router, WeighingRouter) else None
    return own if own is not None else stream.usd_per_correct or 0.0


def _route(scenario: Scenario, router: LookingRouter, stream: Stream) -> RouteSpec:
    strategies = [index for index, share in enumerate(strategy_shares(scenario, stream)) if share]
    latency_s = router.latency if is_routed(scenario, stream) else 0.0
    if isinstance(router, ThresholdRouter):
        router = router.spelled_out()
    if isinstance(router, DifficultyThresholdRouter | GainThresholdRouter):
        return RouteSpec(strategies=strategies, latency_s=latency_s, load=False, **_switch(scenario, router))
    return RouteSpec(
        rule=Rule.BANDIT if isinstance(router, BanditRouter) else Rule.UTILITY,
        strategies=strategies,
        value_usd=value_usd_of(scenario, stream),
        lateness_usd=router.lateness_usd,
        price=router.price,
        load=router.load,
        feedback=router.feedback if isinstance(router, BanditRouter) else 1.0,
        latency_s=latency_s,
    )


def _switch(scenario: Scenario, router: DifficultyThresholdRouter | GainThresholdRouter) -> dict[str, Any]:
    names: Sequence[str] = [strategy.name for strategy in scenario.strategies]
    by_difficulty = isinstance(router, DifficultyThresholdRouter)
    return {
        "rule": Rule.DIFFICULTY if by_difficulty else Rule.GAIN,
        "cheap": names.index(router.cheap),
        "strong": names.index(router.strong),
        "threshold": router.below if isinstance(router, DifficultyThresholdRouter) else router.above,
    }
