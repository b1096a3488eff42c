"""The plain values of a file, each with the line on which it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sim.errors import Fault

__all__ = ["Path", "Tree", "dotted"]

Path = tuple[Any, ...]
"""Keys and list indices from the root of a tree down to a value."""


@dataclass
class Tree:
    """Plain values, where each came from (a line of `file`, or an override), and the faults so far."""

    file: str
    data: Any = None
    origins: dict[Path, int | str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def origin(self, path: Path) -> int | str:
        """Line or override of the value at `path`, or of the nearest value around it."""
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins.get(path, 1)

    def where(self, path: Path) -> str:
        """The same as a text: file:line, or the override."""
        origin = self.origin(path)
        return origin if isinstance(origin, str) else f"{self.file}:{origin}"

    def fault(self, path: Path, value: object, rule: str, remedy: str) -> None:
        """Note a fault at `path`."""
        self.faults.append(Fault(self.where(path), dotted(path), value, rule, remedy))

    def get(self, path: Path) -> Any:
        """The value at `path`, or None where there is none."""
        node = self.data
        for step in path:
            if not _holds(node, step):
                return None
            node = node[step]
        return node

    def put(self, path: Path, value: Any, origin: str) -> None:
        """Replace or add the value at `path`, whose parent exists."""
        self.get(path[:-1])[path[-1]] = value
        self.forget(path)
        self.origins[path] = origin

    def forget(self, path: Path) -> None:
        """Drop the origins at and below `path`."""
        self.origins = {key: line for key, line in self.origins.items() if key[: len(path)] != path}

    def rename(self, path: Path, key: str) -> None:
        """Give the value at `path` another key in its mapping, in the same place."""
        parent, old = self.get(path[:-1]), path[-1]
        pairs = [(key if name == old else name, value) for name, value in parent.items()]
        parent.clear()
        parent.update(pairs)
        self.origins = {_moved(place, path, key): line for place, line in self.origins.items()}


def dotted(path: Path) -> str:
    """A path as it is written in `--set`.

    >>> dotted(("fleet", 0, "replicas"))
    'fleet.0.replicas'
    """
    return ".".join(map(str, path))


def _holds(node: Any, step: Any) -> bool:
    if isinstance(node, list):
        return isinstance(step, int) and 0 <= step < len(node)
    return isinstance(node, dict) and step in node


def _moved(place: Path, path: Path, key: str) -> Path:
    return (*path[:-1], key, *place[len(path) :]) if place[: len(path)] == path else place
