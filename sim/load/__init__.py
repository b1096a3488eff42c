"""From a YAML file and overrides to a Scenario; everything that is wrong is told at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path

import yaml
from pydantic import ValidationError

from sim.errors import Fault, InputError, ScenarioError, did_you_mean, shown
from sim.load.overrides import apply_override
from sim.load.prices import PRICE_FILES, check_prices
from sim.load.spelling import check_keys
from sim.load.tree import Path as TreePath
from sim.load.tree import Tree
from sim.load.wording import note_complaints
from sim.load.yamlfile import read_tree
from sim.paths import data_path, scenario_path
from sim.scenario import Scenario

__all__ = ["ScenarioFile", "bundled_scenarios", "dump_scenario", "load_scenario"]


_FILES = (
    ("workload", "arrivals", "path"),
    ("workload", "arrivals", "tokens"),
    ("workload", "questions", "path"),
    ("fleet", "step_time", "path"),
    ("router", "model"),
)
"""Where a scenario may name a file, beside those of prices."""

_MODELS = (
    ("models",),
    ("fleet", "model"),
    ("workload", "model"),
    ("strategies", "model"),
    ("strategies", "verifier_model"),
)
"""Where a scenario may name a model of the catalogue."""

_CLASSES = (("workload", "questions", "class"), ("strategies", "class"), ("training", "class"))
"""Where a scenario may name a class of questions."""


def load_scenario(path: Path | str, overrides: Sequence[str] = ()) -> Scenario:
    """The scenario in a YAML file, or the bundled one of that name, with overrides like `fleet.0.replicas=4`.

    File names in the scenario count from its folder, those in an override from the current folder. Names of
    GPUs and models become the catalogue's. Prices are looked up, and held against the run.

    Raises:
        ScenarioError: with all faults at once, each with its line or override, path, value, rule and remedy.
    """
    return ScenarioFile(path).scenario(overrides)


class ScenarioFile:
    """A scenario file that is read once, for scenarios with one change or another."""

    def __init__(self, path: Path | str) -> None:
        """Read the file, or the bundled scenario of that name.

        Raises:
            ScenarioError: where it cannot be read, or is not YAML.
        """
        self.path = _find(path)
        self._tree = read_tree(_read(self.path), str(self.path))

    def scenario(self, overrides: Sequence[str] = ()) -> Scenario:
        """The scenario with overrides, as `load_scenario` gives it and refuses it."""
        tree = deepcopy(self._tree)
        for override in overrides:
            apply_override(tree, override)
        check_keys(tree, Scenario)
        _resolve_files(tree, self.path.parent)
        _resolve_names(tree)
        _check_traces(tree)
        _check_classes(tree)
        check_prices(tree)
        return _validated(tree)


def dump_scenario(scenario: Scenario) -> str:
    """The scenario as YAML with every default written out; it loads back to an equal scenario."""
    plain = scenario.model_dump(mode="json", exclude_none=True, by_alias=True)
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def bundled_scenarios() -> list[str]:
    """Names of the scenarios that travel with Nightshift."""
    return sorted(path.stem for path in scenario_path("any").parent.glob("*.yaml"))


def _find(path: Path | str) -> Path:
    file = Path(os.path.expanduser(path))
    bundled = scenario_path(file.name)
    if not file.exists() and file.parent == Path(".") and bundled.is_file():
        return bundled
    return file


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = did_you_mean(file.stem, bundled_scenarios())
        rule, remedy = "does not exist", f"give a scenario file or a bundled scenario, {near}"
    except OSError as error:
        rule, remedy = f"cannot be read: {error.strerror}", "give a scenario file that you may read"
    except ValueError:
        rule, remedy = "is not UTF-8 text", "give a scenario in YAML"
    raise ScenarioError([Fault("", "", str(file), rule, remedy)])


def _validated(tree: Tree) -> Scenario:
    try:
        scenario = Scenario.model_validate(tree.data)
    except ValidationError as error:
        note_complaints(tree, Scenario, error.errors(include_url=False))
    if tree.faults:
        raise ScenarioError(_in_order(tree.faults))
    return scenario


def _in_order(faults: list[Fault]) -> list[Fault]:
    """By line; where two checks meet at one value, the first to complain is heard."""
    first: dict[tuple[str, str, str], Fault] = {}
    for fault in faults:
        first.setdefault((fault.where, fault.path, shown(fault.value)), fault)
    return sorted(first.values(), key=_line)


def _line(fault: Fault) -> int:
    """Line in the file; overrides come after the file."""
    line = fault.where.rpartition(":")[2]
    return int(line) if line.isdecimal() and not fault.where.startswith("--") else 1 << 31


def _resolve_files(tree: Tree, folder: Path) -> None:
    """Make the names of files absolute, and note those that do not exist.

    One that begins with `data/` and is not there is one of those that travel with Nightshift.
    """
    for path in [path for place in (*_FILES, *PRICE_FILES) for path in _each(tree, *place)]:
        written, origin = tree.get(path), tree.origin(path)
        base = Path.cwd() if isinstance(origin, str) else folder
        file = os.path.abspath(base / os.path.expanduser(written))
        if not os.path.isfile(file):
            file = _bundled(written) or file
        tree.get(path[:-1])[path[-1]] = file
        if not os.path.isfile(file):
            tree.fault(path, written, f"is not a file ({file})", "give the path of an existing file")


def _bundled(written: str) -> str | None:
    """The file of our own data that a name such as data/lab/day.csv.gz means; None if there is none."""
    first, *others = Path(written).parts or ("",)
    file = data_path(*others)
    return str(file) if first == "data" and file.is_file() else None


def _resolve_names(tree: Tree) -> None:
    """Put the catalogue's names for GPUs and models; note those that neither it nor the scenario knows.

    An API may serve what the catalogue does not hold.
    """
    from sim.hardware import load_catalogue, normalised

    catalogue = load_catalogue()
    known = {tree.get(path) for path in _each(tree, "models", "name")}
    for path in _each(tree, "fleet", "model"):
        if tree.get((*path[:-1], "kind")) == "api" and normalised(tree.get(path)) not in catalogue.model_aliases:
            known.add(tree.get(path))
    for path in _each(tree, "fleet", "gpu"):
        _resolve(tree, path, lambda name: catalogue.gpu(name).name)
    for path in [path for place in _MODELS for path in _each(tree, *place)]:
        if tree.get(path) not in known:
            _resolve(tree, path, lambda name: catalogue.model(name).name)


def _check_traces(tree: Tree) -> None:
    """Note public traces that nobody knows, where their name is needed for the file or its format."""
    from sim.workload.registry import public_trace

    for path in _each(tree, "workload", "arrivals", "name"):
        arrivals = tree.get(path[:-1])
        if not (arrivals.get("path") and arrivals.get("format")):
            _resolve(tree, path, lambda name: public_trace(name).name)


def _check_classes(tree: Tree) -> None:
    """Note classes of questions that no curves are shipped for."""
    for place in _CLASSES:
        for path in _each(tree, *place):
            from sim.outcomes.curves import load_curves

            _resolve(tree, path, lambda name: load_curves(name).name)


def _resolve(tree: Tree, path: TreePath, canonical: Callable[[str], str]) -> None:
    try:
        tree.get(path[:-1])[path[-1]] = canonical(tree.get(path))
    except InputError as error:
        tree.fault(path, error.value, error.rule, error.remedy)


def _each(tree: Tree, section: str, *keys: str) -> list[TreePath]:
    """Paths of the texts at `section.INDEX.keys`, or `section.keys` where it is no list, as far as they are there."""
    items = tree.get((section,))
    paths = [(section, index, *keys) for index in range(len(items))] if isinstance(items, list) else [(section, *keys)]
    return [path for path in paths if isinstance(tree.get(path), str)]
