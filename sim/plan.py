"""`plan(source, request)`: what to buy for which hours, and the policy to run it by, so that a promise is kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.load import load_scenario
from sim.planning.search.aim import Aim, Goal
from sim.planning.search.analysis import Analysis, Start, analysed
from sim.planning.search.baselines import Baselines, Result, baselines_json
from sim.planning.search.confirm import Confirmed, confirmed
from sim.planning.search.document import (
    blocks_json,
    by_hour_json,
    known,
    options_json,
    pareto_json,
    plan_json,
    pools_json,
    runner_up_json,
    targets_json,
    verified_json,
)
from sim.planning.search.judge import Judged, Promise, misses, promise_of
from sim.planning.search.moves import raised
from sim.planning.search.notes import notes_of_result, notes_of_scenario
from sim.planning.search.options import policy_options
from sim.planning.search.point import Point, Space
from sim.planning.search.proof import proof_text
from sim.planning.search.request import PlanRequest, Progress
from sim.planning.search.search import Found, Search
from sim.planning.search.simulated import HOURS_PER_MONTH, tasks_side_by_side
from sim.planning.search.trials import Runner, Trial, Trials, seed_of, seeds_of
from sim.planning.search.worth import analytic_front, binding_json, shadow_json, year_json
from sim.scenario.planning import Targets

__all__ = ["plan", "planned"]


def plan(
    source: Path | str,
    request: PlanRequest | None = None,
    *,
    progress: Progress | None = None,
    runner: Runner = tasks_side_by_side,
) -> dict[str, Any]:
    """The plan of a scenario as JSON holds it.

    An analytic answer comes first and is told to `progress`; the simulator then confirms it, mends it and looks for
    better ones near it. The best is run on a seed that the search has not seen, beside the runner-up and what one
    would buy without a plan. The same scenario, request and seed give the same plan, whatever `workers`. An interrupt
    ends the search, and the best so far is given back. `runner` stands in for the simulator.

    Raises:
        InputError: for a faulty scenario or request, where there is nothing to buy, and where no plan is found that
            keeps the promise.
    """
    return planned(source, request, progress=progress, runner=runner)[0]


def planned(
    source: Path | str,
    request: PlanRequest | None = None,
    *,
    progress: Progress | None = None,
    runner: Runner = tasks_side_by_side,
) -> tuple[dict[str, Any], Trials | None]:
    """The plan as `plan` gives it, and all that was tried; None where nothing was."""
    asked = request or PlanRequest()
    asked.check()
    making = _Plan(source, asked, progress or Progress(), runner)
    making.begin()
    return making.document(), making.trials


_FIRST_FRESH = 3
"""Replications on the fresh seed of what does not keep its promise there: enough for an interval."""


@dataclass
class _Plan:
    """A plan in the making."""

    source: Path | str
    request: PlanRequest
    progress: Progress
    runner: Runner
    trials: Trials | None = None
    all_trials: list[Trials] = field(default_factory=list)

    def begin(self) -> None:
        """Read the scenario and find the analytic answer."""
        self.begun_s = time.perf_counter()
        self.overrides, self.goal = _asked(self.source, self.request)
        self.scenario = load_scenario(self.source, self.overrides)
        vary = [] if self.scenario.plan is None else self.scenario.plan.vary
        options, self.notes = policy_options(self.source, self.overrides, vary)
        targets = Targets() if self.scenario.plan is None else self.scenario.plan.targets
        self.promise = promise_of(targets, slo_is_promised=self._promises_slo(targets))
        self.budget_usd = targets.budget_usd_per_month
        self.analysis: Analysis = analysed(options)
        _check_something_to_buy(self.analysis)
        self.notes += notes_of_scenario(self.scenario, self.analysis)
        self.effort = self.request.effort_asked
        self.search = Search(
            self.analysis, self._trials(self.scenario.seed), Aim(self.goal), self.effort, self.budget_usd
        )
        self.search.starts = {n: self.analysis.start(n) for n in range(len(options))}

    def _promises_slo(self, targets: Targets) -> bool:
        """For goodput, what is in time is what counts: a share is promised only where one is asked for."""
        return self.goal != "goodput" or "slo" in targets.model_fields_set

    def _year(self, plan: Trial, start: Start) -> dict[str, Any] | None:
        if not self.request.year:
            return None
        self.progress.tell("looking at the months ahead")
        return year_json(self.analysis, plan, start, self.scenario, self.promise.risk)

    def _baselines(self, plan: Trial) -> list[Result]:
        """What one would buy without a plan; as far as they got, where they were interrupted."""
        effort = self.effort._replace(options=2, patience=4, most_requests=self.effort.most_requests / 6.0)
        seed = self.scenario.seed
        fresh = seed_of(seed, "confirmation")

        def trials(space: Space, is_fresh: bool) -> Trials:
            found = self._trials(fresh, self.effort.fresh, space) if is_fresh else self._trials(seed, None, space)
            found.most_requests = effort.most_requests
            # The budget is the plan's; what others cost is told beside it.
            found.promise = found.service
            return found

        made: list[Result] = []
        try:
            # What came before an interrupt stays in the list.
            made.extend(Baselines(self.analysis, effort, trials, self.progress.tell).of(plan))
        except KeyboardInterrupt:
            self.notes.append("The comparison with other purchases was interrupted.")
        return made

    def _trials(self, seed: int, replications: int | None = None, space: Space | None = None) -> Trials:
        made = Trials(
            space or self.analysis.space,
            self.promise,
            seeds_of(seed, replications or self.effort.replications),
            1 if replications is None else _FIRST_FRESH,
            self.request.workers,
            self.runner,
            self.effort.most_requests,
            self.effort.most_runs,
        )
        self.all_trials.append(made)
        return made

    def document(self) -> dict[str, Any]:
        """The whole of it; only the analytic part where no more is asked for."""
        first = self._analytic_document()
        self.progress.analytic(first)
        if self.request.analytic_only:
            return first
        self.trials = self.search.trials
        self.progress.tell("searching in the simulator")
        found = self.search.run()
        best = found.best
        if best is None:
            raise KeyboardInterrupt if found.is_interrupted else self._no_plan()
        if not best.keeps:
            raise _too_dear(best, self.promise)
        self.progress.tell("confirming on a fresh seed")
        self.fresh = self._trials(seed_of(self.scenario.seed, "confirmation"), self.effort.fresh)
        try:
            chosen = confirmed(found, self.analysis, self.trials, self.fresh)
        except KeyboardInterrupt:
            found = found._replace(is_interrupted=True)
            self.fresh = self.trials
            chosen = Confirmed(best, best)
            self.notes.append("The plan was not confirmed on a fresh seed: its figures are those of the search.")
        return first | self._confirmed_document(found, chosen)

    def _analytic_document(self) -> dict[str, Any]:
        analysis, space = self.analysis, self.analysis.space
        option = self.search.promising()[0]
        start = self.search.starts[option]
        self.binding = binding_json(analysis, option, start)
        point = space.nearest(option, start.replicas)
        document: dict[str, Any] = {
            "scenario": self.scenario.name,
            "seed": self.scenario.seed,
            "goal": self.goal,
            "hours_per_month": HOURS_PER_MONTH,
            "risk": self.promise.risk,
            "targets": targets_json(self.promise),
            "blocks": blocks_json(space, analysis.mean_rps().tolist()),
            "options": options_json(analysis, self.search.starts, None),
            "analytic": {
                "monthly_usd": start.usd_per_month,
                "bound_usd": start.bound_usd,
                "pools": pools_json(space, point, None),
                "policy": {"label": space.options[option].label},
                "settings": dict(space.options[option].settings),
                **_foreseen(analysis, point),
                "is_feasible": start.is_feasible,
                "wall_s": 0.0,
                "binding": self.binding,
            },
            "plan": None,
            "verified": None,
            "by_hour": [],
            "shadow_prices": {},
            "binding": self.binding,
            "runner_up": None,
            "pareto": [],
            "baselines": [],
            "year": None,
            "proof": None,
            "notes": self.notes,
            "interrupted": False,
        }
        self.analytic_s = time.perf_counter() - self.begun_s
        document["analytic"]["wall_s"] = self.analytic_s
        return document | {"speed": {"wall_s": self.analytic_s, "simulations": 0, "analytic_s": self.analytic_s}}

    def _confirmed_document(self, found: Found, chosen: Confirmed) -> dict[str, Any]:
        assert self.trials is not None
        space, point, judged = self.analysis.space, chosen.fresh.point, chosen.fresh.judged
        other = self._runner_up(found, chosen)
        start = self.search.starts[point.option]
        baselines = [] if found.is_interrupted else self._baselines(chosen.fresh)
        return {
            "options": options_json(self.analysis, self.search.starts, self.trials),
            "plan": plan_json(space, point, judged),
            "verified": verified_json(judged, self.promise, seed=self.fresh.seeds[0], keeps=chosen.fresh.keeps),
            "by_hour": by_hour_json(space, point, self.analysis.hourly_usd(point.option)),
            "runner_up": None if other is None else runner_up_json(space, other, chosen, self.promise),
            "shadow_prices": shadow_json(self.analysis, point.option, start),
            "binding": binding_json(self.analysis, point.option, start),
            "pareto": [*pareto_json(self.trials), *analytic_front(self.analysis, self.search.starts)],
            "baselines": baselines_json(baselines, judged),
            "year": self._year(chosen.fresh, start),
            "proof": found.proof._asdict() | {"text": self._proof_text(found)},
            "notes": [*self.notes, *notes_of_result(found, chosen)],
            "interrupted": found.is_interrupted,
            "speed": {
                "wall_s": time.perf_counter() - self.begun_s,
                "simulations": sum(each.runs for each in self.all_trials),
                "requests": sum(each.requests for each in self.all_trials),
                "analytic_s": self.analytic_s,
            },
        }

    def _proof_text(self, found: Found) -> str:
        assert found.best is not None
        bound_usd = min(start.bound_usd for start in self.search.starts.values())
        usd = found.best.judged.mean("usd_per_month")
        return proof_text(found.proof, usd=usd, bound_usd=bound_usd, is_interrupted=found.is_interrupted)

    def _runner_up(self, found: Found, chosen: Confirmed) -> Confirmed | None:
        """The best that keeps its promise with another policy or other pools; else the next best; else the nearest."""
        others = [trial for trial in found.kept if trial.point != chosen.fresh.point]
        apart = [trial for trial in others if _shape(trial) != _shape(chosen.fresh)]
        picked = next(iter([*apart, *others]), None) or self._nearest(chosen.fresh)
        if found.is_interrupted:
            return None if picked is None else Confirmed(picked, picked)
        point = next(self._dearer(chosen.fresh.point), None) if picked is None else picked.point
        return None if point is None else Confirmed(picked, self.fresh.of([point])[0])

    def _dearer(self, point: Point) -> Iterator[Point]:
        """Points with a replica more, the cheapest first."""
        more = list(raised(self.analysis.space, point))
        yield from (more[index] for index in np.argsort(self.analysis.least_usd(more), kind="stable").tolist())

    def _nearest(self, but: Trial | None = None) -> Trial | None:
        """The trial that breaks its promise with the least chance."""
        assert self.trials is not None
        broken = [
            t
            for t in self.trials.known.values()
            if not t.keeps and not t.judged.refused and t.point != (but and but.point)
        ]
        return min(
            broken, key=lambda t: (max(misses(t.judged, self.promise).values(), default=0.0), t.point), default=None
        )

    def _no_plan(self) -> InputError:
        assert self.trials is not None
        nearest = self._nearest()
        if nearest is None:
            reasons = [trial.judged.refused for trial in self.trials.known.values() if trial.judged.refused]
            told = reasons[0] if reasons else "nothing was tried"
            return InputError(self.scenario.name, f"has no plan that can be run ({told})", "give it more to buy")
        return InputError(
            _targets_told(self.promise),
            f"is kept by none of the {len(self.trials.known)} plans tried; {_told(nearest.judged, self.promise)}",
            "ask for less, or let more be bought",
        )


def _asked(source: Path | str, request: PlanRequest) -> tuple[tuple[str, ...], Goal]:
    """All changes to the scenario, and the goal."""
    overrides = request.asked()
    if request.goal is not None:
        return overrides, request.goal
    scenario = load_scenario(source, overrides)
    has_goal = scenario.plan is not None and "goal" in scenario.plan.model_fields_set
    if has_goal or request.budget_usd_per_month is None:
        return overrides, "cheapest" if scenario.plan is None else scenario.plan.goal
    goal: Goal = "accuracy" if any(stream.questions is not None for stream in scenario.workload) else "goodput"
    return (*overrides, f"plan.goal={goal}"), goal


def _foreseen(analysis: Analysis, point: Point) -> dict[str, float | None]:
    """What the analytic answer is expected to come to."""
    found = analysis.estimator.forecast(analysis.space.options[point.option].scenario, point.array())
    return {
        "slo_attainment": known(found.attainment),
        "accuracy": known(found.accuracy),
        "ttft_p99_s": known(found.ttft_p99_s),
        "e2e_p99_s": known(found.e2e_p99_s),
    }


def _check_something_to_buy(analysis: Analysis) -> None:
    if not any(choice.is_free and choice.most for choice in analysis.space.choices):
        raise InputError("plan.pools", "leaves nothing to buy", "let `most` of a pool be 1 or more")


def _too_dear(trial: Trial, promise: Promise) -> InputError:
    usd, limit = trial.judged.values("usd_per_month"), promise.limit("budget") or 0.0
    mean = float(np.mean(usd))
    told = (
        f"is less than the promise takes: the cheapest plan found that keeps the rest of it costs ${mean:,.0f} a month"
    )
    if mean <= limit:
        told += f", and more than the budget with a chance of {misses(trial.judged, promise)['budget']:.0%}"
    return InputError(f"a budget of ${limit:,.0f}", told, f"raise it to ${max(usd) * 1.05:,.0f}, or promise less")


def _shape(trial: Trial) -> tuple[Any, ...]:
    return trial.point.option, tuple(any(row) for row in trial.point.replicas)


def _targets_told(promise: Promise) -> str:
    return ", ".join(f"{each.name} {each.limit:g}" for each in promise.targets) or "the promise"


def _told(judged: Judged, promise: Promise) -> str:
    chances = misses(judged, promise)
    worst = max(promise.targets, key=lambda target: chances[target.name])
    place = f"the nearest, at ${judged.mean('usd_per_month'):,.0f} a month, has {worst.name}"
    chance = f"misses it with a chance of {chances[worst.name]:.0%}"
    return f"{place} {judged.mean(worst.figure):.4g} against {worst.limit:g} and {chance}"
