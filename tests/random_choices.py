"""Random small worlds whose requests have options: which strategy each gets is chosen when it comes."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from typing import Any

from hypothesis import strategies as st

from sim.engine import state
from sim.engine.specs import PoolSpec, RouteSpec, StrategySpec
from tests.oracle_families import Job, Option, Score
from tests.random_families import family_worlds
from tests.random_worlds import fault_worlds, ticks
from tests.two_roads import Clients, World

__all__ = ["choice_worlds"]

_RULES = (state.BY_UTILITY, state.BY_UTILITY, state.BY_DIFFICULTY, state.BY_GAIN, state.BY_BANDIT, state.BY_BANDIT)
_chances = st.floats(0.0, 1.0)


@st.composite
def choice_worlds(draw: st.DrawFn, *, drained: bool = False) -> World:
    """A world of faults, or of branches and contexts, with options for requests, budgets and prices that change."""
    world = _with_two_ways(draw, draw(st.one_of(fault_worlds(drained=drained), family_worlds(drained=drained))))
    asking = len(world.streams) - bool(world.preparations)
    ways = len(world.strategies) - 2 * bool(world.preparations)
    rows = [_row(draw, world.strategies) for _ in range(draw(st.integers(1, 5)))]
    jobs = [_undecided(draw, job, rows) for job in world.jobs]
    clients = [_undecided_clients(draw, each, rows) for each in world.clients]
    routes = [_route(draw, ways) for _ in range(asking)]
    routes += [RouteSpec()] * (len(world.streams) - asking)
    script = [*world.script, *_changes(draw, world, asking)]
    return replace(
        world,
        jobs=jobs,
        clients=clients,
        routes=routes,
        one_corpus=draw(st.booleans()),
        script=sorted(script, key=lambda event: event[0]),
    )


def _with_two_ways(draw: st.DrawFn, world: World) -> World:
    """A world in which there is something to choose: where there is one strategy, another plain one on some pools."""
    ways = len(world.strategies) - 2 * bool(world.preparations)
    if ways > 1:
        return world
    everywhere = st.permutations(range(len(world.pools)))
    targets = [list(by_strategy) for by_strategy in world.all_targets]
    for by_strategy in targets:
        by_strategy.insert(ways, [draw(everywhere)[: draw(st.integers(1, len(world.pools)))]])
    return replace(
        world,
        strategies=[*world.strategies[:ways], StrategySpec(), *world.strategies[ways:]],
        targets=targets,
        preparations=[replace(work, strategy=work.strategy + 1) for work in world.preparations],
    )


def _undecided(draw: st.DrawFn, job: Job, rows: list[list[Option]]) -> Job:
    options, key = draw(st.sampled_from(rows)), draw(st.integers(0, (1 << 63) - 1))
    return replace(job, options=options, key=key, strategy=0, scores=None, attempts=[])


def _undecided_clients(draw: st.DrawFn, clients: Clients, rows: list[list[Option]]) -> Clients:
    return replace(clients, jobs=[_undecided(draw, job, rows) for job in clients.jobs])


def _row(draw: st.DrawFn, strategies: list[StrategySpec]) -> list[Option]:
    """What is expected, rightly or wrongly, and what comes of a question with each strategy."""
    known = draw(st.integers(0, 4)) > 0
    return [_option(draw, strategy, known) for strategy in strategies]


def _option(draw: st.DrawFn, strategy: StrategySpec, known: bool) -> Option:
    def estimates() -> tuple[float, ...]:
        tokens = draw(st.floats(1.0, 300.0))
        p = draw(_chances) if known else nan
        return p, tokens, tokens * draw(_chances), draw(st.floats(0.0, 1.5))

    def score() -> Score:
        p = draw(_chances) if known else nan
        return Score(draw(st.integers(1, 40)), p, draw(_chances) if known else nan, draw(st.booleans()))

    scores = [score() for _ in strategy.steps], [score() for _ in strategy.steps]
    return Option((estimates(), estimates()), scores)


def _route(draw: st.DrawFn, ways: int) -> RouteSpec:
    everyone = st.permutations(range(ways))
    objective: Any = st.none() | st.just(inf) | ticks(0, 50, 20_000)
    return RouteSpec(
        rule=draw(st.sampled_from(_RULES)),
        strategies=draw(everyone)[: draw(st.integers(1, ways))] if draw(st.integers(0, 3)) == 0 else None,
        value_usd=draw(st.sampled_from([0.0, 0.3, 3.0, 30.0])),
        lateness_usd=draw(st.sampled_from([None, 0.0, 1.0, 10.0])),
        e2e_slo_s=draw(objective),
        mu=draw(st.floats(1.0, 5.0)),
        price=draw(st.booleans()),
        load=draw(st.integers(0, 3)) > 0,
        cheap=draw(st.integers(0, ways - 1)),
        strong=draw(st.integers(0, ways - 1)),
        threshold=draw(st.floats(-0.2, 1.0)),
        feedback=draw(st.sampled_from([0.0, 0.5, 1.0])),
    )


def _changes(draw: st.DrawFn, world: World, asking: int) -> list[tuple[float, str, int, float]]:
    """Budgets that bind more or less, and prices that change, at any time."""
    grain = 1 if world.exact_ties else 0
    priced = [p for p, pool in enumerate(world.pools) if isinstance(pool, PoolSpec) and pool.windows > 1]
    changes = []
    for _ in range(draw(st.integers(0, 3))):
        at_s = draw(ticks(grain, 0, 12_000))
        changes.append((at_s, "mu", draw(st.integers(0, asking - 1)), draw(st.floats(1.0, 50.0))))
    for _ in range(draw(st.integers(0, 2)) if priced else 0):
        at_s = draw(ticks(grain, 0, 12_000))
        changes.append((at_s, "price", draw(st.sampled_from(priced)), draw(st.floats(0.1, 10.0))))
    return changes
