"""What is to be known of a plan beside its figures."""

from __future__ import annotations

from sim.planning.search.analysis import Analysis
from sim.planning.search.confirm import Confirmed
from sim.planning.search.search import Found
from sim.scenario import Scenario
from sim.scenario.quantities import format_duration

__all__ = ["notes_of_result", "notes_of_scenario"]

_WEEK_S = 7 * 86_400.0


def notes_of_scenario(scenario: Scenario, analysis: Analysis) -> list[str]:
    """What the scenario leaves open, and how it was read."""
    notes = []
    horizon_s = scenario.horizon
    if horizon_s is None:
        notes.append(
            "The scenario has no horizon: a month is taken to go on as its run does, at the same cost an hour."
        )
    elif horizon_s < _WEEK_S:
        told = f"The scenario knows only {format_duration(horizon_s)} from {scenario.start:%A %H:%M} on"
        notes.append(
            f"{told}: a month is taken to be that time again and again, and other days of the week to be like it."
        )
    elif horizon_s % _WEEK_S:
        notes.append(
            "The scenario is no whole number of weeks: some weekdays weigh more in a month's cost than others."
        )
    if not any(any(stream.slo.model_dump().values()) for stream in scenario.workload):
        notes.append("No stream has objectives: every request that is answered counts as in time.")
    fixed = [choice.name for choice in analysis.space.choices if not choice.is_free]
    if fixed:
        notes.append(f"The plan does not decide on {_listed(fixed)}, which stays as it is.")
    return notes


def notes_of_result(found: Found, chosen: Confirmed) -> list[str]:
    """What happened on the way."""
    notes = []
    if found.is_interrupted:
        notes.append("The search was interrupted: this is the best plan found by then.")
    if chosen.failed_before:
        plans = "1 better plan" if chosen.failed_before == 1 else f"{chosen.failed_before} better plans"
        notes.append(f"{plans} kept the promise in the search and broke it on the fresh seed.")
    if not chosen.fresh.keeps:
        notes.append("On the fresh seed the plan does not keep its promise, and none of the next best does.")
    return notes


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
