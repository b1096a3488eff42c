"""A search in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sim import wording as words
from sim.scenario import Scenario, TraceArrivals
from sim.tune.objectives import OBJECTIVES

__all__ = ["told_notes", "told_setting"]


def told_notes(found: dict[str, Any], scenario: Scenario) -> list[str]:
    """What a search came to, and what its figures are worth."""
    return [*_outcome(found), *_chosen(found), *_worth(found), *_streams(scenario)]


def told_setting(setting: dict[str, Any]) -> str:
    """A setting in a line.

    >>> told_setting({"router.above": 0.1, "sleep.effort": "low"}), told_setting({})
    ('router.above=0.1, sleep.effort=low', 'as it is')
    """
    return ", ".join(f"{key}={words.printable(str(value))}" for key, value in setting.items()) or "as it is"


def _outcome(found: dict[str, Any]) -> Iterator[str]:
    trials = found["trials"]
    if found["interrupted"]:
        yield f"Interrupted after {words.things(len(trials), 'trial')}: what was done by then is told."
    refused = sum(1 for trial in trials if trial["refused"])
    if refused:
        yield f"{words.things(refused, 'setting')} the scenario refused."
    if found["slo"] is not None and trials and not any(trial["meets_slo"] for trial in trials):
        least = f"{words.share(found['slo'])} of requests within their objectives"
        yield f"No setting met {least} in the search; the one nearest to it is told."
    elif trials:
        on = ", the scenario as it is among them" if found["as_is_on_front"] else ""
        front = words.things(found["front"], "setting")
        yield f"{front} of {words.count(len(trials))} {_are(found['front'])} beaten by no other{on}."


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _chosen(found: dict[str, Any]) -> Iterator[str]:
    if len(found["points"]) < 2:
        return
    if found["chosen"] is None:
        which = "No point" if found["slo"] is None else "No point that meets the constraint"
        than = "than the scenario as it is in something and worse in nothing, beyond chance"
        yield f"{which} is better {than}: none is chosen."
        return
    point = next(point for point in found["points"] if point["point"] == found["chosen"])
    apart = "; ".join(_difference(name, point) for name in point["verdict"])
    yield f"Point {found['chosen']} is chosen ({told_setting(point['settings'])}): {apart}."


def _difference(name: str, point: dict[str, Any]) -> str:
    """A difference with its interval, such as "cost -12.0% (-14.1% to -9.9%)"."""
    base = point["fresh"][name]["mean"] - point["difference"][name]["mean"]
    mean, low, high = (point["difference"][name][key] for key in ("mean", "low", "high"))
    if OBJECTIVES[name].figure.endswith(("accuracy", "attainment")):
        return f"{name} {100 * mean:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
    if not base:
        return f"{name} {mean:+.3g} ({low:+.3g} to {high:+.3g})"
    return f"{name} {mean / base:+.1%} ({low / base:+.1%} to {high / base:+.1%})"


def _worth(found: dict[str, Any]) -> Iterator[str]:
    if not found["points"]:
        return
    yield (
        f"Points were chosen on seed {found['seed']} and confirmed on seed {found['fresh_seed']}, which the search did "
        f"not see, in {words.things(found['fresh'], 'replication')}; differences are paired with the scenario as it is."
    )
    worse = [name for name, shift in found["shifts"].items() if shift is not None and shift > 0.0]
    if worse:
        yield (
            f"The best of many trials is partly lucky: on the fresh seed the points gain less than in the search in "
            f"{_listed(worse)}."
        )
    if found.get("fleet"):
        fleet = "Each setting has a fleet of its own, sized by formulas for its load times the headroom"
        yield f"{fleet}; the scenario as it is keeps its own fleet."
    if len(found["points"]) > 2:
        yield "Each interval of 95 % is for one difference; among many points some are better by chance."


def _listed(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _streams(scenario: Scenario) -> Iterator[str]:
    traced = [stream.name for stream in scenario.workload if isinstance(stream.arrivals, TraceArrivals)]
    if traced:
        yield (
            f"Arrivals of {_listed(traced)} come from a trace and are the same on every seed: a fresh seed changes no "
            "more than luck, and another day may differ by more than the intervals say. Where nothing hangs on luck "
            "they have no width."
        )
