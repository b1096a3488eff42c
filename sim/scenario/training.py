"""What is paid once for better answers or less work: fine-tuning, distillation, a larger model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from sim.scenario.part import Part, Refusal, refuse_all
from sim.scenario.quantities import Amount, Count, LengthOfTime, Rate, Shift

__all__ = ["Training"]


class Training(Part):
    """A one-off cost, spread over time or requests, and how it changes the answers of some strategies."""

    name: str = Field(min_length=1)
    """Name of the training, unique in the scenario."""
    usd: Amount
    """What it costs once, US dollars."""
    over: LengthOfTime | None = None
    """Time over which the cost is spread evenly; this or `over_requests`."""
    over_requests: Count | None = None
    """Requests over which the cost is spread evenly."""
    strategies: Annotated[list[str], Field(min_length=1)]
    """Names of the strategies that it changes."""
    accuracy_logit: Shift = 0.0
    """Added to the log odds of a right answer: ln(p / (1 - p))."""
    tokens_factor: Annotated[Rate, Field(le=1000)] = 1.0
    """Factor on the output tokens of an answer."""
    class_name: str | None = Field(default=None, min_length=1, validation_alias="class", serialization_alias="class")
    """Class of response curves after it; as before where left out."""

    @model_validator(mode="after")
    def _spread_one_way(self) -> Training:
        refuse_all(_spread_refusals(self))
        return self


def _spread_refusals(training: Training) -> list[Refusal]:
    if training.over is None and training.over_requests is None:
        return [Refusal(("over",), "over", "is missing", "add `over: 365d`, or `over_requests`")]
    if training.over is not None and training.over_requests is not None:
        rule = "cannot be given with over"
        return [Refusal(("over_requests",), training.over_requests, rule, "keep one of them")]
    return []
