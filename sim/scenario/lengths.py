"""How long prompts and outputs are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.scenario.part import Part, Refusal, refuse_all
from sim.scenario.quantities import Amount, Count, Rate

__all__ = ["ConstantLengths", "Lengths", "LognormalLengths", "QuantileLengths"]

_Sigma = Annotated[Amount, Field(le=5)]


class ConstantLengths(Part):
    """Every request alike."""

    kind: Literal["constant"] = "constant"
    """The same lengths for all requests."""
    prompt_tokens: Count
    """Prompt tokens of a request."""
    output_tokens: Count
    """Output tokens of a request."""


class LognormalLengths(Part):
    """Lengths whose logarithms are normal; rounded to whole tokens, one at least."""

    kind: Literal["lognormal"] = "lognormal"
    """Lognormal lengths."""
    prompt_median: Rate
    """Median prompt tokens."""
    prompt_sigma: _Sigma
    """Standard deviation of the logarithm of the prompt tokens."""
    output_median: Rate
    """Median output tokens."""
    output_sigma: _Sigma
    """Standard deviation of the logarithm of the output tokens."""
    prompt_max: Count | None = None
    """Longer prompts are cut to this many tokens."""
    output_max: Count | None = None
    """Longer outputs are cut to this many tokens."""


Quantiles = Annotated[list[Annotated[Rate, Field(ge=1)]], Field(min_length=2)]


class QuantileLengths(Part):
    """Lengths drawn from measured quantiles, linear in between; prompt and output are independent."""

    kind: Literal["quantiles"] = "quantiles"
    """Empirical quantiles."""
    prompt_tokens: Quantiles
    """Prompt tokens at evenly spaced probabilities from 0 to 1, smallest first."""
    output_tokens: Quantiles
    """Output tokens at evenly spaced probabilities from 0 to 1, smallest first."""

    @model_validator(mode="after")
    def _ascend(self) -> QuantileLengths:
        refuse_all([*_descents("prompt_tokens", self.prompt_tokens), *_descents("output_tokens", self.output_tokens)])
        return self


Lengths = Annotated[ConstantLengths | LognormalLengths | QuantileLengths, Field(discriminator="kind")]


def _descents(key: str, values: list[float]) -> list[Refusal]:
    return [
        Refusal((key, index), value, "is below the value before it", "list the quantiles from smallest to largest")
        for index, value in enumerate(values)
        if index and value < values[index - 1]
    ]
