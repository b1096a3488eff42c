"""A sweep from begin to end: points resolved, run or taken from the store, and what came of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError, did_you_mean
from sim.load import ScenarioFile
from sim.runs import Executor, Outcome, Run, Store, run_all
from sim.runs.keys import content_key
from sim.sweep.points import Design, Point, check_axes, count_of, points_of
from sim.sweep.space import Axis, Settings, parse_axis, read_points

if TYPE_CHECKING:
    from sim.scenario import Scenario

__all__ = ["Answer", "Plan", "Progress", "Sweep", "number_at", "swept"]

_MOST_LOOKED_AT = 2_000
"""Options of all axes together that are held against the scenario as it is, one by one."""


@dataclass(frozen=True)
class Plan:
    """What a sweep is asked to do."""

    vary: tuple[str, ...] = ()
    """Keys with their values, `KEY=A,B,C` or `KEY=LOW:HIGH:STEP`."""
    points: Path | None = None
    """A file of points, each of which is combined with what is varied."""
    design: Design = "grid"
    """Every combination, or each key alone beside the scenario as it is."""
    overrides: tuple[str, ...] = ()
    """Changes to the scenario, as of --set; with them it is the scenario as it is."""
    figures: tuple[str, ...] = ()
    """Figures to tell of by their dotted names; the usual ones where empty."""

    def axes(self) -> list[Axis]:
        """What is varied.

        Raises:
            InputError: for what cannot be read, and where that is nothing, or too much.
        """
        axes = [] if self.points is None else [read_points(self.points)]
        axes += [parse_axis(text) for text in self.vary]
        check_axes(axes, self.design)
        return axes


class Progress(NamedTuple):
    """How far a sweep is."""

    points: int
    """To be done in all."""
    done: int
    """Of them."""
    kept: int
    """Of those, the ones done before and taken from the store."""
    fresh: int
    """Those run now."""
    refused: int
    """Those that have no figures."""


class Answer(NamedTuple):
    """What came of a point."""

    point: Point
    key: str
    """What stands for its run; empty where it was refused before."""
    seed: int
    names: tuple[str, ...]
    values: NDArray[np.float64]
    """Figures by name and replication [F, R]."""
    refused: str | None
    is_failed: bool

    def series(self, figure: str) -> NDArray[np.float64]:
        """A figure by replication [R]; empty where there is none."""
        return self.values[self.names.index(figure)] if figure in self.names else np.empty(0)


@dataclass
class Sweep:
    """A sweep, and what it has come to."""

    scenario: str
    """Its name."""
    seed: int
    replications: int
    plan: Plan
    axes: list[Axis]
    base: list[int | None]
    """The option of each axis that leaves the scenario as it is; None where no option does."""
    standing: list[float | None]
    """The number that each key has in the scenario as it is; None where it is none, or not there."""
    answers: list[Answer] = field(default_factory=list)
    """In the order of the points; where the sweep was interrupted, of those that are done."""
    kept: int = 0
    fresh: int = 0
    is_interrupted: bool = False
    wall_s: float = 0.0

    @property
    def points(self) -> int:
        """How many points it has."""
        return count_of(self.axes, self.plan.design)

    def figures(self) -> tuple[str, ...]:
        """Names of all figures there are."""
        return tuple(dict.fromkeys(name for answer in self.answers for name in answer.names))


def swept(
    source: Path | str,
    plan: Plan,
    executor: Executor,
    *,
    store: Store | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Sweep:
    """Run all points of a sweep that the store does not hold yet.

    Replication r of a point is that of `nightshift simulate`: all points meet the same requests with the same luck.
    The result hangs on scenario, plan and seed alone, wherever it is run. A point that the scenario does not allow is
    refused, and the sweep goes on. An interrupt ends it, and what is done by then is given.

    Raises:
        InputError: for a plan that makes no sweep, a scenario that cannot be read, a figure that is none.
    """
    begun_s = perf_counter()
    file, axes = ScenarioFile(source), plan.axes()
    sweep = _begun(file, plan, axes)
    work = _Work(file, sweep)
    try:
        with executor:
            for run in run_all(work.scenarios(), executor, store):
                work.note(run)
                if progress is not None:
                    progress(Progress(sweep.points, len(work.answers), sweep.kept, sweep.fresh, work.refused))
    except KeyboardInterrupt:
        sweep.is_interrupted = True
    sweep.answers = [work.answers[place] for place in sorted(work.answers)]
    sweep.wall_s = perf_counter() - begun_s
    return sweep


def _begun(file: ScenarioFile, plan: Plan, axes: list[Axis]) -> Sweep:
    as_it_is, unknown = _scenario(file, plan, {}), [None] * len(axes)
    if not isinstance(as_it_is, Outcome):
        base = _base(file, plan, axes, content_key(as_it_is))
        standing = [number_at(as_it_is, axis.name) for axis in axes]
        return Sweep(as_it_is.name, as_it_is.seed, as_it_is.replications, plan, axes, base, standing)
    if plan.design == "one-at-a-time":
        # Told in full by the scenario itself.
        file.scenario(plan.overrides)
    first = _scenario(file, plan, next(points_of(axes, plan.design)).settings)
    if isinstance(first, Outcome):
        return Sweep(file.path.stem, 0, 0, plan, axes, [*unknown], [*unknown])
    return Sweep(first.name, first.seed, first.replications, plan, axes, [*unknown], [*unknown])


def _base(file: ScenarioFile, plan: Plan, axes: list[Axis], key: str) -> list[int | None]:
    if sum(len(axis.options) for axis in axes) > _MOST_LOOKED_AT:
        return [None] * len(axes)

    def is_base(settings: Settings) -> bool:
        scenario = _scenario(file, plan, settings)
        return not isinstance(scenario, Outcome) and content_key(scenario) == key

    return [next((n for n, option in enumerate(axis.options) if is_base(option.settings)), None) for axis in axes]


def number_at(scenario: Scenario, key: str) -> float | None:
    """The number that a key has in a scenario; None where it has none."""
    node: Any = scenario.model_dump(mode="json", by_alias=True)
    for step in key.split("."):
        if isinstance(node, list):
            named = {str(item.get("name")): item for item in node if isinstance(item, dict)}
            node = named.get(step, node[int(step)] if step.isdecimal() and int(step) < len(node) else None)
        else:
            node = node.get(step) if isinstance(node, dict) else None
    return float(node) if isinstance(node, int | float) and not isinstance(node, bool) else None


def _scenario(file: ScenarioFile, plan: Plan, settings: Settings) -> Scenario | Outcome:
    """The scenario of a point; its outcome where it is refused."""
    try:
        return file.scenario([*plan.overrides, *(f"{key}={value}" for key, value in settings.items())])
    except InputError as error:
        return Outcome({}, str(error))


class _Work:
    """Points on their way."""

    def __init__(self, file: ScenarioFile, sweep: Sweep) -> None:
        self._file, self._sweep = file, sweep
        self.answers: dict[int, Answer] = {}
        self.refused = 0
        self._asked: dict[int, tuple[Point, int]] = {}
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def scenarios(self) -> Iterator[Scenario | Outcome]:
        """Those of all points, in order."""
        sweep = self._sweep
        for point in points_of(sweep.axes, sweep.plan.design):
            scenario = _scenario(self._file, sweep.plan, point.settings)
            seed = sweep.seed if isinstance(scenario, Outcome) else scenario.seed
            self._asked[point.number] = point, seed
            yield scenario

    def note(self, run: Run) -> None:
        """What came of a point."""
        point, seed = self._asked.pop(run.place)
        figures, refused, is_failed = run.outcome
        names = self._names.setdefault(tuple(figures), tuple(figures))
        if names and not self.answers:
            _check_figures(self._sweep.plan.figures, names)
        values = np.array([*figures.values()], dtype=np.float64)
        self.answers[run.place] = Answer(point, run.key, seed, names, values, refused, is_failed)
        self.refused += refused is not None
        self._sweep.kept += run.is_kept
        self._sweep.fresh += bool(run.key) and not run.is_kept


def _check_figures(asked: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in asked:
        if name not in known:
            raise InputError(name, "is no figure of this scenario", did_you_mean(name, known))
