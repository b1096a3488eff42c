"""Values given on the command line as `a.b.0.c=value`, put into the tree of a scenario."""

from __future__ import annotations

from typing import Any

from sim.errors import Fault, ScenarioError, did_you_mean
from sim.load.tree import Path, Tree, dotted
from sim.load.yamlfile import read_value

__all__ = ["apply_override"]


def apply_override(tree: Tree, text: str) -> None:
    """Put the value of `a.b.0.c=value`, or `a.b.NAME-OF-ITEM.c=value`, into the tree; a slip becomes a fault.

    Mappings that are absent on the way are made; the schema then says whether their keys exist.
    """
    where = f"--set {text}"
    key, equals, value = text.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps):
        remedy = "write --set a.b.0.c=value, such as --set fleet.0.replicas=4"
        tree.faults.append(Fault(where, "", text, "is not of the form KEY=VALUE", remedy))
        return
    try:
        _put(tree, steps, read_value(value, where), where)
    except ScenarioError as error:
        tree.faults.extend(error.faults)


def _put(tree: Tree, steps: list[str], value: Any, where: str) -> None:
    path: Path = ()
    for position, step in enumerate(steps):
        node = tree.get(path)
        path = (*path, _step(node, step, path, where))
        if position < len(steps) - 1 and tree.get(path) is None:
            tree.put(path, {}, where)
    tree.put(path, value, where)


def _step(node: Any, step: str, path: Path, where: str) -> str | int:
    if isinstance(node, dict):
        return step
    if isinstance(node, list):
        return _index(node, step, path, where)
    rule = f"does not exist: {dotted(path)} is {node!r}, neither a mapping nor a list"
    raise ScenarioError([Fault(where, dotted((*path, step)), step, rule, "shorten the path")])


def _index(items: list[Any], step: str, path: Path, where: str) -> int:
    names = [str(item["name"]) if isinstance(item, dict) and "name" in item else "" for item in items]
    if step in names:
        return names.index(step)
    if step.isdecimal() and int(step) < len(items):
        return int(step)
    known = [name or str(index) for index, name in enumerate(names)]
    rule = f"names no item of {dotted(path)}"
    raise ScenarioError([Fault(where, dotted((*path, step)), f"'{step}'", rule, did_you_mean(step, known))])
