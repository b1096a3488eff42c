"""`compared(asked)`: two scenarios on the same streams, their differences, and where those come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from sim.comparison.accuracy import accuracy_waterfall, answers_of
from sim.comparison.bill import bill_of
from sim.comparison.changed import changed_keys
from sim.comparison.cost import cost_split, cost_waterfall, line_changes
from sim.comparison.figures import compared_figures, figures_of
from sim.comparison.hours import costs_by_hour
from sim.comparison.objectives import attainment_waterfall, missed_shares
from sim.comparison.pairing import Common, common_to
from sim.comparison.runs import Side, run_all
from sim.comparison.sides import Asked, Sides, sides_of
from sim.comparison.stages import stages_between, told_stages
from sim.comparison.words import sentences
from sim.scenario import Scenario
from sim.simulation import Progress
from sim.tally import COUNTS

__all__ = ["compared"]


def compared(asked: Asked, *, progress: Callable[[Progress], None] | None = None) -> tuple[dict[str, Any], Sides]:
    """What `nightshift compare --json` prints, and the two scenarios as they were run.

    Raises:
        InputError: for what `asked` names and cannot be used.
    """
    pair = sides_of(asked)
    common = common_to(pair.a, pair.b)
    stages = stages_between(pair.a, pair.b) if asked.by_change else []
    sides, wall_s = run_all([pair.a, *(stage.scenario for stage in stages[:-1]), pair.b], progress)
    found = _compared(sides[0], sides[-1], common) | {"by_change": told_stages(stages, sides)}
    found["notes"] = [*pair.notes, *common.notes, *found["notes"]]
    offered = sum(int(run.tally.streams[:, COUNTS.index("offered")].sum()) for side in sides for run in side.runs)
    found["speed"] = {"wall_s": wall_s, "requests_per_s": offered / wall_s}
    return {"answer": sentences(found), **found}, pair


def _compared(a: Side, b: Side, common: Common) -> dict[str, Any]:
    mine, others = (
        [figures_of(side.scenario, run, list(_places(side.scenario, common).values())) for run in side.runs]
        for side in (a, b)
    )
    figures = compared_figures(mine, others, totals=common.same_horizon)
    changes = [
        line_changes(
            *(bill_of(side.scenario, side.simulation.fleet, run) for side, run in zip((a, b), runs, strict=True))
        )
        for runs in zip(a.runs, b.runs, strict=True)
    ]
    return {
        "a": _told_side(a),
        "b": _told_side(b),
        "replications": len(a.runs),
        "changed": changed_keys(a.scenario, b.scenario),
        "objectives": any(_has_objectives(side.scenario) for side in (a, b)),
        "figures": figures,
        "waterfall": {
            "cost": cost_waterfall(changes, split=common.same_streams),
            "slo": _slo(a, b, common),
            "accuracy": _accuracy(a, b, common),
        },
        "cost_split": cost_split(changes) if common.same_streams else None,
        "hourly": costs_by_hour(a.runs, b.runs, max(a.scenario.bucket, b.scenario.bucket)),
        "notes": [*_warnings(a, b), *_gain(figures, common)],
    }


def _told_side(side: Side) -> dict[str, Any]:
    return {"scenario": side.scenario.name, "seed": side.scenario.seed}


def _places(scenario: Scenario, common: Common) -> dict[str, int]:
    """Where the streams that are compared stand in a scenario; all of them where none is common."""
    places = {stream.name: place for place, stream in enumerate(scenario.workload)}
    return {name: places[name] for name in common.streams} or places


def _has_objectives(scenario: Scenario) -> bool:
    return any(
        limit is not None
        for stream in scenario.workload
        for limit in (stream.slo.ttft, stream.slo.tpot, stream.slo.e2e)
    )


def _slo(a: Side, b: Side, common: Common) -> list[dict[str, Any]]:
    if not common.streams:
        return []
    mine, others = ([missed_shares(run.tally, _places(side.scenario, common)) for run in side.runs] for side in (a, b))
    return attainment_waterfall(mine, others)


def _accuracy(a: Side, b: Side, common: Common) -> list[dict[str, Any]]:
    if not common.streams:
        return []
    mine, others = (
        [answers_of(run.tally, _places(side.scenario, common), _strategies(side)) for run in side.runs]
        for side in (a, b)
    )
    return accuracy_waterfall(mine, others)


def _strategies(side: Side) -> list[str]:
    return [strategy.name for strategy in side.simulation.fleet.strategies]


def _warnings(a: Side, b: Side) -> list[str]:
    told = {name: side.simulation.warnings(side.runs) for name, side in (("A", a), ("B", b))}
    both = [warning for warning in told["A"] if warning in told["B"]]
    alone = [f"{name}: {text}" for name, texts in told.items() for text in texts if text not in both]
    return [*both, *alone]


def _gain(figures: Mapping[str, Mapping[str, Any]], common: Common) -> Sequence[str]:
    """How much pairing narrows the intervals, in a sentence."""
    gains = [figure["pairing_gain"] for figure in figures.values() if figure["pairing_gain"] is not None]
    if not gains or not common.same_requests:
        return []
    return [
        "Both sides meet the same requests in every replication, which makes the interval of a difference "
        f"{median(gains):.1f} times narrower than that of independent runs would be (the median over the figures)."
    ]
