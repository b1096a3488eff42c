"""What is not known of the world that a scenario tells of: drawn anew for each replication."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import PlainValidator, WithJsonSchema

from sim.scenario.part import Part, refuse
from sim.scenario.quantities import Spread

__all__ = ["Uncertainty"]

_MOST = 2.0


def _word_or(word: str, most: float) -> PlainValidator:
    """Lets through a word, and numbers from 0 to `most`."""
    numbers = f"a number from 0 to {most:g}" if most else "0"

    def checked(value: Any) -> float | str:
        if value == word:
            return word
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise refuse(str(value), f"is neither '{word}' nor {numbers}", f"give '{word}', {numbers}, or leave it out")
        return float(value)

    return PlainValidator(checked)


def _schema(word: str, most: float) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"const": word}, {"type": "number", "minimum": 0, "maximum": most}]})


_StepTime = Annotated[float | Literal["calibrated"], _word_or("calibrated", _MOST), _schema("calibrated", _MOST)]
_Outcomes = Annotated[float | Literal["fitted"], _word_or("fitted", 0.0), _schema("fitted", 0.0)]
_Router = Annotated[float | Literal["held-out"], _word_or("held-out", _MOST), _schema("held-out", _MOST)]


class Uncertainty(Part):
    """What each replication draws anew, so that intervals also cover what is not known; nothing where left out.

    Factors are lognormal with mean 1. Policies that are compared on one seed meet the same draws.
    """

    step_time: _StepTime = 0.0
    """How far step times may be off: `calibrated` takes the errors of each setup on runs that its fit did not use, a
    number is the standard deviation of the logarithm. Pools of the same GPU, model, layout and precision are off
    together."""
    outcomes: _Outcomes = 0.0
    """`fitted` draws the contexts of tables of outcomes with replacement, and shifts the accuracy of curves by the
    error of their fit."""
    router: _Router = 0.0
    """How far a router file's chances of a right answer are off, by strategy: `held-out` takes the calibration error
    that the file states, a number is the standard deviation of their log odds."""
    load: Spread = 0.0
    """Standard deviation of each stream's mean rate, as a share of it; closed arrivals have none."""
    prices: Spread = 0.0
    """Standard deviation of the logarithm of prices that move: spot GPUs and tokens of APIs, by pool."""

    @property
    def is_none(self) -> bool:
        """Whether nothing is drawn."""
        return not any((self.step_time, self.outcomes, self.router, self.load, self.prices))
