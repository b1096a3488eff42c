"""What must hold between the parts of a scenario: names refer to what exists, and a run comes to an end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from sim.errors import did_you_mean
from sim.scenario.api import ApiPool
from sim.scenario.autoscale import PredictiveAutoscale
from sim.scenario.contexts import CurveQuestions, TableQuestions
from sim.scenario.demand import Closed, TraceArrivals
from sim.scenario.part import Refusal
from sim.scenario.quantities import format_duration
from sim.scenario.reach import may_work
from sim.scenario.routers import FileRouter, LookingRouter, WeighingRouter
from sim.scenario.strategies import CascadeStrategy, DirectStrategy
from sim.scenario.supply import GpuPool
from sim.scenario.ways import AlwaysRouter, RandomRouter

if TYPE_CHECKING:
    from sim.scenario import Scenario

__all__ = ["contradictions", "streams_of"]


_DIRECT = DirectStrategy(name="direct")
_SLEEP = "sleep"


def contradictions(scenario: Scenario) -> list[Refusal]:
    """Everything in which the parts of a scenario contradict each other."""
    return [
        *_clock_refusals(scenario),
        *_name_refusals(scenario),
        *_reference_refusals(scenario),
        *_forecast_refusals(scenario),
        *_sleep_refusals(scenario),
        *_plan_refusals(scenario),
    ]


def streams_of(scenario: Scenario, pool: GpuPool | ApiPool) -> list[int]:
    """Streams of the workload that a pool may serve."""
    # A cascade works through its steps, which are strategies of the scenario too.
    strategies = [each for each in scenario.strategies if not isinstance(each, CascadeStrategy)] or [_DIRECT]
    return [
        index
        for index, stream in enumerate(scenario.workload)
        if any(may_work(stream, strategy, pool) for strategy in strategies)
    ]


def _clock_refusals(scenario: Scenario) -> Iterator[Refusal]:
    horizon, warm_up = scenario.horizon, scenario.warm_up
    endless = [stream.name for stream in scenario.workload if not stream.finite]
    if horizon is None and endless:
        remedy = f"add `horizon: 24h`; stream '{endless[0]}' has no end (a trace has, or closed with `requests`)"
        yield Refusal(("horizon",), "horizon", "is missing", remedy)
    if horizon is not None and warm_up >= horizon:
        rule = f"must be shorter than the horizon ({format_duration(horizon)})"
        yield Refusal(("warm_up",), format_duration(warm_up), rule, "shorten it, or lengthen the horizon")


def _name_refusals(scenario: Scenario) -> Iterator[Refusal]:
    yield from _repeats("workload", [stream.name for stream in scenario.workload])
    yield from _repeats("fleet", [pool.name for pool in scenario.fleet])
    yield from _repeats("strategies", [strategy.name for strategy in scenario.strategies])
    yield from _repeats("training", [training.name for training in scenario.training])


def _repeats(key: str, names: list[str]) -> Iterator[Refusal]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Refusal((key, index, "name"), name, "is given twice", "give each its own name")


def _reference_refusals(scenario: Scenario) -> Iterator[Refusal]:
    pools = [pool.name for pool in scenario.fleet]
    served = sorted({pool.model for pool in scenario.fleet})
    for index, stream in enumerate(scenario.workload):
        named = [] if stream.model is None else [stream.model]
        yield from _strangers(("workload", index, "model"), named, served, "is served by no pool")
        ways = [strategy.name for strategy in scenario.strategies]
        own = [] if stream.strategy is None else [stream.strategy]
        yield from _strangers(("workload", index, "strategy"), own, ways, "is no strategy of the scenario")
        for place, name in enumerate(stream.pools or []):
            yield from _strangers(("workload", index, "pools", place), [name], pools, "is no pool of the fleet")
    yield from _place_refusals(scenario, pools, served)
    yield from _cascade_refusals(scenario)
    yield from _training_refusals(scenario)
    if len(served) > 1 and not _strategies_say_where(scenario):
        yield from _unsaid_models(scenario, served)
    yield from _router_refusals(scenario)


def _place_refusals(scenario: Scenario, pools: list[str], served: list[str]) -> Iterator[Refusal]:
    known = {"pool": pools, "model": served, "verifier_pool": pools, "verifier_model": served}
    rules = {"pool": "is no pool of the fleet", "model": "is served by no pool"}
    for index, strategy in enumerate(scenario.strategies):
        for key, names in known.items():
            named = getattr(strategy, key, None)
            rule = rules[key.removeprefix("verifier_")]
            yield from _strangers(("strategies", index, key), [named] if named else [], names, rule)


def _cascade_refusals(scenario: Scenario) -> Iterator[Refusal]:
    cascades = [each.name for each in scenario.strategies if isinstance(each, CascadeStrategy)]
    known = [each.name for each in scenario.strategies if each.name not in cascades]
    for index, strategy in enumerate(scenario.strategies):
        steps = strategy.steps if isinstance(strategy, CascadeStrategy) else []
        for place, name in enumerate(steps):
            path = ("strategies", index, "steps", place)
            if name in cascades:
                yield Refusal(path, name, "is a cascade", "name the strategies it is made of")
            elif name in steps[:place]:
                yield Refusal(path, name, "is given twice", "leave it out: it would give the same answer")
            else:
                yield from _strangers(path, [name], known, "is no strategy of the scenario")


def _training_refusals(scenario: Scenario) -> Iterator[Refusal]:
    known = [each.name for each in scenario.strategies if not isinstance(each, CascadeStrategy)]
    for index, training in enumerate(scenario.training):
        for place, name in enumerate(training.strategies):
            path = ("training", index, "strategies", place)
            yield from _strangers(path, [name], known, "is no strategy of the scenario that does work of its own")


def _sleep_refusals(scenario: Scenario) -> Iterator[Refusal]:
    sleep = scenario.sleep
    if sleep is None:
        return
    for key in ("workload", "strategies"):
        for index, named in enumerate(getattr(scenario, key)):
            if named.name == _SLEEP:
                rule = "is what sleep-time work is called in results"
                yield Refusal((key, index, "name"), named.name, rule, "choose another name")
    if not any(stream.has_contexts for stream in scenario.workload):
        rule, remedy = "has no contexts to prepare", "add `contexts` to a stream of the workload, or leave it out"
        yield Refusal(("sleep",), "sleep", rule, remedy)
    if sleep.prepare == "learned":
        yield from _learned_sleep_refusals(scenario)
    for place, name in enumerate(sleep.pools or []):
        known = [pool.name for pool in scenario.fleet]
        yield from _strangers(("sleep", "pools", place), [name], known, "is no pool of the fleet")
    if sleep.pools is None and not any(isinstance(pool, GpuPool) for pool in scenario.fleet):
        remedy = f"add it, such as [{scenario.fleet[0].name}]"
        yield Refusal(("sleep", "pools"), "pools", "is missing, and the fleet has no GPUs", remedy)


def _learned_sleep_refusals(scenario: Scenario) -> Iterator[Refusal]:
    """Whether a router file can tell which contexts are worth preparing."""
    place = ("sleep", "prepare")
    if not isinstance(scenario.router, FileRouter):
        remedy = "use a router with a `model`, or prepare by rank"
        yield Refusal(place, "learned", "needs a router file, and the router has none", remedy)
        return
    for stream in scenario.workload:
        if stream.has_contexts and not isinstance(stream.questions, TableQuestions):
            rule = f"needs questions with features, and those of stream '{stream.name}' are not of kind table"
            yield Refusal(place, "learned", rule, "use a table of measured outcomes, or prepare by rank")
        elif stream.has_contexts and isinstance(stream.arrivals, TraceArrivals):
            rule = f"cannot tell the contexts of the trace of stream '{stream.name}' before their questions"
            yield Refusal(place, "learned", rule, "prepare by rank")


def _strategies_say_where(scenario: Scenario) -> bool:
    placed = [each for each in scenario.strategies if not isinstance(each, CascadeStrategy)]
    return bool(placed) and all(each.pool or each.model for each in placed)


def _forecast_refusals(scenario: Scenario) -> Iterator[Refusal]:
    """Closed arrivals have no rate of their own that could be foreseen."""
    for index, pool in enumerate(scenario.fleet):
        if not isinstance(pool, GpuPool) or not isinstance(pool.autoscale, PredictiveAutoscale):
            continue
        streams = [scenario.workload[stream] for stream in streams_of(scenario, pool)]
        for stream in streams:
            if isinstance(stream.arrivals, Closed):
                rule = f"cannot foresee stream '{stream.name}', whose arrivals are closed"
                yield Refusal(("fleet", index, "autoscale", "kind"), "predictive", rule, "use busy or queue")


def _unsaid_models(scenario: Scenario, served: list[str]) -> Iterator[Refusal]:
    for index, stream in enumerate(scenario.workload):
        if stream.model is None and stream.pools is None:
            rule = f"is missing, and the pools serve different models ({', '.join(served)})"
            remedy = "name one, or the stream's `pools`, or give each strategy a pool or model"
            yield Refusal(("workload", index, "model"), "model", rule, remedy)


def _router_refusals(scenario: Scenario) -> Iterator[Refusal]:
    router, names = scenario.router, [strategy.name for strategy in scenario.strategies]
    if router is not None and not names:
        yield Refusal(("router",), "router", "has no strategies to choose from", "add `strategies`")
        return
    named: dict[tuple[str, ...], str] = {}
    if isinstance(router, AlwaysRouter):
        named = {("strategy",): router.strategy}
    elif isinstance(router, RandomRouter):
        named = {("weights", name): name for name in router.weights}
    elif isinstance(router, FileRouter):
        named = {("labels", name): name for name in router.labels}
        named |= {(key,): getattr(router, key) for key in ("cheap", "strong") if hasattr(router, key)}
    for place, name in named.items():
        yield from _strangers(("router", *place), [name], names, "is no strategy of the scenario")
    if isinstance(router, LookingRouter):
        yield from _looking_refusals(scenario, router)


def _looking_refusals(scenario: Scenario, router: LookingRouter) -> Iterator[Refusal]:
    """What a router lacks that looks at requests."""
    routed = {index: stream for index, stream in enumerate(scenario.workload) if stream.strategy is None}
    for index, stream in routed.items():
        if stream.questions is None:
            rule = f"are missing, and the router of policy {router.policy} weighs chances of right answers"
            remedy = "add `questions`, or the stream's own `strategy`"
            yield Refusal(("workload", index, "questions"), "questions", rule, remedy)
        elif isinstance(router, FileRouter) and isinstance(stream.questions, CurveQuestions):
            rule = "of kind curves have no features that a router file could look at"
            remedy = "use a table of measured outcomes with features, or policy oracle or bandit"
            yield Refusal(("workload", index, "questions"), "questions", rule, remedy)
    if isinstance(router, WeighingRouter) and router.value_usd is None:
        for stream in routed.values():
            if stream.usd_per_correct is None:
                rule = f"is missing, and stream '{stream.name}' does not say what a right answer is worth"
                remedy = "add it, or the stream's `usd_per_correct`"
                yield Refusal(("router", "value_usd"), "value_usd", rule, remedy)


def _strangers(path: tuple[str | int, ...], named: Iterable[str], known: list[str], rule: str) -> Iterator[Refusal]:
    for name in named:
        if name not in known:
            yield Refusal(path, name, rule, did_you_mean(name, known))


def _plan_refusals(scenario: Scenario) -> Iterator[Refusal]:
    """A plan names pools and streams that exist, and asks for no accuracy where no quality is modelled."""
    if (plan := scenario.plan) is None:
        return
    pools, streams = ([each.name for each in group] for group in (scenario.fleet, scenario.workload))
    named = (("pools", plan.pools, pools), *((("targets", key), getattr(plan.targets, key), streams) for key in _OF))
    for key, given, known in named:
        place = key if isinstance(key, tuple) else (key,)
        for name in given:
            if name not in known:
                yield Refusal(("plan", *place, name), f"'{name}'", "does not exist", did_you_mean(name, known))
    asked = plan.targets.accuracy is not None or plan.targets.accuracy_of or plan.goal == "accuracy"
    if asked and all(stream.questions is None for stream in scenario.workload):
        rule = "cannot be kept, as no stream says how right its answers are"
        yield Refusal(("plan", "targets", "accuracy"), "accuracy", rule, "add `questions` to a stream, or leave it out")
    blocks = [block.name for block in plan.blocks]
    for index, name in enumerate(blocks):
        if name in blocks[:index]:
            yield Refusal(("plan", "blocks", index, "name"), name, "is given twice", "give each its own name")


_OF = ("slo_of", "accuracy_of")
