"""The schema library's complaints in our words: the value, the rule and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic.fields import FieldInfo

from sim.errors import did_you_mean, one_of
from sim.load.spelling import parts, tags
from sim.load.tree import Path, Tree
from sim.scenario.part import Part, Refusal, written_fields

__all__ = ["note_complaints"]

_WHOLE = ("is not a whole number", "give a whole number, such as 4")
_NUMBER = ("is not a number", "give a number, such as 1.5")
_FINITE = ("is not a finite number", "give a number, such as 1.5")
_TEXT = ("is not a text", "write a text, in quotes if it looks like a number")
_LIST = ("is not a list", "write a list, each item after a dash")
_MAPPING = ("is not a mapping", "write `key: value` pairs")
_TRUTH = ("is neither true nor false", "write true or false")

_PHRASES: dict[str, tuple[str, str]] = {
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": ("is too large", "give a smaller whole number"),
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _FINITE,
    "string_type": _TEXT,
    "list_type": _LIST,
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "path_type": ("is not the path of a file", "write it as a text"),
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "string_too_short": ("is too short", "give at least one character"),
}
_BOUNDS: dict[str, tuple[str, str, str]] = {
    "greater_than": ("gt", "must be above", "raise it"),
    "greater_than_equal": ("ge", "must be at least", "raise it"),
    "less_than": ("lt", "must be below", "lower it"),
    "less_than_equal": ("le", "must be at most", "lower it"),
}


def note_complaints(tree: Tree, root: type[Part], complaints: Iterable[Any]) -> None:
    """Turn pydantic's error records into faults of the tree."""
    for complaint in complaints:
        base = _place(tree.data, complaint)
        for path, value, rule, remedy in _refusals(complaint, base, tree, root):
            tree.fault((*base, *path), value, rule, remedy)


def _refusals(complaint: Any, base: Path, tree: Tree, root: type[Part]) -> list[Refusal]:
    kind, value, context = complaint["type"], complaint["input"], complaint.get("ctx", {})
    if kind == "refusals":
        return list(context["refusals"])
    if kind == "missing":
        return [Refusal((), str(base[-1]), "is missing", _wanted(_field(tree, base, root)))]
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return [_tag_refusal(context, value, _field(tree, base, root))]
    return [Refusal((), value, *_phrase(kind, value, context, complaint["msg"]))]


def _phrase(kind: str, value: Any, context: dict[str, Any], message: str) -> tuple[str, str]:
    if kind in _PHRASES:
        return _PHRASES[kind]
    if kind in _BOUNDS:
        key, rule, remedy = _BOUNDS[kind]
        bound = context[key]
        return f"{rule} {bound:g}" if isinstance(bound, float) else f"{rule} {bound}", remedy
    if kind == "literal_error":
        return "is not accepted", did_you_mean(value, _listed(context["expected"]))
    if kind == "too_short":
        return "has too few items", f"give {context['min_length']} or more"
    return f"is refused: {message[0].lower()}{message[1:]}", "see `nightshift schema`"


def _tag_refusal(context: dict[str, Any], value: Any, field: FieldInfo | None) -> Refusal:
    tag = str(context["discriminator"]).strip("'")
    known = one_of(tags(field.annotation, tag) if field else _listed(context.get("expected_tags", "")))
    if tag not in value:
        return Refusal((tag,), tag, "is missing", known)
    return Refusal((tag,), value[tag], f"is not a known {tag}", known)


def _listed(quoted: str) -> list[str]:
    """The words in a text like "'a', 'b' or 'c'"."""
    return [word for index, word in enumerate(quoted.split("'")) if index % 2]


def _wanted(field: FieldInfo | None) -> str:
    """What a missing key is for, from the docstring under its field."""
    description = (field.description or "").rstrip(".") if field else ""
    return f"add it: {description}" if description else "add it"


def _field(tree: Tree, path: Path, root: type[Part]) -> FieldInfo | None:
    """The field of the schema that the last key of `path` stands for."""
    for place, part, _ in parts(tree.data, root):
        if place == path[:-1]:
            return written_fields(part).get(path[-1])
    return None


def _place(data: Any, complaint: Any) -> Path:
    """The path in the tree: the library's path less the names of the chosen kinds."""
    path: list[Any] = []
    node = data
    for step in complaint["loc"]:
        inside = isinstance(node, dict) and step in node
        if inside or (isinstance(node, list) and isinstance(step, int)):
            path.append(step)
            node = node[step]
    if complaint["type"] == "missing":
        path.append(complaint["loc"][-1])
    return tuple(path)
