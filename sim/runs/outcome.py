"""One scenario run, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sim.errors import InputError

if TYPE_CHECKING:
    from sim.scenario import Scenario

__all__ = ["Outcome", "attempt", "run_scenario"]


class Outcome(NamedTuple):
    """What came of a run: every figure by its dotted name, one value per replication; or why there are none."""

    figures: Mapping[str, Sequence[float]]
    refused: str | None = None
    """Why the scenario cannot be run."""
    is_failed: bool = False
    """Whether that says nothing of the scenario: a worker that died, or a fault of ours. Another try may do better."""


def run_scenario(scenario: Scenario, threads: int | None = None) -> Outcome:
    """Simulate a scenario as it is, on so many threads or one a core; refused where it cannot be."""
    from sim.runs.figures import run_figures
    from sim.simulation import simulate

    try:
        return Outcome(run_figures(simulate(scenario, threads=threads)))
    except InputError as error:
        return Outcome({}, str(error))


def attempt(scenario: Scenario, threads: int | None = 1) -> Outcome:
    """The same for one run among many, which must not end the others: a fault of ours becomes its outcome."""
    try:
        return run_scenario(scenario, threads)
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return Outcome({}, f"{text}; this is a fault of Nightshift", is_failed=True)
