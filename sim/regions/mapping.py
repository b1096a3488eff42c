"""All ways at all points of a grid, side by side on the cores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.load import load_scenario
from sim.regions.grid import Grid, Point, check_grid, turned
from sim.regions.judge import Cost, Judged, judge, judged_json
from sim.regions.trial import Trial, run_trial
from sim.regions.verdict import verdict
from sim.regions.ways import Way, ways_of
from sim.scenario import Scenario

__all__ = ["Plan", "judged_points", "made_map", "values_of"]


@dataclass(frozen=True)
class Plan:
    """What is tried where."""

    grid: Grid = field(default_factory=Grid)
    overrides: tuple[str, ...] = ()
    """Changes to the scenario, as of --set."""
    replications: int = 5
    prepared: str | None = None
    """Strategy on prepared contexts; the one that thinks least where left out."""
    cost: Cost = "use"


def made_map(
    source: Path | str,
    plan: Plan,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The map of a scenario as JSON holds it: axes, ways, the verdict in sentences, and every point.

    Raises:
        InputError: for a scenario or a grid that does not allow it.
    """
    begun_s = time.perf_counter()
    scenario = load_scenario(source, plan.overrides)
    values = values_of(scenario)
    points = judged_points(source, plan, workers=workers, progress=progress)
    per = "question" if values else "right answer"
    streams = [stream.name for stream in scenario.workload]
    return {
        "scenario": scenario.name,
        "seed": scenario.seed,
        "replications": plan.replications,
        "cost": plan.cost,
        "per": per,
        "usd_per_correct": values and dict(zip(streams, values, strict=True)),
        "axes": plan.grid.axes(),
        "off_peak": plan.grid.off_peak,
        "ways": [way._asdict() for way in ways_of(scenario, plan.prepared)],
        "verdict": verdict(points, per=per),
        "points": [judged_json(point) for point in points],
        "speed": {"wall_s": time.perf_counter() - begun_s},
    }


def judged_points(
    source: Path | str,
    plan: Plan,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Judged]:
    """Every point of the grid judged, in order.

    All ways meet the same questions at a point, and each question keeps its luck, so that differences are paired. Load
    is set by the way that takes most work, which first runs find. `progress` is told how many runs are done, of how
    many.

    Raises:
        InputError: for a scenario or a grid that does not allow it.
    """
    scenario = load_scenario(source, plan.overrides)
    check_grid(scenario, plan.grid)
    ways = ways_of(scenario, plan.prepared)
    _compile()
    factors = _rate_factors(source, scenario, plan, ways, workers)
    wanted = [(point, way) for point in plan.grid.points() for way in ways]
    tried = list(dict.fromkeys(_tried(plan.grid, point, way) for point, way in wanted))
    jobs = ((source, _changes(scenario, plan, point, factors[point]), way, plan.replications) for point, way in tried)
    trials: dict[tuple[Point, Way], Trial] = {}
    for done, (key, trial) in enumerate(zip(tried, _side_by_side(jobs, workers), strict=True), 1):
        trials[key] = trial
        if progress is not None:
            progress(done, len(tried))

    def of(point: Point, way: Way) -> Trial:
        there, _ = key = _tried(plan.grid, point, way)
        return trials[key].repriced((there.price_ratio or 1.0) / (point.price_ratio or 1.0))

    values = values_of(scenario)
    return [
        judge(point, factors[point], {way: of(point, way) for way in ways}, values, plan.cost)
        for point in plan.grid.points()
    ]


def _tried(grid: Grid, point: Point, way: Way) -> tuple[Point, Way]:
    """Where a way is tried for a point: prices change what is prepared and when, but no answer without preparing."""
    if way.prepares or point.price_ratio is None:
        return point, way
    return point._replace(price_ratio=grid.price_ratio[0]), way


def _changes(scenario: Scenario, plan: Plan, point: Point, factor: float = 1.0) -> list[str]:
    return [*plan.overrides, *turned(scenario, plan.grid, point, factor)]


def values_of(scenario: Scenario) -> list[float] | None:
    """What a right answer of each stream is worth; nothing where some stream does not say."""
    values = [stream.usd_per_correct for stream in scenario.workload]
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


def _rate_factors(
    source: Path | str, scenario: Scenario, plan: Plan, ways: Sequence[Way], workers: int | None
) -> dict[Point, float]:
    """Factors on arrivals that give each point its load: work follows requests, and only their contexts change it."""
    points = list(plan.grid.points())
    if not plan.grid.load:
        return dict.fromkeys(points, 1.0)
    plain = [way for way in ways if not way.prepares]
    probes = list(dict.fromkeys(Point(point.queries, None, None, None) for point in points))
    jobs = ((source, _changes(scenario, plan, probe), way, 1) for probe in probes for way in plain)
    shares = iter([trial.work_share for trial in _side_by_side(jobs, workers)])
    heaviest = {probe.queries: max([next(shares) for _ in plain]) for probe in probes}
    if not all(heaviest.values()):
        rule = "answers nothing, so that its load is not known"
        raise InputError(scenario.name, rule, "raise the arrivals or the horizon")
    return {point: (point.load or 0.0) / heaviest[point.queries] for point in points}


def _side_by_side(jobs: Iterable[tuple[Path | str, list[str], Way, int]], workers: int | None) -> Iterator[Trial]:
    """Trials in the order of the jobs, each run in a process of its own."""
    from joblib import Parallel, delayed

    if workers == 1:
        yield from (run_trial(*job) for job in jobs)
    else:
        found = Parallel(n_jobs=workers or -1, return_as="generator")(delayed(run_trial)(*job) for job in jobs)
        yield from found


def _compile() -> None:
    """Here, so that the processes find the compiled engine on disk."""
    from sim.engine.warm import compile_engine
    from sim.simulation import tell_of_compiling

    compile_engine(tell_of_compiling)
