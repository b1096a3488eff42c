"""The two scenarios of a comparison, from files, bundled names or results folders, on the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sim.errors import InputError
from sim.load import load_scenario
from sim.scenario import Scenario

__all__ = ["Asked", "Sides", "sides_of"]


@dataclass(frozen=True)
class Asked:
    """What is to be compared."""

    a: Path | str
    b: Path | str | None = None
    """None: `a` itself, with the changes of `changes_b`."""
    changes: Sequence[str] = ()
    """Overrides `KEY=VALUE` of both."""
    changes_a: Sequence[str] = ()
    changes_b: Sequence[str] = ()
    replications: int | None = None
    """Of both; else as many as A has."""
    seed: int | None = None
    """Of both; else that of A."""
    by_change: bool = False
    """Whether the sections in which the two differ are also changed one after another."""


@dataclass(frozen=True)
class Sides:
    """Two scenarios with one seed and one number of replications."""

    a: Scenario
    b: Scenario
    notes: tuple[str, ...] = ()
    """What had to be changed for that."""

    def with_b(self, b: Scenario) -> Sides:
        """The same A beside another B."""
        return replace(self, b=b)


def sides_of(asked: Asked) -> Sides:
    """Both scenarios, as they are to be run.

    Raises:
        InputError: where B is neither given nor told by changes, and for a folder that holds no results.
        ScenarioError: for faults of a scenario.
    """
    if asked.b is None and not (asked.changes_b or asked.changes_a):
        remedy = "give a second scenario, or change A by --set-b KEY=VALUE"
        raise InputError(asked.a, "has nothing to be compared with", remedy)
    a = _read(asked.a, [*asked.changes, *asked.changes_a])
    b = _read(asked.a if asked.b is None else asked.b, [*asked.changes, *asked.changes_b])
    shared = {
        "replications": a.replications if asked.replications is None else asked.replications,
        "seed": a.seed if asked.seed is None else asked.seed,
    }
    notes = [
        f"B asks for {key} {getattr(b, key)}; both are run with {value}, so that they meet the same chances."
        for key, value in shared.items()
        if getattr(asked, key) is None and getattr(b, key) != value
    ]
    return Sides(a.model_copy(update=shared), b.model_copy(update=shared), tuple(notes))


def _read(source: Path | str, changes: Sequence[str]) -> Scenario:
    """A scenario, or that of a results folder, which is written out with all its defaults."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return load_scenario(source, changes)
    kept = folder / "scenario.yaml"
    if not kept.is_file():
        raise InputError(
            folder, "is not a results folder", "give a scenario, or a folder of `nightshift simulate --out`"
        )
    return load_scenario(kept, changes)
