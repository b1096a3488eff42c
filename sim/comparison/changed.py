"""What two scenarios differ in, key by key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sim.scenario import Scenario

__all__ = ["SECTIONS", "changed_keys", "differing", "section_of"]

SECTIONS = {
    "workload": ("workload", "start", "time_zone", "horizon", "warm_up"),
    "fleet": ("fleet", "balancer", "affinity_slack", "models"),
    "prices": ("offer", "tariff", "electricity", "carbon", "power", "cached_share"),
    "strategies": ("strategies", "router", "training"),
    "sleep": ("sleep",),
}
"""Keys by the section of a plan they belong to; those of `prices` are keys of a pool, the others of the scenario."""

_SILENT = ("name", "seed", "replications")


def changed_keys(a: Scenario, b: Scenario) -> list[dict[str, Any]]:
    """Each key whose values differ, with both of them; None where a scenario has no such key.

    Items of a list are told apart by their names where they have any, else by their places.
    """
    return [
        {"key": key, "a": mine, "b": other}
        for key, mine, other in differing(_plain(a), _plain(b))
        if key not in _SILENT
    ]


def _plain(scenario: Scenario) -> dict[str, Any]:
    return scenario.model_dump(mode="json", exclude_none=True, by_alias=True)


def differing(mine: Any, other: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any, Any]]:
    """Where two trees differ: the dotted key, and what each holds there; None where it holds nothing.

    >>> list(differing({"fleet": [{"name": "own", "replicas": 2}]}, {"fleet": [{"name": "own", "replicas": 3}]}))
    [('fleet.own.replicas', 2, 3)]
    """
    branches = _branches(mine), _branches(other)
    if branches[0] is None or branches[1] is None:
        if mine != other:
            yield ".".join(path), mine, other
        return
    for key in dict.fromkeys([*branches[0], *branches[1]]):
        yield from differing(branches[0].get(key), branches[1].get(key), (*path, key))


def _branches(node: Any) -> dict[str, Any] | None:
    """What lies under a node of a tree, by name or place; None of a value."""
    if isinstance(node, dict):
        return node
    if isinstance(node, list) and node and all(isinstance(item, dict) for item in node):
        return {str(item.get("name", place)): item for place, item in enumerate(node)}
    return None


def section_of(key: str) -> str:
    """The section that a dotted key belongs to.

    >>> section_of("fleet.own.offer.usd_per_gpu_hour"), section_of("fleet.own.replicas"), section_of("router")
    ('prices', 'fleet', 'strategies')
    """
    first, *others = key.split(".")
    if first == "fleet":
        return "prices" if len(others) > 1 and others[1] in SECTIONS["prices"] else "fleet"
    return next((section for section, keys in SECTIONS.items() if first in keys), "fleet")
