"""A search from begin to end: what is varied, the trials, the front, and its points confirmed on fresh seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.load import load_scenario
from sim.runs import Job, Outcome, Runner, Store, side_by_side
from sim.scenario import Scenario
from sim.streams import RandomStreams
from sim.tune.confirm import AS_IS, Confirmed, chosen_point, confirmed_json, shifts
from sim.tune.defaults import default_space, open_space
from sim.tune.fleets import HEADROOM, ROOM, fleet_in_words, fleet_of, fleet_runner, sizes_fleets
from sim.tune.front import Setting, Tried, front_of, spread
from sim.tune.objectives import ATTAINMENT, OBJECTIVES, Objective, chosen_objectives
from sim.tune.plan import Plan
from sim.tune.search import check_optuna, searched
from sim.tune.space import Dimension, as_override, parse_vary
from sim.tune.suits import suited
from sim.tune.words import told_notes, told_setting

__all__ = ["fresh_seed", "tuned"]

Progress = Callable[[int, int], None]
_LARGEST_SEED = 2**31


def tuned(
    source: Path | str,
    plan: Plan,
    *,
    workers: int | None = None,
    kept: Path | None = None,
    progress: Progress | None = None,
    runner: Runner | None = None,
) -> dict[str, Any]:
    """The best settings of a scenario as JSON holds them: objectives, trials, the front, and what was confirmed.

    All settings are tried on the scenario's own seed, so that they meet the same requests with the same luck. The front
    is then run on a seed that the search has not seen, beside the scenario as it is. The same scenario, plan and seed
    give the same result, whatever `workers`. Outcomes are kept in the folder `kept` as they come, and taken from it.
    An interrupt ends the search, and what is done by then is told. `runner` stands in for the simulator.

    Raises:
        InputError: for a scenario, a plan or a space that does not allow it, and where optuna is missing.
    """
    plan.check()
    check_optuna()
    scenario = load_scenario(source, plan.overrides)
    plan = _with_fleets(plan, scenario)
    objectives = chosen_objectives(plan.objectives, scenario, buys=bool(plan.fleet))
    if plan.slo is not None:
        chosen_objectives([ATTAINMENT], scenario)
    space = _space(source, scenario, plan)
    run = runner or _simulator(source, workers, kept, buys=bool(plan.fleet))
    search = _Search(scenario, plan, space, objectives, run, progress)
    try:
        search.run()
    except KeyboardInterrupt:
        search.is_interrupted = True
    document = search.document()
    if plan.fleet and runner is None:
        document["points"] = [point | {"fleet": _fleet(source, plan, point)} for point in document["points"]]
    return document


def fresh_seed(seed: int) -> int:
    """The seed on which a front is confirmed: another one than the search's, and always the same."""
    found = RandomStreams(seed, 0).word("tune/confirmation") % _LARGEST_SEED
    return found if found != seed else found + 1


def _fleet(source: Path | str, plan: Plan, point: dict[str, Any]) -> dict[str, Any]:
    """Servers of a point by pool."""
    changes = [as_override(key, value) for key, value in point["settings"].items()]
    return fleet_in_words(fleet_of(source, [*plan.overrides, *changes]))


def _with_fleets(plan: Plan, scenario: Scenario) -> Plan:
    """The plan, said whether fleets are sized; where they are, the promise of the scenario's plan is the constraint."""
    buys = sizes_fleets(scenario, plan.fleet)
    promised = scenario.plan.targets.slo if buys and scenario.plan is not None else None
    return replace(plan, fleet=buys, slo=promised if plan.slo is None else plan.slo)


def _space(source: Path | str, scenario: Scenario, plan: Plan) -> list[Dimension]:
    asked = [parse_vary(text) for text in plan.vary]
    keys = [dimension.key for dimension in asked]
    for key in keys:
        if keys.count(key) > 1:
            raise InputError(key, "is varied twice", "give it once")
    room = next((dimension for dimension in asked if dimension.key == HEADROOM), ROOM)
    if room in asked and not plan.fleet:
        raise InputError(HEADROOM, "is room of a fleet that is bought", "add --fleet, or vary other keys")
    own = [suited(source, plan.overrides, dimension) for dimension in asked if dimension.key != HEADROOM]
    if not plan.fleet:
        return own or default_space(scenario)
    return [*(own if asked else open_space(scenario)), room]


def _simulator(source: Path | str, workers: int | None, kept: Path | None, *, buys: bool) -> Runner:
    make = fleet_runner if buys else side_by_side
    return make(source, workers, None if kept is None else Store(kept))


