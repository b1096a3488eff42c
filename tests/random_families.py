"""Random small worlds of strategies, contexts and sleep work; a world says which of these are in it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from math import inf, nan

from hypothesis import strategies as st

from sim.engine import state
from sim.engine.specs import ApiSpec, PoolSpec, StageSpec, StepSpec, StrategySpec, StreamSpec
from tests.oracle_contexts import Preparation
from tests.oracle_families import NO_LIMIT, Job, Score
from tests.random_worlds import GRAINS, apis, limited_pools, pools, scripts, streams, ticks
from tests.two_roads import CLIENT_API_LUCK, CLIENT_LUCK, Clients, World

__all__ = ["FEATURES", "family_worlds"]

FEATURES = ("branches", "stages", "stops", "cascades", "contexts", "sleep", "prepared", "clients", "apis", "faults")
"""`branches`: several in a stage; `stages`: several in a step; `stops`: stages that do not wait for all branches;
`cascades`: several steps; `contexts`: prompts that share beginnings; `sleep`: work of the lowest class;
`prepared`: contexts that sleep work prepares; `clients` in closed loops; `apis`; `faults` as in `fault_worlds`."""

BALANCERS = (state.ROUND_ROBIN, state.LEAST_OUTSTANDING, state.POWER_OF_TWO, state.PREFIX_AFFINITY)


@st.composite
def family_worlds(
    draw: st.DrawFn, features: Collection[str] = FEATURES, *, every: bool = False, drained: bool = False
) -> World:
    """A world with some of the features, or with `every` one; `drained`: it runs to the end, with all replicas open."""
    has = set(features) if every else {feature for feature in features if draw(st.booleans())}
    grain = draw(st.sampled_from(GRAINS))
    some = draw(_pools(grain, has))
    patience = [draw(streams(grain)) if "faults" in has else StreamSpec() for _ in range(draw(st.integers(1, 2)))]
    strategies = [draw(_strategies(has)) for _ in range(draw(st.integers(1, 3)))]
    contexts = draw(_contexts()) if has & {"contexts", "prepared"} else []
    preparations = draw(_preparations(grain, contexts, len(strategies))) if "prepared" in has else []
    if preparations:
        patience.append(StreamSpec(resend_lost=draw(st.booleans())))
        strategies += [StrategySpec(), StrategySpec((StageSpec(per_group=draw(st.integers(2, 3)), sigma=0.5),))]
    asking = len(patience) - bool(preparations)
    ways = len(strategies) - 2 * bool(preparations)
    script = draw(scripts(grain, some, drained)) if "faults" in has else []
    script += [(draw(ticks(grain, 0, 20_000)), "prepare", n, 0.0) for n in range(len(preparations))]
    jobs = draw(_arrivals(grain, has, contexts, asking, strategies[:ways]))
    loops = draw(st.lists(_clients(grain, has, asking, strategies[:ways]), max_size=2)) if "clients" in has else []
    return World(
        some,
        jobs,
        loops,
        draw(st.sampled_from(BALANCERS)),
        inf if drained else draw(st.one_of(st.just(inf), st.floats(0.01, 4.0))),
        grain > 0,
        patience,
        [[draw(_targets(strategy, len(some))) for strategy in strategies] for _ in patience],
        sorted(script, key=lambda event: event[0]),
        strategies,
        preparations,
        draw(st.sampled_from([0, 1, 3, 16])),
    )


@st.composite
def _pools(draw: st.DrawFn, grain: int, has: set[str]) -> list[PoolSpec | ApiSpec]:
    kind = limited_pools if "faults" in has else pools
    some: list[PoolSpec | ApiSpec] = []
    for _ in range(draw(st.integers(1, 2))):
        capacity = draw(st.sampled_from([160, 256, 400, 640, 100_000]))
        slowdown = draw(st.sampled_from([0.0, 0.125, 0.5, 2.0]))
        step_tokens = draw(st.sampled_from([1, 8, 24, NO_LIMIT]))
        pool = replace(draw(kind(grain)), kv_capacity_tokens=capacity, prefix_cache=draw(st.integers(0, 4)) > 0)
        some.append(replace(pool, sleep_slowdown=slowdown, sleep_step_tokens=step_tokens))
    if "apis" in has:
        some.append(draw(apis(grain)))
    return some


@st.composite
def _targets(draw: st.DrawFn, strategy: StrategySpec, some: int) -> list[list[int]]:
    """Pools for every stage, often those of the stage before."""
    lists: list[list[int]] = []
    for _ in strategy.stages:
        anew = not lists or draw(st.integers(0, 3)) == 0
        lists.append(draw(st.permutations(range(some)))[: draw(st.integers(1, some))] if anew else lists[-1])
    return lists


@st.composite
def _strategies(draw: st.DrawFn, has: set[str]) -> StrategySpec:
    """One step, or some in a cascade. A stage that others go on from waits for all of its branches."""
    steps = draw(st.integers(2, 3)) if "cascades" in has and draw(st.booleans()) else 1
    stages: list[StageSpec] = []
    for step in range(steps):
        rows = draw(st.integers(1, 3)) if "stages" in has else 1
        first = len(stages)
        for _ in range(rows):
            stages.append(draw(_stages(has, step, stages[first:])))
            if stages[-1].extends:
                stages[-2] = replace(stages[-2], wait_for=NO_LIMIT, agree=0)
    return StrategySpec(tuple(stages), tuple(draw(_steps()) for _ in range(steps)))


@st.composite
def _stages(draw: st.DrawFn, has: set[str], step: int, before: list[StageSpec]) -> StageSpec:
    extends = bool(before) and draw(st.integers(0, 3)) > 0
    groups = draw(st.integers(1, before[-1].branches)) if extends else 1
    per_group = 1
    if "branches" in has:
        groups = groups if extends else draw(st.sampled_from([1, 1, 1, 2, 3]))
        groups = min(groups, 5)
        per_group = draw(st.integers(1, max(6 // groups, 1)))
    stops = "stops" in has
    return StageSpec(
        step=step,
        groups=groups,
        per_group=per_group,
        extends=extends,
        apart=extends and draw(st.integers(0, 3)) == 0,
        prompt_tokens=draw(st.sampled_from([0, 0, 5, 20])),
        tokens_factor=draw(st.sampled_from([0.5, 1.0, 1.5])),
        sigma=draw(st.sampled_from([0.0, 0.35, 1.0])),
        most_tokens=draw(st.sampled_from([4, 30, NO_LIMIT, NO_LIMIT])),
        wait_for=draw(st.integers(1, groups * per_group)) if stops and draw(st.booleans()) else NO_LIMIT,
        agree=draw(st.integers(1, 3)) if stops and draw(st.booleans()) else 0,
    )


@st.composite
def _steps(draw: st.DrawFn) -> StepSpec:
    return StepSpec(
        vote=draw(st.booleans()),
        wrong_answers=draw(st.integers(1, 4)),
        skew=draw(st.sampled_from([1.0, 2.0])),
        blank_share=draw(st.sampled_from([0.0, 0.3])),
        agreement_below=draw(st.sampled_from([0.0, 0.6, 1.0])),
    )


@st.composite
def _contexts(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Number and tokens of a context; the same number may come with other tokens, as another version."""
    return [(draw(st.integers(0, 2)), draw(st.integers(1, 80))) for _ in range(draw(st.integers(1, 4)))]


