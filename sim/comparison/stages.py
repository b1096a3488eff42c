"""The way from A to B in stages, one section of the scenario after another, so that each change has its own effect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from sim.comparison.changed import SECTIONS, changed_keys, section_of
from sim.comparison.figures import figures_of
from sim.comparison.paired import difference
from sim.comparison.runs import Side
from sim.scenario import Scenario

__all__ = ["Stage", "stages_between", "told_stages"]

_TOLD = ("cost.usd_per_month", "slo.attainment", "quality.accuracy")


class Stage(NamedTuple):
    """A scenario on the way, and the sections that it is the first to have from B."""

    sections: tuple[str, ...]
    keys: tuple[str, ...]
    scenario: Scenario


def stages_between(a: Scenario, b: Scenario) -> list[Stage]:
    """Scenarios on the way from A to B, the last one B: workload first, then fleet, prices, strategies, sleep.

    Each takes one section more from B. A section that does not go without the next is taken together with it.
    """
    keys: dict[str, list[str]] = {}
    for change in changed_keys(a, b):
        keys.setdefault(section_of(change["key"]), []).append(change["key"])
    order = [section for section in SECTIONS if section in keys]
    stages: list[Stage] = []
    waiting: tuple[str, ...] = ()
    for place, section in enumerate(order):
        waiting = (*waiting, section)
        scenario = b if place == len(order) - 1 else _mixed(a, b, order[: place + 1])
        if scenario is not None:
            stages.append(Stage(waiting, tuple(key for name in waiting for key in keys[name]), scenario))
            waiting = ()
    return stages


def _mixed(a: Scenario, b: Scenario, taken: Sequence[str]) -> Scenario | None:
    """A with some sections of B; None where they do not go together."""
    mine, others = (side.model_dump(mode="json", exclude_none=True, by_alias=True) for side in (a, b))
    for key in dict.fromkeys([*mine, *others]):
        if section_of(key) in taken and key != "fleet":
            mine.pop(key, None)
            mine |= {key: others[key]} if key in others else {}
    mine["fleet"] = _fleet(mine["fleet"], others["fleet"], taken)
    try:
        return Scenario.model_validate(mine)
    except ValidationError:
        return None


def _fleet(mine: list[dict[str, Any]], others: list[dict[str, Any]], taken: Sequence[str]) -> list[dict[str, Any]]:
    """Pools with the hardware of one side and the prices of the other, where only one of the two is taken."""
    hardware, prices = (others if section in taken else mine for section in ("fleet", "prices"))
    priced = {pool["name"]: pool for pool in prices}
    return [_priced(pool, priced.get(pool["name"], pool)) for pool in hardware]


def _priced(pool: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in pool.items() if key not in SECTIONS["prices"]}
    return own | {key: value for key, value in other.items() if key in SECTIONS["prices"]}


def told_stages(stages: Sequence[Stage], sides: Sequence[Side]) -> list[dict[str, Any]]:
    """What each stage moves, on its way from A (`sides[0]`) to B (the last one); they sum to the whole difference."""
    figures = [
        [figures_of(side.scenario, run, range(len(side.scenario.workload))) for run in side.runs] for side in sides
    ]
    return [
        {
            "sections": list(stage.sections),
            "keys": list(stage.keys),
            "figures": {
                name: difference([run[name] for run in figures[place]], [run[name] for run in figures[place + 1]])
                for name in _TOLD
            },
        }
        for place, stage in enumerate(stages)
    ]
