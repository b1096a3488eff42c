"""Points of a front on fresh seeds, held against the scenario as it is, run by run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from sim.runs import Outcome
from sim.stats import Estimate, estimate, paired_difference
from sim.tune.front import Setting, Tried, front_of
from sim.tune.objectives import ATTAINMENT, OBJECTIVES, Objective

__all__ = ["AS_IS", "Confirmed", "chosen_point", "confirmed_json", "shifts"]

AS_IS: Setting = {}
"""The scenario as it is: nothing is changed."""


class Confirmed(NamedTuple):
    """A setting on the seed of the search and on a fresh one."""

    setting: Setting
    searched: Outcome
    fresh: Outcome


def confirmed_json(
    confirmed: Sequence[Confirmed], objectives: Sequence[Objective], slo: float | None
) -> list[dict[str, Any]]:
    """The points as JSON has them, the scenario as it is first, numbered from 0.

    `difference` is from the scenario as it is, paired run by run; `verdict` says whether it is better or worse beyond
    chance. `on_front` is whether no other of them is better on the fresh seed.
    """
    if not confirmed:
        return []
    losses = [tuple(each.sign * _mean(point.fresh, each) for each in objectives) for point in confirmed]
    tried = [Tried({"point": n}, mine, _excess(confirmed[n], slo)) for n, mine in enumerate(losses)]
    front = {each.setting["point"] for each in front_of(tried)}
    return [
        {"point": n, **_point(point, confirmed[0], objectives, slo), "on_front": n in front}
        for n, point in enumerate(confirmed)
    ]


def _point(point: Confirmed, as_is: Confirmed, objectives: Sequence[Objective], slo: float | None) -> dict[str, Any]:
    searched, fresh, difference, verdict = {}, {}, {}, {}
    for each in objectives:
        searched[each.name] = _known(_mean(point.searched, each))
        fresh[each.name] = _spelled(estimate(list(_values(point.fresh, each))))
        apart = paired_difference(list(_values(point.fresh, each)), list(_values(as_is.fresh, each)))
        difference[each.name] = _spelled(apart)
        verdict[each.name] = _verdict(apart, each)
    told = {"settings": point.setting, "searched": searched, "fresh": fresh}
    if slo is not None:
        told["attainment"] = _spelled(estimate(list(_values(point.fresh, OBJECTIVES[ATTAINMENT]))))
        told["meets_slo"] = _excess(point, slo) <= 0.0
    return told | {"difference": difference, "verdict": verdict}


def _verdict(apart: Estimate, objective: Objective) -> str:
    """Better, worse, or open where the interval holds zero; the same where nothing hangs on chance."""
    if apart.low == apart.high == 0.0:
        return "same"
    low, high = sorted((objective.sign * apart.low, objective.sign * apart.high))
    return "better" if high < 0.0 else "worse" if low > 0.0 else "open"


def chosen_point(points: Sequence[dict[str, Any]], objectives: Sequence[Objective], slo: float | None) -> int | None:
    """The point to take where nobody chooses: the best in the first objective of those that are worse in none.

    Only points that meet the constraint count; where the scenario as it is misses it, they may be worse than it is.
    None where the scenario is best left as it is, or nothing was confirmed.
    """
    if len(points) < 2:
        return None
    first, as_is, others = objectives[0], points[0], points[1:]
    if slo is not None:
        others = [point for point in others if point["meets_slo"]]
    if slo is None or as_is["meets_slo"]:
        others = [point for point in others if "worse" not in point["verdict"].values()]
        others = [point for point in others if "better" in point["verdict"].values()]
    known = [point for point in others if point["fresh"][first.name]["mean"] is not None]
    if not known:
        return None
    return int(min(known, key=lambda point: first.sign * point["fresh"][first.name]["mean"])["point"])


def shifts(confirmed: Sequence[Confirmed], objectives: Sequence[Objective]) -> dict[str, float | None]:
    """By how much the points' differences from the scenario as it is were better in the search than on the fresh seed.

    The best of many noisy figures is partly lucky, so that a shift above zero is to be expected. Mean over points.
    """
    found: dict[str, float | None] = {}
    for each in objectives:
        lost = [
            each.sign * (_apart(p.fresh, a.fresh, each) - _apart(p.searched, a.searched, each))
            for a in confirmed[:1]
            for p in confirmed[1:]
        ]
        found[each.name] = _known(float(np.mean(lost))) if lost else None
    return found


def _apart(outcome: Outcome, base: Outcome, objective: Objective) -> float:
    return _mean(outcome, objective) - _mean(base, objective)


def _values(outcome: Outcome, objective: Objective) -> Sequence[float]:
    return outcome.figures.get(objective.figure, ())


def _mean(outcome: Outcome, objective: Objective) -> float:
    values = _values(outcome, objective)
    return float(np.mean(values)) if len(values) else float("nan")


def _excess(point: Confirmed, slo: float | None) -> float:
    if slo is None:
        return 0.0
    met = _mean(point.fresh, OBJECTIVES[ATTAINMENT])
    return max(slo - met, 0.0) if np.isfinite(met) else 1.0


def _spelled(found: Estimate) -> dict[str, float | None]:
    return {name: _known(value) for name, value in found._asdict().items()}


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
