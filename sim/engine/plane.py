"""The data plane as an object: feeds the compiled loop with arrivals and room, and lets the control plane steer it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

import numpy as np

from sim.engine import state as st
from sim.engine.meter import BINS
from sim.engine.serve import close_books, serve, settle
from sim.errors import EngineError
from sim.steptime import StepTime
from sim.workload.blocks import RequestBlock

__all__ = ["ClientSpec", "DataPlane", "PoolSpec", "StreamSpec"]

FIRST_SLOTS = 4096
MOST_SLOTS = 1 << 24
DRAWS = 4096
FINISHED_ROWS = 65_536


@dataclass(frozen=True)
class PoolSpec:
    """Equal replicas, and what one of them costs."""

    replicas: int
    step_time: StepTime
    kv_capacity_tokens: int
    usd_per_replica_hour: float
    scheduler: int = st.CHUNKED
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    max_model_len: int = 1 << 62
    """Most tokens of prompt and output together."""
    always_paid: bool = True
    """Reserved capacity is paid whether it is switched on or not."""


@dataclass(frozen=True)
class StreamSpec:
    """The service-level objectives of a stream, in seconds; infinity where there is none."""

    ttft_slo_s: float = inf
    tpot_slo_s: float = inf
    e2e_slo_s: float = inf


class ClientSpec(Protocol):
    """A closed stream: `concurrency` clients, each with one request in flight at a time."""

    @property
    def stream(self) -> int: ...
    @property
    def concurrency(self) -> int: ...
    @property
    def think_time_s(self) -> float: ...
    @property
    def requests(self) -> int: ...
    @property
    def priority(self) -> int: ...
    def draw(self, n: int) -> tuple[st.Integers, st.Integers]: ...


class DataPlane:
    """Replicas, their queues and their books at one moment in simulated time.

    `targets[stream][strategy]` lists the pools that may serve such a request. `choose(streams)` gives the strategy
    index of each request of a block from its stream indices; `luck(n)` n uniform numbers for the balancer.
    `keep` is called with finished requests' records (ROW), in order of their end, if they are wanted.
    """

    def __init__(
        self,
        pools: Sequence[PoolSpec],
        streams: Sequence[StreamSpec],
        targets: Sequence[Sequence[Sequence[int]]],
        *,
        blocks: Iterator[RequestBlock] | None = None,
        clients: Sequence[ClientSpec] = (),
        choose: Callable[[st.Integers], st.Integers] | None = None,
        luck: Callable[[int], st.Floats] | None = None,
        balancer: int = st.LEAST_OUTSTANDING,
        warm_up_s: float = 0.0,
        keep: Callable[[st.Records], None] | None = None,
    ) -> None:
        self._blocks = blocks or iter(())
        self._clients = clients
        self._choose = choose or (lambda streams: np.zeros(streams.size, np.int64))
        self._luck = luck or np.zeros
        self._keep = keep
        self.first_replica = np.concatenate(([0], np.cumsum([pool.replicas for pool in pools]))).tolist()
        self.state = _new_state(pools, streams, targets, clients, keep is not None)
        run = self.state.run[0]
        run.free = st.NONE
        run.wake_s = inf
        run.more_blocks = 1
        run.balancer = balancer
        run.warm_up_s = warm_up_s
        self._more_slots(FIRST_SLOTS)

    def advance(self, until_s: float) -> None:
        """Serve all events before `until_s`."""
        while (why := serve(self.state, until_s)) != st.REACHED:
            if why == st.BLOCK_EMPTY:
                self._next_block()
            elif why == st.CLOSED_EMPTY:
                self._draw_lengths()
            elif why == st.SLOTS_FULL:
                self._more_slots(2 * self.state.requests.size)
            else:
                self._hand_over()

    def settle(self, now_s: float) -> None:
        """Bring all books up to `now_s`, which `advance` has reached."""
        settle(self.state, now_s)

    def finish(self, now_s: float) -> None:
        """Close the books at the end of the run: requests in flight are charged for what they have used so far."""
        self.settle(now_s)
        slot = 0
        while slot < self.state.requests.size:
            slot = close_books(self.state, slot)
            self._hand_over()
        self.settle(now_s)

    @property
    def is_drained(self) -> bool:
        """True when no request is in flight and none will come."""
        run, closed = self.state.run[0], self.state.closed
        clients_wait = bool(np.any((closed["ready"] > 0) & (closed["left"] != 0)))
        arrivals_wait = bool(run.more_blocks or run.cursor < run.block_rows)
        return run.in_flight == 0 and not arrivals_wait and not clients_wait

    @property
    def last_event_s(self) -> float:
        """Time at which the last request ended, as its client sees it, or a batch last changed."""
        return max(float(self.state.replicas["span_start_s"].max()), float(self.state.run[0].told_s))

    def switch(self, replica: int, on: bool, now_s: float) -> None:
        """Let a replica take new requests, or let it finish what it has and then stop."""
        rep = self.state.replicas[replica]
        self.settle(now_s)
        self.state.accepting[replica] = int(on)
        busy = rep.mode != st.IDLE
        rep.paid = int(on or busy or rep.always_paid)

    def _next_block(self) -> None:
        block = next(self._blocks, None)
        run = self.state.run[0]
        run.cursor = 0
        run.block_rows = 0 if block is None else len(block.arrival_s)
        if block is None:
            run.more_blocks = 0
            return
        self.state = self.state._replace(
            arrival_s=block.arrival_s,
            prompt_tokens=block.prompt_tokens,
            output_tokens=block.output_tokens,
            stream=block.stream,
            priority=block.priority,
            context_id=block.context_id,
            strategy=self._choose(block.stream),
            luck=self._luck(len(block.arrival_s)),
        )

    def _draw_lengths(self) -> None:
        s = self.state
        for c, client in enumerate(self._clients):
            if s.closed[c].used < s.closed[c].drawn:
                continue
            prompt, output = client.draw(DRAWS)
            s.closed_prompt_tokens[c] = prompt
            s.closed_output_tokens[c] = output
            s.closed_strategy[c] = self._choose(np.full(DRAWS, client.stream, np.int64))
            s.closed_luck[c] = self._luck(DRAWS)
            s.closed[c].used = 0
            s.closed[c].drawn = DRAWS

    def _more_slots(self, slots: int) -> None:
        if slots > MOST_SLOTS:
            raise EngineError(
                f"{slots // 2} requests are in flight at once, the most one run can hold: the fleet is far too "
                "small for this load, or the horizon far too long for an overloaded fleet"
            )
        before = self.state.requests
        requests = st.records(st.REQUEST, slots)
        requests[: before.size] = before
        requests["next"][before.size :] = np.arange(before.size + 1, slots + 1)
        requests["next"][-1] = self.state.run[0].free
        requests["stream"][before.size :] = st.NONE
        self.state.run[0].free = before.size
        self.state = self.state._replace(requests=requests)

    def _hand_over(self) -> None:
        run = self.state.run[0]
        if self._keep is not None and run.rows:
            self._keep(self.state.finished[: run.rows].copy())
        run.rows = 0


def _new_state(
    pools: Sequence[PoolSpec],
    streams: Sequence[StreamSpec],
    targets: Sequence[Sequence[Sequence[int]]],
    clients: Sequence[ClientSpec],
    keep_rows: bool,
) -> st.State:
    replicas = sum(pool.replicas for pool in pools)
    strategies = len(targets[0])
    shape = (len(pools), len(streams), strategies, st.CLASSES)
    rows = FINISHED_ROWS + max(pool.max_num_seqs for pool in pools) if keep_rows else 0
    return st.State(
        run=st.records(st.RUN, 1),
        requests=st.records(st.REQUEST, 0),
        replicas=_replica_records(pools),
        pools=_pool_records(pools),
        streams=_stream_records(streams),
        closed=_closed_records(clients),
        finished=st.records(st.ROW, rows),
        **_queues(replicas, max(pool.max_num_seqs for pool in pools)),
        **_laws(pools),
        **_targets(pools, targets),
        **_empty_block(),
        **_client_buffers(clients),
        histogram=np.zeros((len(streams), 3, BINS), np.int64),
        latency_sum_s=np.zeros((len(streams), 3)),
        latency_count=np.zeros((len(streams), 3), np.int64),
        ended_usd=np.zeros(shape),
        recent_usd=np.zeros(shape),
        ended_requests=np.zeros(shape, np.int64),
        ended_output_tokens=np.zeros(shape, np.int64),
    )


def _replica_records(pools: Sequence[PoolSpec]) -> st.Records:
    replicas = st.records(st.REPLICA, sum(pool.replicas for pool in pools))
    counts = [pool.replicas for pool in pools]
    replicas["pool"] = np.repeat(np.arange(len(pools)), counts)
    replicas["usd_per_s"] = np.repeat([pool.usd_per_replica_hour / 3600.0 for pool in pools], counts)
    replicas["always_paid"] = np.repeat([pool.always_paid for pool in pools], counts)
    replicas["paid"] = 1
    return replicas


def _pool_records(pools: Sequence[PoolSpec]) -> st.Records:
    records = st.records(st.POOL, len(pools))
    for record, pool in zip(records, pools, strict=True):
        record.scheduler = pool.scheduler
        record.max_num_seqs = pool.max_num_seqs
        record.max_num_batched_tokens = pool.max_num_batched_tokens
        record.capacity_blocks = pool.kv_capacity_tokens // st.BLOCK_TOKENS
        record.max_model_len = pool.max_model_len
        record.attention_s_per_pair = pool.step_time.attention_s_per_pair
        record.front_end_s = pool.step_time.front_end_s
        record.front_end_steps = pool.step_time.front_end_steps
    return records


def _stream_records(streams: Sequence[StreamSpec]) -> st.Records:
    records = st.records(st.STREAM, len(streams))
    for record, stream in zip(records, streams, strict=True):
        record.ttft_slo_s = stream.ttft_slo_s
        record.tpot_slo_s = stream.tpot_slo_s
        record.e2e_slo_s = stream.e2e_slo_s
    return records


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
        "accepting": np.ones(replicas, np.int64),
        "waiting_head": np.full(by_class, st.NONE),
        "waiting_tail": np.full(by_class, st.NONE),
        "prefill_head": np.full(by_class, st.NONE),
        "prefill_tail": np.full(by_class, st.NONE),
        "seqs_of": np.zeros(by_class, np.int64),
        "heap": np.zeros((replicas, rows), np.int64),
        "phase": np.zeros((replicas, st.BLOCK_TOKENS), np.int64),
    }


def _laws(pools: Sequence[PoolSpec]) -> dict[str, Any]:
    """The pools' step-time tables, padded to one shape."""
    laws = [pool.step_time for pool in pools]
    segments = max(law.kv_edges.size for law in laws)
    rows = max(law.decode_base_s.shape[1] for law in laws)
    tokens = max(law.linear_s.size for law in laws)
    shape = (len(laws), segments, rows)
    base_s, per_kv_s = np.zeros(shape), np.zeros(shape)
    kv_edge, linear_s = np.full(shape[:2], inf), np.zeros((len(laws), tokens))
    slope_s = np.zeros(len(laws))
    for p, law in enumerate(laws):
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


