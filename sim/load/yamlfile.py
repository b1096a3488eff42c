"""Reads YAML safely into a tree, noting lines and repeated keys; what is no YAML is told with line and column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from sim.errors import Fault, ScenarioError
from sim.load.tree import Path, Tree, dotted

__all__ = ["read_tree", "read_value"]

_MOST_VALUES = 100_000
_MERGE = "tag:yaml.org,2002:merge"


def read_tree(text: str, file: str) -> Tree:
    """The tree of a YAML text; keys given twice become faults of it.

    Raises:
        ScenarioError: where the text is not YAML, is not safe to load, or holds no mapping.
    """
    tree = Tree(file)
    tree.data = _construct(text, tree)
    if not isinstance(tree.data, dict):
        empty = tree.data is None
        rule = "is empty" if empty else "is not a mapping"
        remedy = "start from `nightshift init`, which writes a commented scenario"
        raise ScenarioError([*tree.faults, Fault(f"{file}:1", "", "the file", rule, remedy)])
    return tree


def read_value(text: str, where: str) -> Any:
    """One value in YAML.

    Raises:
        ScenarioError: where the text is not YAML.
    """
    tree = Tree(where)
    data = _construct(text, tree)
    if tree.faults:
        raise ScenarioError(tree.faults)
    return data


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, naming the line of a value that its tag cannot hold."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, ArithmeticError, AttributeError, TypeError, LookupError) as error:
            raise yaml.constructor.ConstructorError(None, None, f"{error}", node.start_mark) from None


def _construct(text: str, tree: Tree) -> Any:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        # First the lines: constructing rewrites the nodes, and never ends on a value within itself.
        _gather(loader, node, tree)
        return _unshared(loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        raise ScenarioError([_syntax_fault(error, tree.file)]) from None
    except yaml.reader.ReaderError as error:
        rule = f"cannot stand in YAML: {error.reason}"
        remedy = "write the file as plain UTF-8 text"
        raise ScenarioError([Fault(_at(tree.file, _line(text, error)), "", _code(error), rule, remedy)]) from None
    except RecursionError:
        fault = Fault(_at(tree.file, 1), "", "the YAML", "is nested too deeply", "write it flatter")
        raise ScenarioError([fault]) from None


def _gather(loader: _Loader, root: yaml.Node, tree: Tree) -> None:
    """Note the line of every value, and keys given twice."""
    checked: set[int] = set()
    for count, (path, node, line) in enumerate(_walk(loader, root, (), root.start_mark.line, ())):
        if count > _MOST_VALUES:
            raise _refused(node, f"more than {_MOST_VALUES} values")
        tree.origins[path] = line + 1
        # An aliased mapping comes by again with its merged keys written into it.
        if isinstance(node, yaml.MappingNode) and id(node) not in checked:
            _refuse_repeats(node, path, tree)
        checked.add(id(node))


def _walk(
    loader: _Loader, node: yaml.Node, path: Path, line: int, around: tuple[int, ...]
) -> Iterator[tuple[Path, yaml.Node, int]]:
    if id(node) in around:
        raise _refused(node, "a value that contains itself")
    yield path, node, line
    around = (*around, id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(loader, item, (*path, index), item.start_mark.line, around)
    elif isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                step = loader.construct_object(key, deep=True)
                yield from _walk(loader, value, (*path, step), key.start_mark.line, around)


def _refuse_repeats(node: yaml.MappingNode, path: Path, tree: Tree) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        name = (key.tag, str(key.value))
        line = key.start_mark.line + 1
        if name in lines and key.tag != _MERGE and isinstance(key, yaml.ScalarNode):
            where, rule = f"{tree.file}:{line}", f"is given twice, first on line {lines[name]}"
            tree.faults.append(Fault(where, dotted((*path, key.value)), key.value, rule, "keep one of them"))
        lines.setdefault(name, line)


def _refused(node: yaml.Node, what: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, what, node.start_mark)


def _syntax_fault(error: yaml.MarkedYAMLError, file: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the text"
    where = _at(file, mark.line + 1 if mark else 1)
    reasons = [reason for reason in (error.context, error.problem) if reason]
    return Fault(where, "", place, f"is not valid YAML: {', '.join(reasons)}", "mend the syntax there")


def _at(file: str, line: int) -> str:
    return file if file.startswith("--") else f"{file}:{line}"


def _line(text: str, error: yaml.reader.ReaderError) -> int:
    return text.count("\n", 0, error.position) + 1


def _code(error: yaml.reader.ReaderError) -> str:
    return f"character #x{error.character:04x}" if isinstance(error.character, int) else "a byte"


def _unshared(value: Any) -> Any:
    """A copy in which an alias is a value of its own, so that an override changes one place only."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value
