"""What one would buy without a plan: each sized by the same search to keep the same promise, then judged beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sim.errors import InputError
from sim.planning.search.aim import Aim
from sim.planning.search.analysis import Analysis
from sim.planning.search.confirm import confirmed
from sim.planning.search.document import difference_json, known, short_pools
from sim.planning.search.judge import Judged
from sim.planning.search.options import Option
from sim.planning.search.point import Kind, Point, Space, restricted
from sim.planning.search.realise import changed
from sim.planning.search.search import Effort, Search
from sim.planning.search.trials import Trial, Trials
from sim.scenario import BusyAutoscale, GpuPool, OnDemand, Scenario, ScheduleAutoscale
from sim.scenario.ways import AlwaysRouter
from sim.stats import estimate

__all__ = ["Baselines", "baselines_json"]

_TARGETS_BUSY = (0.7, 0.5)
"""Shares of work at which a pool that is scaled by the load is kept, the usual one first."""

NewTrials = Callable[[Space, bool], Trials]
"""Trials of a space: on the seed of the search, or on the fresh one."""


class Result(NamedTuple):
    """A baseline: what it came to on the fresh seed, or why there is none."""

    name: str
    space: Space | None = None
    fresh: Trial | None = None
    reason: str | None = None
    """Why it is left out; or what to know about it."""


@dataclass(frozen=True)
class Baselines:
    """How to find baselines."""

    analysis: Analysis
    """Of the plan's own space."""
    effort: Effort
    trials: NewTrials
    tell: Callable[[str], None]

    def of(self, plan: Trial) -> Iterator[Result]:
        """All of them, one after the other."""
        option = self.analysis.space.options[plan.point.option]
        yield self._sized("all on-demand, sized for the peak", option, ["on-demand"])
        yield self._sized("all reserved, sized for the peak", option, ["reserved"])
        yield self._autoscaled(option)
        yield from self._static(option, plan)

    def _sized(self, name: str, option: Option, kinds: Sequence[Kind], options: Sequence[Option] = ()) -> Result:
        """The cheapest fleet of these kinds that stays the same around the clock."""
        space = restricted(self.analysis.space, kinds=kinds, options=options or (option,))
        if not any(choice.is_free and choice.kind in kinds and choice.most for choice in space.choices):
            return Result(name, reason=f"the scenario offers no {' or '.join(kinds)} GPUs")
        return self._searched(name, _roomy(space, kinds))

    def _searched(self, name: str, space: Space) -> Result:
        self.tell(f"sizing for comparison: {name}")
        analysis = Analysis(space, self.analysis.estimator)
        searched, fresh = self.trials(space, False), self.trials(space, True)
        try:
            found = Search(analysis, searched, Aim("cheapest"), self.effort).run()
        except InputError as error:
            return Result(name, reason=str(error))
        if found.is_interrupted:
            raise KeyboardInterrupt
        if found.best is None:
            return Result(name, reason=_why_none(searched))
        return Result(name, space, confirmed(found, analysis, searched, fresh).fresh)

    def _autoscaled(self, option: Option) -> Result:
        name = "on-demand, scaled by the load"
        options = [Option(option.settings, _scaled(option.scenario, target)) for target in _TARGETS_BUSY]
        choices = [
            each._replace(by_block=False, least=min(each.least, each.most)) if each.kind == "on-demand" else each
            for each in self.analysis.space.choices
        ]
        space = Space(tuple(options), tuple(choices), self.analysis.space.blocks)
        own = Baselines(Analysis(space, self.analysis.estimator), self.effort, self.trials, self.tell)
        return own._sized(name, options[0], ["on-demand"], options)

    def _static(self, option: Option, plan: Trial) -> Iterator[Result]:
        """The planned fleet with every request on one strategy, for each of them that a router chose from."""
        scenario = option.scenario
        if scenario.router is None or isinstance(scenario.router, AlwaysRouter) or len(scenario.strategies) < 2:
            yield Result("the same fleet with a static policy", reason="the scenario has no router to hold it against")
            return
        for strategy in scenario.strategies:
            name = f"the same fleet, always {strategy.name}"
            self.tell(f"running for comparison: {name}")
            fixed = changed(scenario, router=AlwaysRouter(policy="always", strategy=strategy.name))
            space = Space((Option({}, fixed),), self.analysis.space.choices, self.analysis.space.blocks)
            trial = self.trials(space, True).of([Point(0, plan.point.replicas)])[0]
            yield Result(name, space, trial, trial.judged.refused)


def _roomy(space: Space, kinds: Sequence[Kind]) -> Space:
    """With room for all of the load in one pool, whatever the plan allows of it."""
    most = 2 * max((choice.most for choice in space.choices if choice.kind != "api"), default=1)
    choices = [
        choice._replace(most=max(choice.most, most))
        if choice.is_free and choice.kind in kinds and choice.most
        else choice
        for choice in space.choices
    ]
    return Space(space.options, tuple(choices), space.blocks)


def _scaled(scenario: Scenario, target: float) -> Scenario:
    """The scenario with every on-demand pool scaled by the load; those that already are stay as they are."""
    fleet = []
    for pool in scenario.fleet:
        if isinstance(pool, GpuPool) and isinstance(pool.offer, OnDemand) and _is_unscaled(pool):
            tick = 30.0 if pool.autoscale is None else pool.autoscale.tick
            scaling = BusyAutoscale(min=1, max=max(pool.most_replicas, 1), target_busy=target, start_up=pool.start_up_s)
            scaling = changed(scaling, tick=min(tick, 60.0))
            pool = changed(pool, autoscale=scaling, start_up=None, schedule=[], replicas=1)
        fleet.append(pool)
    return changed(scenario, fleet=fleet)


def _is_unscaled(pool: GpuPool) -> bool:
    return pool.autoscale is None or isinstance(pool.autoscale, ScheduleAutoscale)


def _why_none(trials: Trials) -> str:
    refused = [trial.judged.refused for trial in trials.known.values()]
    if refused and all(refused):
        return f"cannot be run: {refused[0]}"
    return f"no such fleet of {len(refused)} tried keeps the promise"


def baselines_json(results: Sequence[Result], plan: Judged) -> list[dict[str, Any]]:
    """As JSON holds them: cost, whether the promise is kept, and what the plan saves, paired by replication."""
    return [_json(result, plan) for result in results]


def _json(result: Result, plan: Judged) -> dict[str, Any]:
    empty = dict.fromkeys(("monthly_usd", "interval", "keeps_promise", "saving_usd", "saving_share"))
    told = {"name": result.name, **empty, "reason": result.reason}
    if result.fresh is None or result.space is None or result.fresh.judged.refused is not None:
        return told
    judged = result.fresh.judged
    usd = estimate(judged.values("usd_per_month"))
    saving = difference_json(judged, plan)
    mean = usd.mean or 1.0
    return told | {
        "monthly_usd": known(usd.mean),
        "interval": [known(usd.low), known(usd.high)],
        "keeps_promise": result.fresh.keeps,
        "saving_usd": saving,
        "saving_share": {key: None if value is None else value / mean for key, value in saving.items()},
        "slo_attainment": known(judged.mean("slo.attainment")),
        "accuracy": known(judged.mean("quality.accuracy")),
        "settings": dict(result.space.options[result.fresh.point.option].settings),
        "pools": short_pools(result.space, result.fresh.point),
    }