def _targets(pools: Sequence[PoolSpec], targets: Sequence[Sequence[Sequence[int]]]) -> dict[str, Any]:
    first = np.concatenate(([0], np.cumsum([pool.replicas for pool in pools])))
    lists = [
        np.concatenate([np.zeros(0, np.int64), *(np.arange(first[p], first[p + 1]) for p in members)])
        for strategies in targets
        for members in strategies
    ]
    return {
        "target_first": np.concatenate(([0], np.cumsum([len(members) for members in lists]))),
        "target_replica": np.concatenate(lists),
        "target_turn": np.zeros(len(lists), np.int64),
    }


def _empty_block() -> dict[str, Any]:
    integers = ("prompt_tokens", "output_tokens", "stream", "priority", "context_id", "strategy")
    return {name: np.zeros(0, np.int64) for name in integers} | {name: np.zeros(0) for name in ("arrival_s", "luck")}


def _client_buffers(clients: Sequence[ClientSpec]) -> dict[str, Any]:
    shape = (len(clients), DRAWS)
    clients_most = max((client.concurrency for client in clients), default=0)
    return {
        "closed_prompt_tokens": np.zeros(shape, np.int64),
        "closed_output_tokens": np.zeros(shape, np.int64),
        "closed_strategy": np.zeros(shape, np.int64),
        "closed_luck": np.zeros(shape),
        "closed_ring_s": np.zeros((len(clients), clients_most)),
    }
