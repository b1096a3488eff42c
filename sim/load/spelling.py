"""Which part of the schema each mapping of a tree is, and which of its keys that part does not know."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from sim.errors import did_you_mean, nearest
from sim.load.tree import Path, Tree
from sim.scenario.part import DefaultKind, Part, written_fields

__all__ = ["check_keys", "parts", "tags"]

TAGS = ("kind", "policy")
"""Keys whose value chooses among several parts."""


def check_keys(tree: Tree, root: type[Part]) -> None:
    """Note every unknown key as a fault, and go on as if it had been spelled right (or left out).

    So one slip is one fault, and whatever else is wrong is still found.
    """
    # `parts` looks below a mapping only when asked for the next one, and so meets the mended keys.
    for path, part, mapping in parts(tree.data, root):
        fields = list(written_fields(part))
        for key in [key for key in mapping if key not in fields]:
            _mend(tree, (*path, key), fields)


def parts(node: Any, annotation: Any, path: Path = ()) -> Iterator[tuple[Path, type[Part], dict[Any, Any]]]:
    """Every mapping that the schema knows, from the root down: its path, its part, and itself."""
    if isinstance(node, list):
        item = _item_type(annotation)
        for index, value in enumerate(node):
            yield from parts(value, item, (*path, index))
    part = _part(annotation, node) if isinstance(node, dict) else None
    if part is not None:
        yield path, part, node
        fields = written_fields(part)
        for key, value in node.items():
            yield from parts(value, fields[key].annotation, (*path, key))


def tags(annotation: Any, tag: str) -> list[str]:
    """The values of `tag` among which a union chooses."""
    return [str(part.model_fields[tag].default) for part in _parts_of(annotation)]


def _mend(tree: Tree, path: Path, fields: list[str]) -> None:
    key, mapping = path[-1], tree.get(path[:-1])
    tree.fault(path, str(key), "unknown key", did_you_mean(key, fields))
    near = nearest(key, fields)
    if near is None or near in mapping:
        del mapping[key]
        tree.forget(path)
    else:
        tree.rename(path, near)


def _part(annotation: Any, mapping: dict[Any, Any]) -> type[Part] | None:
    candidates = _parts_of(annotation)
    if len(candidates) == 1:
        return candidates[0]
    named = next((default.named(mapping) for default in _defaults_of(annotation)), mapping)
    return next((part for part in candidates if _is_chosen(part, named)), None)


def _parts_of(annotation: Any) -> list[type[Part]]:
    return [kind for kind in _choices(annotation) if isinstance(kind, type) and issubclass(kind, Part)]


def _defaults_of(annotation: Any) -> Iterator[DefaultKind]:
    """What a union says of mappings without a kind, however it is wrapped."""
    if get_origin(annotation) is Annotated:
        yield from (note for note in annotation.__metadata__ if isinstance(note, DefaultKind))
    elif get_origin(annotation) in (Union, UnionType):
        for choice in get_args(annotation):
            yield from _defaults_of(choice)


def _is_chosen(part: type[Part], mapping: dict[Any, Any]) -> bool:
    return any(tag in part.model_fields and part.model_fields[tag].default == mapping.get(tag) for tag in TAGS)


def _item_type(annotation: Any) -> Any:
    lists = [choice for choice in _choices(annotation) if get_origin(choice) is list]
    return get_args(lists[0])[0] if lists else NoneType


def _choices(annotation: Any) -> Iterator[Any]:
    """The members of a union, however it is wrapped; the annotation itself if it is none."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _choices(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for choice in get_args(annotation):
            yield from _choices(choice)
    else:
        yield annotation
