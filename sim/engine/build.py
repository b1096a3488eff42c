"""From the specs of a fleet to the arrays that the engine runs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from math import inf
from typing import Any

import numpy as np

from sim.engine import state as st
from sim.engine.meter import BINS
from sim.engine.routing import routing_arrays
from sim.engine.specs import ApiSpec, ClientSpec, PoolSpec, RouteSpec, StageSpec, StrategySpec, StreamSpec

__all__ = ["DRAWS", "FINISHED_ROWS", "longer", "new_state"]

DRAWS = 4096
"""Lengths drawn at a time for a closed stream."""
FINISHED_ROWS = 65_536
"""Rows of finished requests kept at a time."""


def new_state(
    pools: Sequence[PoolSpec | ApiSpec],
    streams: Sequence[StreamSpec],
    strategies: Sequence[StrategySpec],
    targets: Sequence[Sequence[Sequence[Sequence[int]]]],
    clients: Sequence[ClientSpec],
    keep_rows: bool,
    api_luck: bool,
    routes: Sequence[RouteSpec],
) -> st.State:
    """The data plane of a fleet at time zero, without room for requests or prefixes yet."""
    replicas = sum(pool.replicas for pool in pools)
    windows = max(pool.windows for pool in pools)
    shape = (len(pools), len(streams), len(strategies), st.CLASSES)
    most_steps = max(len(strategy.steps) for strategy in strategies)
    most_answers = 1 + max(step.wrong_answers for strategy in strategies for step in strategy.steps)
    most_rows = max((pool.max_num_seqs for pool in pools if isinstance(pool, PoolSpec)), default=1)
    rows = FINISHED_ROWS + most_rows if keep_rows else 0
    return st.State(
        run=st.records(st.RUN, 1),
        requests=st.records(st.REQUEST, 0),
        calls=st.records(st.CALL, 0),
        branches=st.records(st.BRANCH, 0),
        families=st.records(st.FAMILY, 0),
        slot_tokens=np.zeros((0, most_steps), np.int64),
        slot_chances=np.zeros((0, most_steps, 2)),
        slot_escalates=np.zeros((0, most_steps), np.int64),
        carried_usd=np.zeros((0, windows)),
        timer_s=np.zeros(0),
        timer_slot=np.zeros(0, np.int64),
        replicas=_replica_records(pools),
        pools=_pool_records(pools),
        streams=_stream_records(streams),
        closed=_closed_records(clients),
        finished=st.records(st.ROW, rows),
        **_strategies(strategies),
        stage_stays=np.array([_stays(strategies, by_strategy) for by_strategy in targets], np.int64),
        segments=st.records(st.SEGMENT, 0),
        bucket=np.full(1, st.NONE),
        contexts=st.records(st.CONTEXT, 0),
        jobs=st.records(st.JOB, 0),
        votes=np.zeros(most_answers, np.int64),
        voters=np.zeros(most_answers, np.int64),
        **_queues(replicas, most_rows),
        **_laws(pools),
        **_targets(pools, targets),
        **_empty_block(),
        **routing_arrays(pools, streams, strategies, targets, routes),
        **_client_buffers(clients, most_steps, api_luck),
        histogram=np.zeros((len(streams), 3, BINS), np.int64),
        latency_sum_s=np.zeros((len(streams), 3)),
        latency_count=np.zeros((len(streams), 3), np.int64),
        ended_usd=np.zeros((*shape, windows, st.USES)),
        recent_usd=np.zeros((*shape, windows, st.USES)),
        work_s=np.zeros((len(pools), windows)),
        work_usd=np.zeros((len(pools), windows)),
        prompt_s=np.zeros((len(pools), windows)),
        unused_s=np.zeros((len(pools), windows, st.LIVES)),
        unused_usd=np.zeros((len(pools), windows, st.LIVES)),
        rates_usd=_rates(pools, windows),
        billed_tokens=np.zeros((len(pools), windows, 3), np.int64),
        ended_requests=np.zeros(shape, np.int64),
        ended_output_tokens=np.zeros(shape, np.int64),
        ended_known=np.zeros(shape, np.int64),
        ended_correct=np.zeros(shape, np.int64),
        ended_p=np.zeros(shape),
    )


def _strategies(strategies: Sequence[StrategySpec]) -> dict[str, Any]:
    """Stages and steps of all strategies, one after the other."""
    return {
        "stages": np.concatenate([_stage_records(strategy.stages) for strategy in strategies]).view(np.recarray),
        "stage_first": np.cumsum([0, *(len(strategy.stages) for strategy in strategies)]),
        "steps": _filled(st.STEP, [step for strategy in strategies for step in strategy.steps]),
        "step_first": np.cumsum([0, *(len(strategy.steps) for strategy in strategies)]),
    }


def _stage_records(stages: Sequence[StageSpec]) -> st.Records:
    records = _filled(st.STAGE, stages)
    records["is_first"][0] = 1
    records["is_last"][-1] = 1
    records["ends_step"][-1] = 1
    records["ends_step"][:-1] = records["step"][1:] != records["step"][:-1]
    records["is_alone"] = len(stages) == 1 and stages[0].branches == 1
    records["is_plain"] = list(stages) == [StageSpec()]
    return records


def _filled(dtype: np.dtype[Any], specs: Sequence[Any]) -> st.Records:
    """Records of the fields that the specs have, by name."""
    records = st.records(dtype, len(specs))
    for record, spec in zip(records, specs, strict=True):
        for field in fields(spec):
            record[field.name] = getattr(spec, field.name)
    return records


def _stays(strategies: Sequence[StrategySpec], targets: Sequence[Sequence[Sequence[int]]]) -> list[bool]:
    """Of each stage of all strategies, for one stream: whether the same pools may run it as the stage before."""
    return [
        at > 0 and list(pools) == list(stages[at - 1])
        for strategy, stages in zip(strategies, targets, strict=True)
        for at, pools in zip(range(len(strategy.stages)), stages, strict=True)
    ]


def longer(array: Any, rows: int) -> Any:
    """The array with its rows up to `rows`, the new ones zero; a record array stays one."""
    grown = np.zeros((rows, *array.shape[1:]), array.dtype)
    grown[: array.shape[0]] = array
    return grown.view(type(array))


def _rates(pools: Sequence[PoolSpec | ApiSpec], windows: int) -> st.Floats:
    rates = np.zeros((len(pools), windows, 3))
    for p, pool in enumerate(pools):
        if isinstance(pool, ApiSpec):
            rates[p, : pool.windows] = pool.rates_usd_per_token
    return rates


def _replica_records(pools: Sequence[PoolSpec | ApiSpec]) -> st.Records:
    replicas = st.records(st.REPLICA, sum(pool.replicas for pool in pools))
    replicas["life"] = st.OPEN
    replicas["oldest"] = st.NONE
    replicas["newest"] = st.NONE
    first = 0
    for p, pool in enumerate(pools):
        mine = replicas[first : first + pool.replicas]
        mine["pool"] = p
        mine["server"] = np.arange(first, first + pool.replicas)
        if isinstance(pool, PoolSpec):
            mine["server"] = first + np.arange(pool.replicas) // pool.ranks * pool.ranks
            mine["usd_per_s"] = pool.usd_per_replica_hour / 3600.0
            mine["always_paid"] = pool.always_paid
            mine["paid"] = 1
        first += pool.replicas
    return replicas


def _pool_records(pools: Sequence[PoolSpec | ApiSpec]) -> st.Records:
    records = st.records(st.POOL, len(pools))
    for record, pool in zip(records, pools, strict=True):
        record.max_model_len = pool.max_model_len
        record.spill_at = min(pool.spill_at, pool.max_outstanding)
        record.max_outstanding = pool.max_outstanding
        if isinstance(pool, PoolSpec):
            _fill_gpu_record(record, pool)
        else:
            _fill_api_record(record, pool)
    return records


def _fill_gpu_record(record: st.Records, pool: PoolSpec) -> None:
    record.scheduler = pool.scheduler
    record.max_num_seqs = pool.max_num_seqs
    record.max_num_batched_tokens = pool.max_num_batched_tokens
    record.capacity_blocks = pool.kv_capacity_tokens // st.BLOCK_TOKENS
    record.attention_s_per_pair = pool.step_time.attention_s_per_pair
    record.slice_s = pool.step_time.slice_s
    record.front_end_s = pool.step_time.front_end_s
    record.front_end_steps = pool.step_time.front_end_steps
    record.ranks = pool.ranks
    record.prefix_cache = pool.prefix_cache
    record.sleep_slowdown = pool.sleep_slowdown
    record.sleep_step_tokens = pool.sleep_step_tokens


def _fill_api_record(record: st.Records, pool: ApiSpec) -> None:
    record.is_api = 1
    record.ranks = 1
    record.capacity_blocks = st.NO_LIMIT
    record.ttft_median_s = pool.ttft_median_s
    record.ttft_sigma = pool.ttft_sigma
    record.tokens_per_s = pool.tokens_per_s_median
    record.speed_sigma = pool.tokens_per_s_sigma
    record.batch_window_s = pool.batch_window_s
    record.cached_share = pool.cached_share
    record.bill_by = pool.bill_by
    record.waits = pool.waits
    record.s_per_request = 60.0 / pool.requests_per_minute
    record.s_per_token = 60.0 / pool.tokens_per_minute
    record.burst_s = pool.burst_s


def _stream_records(streams: Sequence[StreamSpec]) -> st.Records:
    return _filled(st.STREAM, streams)


def _closed_records(clients: Sequence[ClientSpec]) -> st.Records:
    """Every client sends its first request at time zero."""
    records = st.records(st.CLOSED, len(clients))
    for record, client in zip(records, clients, strict=True):
        record.stream = client.stream
        record.priority = client.priority
        record.think_time_s = client.think_time_s
        record.left = client.requests
        record.ready = client.concurrency
    return records


def _queues(replicas: int, rows: int) -> dict[str, Any]:
    leaves = 1 << max(replicas - 1, 0).bit_length()
    by_class = (replicas, st.CLASSES)
    winner = np.zeros(2 * leaves, np.int64)
    winner[leaves:] = np.arange(leaves)
    for node in range(leaves - 1, 0, -1):
        winner[node] = winner[2 * node]
    return {
        "event_s": np.full(leaves, inf),
        "winner": winner,
        "woken": np.zeros(replicas, np.int64),
        "outstanding": np.zeros(replicas, np.int64),
        "asleep": np.zeros(replicas, np.int64),
        "accepting": np.ones(replicas, np.int64),
        "waiting_head": np.full(by_class, st.NONE),
        "waiting_tail": np.full(by_class, st.NONE),
        "prefill_head": np.full(by_class, st.NONE),
        "prefill_tail": np.full(by_class, st.NONE),
        "seqs_of": np.zeros(by_class, np.int64),
        "heap": np.zeros((replicas, rows), np.int64),
        "phase": np.zeros((replicas, st.BLOCK_TOKENS), np.int64),
    }


def _laws(pools: Sequence[PoolSpec | ApiSpec]) -> dict[str, Any]:
    """The pools' step-time tables, padded to one shape; zero for APIs."""
    laws = {p: pool.step_time for p, pool in enumerate(pools) if isinstance(pool, PoolSpec)}
    segments = max((law.kv_edges.size for law in laws.values()), default=1)
    rows = max((law.decode_base_s.shape[1] for law in laws.values()), default=1)
    tokens = max((law.linear_s.size for law in laws.values()), default=1)
    shape = (len(pools), segments, rows)
    base_s, per_kv_s = np.zeros(shape), np.zeros(shape)
    kv_edge, linear_s = np.full(shape[:2], inf), np.zeros((len(pools), tokens))
    slope_s = np.zeros(len(pools))
    for p, law in laws.items():
        held, known = law.decode_base_s.shape
        base_s[p, :held, :known] = law.decode_base_s
        per_kv_s[p, :held, :known] = law.decode_kv_s
        kv_edge[p, :held] = law.kv_edges
        last = law.linear_s.size - 1
        slope_s[p] = law.linear_s[last] - law.linear_s[last - 1]
        linear_s[p] = law.linear_s[last] + slope_s[p] * (np.arange(tokens) - last)
        linear_s[p, : last + 1] = law.linear_s
    return {
        "base_s": base_s,
        "per_kv_s": per_kv_s,
        "kv_edge": kv_edge,
        "linear_s": linear_s,
        "linear_slope_s": slope_s,
    }