@dataclass
class _Search:
    """A search under way, and what it has come to."""

    scenario: Scenario
    plan: Plan
    space: Sequence[Dimension]
    objectives: Sequence[Objective]
    runner: Runner
    progress: Progress | None
    outcomes: dict[tuple[Any, ...], Outcome] = field(default_factory=dict)
    """On the search's seed, by setting."""
    tried: list[Tried] = field(default_factory=list)
    confirmed: list[Confirmed] = field(default_factory=list)
    is_interrupted: bool = False
    done: int = 0

    def run(self) -> None:
        """Search, then confirm."""
        sampler_seed = RandomStreams(self.scenario.seed, 0).word("tune/search") % _LARGEST_SEED
        self.tried += self._judge([AS_IS])
        if why := self._outcome(AS_IS).refused:
            raise InputError(self.scenario.name, f"cannot be simulated as it is: {why}", "mend it first")
        for tried in searched(
            self.space,
            self._judge,
            trials=self.plan.trials,
            objectives=len(self.objectives),
            seed=sampler_seed,
        ):
            self.tried.append(tried)
        if not any(np.all(np.isfinite(each.losses)) for each in self.tried[1:]):
            reasons = [why for each in self.tried[1:] if (why := self._outcome(each.setting).refused)]
            rule = f"allows none of the settings tried ({reasons[0] if reasons else 'nothing was answered'})"
            raise InputError(self.scenario.name, rule, "vary other keys, or less")
        self._confirm()

    def _judge(self, settings: Sequence[Setting]) -> Iterator[Tried]:
        """What settings came to on the seed of the search."""
        jobs = [self._job(setting, self.scenario.seed, self.plan.replications) for setting in settings]
        for setting, outcome in zip(settings, self.runner(jobs), strict=True):
            self.outcomes[tuple(setting.items())] = outcome
            self._tell()
            yield self._tried(setting, outcome)

    def _job(self, setting: Setting, seed: int, replications: int) -> Job:
        changes = [as_override(key, value) for key, value in setting.items()]
        return Job((*self.plan.overrides, *changes), seed, replications)

    def _tried(self, setting: Setting, outcome: Outcome) -> Tried:
        losses = tuple(_loss(objective, outcome) for objective in self.objectives)
        return Tried(setting, losses, self._excess(outcome))

    def _excess(self, outcome: Outcome) -> float:
        if self.plan.slo is None or outcome.refused is not None:
            return 0.0
        met = _mean(outcome.figures[OBJECTIVES[ATTAINMENT].figure])
        return max(self.plan.slo - met, 0.0) if np.isfinite(met) else 1.0

    def _confirm(self) -> None:
        """Points of the front and the scenario as it is, on a seed that is new to all of them."""
        points = [point.setting for point in spread(self._front(), self.plan.most_points) if point.setting]
        seed = fresh_seed(self.scenario.seed)
        jobs = [self._job(setting, seed, self.plan.fresh) for setting in (AS_IS, *points)]
        for setting, outcome in zip((AS_IS, *points), self.runner(jobs), strict=True):
            if outcome.refused is not None:
                told = f"cannot be simulated on the fresh seed {seed}: {outcome.refused}"
                raise InputError(told_setting(setting), told, "give the scenario another seed")
            self._tell()
            self.confirmed.append(Confirmed(setting, self._outcome(setting), outcome))

    def _front(self) -> list[Tried]:
        return front_of(self.tried)

    def _outcome(self, setting: Setting) -> Outcome:
        return self.outcomes[tuple(setting.items())]

    def _tell(self) -> None:
        self.done += 1
        if self.progress is not None:
            most = 2 + self.plan.trials + self.plan.most_points
            self.progress(self.done, most)

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        points = confirmed_json(self.confirmed, self.objectives, self.plan.slo)
        front = [point.setting for point in self._front()]
        document: dict[str, Any] = {
            "scenario": self.scenario.name,
            "seed": self.scenario.seed,
            "fresh_seed": fresh_seed(self.scenario.seed),
            "replications": self.plan.replications,
            "fresh": self.plan.fresh,
            "overrides": list(self.plan.overrides),
            "vary": [str(dimension) for dimension in self.space],
            "objectives": [
                {"name": each.name, "figure": each.figure, "better": "more" if each.is_more_better else "less"}
                for each in self.objectives
            ],
            "slo": self.plan.slo,
            "fleet": bool(self.plan.fleet),
            "interrupted": self.is_interrupted,
            "as_is_on_front": AS_IS in front,
            "front": len(front),
            "points": points,
            "chosen": chosen_point(points, self.objectives, self.plan.slo),
            "shifts": shifts(self.confirmed, self.objectives),
            "trials": [self._trial_json(each, front) for each in self.tried],
        }
        return document | {"notes": told_notes(document, self.scenario)}

    def _trial_json(self, tried: Tried, front: Sequence[Setting]) -> dict[str, Any]:
        outcome = self._outcome(tried.setting)
        values = {each.name: None if outcome.refused else _known(_value(each, outcome)) for each in self.objectives}
        return {
            "settings": tried.setting,
            **values,
            "meets_slo": None if self.plan.slo is None or outcome.refused else tried.excess <= 0.0,
            "on_front": tried.setting in front,
            "refused": outcome.refused,
        }


def _value(objective: Objective, outcome: Outcome) -> float:
    return _mean(outcome.figures[objective.figure])


def _loss(objective: Objective, outcome: Outcome) -> float:
    """Infinite where there is none."""
    value = float("nan") if outcome.refused else objective.sign * _value(objective, outcome)
    return value if np.isfinite(value) else float("inf")


def _mean(values: Sequence[float]) -> float:
    """Of all replications; not finite where one of them is not."""
    return float(np.mean(values)) if len(values) else float("nan")


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
