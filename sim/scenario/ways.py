"""Routers, which choose among the strategies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from sim.scenario.part import Part, refuse
from sim.scenario.quantities import Amount
from sim.scenario.routers import (
    BanditRouter,
    DifficultyThresholdRouter,
    GainThresholdRouter,
    LearnedRouter,
    OracleRouter,
    ThresholdRouter,
)

__all__ = ["AlwaysRouter", "RandomRouter", "RoundRobinRouter", "Router"]


class AlwaysRouter(Part):
    """One strategy for all requests."""

    policy: Literal["always"] = "always"
    """Always the same strategy."""
    strategy: str
    """Name of the strategy."""


class RandomRouter(Part):
    """A strategy by chance."""

    policy: Literal["random"] = "random"
    """A random mix of strategies."""
    weights: Annotated[dict[str, Amount], Field(min_length=1)]
    """Weight by strategy; shares are weights over their sum."""

    @field_validator("weights")
    @classmethod
    def _some_weight(cls, weights: dict[str, float]) -> dict[str, float]:
        if sum(weights.values()) == 0:
            raise refuse(weights, "has no weight above zero", "raise one of the weights")
        return weights


class RoundRobinRouter(Part):
    """Strategies in turn."""

    policy: Literal["round-robin"] = "round-robin"
    """Every strategy in turn."""


Router = Annotated[
    AlwaysRouter
    | RandomRouter
    | RoundRobinRouter
    | LearnedRouter
    | OracleRouter
    | DifficultyThresholdRouter
    | GainThresholdRouter
    | ThresholdRouter
    | BanditRouter,
    Field(discriminator="policy"),
]