def _targets(
    pools: Sequence[PoolSpec | ApiSpec], targets: Sequence[Sequence[Sequence[Sequence[int]]]]
) -> dict[str, Any]:
    """For each stream and stage of all strategies its tiers, for each tier its replicas."""
    first = np.concatenate(([0], np.cumsum([pool.replicas for pool in pools])))
    pairs = [members for strategies in targets for stages in strategies for members in stages]
    tiers = [[[p for p in members if pools[p].tier == tier] for tier in _tiers(pools, members)] for members in pairs]
    lists = [np.concatenate([np.arange(first[p], first[p + 1]) for p in members]) for pair in tiers for members in pair]
    return {
        "tier_first": np.concatenate(([0], np.cumsum([len(pair) for pair in tiers]))),
        "target_first": np.concatenate(([0], np.cumsum([len(members) for members in lists]))),
        "target_replica": np.concatenate([np.zeros(0, np.int64), *lists]),
        "target_turn": np.zeros(len(lists), np.int64),
    }


def _tiers(pools: Sequence[PoolSpec | ApiSpec], members: Sequence[int]) -> list[int]:
    return sorted({pools[p].tier for p in members})


def _empty_block() -> dict[str, Any]:
    columns = ("prompt_tokens", "stream", "priority", "context_id", "key", "version", "prefix_tokens", "keep_tokens")
    scored: dict[str, Any] = {name: np.zeros((0, 1, 1), np.int64) for name in ("step_tokens", "escalates")}
    scored |= {name: np.zeros((0, 1, 1)) for name in ("p_sample", "p_correct")}
    floats = {name: np.zeros(0) for name in ("arrival_s", "luck")} | {"api_luck": np.zeros((0, 2))}
    return {name: np.zeros(0, np.int64) for name in (*columns, "strategy")} | scored | floats


def _client_buffers(clients: Sequence[ClientSpec], steps: int, api_luck: bool) -> dict[str, Any]:
    shape = (len(clients), DRAWS)
    by_step = (*shape, steps)
    clients_most = max((client.concurrency for client in clients), default=0)
    return {
        "closed_prompt_tokens": np.zeros(shape, np.int64),
        "closed_key": np.zeros(shape, np.int64),
        "closed_strategy": np.zeros(shape, np.int64),
        "closed_tokens": np.zeros(by_step, np.int64),
        "closed_p_sample": np.zeros(by_step),
        "closed_p_correct": np.zeros(by_step),
        "closed_escalates": np.zeros(by_step, np.int64),
        "closed_luck": np.zeros(shape),
        "closed_api_luck": np.zeros((len(clients), DRAWS if api_luck else 0, 2)),
        "closed_ring_s": np.zeros((len(clients), clients_most)),
    }
