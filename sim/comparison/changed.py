"""What two scenarios differ in, key by key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sim.scenario import Scenario

__all__ = ["SECTIONS", "changed_keys", "flattened", "section_of"]

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
    mine, others = flattened(_plain(a)), flattened(_plain(b))
    keys = dict.fromkeys([*mine, *others])
    return [
        {"key": key, "a": mine.get(key), "b": others.get(key)}
        for key in keys
        if mine.get(key) != others.get(key) and key not in _SILENT
    ]


def _plain(scenario: Scenario) -> dict[str, Any]:
    return scenario.model_dump(mode="json", exclude_none=True, by_alias=True)


def flattened(tree: Any) -> dict[str, Any]:
    """Values by their dotted keys; a list of plain values is one value.

    >>> flattened({"fleet": [{"name": "own", "replicas": 2}], "models": ["x"]})
    {'fleet.own.name': 'own', 'fleet.own.replicas': 2, 'models': ['x']}
    """
    return dict(_leaves(tree, ()))


def _leaves(node: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(node, list) and node and all(isinstance(item, dict) for item in node):
        for place, item in enumerate(node):
            yield from _leaves(item, (*path, str(item.get("name", place))))
    else:
        yield ".".join(path), node


def section_of(key: str) -> str:
    """The section that a dotted key belongs to.

    >>> section_of("fleet.own.offer.usd_per_gpu_hour"), section_of("fleet.own.replicas"), section_of("router")
    ('prices', 'fleet', 'strategies')
    """
    first, *others = key.split(".")
    if first == "fleet":
        return "prices" if len(others) > 1 and others[1] in SECTIONS["prices"] else "fleet"
    return next((section for section, keys in SECTIONS.items() if first in keys), "fleet")
