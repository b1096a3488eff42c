"""Whether a scenario takes the values that it is to be given, found by giving them one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sim.errors import Fault, ScenarioError
from sim.load import load_scenario
from sim.tune.space import Choices, Dimension, Range, Value, as_override

__all__ = ["suited"]


def suited(source: Path | str, overrides: Sequence[str], dimension: Dimension) -> Dimension:
    """The dimension; a range of whole numbers where the scenario takes no others.

    Raises:
        ScenarioError: where the scenario refuses a value of it, with the words of the scenario.
    """

    def faults(value: Value) -> tuple[Fault, ...]:
        try:
            load_scenario(source, [*overrides, as_override(dimension.key, value)])
        except ScenarioError as error:
            return tuple(replace(fault, where=f"--vary {dimension}") for fault in error.faults)
        return ()

    if isinstance(dimension, Choices):
        _refuse([fault for value in dimension.values for fault in faults(value)])
        return dimension
    if _is_whole(dimension) and faults(_between(dimension)):
        dimension = replace(dimension, is_whole=True)
    ends: list[Value] = [dimension.low, dimension.high]
    _refuse([fault for value in ends for fault in faults(round(value) if dimension.is_whole else value)])  # type: ignore[arg-type]
    return dimension


def _is_whole(dimension: Range) -> bool:
    return float(dimension.low).is_integer() and float(dimension.high).is_integer()


def _between(dimension: Range) -> float:
    """A number within the range that is not whole."""
    return dimension.low + 0.5 if dimension.high - dimension.low > 1.0 else 0.5 * (dimension.low + dimension.high)


def _refuse(faults: Sequence[Fault]) -> None:
    if faults:
        raise ScenarioError(list(dict.fromkeys(faults)))
