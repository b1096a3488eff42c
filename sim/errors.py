"""Everything Nightshift raises on purpose.

NightshiftError
 ├─ InputError                something given from outside is wrong: exit code 2
 │   ├─ FaultsError           all faults of a file at once
 │   │   ├─ ScenarioError     of a scenario
 │   │   ├─ MeasurementError  of a file of measurements (sim.measurements)
 │   │   └─ TableError        of a table of clients, and a TraceError (sim.workload)
 │   ├─ TraceError            a fault in a trace file
 │   └─ CatalogueError        an unknown GPU, model or calibration
 └─ EngineError               our fault: exit code 1
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

__all__ = [
    "CatalogueError",
    "EngineError",
    "Fault",
    "FaultsError",
    "InputError",
    "NightshiftError",
    "ScenarioError",
    "TraceError",
    "did_you_mean",
    "nearest",
    "one_of",
    "shown",
]

_LONGEST_VALUE = 80


class NightshiftError(Exception):
    """Root of all errors that Nightshift raises on purpose."""


class InputError(NightshiftError):
    """A value from outside that breaks a rule; the text names the value, the rule and the remedy on one line.

    >>> str(InputError("fast", "is not a number", "give one, such as 1.5", where="trace.csv:3"))
    'trace.csv:3  fast is not a number; give one, such as 1.5'
    """

    def __init__(self, value: object, rule: str, remedy: str, *, where: str | None = None) -> None:
        self.value, self.rule, self.remedy, self.where = value, rule, remedy, where
        super().__init__(value, rule, remedy)

    def __str__(self) -> str:
        text = _sentence(f"{shown(self.value)} {self.rule}", self.remedy)
        return f"{self.where}  {text}" if self.where else text

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.value, self.rule, self.remedy), self.__dict__


class TraceError(InputError):
    """A trace file that cannot be replayed; `where` is "file:line"."""


class CatalogueError(InputError):
    """A GPU, model or calibration that the catalogue does not hold."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong in a scenario: where it stands, its dotted path, the value, the rule and the remedy.

    A fault of a key itself (unknown, missing, given twice) has the key as its value.

    >>> print(Fault("peak.yaml:5", "fleet.0.replicsa", "replicsa", "unknown key", "did you mean 'replicas'?"))
    peak.yaml:5  fleet.0.replicsa: unknown key, did you mean 'replicas'?
    >>> print(Fault("peak.yaml:9", "seed", -1, "must be at least 0", "raise it"))
    peak.yaml:9  seed: -1 must be at least 0; raise it
    """

    where: str
    path: str
    value: object
    rule: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.where}  " if self.where else ""
        path = f"{self.path}: " if self.path else ""
        return where + path + _sentence(self._statement(), self.remedy)

    def _statement(self) -> str:
        names_its_key = isinstance(self.value, str) and self.path.split(".")[-1] == self.value
        return self.rule if names_its_key else f"{shown(self.value)} {self.rule}"


class FaultsError(InputError):
    """All faults of a file, one line each, in the order in which they stand there; of many the first `most_shown`."""

    most_shown: int | None = 10

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        first = self.faults[0]
        super().__init__(first.value, first.rule, first.remedy, where=first.where)

    def __str__(self) -> str:
        told = self.faults[: self.most_shown]
        more = len(self.faults) - len(told)
        return "\n".join([*map(str, told), *([f"and {more} more"] if more else [])])

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.faults,)


class ScenarioError(FaultsError):
    """All faults of a scenario."""

    most_shown = None


class EngineError(NightshiftError):
    """Nightshift contradicts itself; not the user's fault."""


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """A remedy naming the nearest known word, or all known words where none is near.

    >>> did_you_mean("horizn", ["horizon", "seed"])
    "did you mean 'horizon'?"
    >>> did_you_mean("zzz", ["horizon", "seed"])
    'use one of: horizon, seed'
    """
    names = list(known)
    near = nearest(word, names)
    return f"did you mean '{near}'?" if near else one_of(names)


def nearest(word: object, known: Iterable[str]) -> str | None:
    """The known word that alone begins with `word`, else the one most like it, whatever the case; None if none.

    >>> nearest("mean", ["rps", "mean_rps"]), nearest("RSP", ["rps", "mean_rps"]), nearest("x", ["rps"])
    ('mean_rps', 'rps', None)
    """
    from difflib import get_close_matches

    fold = str(word).casefold()
    by_fold = {name.casefold(): name for name in known}
    begun = [name for name in by_fold if name.startswith(fold)] if len(fold) > 2 else []
    found = begun if len(begun) == 1 else get_close_matches(fold, list(by_fold), n=1)
    return by_fold[found[0]] if found else None


def one_of(known: Iterable[str]) -> str:
    """A remedy that lists what is accepted.

    >>> one_of(["bf16", "fp8"])
    'use one of: bf16, fp8'
    """
    names = list(known)
    return f"use one of: {', '.join(names)}" if names else "leave it out"


def _sentence(statement: str, remedy: str) -> str:
    joint = ", " if remedy.startswith("did you mean") else "; "
    return statement + (joint + remedy if remedy else "")


def shown(value: object) -> str:
    """A value as it stands in a message: on one line, as YAML writes it, cut where it is long; a path is told whole.

    >>> len(shown("x" * 100)), len(shown("folder/" + "x" * 100))
    (80, 107)
    """
    text = " ".join(_as_written(value).split())
    is_path = isinstance(value, PurePath) or (isinstance(value, str) and "/" in value and " " not in text)
    return text if len(text) <= _LONGEST_VALUE or is_path else text[: _LONGEST_VALUE - 3] + "..."


def _as_written(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        return str(value) if value != "" else "an empty text"
    except ValueError:
        return "a number of too many digits"