@st.composite
def _arrivals(
    draw: st.DrawFn, grain: int, has: set[str], contexts: list[tuple[int, int]], asking: int, ways: list[StrategySpec]
) -> list[Job]:
    gaps = ticks(grain, 0, draw(st.sampled_from([100, 1000, 3000, 9000])))
    classes = st.sampled_from([0, 0, 1, 2, 2] if "sleep" in has else [0, 0, 0, 1])
    arrival_s, jobs = 0.0, []
    for _ in range(draw(st.integers(1, 20))):
        arrival_s += draw(gaps)
        strategy, luck = draw(st.integers(0, len(ways) - 1)), draw(st.floats(0, 0.999))
        job = Job(
            arrival_s,
            draw(st.integers(1, 60)),
            draw(st.integers(1, 40)),
            draw(classes),
            luck,
            (2.0 * luck - 1.0, 0.5 - luck),
            draw(st.integers(0, asking - 1)),
            strategy,
            draw(_keys),
            scores=draw(_scores(ways[strategy])),
        )
        if contexts and draw(st.integers(0, 4)):
            draw(_ask(job, contexts))
        jobs.append(job)
    return jobs


_keys = st.integers(0, (1 << 63) - 1)


@st.composite
def _ask(draw: st.DrawFn, job: Job, contexts: list[tuple[int, int]]) -> None:
    """Have a request be about a context: a document that it begins with, a conversation that goes on, or anything."""
    kind = draw(st.sampled_from(["document", "document", "conversation", "any"]))
    version = draw(st.integers(0, len(contexts) - 1))
    number, tokens = contexts[version]
    job.context = (number, version)
    job.prompt_tokens += tokens
    job.prefix_tokens = tokens
    job.keep_tokens = {"document": tokens, "conversation": job.prompt_tokens + job.output_tokens}.get(kind, 0)
    if kind == "any":
        job.prefix_tokens = draw(st.integers(0, job.prompt_tokens))
        job.keep_tokens = draw(st.integers(0, job.prompt_tokens + job.output_tokens))


