"""All faults of a file of measurements at once, each with its line."""

from __future__ import annotations

from pathlib import Path

from pandas import Series

from sim.errors import Fault, FaultsError

__all__ = ["Faults", "MeasurementError"]


class MeasurementError(FaultsError):
    """The faults of a file of measurements."""


class Faults:
    """Gathers what is wrong with a file while it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[tuple[int, Fault]] = []

    def add(self, line: int, column: str, value: object, rule: str, remedy: str) -> None:
        """Note a fault of a line; the column may be empty where the line as a whole is wrong."""
        self._found.append((line, Fault(f"{self._path}:{line}", column, value, rule, remedy)))

    def add_each(self, values: Series, rule: str, remedy: str) -> None:
        """Note the same fault for each of these values, whose index is their lines."""
        for line, value in values.items():
            self.add(int(str(line)), str(values.name), value, rule, remedy)

    def take_over(self, others: Faults) -> None:
        """Note what others found too."""
        self._found += others._found

    def told(self) -> list[str]:
        """Each fault as value, rule and remedy, without its line."""
        return [f"{fault.value} {fault.rule}, {fault.remedy}" for _, fault in self._found]

    def lines(self) -> set[int]:
        """Lines with a fault."""
        return {line for line, _ in self._found}

    def raise_if_any(self) -> None:
        """Raise what has been found.

        Raises:
            MeasurementError: with all faults, in order of their lines.
        """
        if self._found:
            raise MeasurementError([fault for _, fault in sorted(self._found, key=_line)])


def _line(found: tuple[int, Fault]) -> int:
    return found[0]
