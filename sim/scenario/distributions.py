"""Small distributions: whole numbers and times that are always the same, or left to chance."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from sim.scenario.part import Part
from sim.scenario.quantities import DURATION_SCHEMA, Amount, Count, Duration, LengthOfTime, Rate

__all__ = [
    "ConstantCount",
    "ConstantTime",
    "GeometricCount",
    "LognormalCount",
    "LognormalTime",
    "Queries",
    "Times",
    "Tokens",
]

_Sigma = Annotated[Amount, Field(le=5)]


class ConstantCount(Part):
    """Always the same number."""

    kind: Literal["constant"] = "constant"
    """The same number each time; a bare number means this too."""
    value: Count
    """The number."""

    @property
    def mean(self) -> float:
        """The mean."""
        return float(self.value)


class GeometricCount(Part):
    """Numbers from 1 on, each less likely than the one before by the same factor: there may always be one more."""

    kind: Literal["geometric"] = "geometric"
    """Geometric numbers from 1 on."""
    mean: Annotated[Rate, Field(ge=1, le=1e6)]
    """The mean; after each there is another one with chance 1 - 1/mean."""


class LognormalCount(Part):
    """Numbers whose logarithms are normal; rounded to whole ones, one at least."""

    kind: Literal["lognormal"] = "lognormal"
    """Lognormal numbers."""
    median: Rate
    """The median."""
    sigma: _Sigma
    """Standard deviation of the logarithm."""
    max: Count | None = None
    """Larger numbers are cut to this; none are where left out."""

    @property
    def mean(self) -> float:
        """The mean before rounding and cutting: median * exp(sigma^2 / 2)."""
        return self.median * exp(self.sigma**2 / 2)


class ConstantTime(Part):
    """Always the same time."""

    kind: Literal["constant"] = "constant"
    """The same time each time; a bare duration means this too."""
    value: Duration
    """The time."""

    @property
    def mean(self) -> float:
        """The mean, seconds."""
        return self.value


class LognormalTime(Part):
    """Times whose logarithms are normal."""

    kind: Literal["lognormal"] = "lognormal"
    """Lognormal times."""
    median: LengthOfTime
    """The median."""
    sigma: _Sigma
    """Standard deviation of the logarithm."""

    @property
    def mean(self) -> float:
        """The mean, seconds: median * exp(sigma^2 / 2)."""
        return self.median * exp(self.sigma**2 / 2)


@dataclass(frozen=True, eq=False)
class _BareValue:
    """Beside a union of distributions: what a value that is no mapping stands for, and how that is written."""

    bare_schema: JsonSchemaValue

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_constant, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [self.bare_schema, handler(schema)]}


def _constant(value: Any) -> Any:
    return value if isinstance(value, dict | Part) else {"kind": "constant", "value": value}


_number = _BareValue({"type": "integer", "minimum": 1})
_time = _BareValue(DURATION_SCHEMA)

Queries = Annotated[ConstantCount | GeometricCount, Field(discriminator="kind"), _number]
"""A number of questions; a bare number is constant."""
Tokens = Annotated[ConstantCount | LognormalCount, Field(discriminator="kind"), _number]
"""A number of tokens; a bare number is constant."""
Times = Annotated[ConstantTime | LognormalTime, Field(discriminator="kind"), _time]
"""A time; a bare duration is constant."""