@st.composite
def _scores(draw: st.DrawFn, strategy: StrategySpec) -> tuple[list[Score], list[Score]]:
    """What is known of every step, without and with a prepared context."""
    known = draw(st.integers(0, 4)) > 0

    def score() -> Score:
        p = draw(st.floats(0.0, 1.0)) if known else nan
        return Score(draw(st.integers(1, 40)), p, draw(st.floats(0.0, 1.0)) if known else nan, draw(st.booleans()))

    return [score() for _ in strategy.steps], [score() for _ in strategy.steps]


@st.composite
def _clients(draw: st.DrawFn, grain: int, has: set[str], asking: int, ways: list[StrategySpec]) -> Clients:
    priority, stream = draw(st.integers(0, 2 if "sleep" in has else 1)), draw(st.integers(0, asking - 1))
    think_time_s = draw(st.just(0.0) | ticks(grain, 1, 2000))
    jobs = []
    for _ in range(draw(st.integers(1, 8))):
        lengths = draw(st.integers(1, 60)), draw(st.integers(1, 40))
        strategy = draw(st.integers(0, len(ways) - 1))
        job = Job(0.0, *lengths, priority, CLIENT_LUCK, CLIENT_API_LUCK, stream, strategy, draw(_keys))
        jobs.append(replace(job, scores=draw(_scores(ways[strategy]))))
    return Clients(draw(st.integers(1, 3)), think_time_s, jobs, stream, priority)


@st.composite
def _preparations(draw: st.DrawFn, grain: int, contexts: list[tuple[int, int]], ways: int) -> list[Preparation]:
    works = []
    for _ in range(draw(st.integers(1, 6))):
        version = draw(st.integers(0, len(contexts) - 1))
        work = Preparation(
            context=contexts[version][0],
            version=version,
            prompt_tokens=contexts[version][1],
            output_tokens=draw(st.integers(1, 40)),
            notes_tokens=draw(st.integers(0, 20)),
            lasts_s=draw(st.just(inf) | ticks(grain, 1, 20_000)),
            strategy=ways + draw(st.integers(0, 1)),
            key=draw(_keys),
        )
        works.append(work)
    return works
