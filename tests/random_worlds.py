"""Random small worlds."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
from hypothesis import strategies as st

from sim.engine import state
from sim.engine.specs import ApiSpec, PoolSpec, StrategySpec, StreamSpec
from sim.steptime.table import StepTime
from tests import oracle_fleet
from tests.oracle_families import NO_LIMIT, Job
from tests.two_roads import CLIENT_API_LUCK, CLIENT_LUCK, Clients, World

__all__ = [
    "GRAINS",
    "apis",
    "arrivals",
    "clients",
    "fault_worlds",
    "limited_pools",
    "pools",
    "scripts",
    "streams",
    "ticks",
    "worlds",
]

TICK_S = 2.0**-14
"""Times that are multiples of this are exact in both, so that ties are ties in both."""

GRAINS = (0, 1, 16, 64)
"""A world's times are multiples of so many ticks: the coarser, the more happens at once; 0: they are any numbers."""

BALANCERS = (state.ROUND_ROBIN, state.LEAST_OUTSTANDING, state.POWER_OF_TWO)


def ticks(grain: int, low: int, high: int) -> st.SearchStrategy[float]:
    """Seconds of about `low` to `high` ticks: whole grains, and at least one where `low` is not zero."""
    if not grain:
        return st.floats(low, high).map(lambda ticks: ticks * TICK_S)
    least = -(-low // grain)
    return st.integers(least, max(high // grain, least)).map(lambda grains: grains * grain * TICK_S)


@st.composite
def worlds(draw: st.DrawFn, *, drained: bool = False) -> World:
    """One or two pools of up to three replicas, up to 40 requests, often too little memory; `drained`: to the end."""
    grain = draw(st.sampled_from(GRAINS))
    some: list[PoolSpec | ApiSpec] = [draw(pools(grain)) for _ in range(draw(st.integers(1, 2)))]
    until_s = inf if drained else draw(st.one_of(st.just(inf), st.floats(0.01, 3.0)))
    balancer = draw(st.sampled_from(BALANCERS))
    loops = draw(st.lists(clients(grain), max_size=2))
    return World(some, draw(arrivals(grain)), loops, balancer, until_s, exact_ties=grain > 0)


@st.composite
def fault_worlds(draw: st.DrawFn, *, drained: bool = False) -> World:
    """Pools in tiers, with limits, and APIs; impatient clients; replicas that are lost, drained, held and opened.

    `drained`: to the end, at which every replica is open.
    """
    grain = draw(st.sampled_from(GRAINS))
    some: list[PoolSpec | ApiSpec] = [draw(limited_pools(grain)) for _ in range(draw(st.sampled_from([0, 1, 1, 2, 2])))]
    some += [draw(apis(grain)) for _ in range(draw(st.integers(0 if some else 1, 2)))]
    patience = [draw(streams(grain)) for _ in range(draw(st.integers(1, 2)))]
    everywhere, strategies = st.permutations(range(len(some))), draw(st.integers(1, 2))
    targets = [[[draw(everywhere)[: draw(st.integers(1, len(some)))]] for _ in range(strategies)] for _ in patience]
    until_s = inf if drained else draw(st.one_of(st.just(inf), st.floats(0.01, 4.0)))
    return World(
        some,
        draw(arrivals(grain, most=25, streams=len(patience), strategies=strategies)),
        draw(st.lists(clients(grain, streams=len(patience)), max_size=1)),
        draw(st.sampled_from(BALANCERS)),
        until_s,
        grain > 0,
        patience,
        targets,
        draw(scripts(grain, some, drained)),
        [StrategySpec()] * strategies,
    )


@st.composite
def scripts(draw: st.DrawFn, grain: int, some: list[PoolSpec | ApiSpec], drained: bool) -> list[oracle_fleet.Event]:
    """Control events in order of time, some at one time."""
    gpu = [r for p, r in _replicas(some) if isinstance(some[p], PoolSpec)]
    verbs = st.sampled_from(["drain", "open", "lose", "start", "hold", "cycle"] if gpu else ["rates"])
    pauses = st.just(0.0) | ticks(grain, 1, 9000)
    others = st.sampled_from(["price", "rates", "close_api"])
    cycle = [("drain", 0.0), ("hold", 1.0), ("start", 1.0), ("open", 0.0)]
    now_s, script = 0.0, []
    for _ in range(draw(st.integers(0, 12))):
        now_s += draw(pauses)
        verb = draw(verbs if draw(st.integers(0, 3)) else others)
        if verb == "cycle":
            r, times_s = draw(st.sampled_from(gpu)), [now_s, now_s]
            times_s += [now_s + draw(pauses) for _ in range(2)]
            script += [(at_s, verb, r, value) for at_s, (verb, value) in zip(sorted(times_s), cycle, strict=True)]
        elif verb in ("price", "rates", "close_api"):
            wanted = PoolSpec if verb == "price" else ApiSpec
            fit = [p for p, pool in enumerate(some) if isinstance(pool, wanted)]
            value = draw(st.floats(0.1, 10.0)) if verb == "price" else float(draw(st.integers(0, 1)))
            script += [(now_s, verb, draw(st.sampled_from(fit)), value)] if fit else []
        else:
            script.append((now_s, verb, draw(st.sampled_from(gpu)), float(draw(st.integers(0, 1)))))
    script.sort(key=lambda event: event[0])
    if drained:
        script += [(max(event[0] for event in [(0.0,), *script]) + 1.0, "open", r, 0.0) for r in gpu]
    return script


def _replicas(some: list[PoolSpec | ApiSpec]) -> list[tuple[int, int]]:
    """Pool and number of every replica, an API being one."""
    members = [p for p, pool in enumerate(some) for _ in range(pool.replicas if isinstance(pool, PoolSpec) else 1)]
    return [(p, r) for r, p in enumerate(members)]


@st.composite
def streams(draw: st.DrawFn, grain: int) -> StreamSpec:
    def seconds(low: int, high: int) -> float:
        return draw(ticks(grain, low, high))

    return StreamSpec(
        timeout_s=seconds(1, 12_000) if draw(st.booleans()) else inf,
        retries=draw(st.integers(0, 3)),
        backoff_s=seconds(0, 3000),
        backoff_factor=draw(st.sampled_from([1.0, 2.0]) if grain else st.floats(1.0, 3.0)),
        backoff_max_s=seconds(0, 6000) if draw(st.booleans()) else inf,
        jitter=0.0 if grain else draw(st.floats(0.0, 1.0)),
        retry_rejected=draw(st.booleans()),
        retry_timed_out=draw(st.booleans()),
        retry_failed=draw(st.booleans()),
        resend_lost=draw(st.booleans()),
    )


_LIMITS = st.sampled_from([1, 2, 4, 8] + 3 * [NO_LIMIT])


@st.composite
def _limits(draw: st.DrawFn) -> dict[str, int]:
    spill_at, max_outstanding = sorted([draw(_LIMITS), draw(_LIMITS)])
    return {"tier": draw(st.integers(0, 2)), "spill_at": spill_at, "max_outstanding": max_outstanding}


@st.composite
def limited_pools(draw: st.DrawFn, grain: int) -> PoolSpec:
    pool, ranks = draw(pools(grain)), draw(st.sampled_from([1, 1, 2]))
    always_paid = draw(st.booleans())
    return replace(
        pool,
        replicas=ranks * draw(st.integers(1, 3 - ranks)),
        ranks=ranks,
        always_paid=always_paid,
        windows=2,
        **draw(_limits()),
    )


@st.composite
def apis(draw: st.DrawFn, grain: int) -> ApiSpec:
    """An API whose times are whole ticks, or by luck; its limits are as small as the worlds."""

    def seconds(low: int, high: int) -> float:
        return draw(ticks(grain, low, high))

    sigma = st.just(0.0) if grain else st.floats(0.0, 0.7)
    slow = st.integers(4, 10).map(lambda k: 2.0**k) if grain else st.floats(16.0, 1024.0)
    request_s = draw(st.sampled_from([0.0, 2.0**-8, 2.0**-5, 2.0**-2]))
    token_s = draw(st.sampled_from([0.0, 2.0**-13, 2.0**-9, 2.0**-6]))
    return ApiSpec(
        ttft_median_s=seconds(1, 3000),
        ttft_sigma=draw(sigma),
        tokens_per_s_median=draw(slow),
        tokens_per_s_sigma=draw(sigma),
        batch_window_s=seconds(1000, 4000) if draw(st.integers(0, 3)) == 0 else 0.0,
        cached_share=draw(st.floats(0.0, 1.0)),
        bill_by=draw(st.integers(0, 2)),
        requests_per_minute=60.0 / request_s if request_s else inf,
        tokens_per_minute=60.0 / token_s if token_s else inf,
        burst_s=seconds(1, draw(st.sampled_from([64, 12_000]))),
        waits=draw(st.booleans()),
        max_model_len=draw(st.sampled_from([100, NO_LIMIT])),
        rates_usd_per_token=np.array(draw(st.lists(st.floats(0.0, 5.0), min_size=6, max_size=6))).reshape(2, 3),
        **draw(_limits()),
    )


@st.composite
def pools(draw: st.DrawFn, grain: int) -> PoolSpec:
    rows = draw(st.integers(1, 12))
    tokens = draw(st.integers(rows, 60))
    law = draw(_laws(rows, grain))
    capacity = draw(st.sampled_from([64, 160, 400, 100_000]))
    scheduler = draw(st.sampled_from([state.PREFILL_FIRST, state.CHUNKED]))
    usd_per_hour = 3600.0 * draw(st.floats(0.1, 10.0))
    longest = draw(st.sampled_from([100, NO_LIMIT]))
    return PoolSpec(draw(st.integers(1, 3)), law, capacity, usd_per_hour, scheduler, rows, tokens, longest)


@st.composite
def _laws(draw: st.DrawFn, rows: int, grain: int) -> StepTime:
    """A random step-time law, bent or straight; with a grain every step is a multiple of it.

    A front end that takes some of a request's own steps would divide ticks, so it comes only without them.
    """

    def number(low: int, high: int) -> float:
        return draw(ticks(grain, low, high))

    edges = [float(draw(st.integers(50, 400))), inf] if draw(st.booleans()) else [inf]
    per_row = number(0, 9)
    base = np.array([number(1, 300) + per_row * np.arange(rows + 1.0) for _ in edges])
    kv = np.array([np.full(rows + 1, number(0, 3)) for _ in edges])
    base[:, 0] = kv[:, 0] = 0.0
    linear = np.cumsum([0.0, *(number(1, 40) for _ in range(draw(st.integers(2, 40))))])
    front_end_s = number(0, 400) if draw(st.booleans()) else 0.0
    front_end_steps = 0.0 if grain else draw(st.just(0.0) | st.floats(0, 3))
    pair_s, slice_s = 2 * number(0, 2), number(0, 60) if draw(st.booleans()) else 0.0
    return StepTime(base, kv, np.array(edges), linear, pair_s, front_end_s, front_end_steps, slice_s)


@st.composite
def arrivals(draw: st.DrawFn, grain: int, most: int = 40, streams: int = 1, strategies: int = 1) -> list[Job]:
    most_gap = 3000 if most == 40 else draw(st.sampled_from([100, 1000, 3000]))
    gaps = ticks(grain, 0, most_gap)
    classes = draw(st.sampled_from([st.just(0), st.integers(0, 2)]))
    arrival_s, jobs = 0.0, []
    for _ in range(draw(st.integers(1, most))):
        arrival_s += draw(gaps)
        prompt_tokens, output_tokens = draw(_lengths())
        luck, stream, strategy = draw(st.floats(0, 0.999)), *(draw(_index(n)) for n in (streams, strategies))
        api_luck = (2.0 * luck - 1.0, 0.5 - luck)
        jobs.append(Job(arrival_s, prompt_tokens, output_tokens, draw(classes), luck, api_luck, stream, strategy))
    return jobs


def _index(many: int) -> st.SearchStrategy[int]:
    return st.integers(0, many - 1) if many > 1 else st.just(0)


@st.composite
def clients(draw: st.DrawFn, grain: int, streams: int = 1) -> Clients:
    priority, stream = draw(st.integers(0, 2)), draw(_index(streams))
    think_time_s = draw(st.just(0.0) | ticks(grain, 1, 2000))
    lengths = draw(st.lists(_lengths(), min_size=1, max_size=12))
    jobs = [Job(0.0, *length, priority, CLIENT_LUCK, CLIENT_API_LUCK, stream) for length in lengths]
    return Clients(draw(st.integers(1, 4)), think_time_s, jobs, stream, priority)


@st.composite
def _lengths(draw: st.DrawFn) -> tuple[int, int]:
    return draw(st.integers(1, 90)), draw(st.one_of(st.just(1), st.integers(1, 60)))
