"""The data plane as an object: feeds the compiled loop with arrivals and room, and lets the control plane steer it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import Any, Protocol

import numpy as np

from sim.engine import state as st
from sim.engine.lives import reprice, take_off
from sim.engine.meter import BINS
from sim.engine.serve import close_books, serve, settle
from sim.engine.throughput import full_batch_s
from sim.errors import EngineError
from sim.steptime import StepTime
from sim.workload.blocks import RequestBlock

__all__ = ["ApiSpec", "ClientSpec", "DataPlane", "PoolSpec", "StreamSpec"]

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
    ranks: int = 1
    """Replicas, one after the other, that are one server: paid for until all of them are done."""
    tier: int = 0
    """Pools of a lower tier are tried first."""
    spill_at: int = st.NO_LIMIT
    """Requests of a replica from which the next tier is tried."""
    max_outstanding: int = st.NO_LIMIT
    """Most requests of a replica, running and waiting."""
    windows: int = 1
    """Tariff windows its price knows."""


@dataclass(frozen=True)
class ApiSpec:
    """An API: lognormal latencies, rate limits, and a price for tokens."""

    rates_usd_per_token: st.Floats
    """Of each tariff window: fresh prompt tokens, cached ones, output tokens; [W, 3]."""
    ttft_median_s: float
    ttft_sigma: float = 0.0
    tokens_per_s_median: float = inf
    tokens_per_s_sigma: float = 0.0
    batch_window_s: float = 0.0
    """Completion window of a batch tier, whose answers come whole after the time to first token; 0: it streams."""
    cached_share: float = 0.0
    """Share of each prompt that is billed as cached."""
    bill_by: int = st.BILL_ARRIVAL
    requests_per_minute: float = inf
    tokens_per_minute: float = inf
    burst_s: float = 60.0
    """How far ahead of an even flow the limits may be used up."""
    waits: bool = False
    """Beyond its limits requests queue; otherwise they are refused."""
    max_model_len: int = 1 << 62
    tier: int = 1
    spill_at: int = st.NO_LIMIT
    max_outstanding: int = st.NO_LIMIT

    @property
    def replicas(self) -> int:
        """To the engine an API is one replica without steps."""
        return 1

    @property
    def windows(self) -> int:
        """Tariff windows."""
        return int(self.rates_usd_per_token.shape[0])


@dataclass(frozen=True)
class StreamSpec:
    """What a stream is promised, in seconds, infinity where nothing is; and what its clients do."""

    ttft_slo_s: float = inf
    tpot_slo_s: float = inf
    e2e_slo_s: float = inf
    timeout_s: float = inf
    """How long a client waits for the answer to one attempt."""
    retries: int = 0
    backoff_s: float = 0.0
    backoff_factor: float = 1.0
    backoff_max_s: float = inf
    jitter: float = 0.0
    """Largest share of a back-off that chance takes off it."""
    retry_rejected: bool = True
    retry_timed_out: bool = True
    retry_failed: bool = True
    resend_lost: bool = True
    """What is lost with its replica is sent to another at once, unnoticed by the client."""


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
    index of each request of a block from its stream indices; `luck(n)` n uniform numbers for the balancer;
    `api_luck(n)` n pairs of standard normal ones for the latencies of APIs.
    `keep` is called with finished requests' records (ROW), in order of their end, if they are wanted.
    """

    def __init__(
        self,
        pools: Sequence[PoolSpec | ApiSpec],
        streams: Sequence[StreamSpec],
        targets: Sequence[Sequence[Sequence[int]]],
        *,
        blocks: Iterator[RequestBlock] | None = None,
        clients: Sequence[ClientSpec] = (),
        choose: Callable[[st.Integers], st.Integers] | None = None,
        luck: Callable[[int], st.Floats] | None = None,
        api_luck: Callable[[int], st.Floats] | None = None,
        balancer: int = st.LEAST_OUTSTANDING,
        warm_up_s: float = 0.0,
        keep: Callable[[st.Records], None] | None = None,
    ) -> None:
        self._blocks = blocks or iter(())
        self._clients = clients
        self._choose = choose or (lambda streams: np.zeros(streams.size, np.int64))
        self._luck = luck or np.zeros
        self._api_luck = api_luck or (lambda requests: np.zeros((0, 2)))
        self._keep = keep
        self._pools = pools
        self.first_replica = np.concatenate(([0], np.cumsum([pool.replicas for pool in pools]))).tolist()
        self.state = _new_state(pools, streams, targets, clients, keep is not None, api_luck is not None)
        run = self.state.run[0]
        run.free = st.NONE
        run.lost = st.NONE
        run.spills = int(any(pool.spill_at < pool.max_outstanding for pool in pools))
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
            slot = close_books(self.state, slot, now_s)
            self._hand_over()
        self.settle(now_s)

    def completed(self, pool: int) -> st.Integers:
        """Requests that a pool has answered so far, their prompt tokens and their output tokens, [3]."""
        done = self.state.pools[pool]
        return np.array([done.completed, done.prompt_tokens, done.output_tokens])

    def full_batch_s(self, pool: int, requests: int, prompt_tokens: int, output_tokens: int) -> float:
        """What requests would take a replica of a pool of GPUs in full batches, seconds."""
        spec = self._pools[pool]
        assert isinstance(spec, PoolSpec)
        return full_batch_s(
            spec.step_time,
            requests=requests,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            rows=min(spec.max_num_seqs, spec.step_time.max_rows),
            step_tokens=spec.max_num_batched_tokens,
            kv_capacity_tokens=spec.kv_capacity_tokens,
        )

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

    def life(self, replica: int) -> int:
        """OFF, STARTING, OPEN, DRAINING or DOWN."""
        return int(self.state.replicas[replica].life)

    def ended_s(self, replica: int) -> float:
        """When a replica that is off was switched off: a draining one, when its server had nothing left."""
        return float(self.state.replicas[replica].ended_s)

    def start(self, replica: int, now_s: float, *, hold: bool = False) -> None:
        """Pay for a replica that is not open yet; with `hold` it queues requests where nothing else is open."""
        self._live(replica, st.STARTING, now_s)
        self._accept(replica, st.HOLDS if hold else st.CLOSED_TO_ALL)

    def open(self, replica: int, now_s: float) -> None:
        """Let a replica take requests, and begin with those it holds."""
        self._live(replica, st.OPEN, now_s)
        self._accept(replica, st.OPEN_TO_ALL)
        rep, run = self.state.replicas[replica], self.state.run[0]
        if rep.mode == st.IDLE and rep.waiting and not rep.waking:
            rep.waking = 1
            self.state.woken[run.woken] = replica
            run.woken += 1
            run.wake_s = now_s

    def drain(self, replica: int, now_s: float) -> None:
        """Let a replica finish what it has begun with, and then go off; what it only holds is sent elsewhere."""
        rep = self.state.replicas[replica]
        self._accept(replica, st.CLOSED_TO_ALL)
        if rep.life in (st.OFF, st.STARTING):
            self._live(replica, st.OFF, now_s)
            self._take_off(replica, now_s)
            return
        self._live(replica, st.DRAINING, now_s)
        server = self.state.replicas[rep.server : rep.server + self.state.pools[rep.pool].ranks]
        if not np.any((server["life"] == st.OPEN) | (server["mode"] != st.IDLE) | (server["waiting"] > 0)):
            for rank in range(rep.server, rep.server + server.size):
                self._live(rank, st.OFF, now_s)

    def lose(self, replica: int, now_s: float, *, down: bool) -> None:
        """A replica is gone with all its work: failed (`down`), or reclaimed. Its requests are sent again or fail."""
        self._accept(replica, st.CLOSED_TO_ALL)
        self._live(replica, st.DOWN if down else st.OFF, now_s)
        self._take_off(replica, now_s)

    def hold(self, replica: int, on: bool, now_s: float) -> None:
        """Have a replica that is off queue requests where nothing is open, until it opens; or no longer."""
        self._accept(replica, st.HOLDS if on else st.CLOSED_TO_ALL)
        if not on:
            self._take_off(replica, now_s)

    def switch(self, replica: int, on: bool, now_s: float) -> None:
        """Let a replica take new requests, or let it finish what it has and then stop."""
        if on:
            self.open(replica, now_s)
        else:
            self.drain(replica, now_s)

    def price(self, pool: int, usd_per_replica_hour: float, window: int, now_s: float) -> None:
        """What a replica of a pool costs from now on, and in which tariff window."""
        reprice(self.state, pool, usd_per_replica_hour / 3600.0, window, now_s)

    def rates(self, pool: int, window: int) -> None:
        """The tariff window of an API from now on."""
        self.state.pools[pool].window = window

    def close_api(self, pool: int, closed: bool) -> None:
        """Send an API nothing more, or send to it again; what it has it answers."""
        self._accept(self.first_replica[pool], st.CLOSED_TO_ALL if closed else st.OPEN_TO_ALL)

    def queued(self, pool: int) -> tuple[int, int]:
        """Requests waiting, and requests in the batches, of a pool's replicas."""
        mine = self.state.replicas[self.first_replica[pool] : self.first_replica[pool + 1]]
        return int(mine["waiting"].sum()), int(mine["seqs"].sum())

    def _live(self, replica: int, life: int, now_s: float) -> None:
        self.settle(now_s)
        rep = self.state.replicas[replica]
        rep.paid = int(life in (st.STARTING, st.OPEN, st.DRAINING) or rep.always_paid)
        if life == st.OFF and rep.life != st.OFF:
            rep.ended_s = now_s
        rep.life = life

    def _accept(self, replica: int, what: int) -> None:
        self.state.accepting[replica] = what
        self.state.run[0].holds = int(np.any(self.state.accepting == st.HOLDS))

    def _take_off(self, replica: int, now_s: float) -> None:
        requests = self.state.requests
        slots = np.flatnonzero((requests["stream"] != st.NONE) & (requests["replica"] == replica))
        slots = slots[self.state.calls["place"][slots] == st.AT_REPLICA]
        slots = slots[np.argsort(requests["id"][slots])]
        self._more_rows(slots.size)
        take_off(self.state, replica, slots, now_s)
        self.advance(now_s)

    def _more_rows(self, rows: int) -> None:
        """Have room for as many rows of requests that end at once."""
        self._hand_over()
        if 0 < self.state.finished.size < rows:
            self.state = self.state._replace(finished=st.records(st.ROW, rows + FINISHED_ROWS))

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
            api_luck=self._api_luck(len(block.arrival_s)),
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
            if s.closed_api_luck.shape[1]:
                s.closed_api_luck[c] = self._api_luck(DRAWS)
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
        self.state = self.state._replace(
            requests=requests,
            calls=_longer(self.state.calls, slots),
            carried_usd=_longer(self.state.carried_usd, slots),
            timer_s=_longer(self.state.timer_s, slots),
            timer_slot=_longer(self.state.timer_slot, slots),
        )

    def _hand_over(self) -> None:
        run = self.state.run[0]
        if self._keep is not None and run.rows:
            self._keep(self.state.finished[: run.rows].copy())
        run.rows = 0


def _new_state(
    pools: Sequence[PoolSpec | ApiSpec],
    streams: Sequence[StreamSpec],
    targets: Sequence[Sequence[Sequence[int]]],
    clients: Sequence[ClientSpec],
    keep_rows: bool,
    api_luck: bool,
) -> st.State:
    replicas = sum(pool.replicas for pool in pools)
    strategies, windows = len(targets[0]), max(pool.windows for pool in pools)
    shape = (len(pools), len(streams), strategies, st.CLASSES)
    most_rows = max((pool.max_num_seqs for pool in pools if isinstance(pool, PoolSpec)), default=1)
    rows = FINISHED_ROWS + most_rows if keep_rows else 0
    return st.State(
        run=st.records(st.RUN, 1),
        requests=st.records(st.REQUEST, 0),
        calls=st.records(st.CALL, 0),
        carried_usd=np.zeros((0, windows)),
        timer_s=np.zeros(0),
        timer_slot=np.zeros(0, np.int64),
        replicas=_replica_records(pools),
        pools=_pool_records(pools),
        streams=_stream_records(streams),
        closed=_closed_records(clients),
        finished=st.records(st.ROW, rows),
        **_queues(replicas, most_rows),
        **_laws(pools),
        **_targets(pools, targets),
        **_empty_block(),
        **_client_buffers(clients, api_luck),
        histogram=np.zeros((len(streams), 3, BINS), np.int64),
        latency_sum_s=np.zeros((len(streams), 3)),
        latency_count=np.zeros((len(streams), 3), np.int64),
        ended_usd=np.zeros((*shape, windows, st.USES)),
        recent_usd=np.zeros((*shape, windows, st.USES)),
        work_s=np.zeros((len(pools), windows)),
        work_usd=np.zeros((len(pools), windows)),
        prompt_usd=np.zeros((len(pools), windows)),
        unused_s=np.zeros((len(pools), windows, st.LIVES)),
        unused_usd=np.zeros((len(pools), windows, st.LIVES)),
        rates_usd=_rates(pools, windows),
        billed_tokens=np.zeros((len(pools), windows, 3), np.int64),
        ended_requests=np.zeros(shape, np.int64),
        ended_output_tokens=np.zeros(shape, np.int64),
    )


def _longer(array: Any, rows: int) -> Any:
    """The array with its rows up to `rows`, the new ones zero; a record array stays one."""
    longer = np.zeros((rows, *array.shape[1:]), array.dtype)
    longer[: array.shape[0]] = array
    return longer.view(type(array))


def _rates(pools: Sequence[PoolSpec | ApiSpec], windows: int) -> st.Floats:
    rates = np.zeros((len(pools), windows, 3))
    for p, pool in enumerate(pools):
        if isinstance(pool, ApiSpec):
            rates[p, : pool.windows] = pool.rates_usd_per_token
    return rates


def _replica_records(pools: Sequence[PoolSpec | ApiSpec]) -> st.Records:
    replicas = st.records(st.REPLICA, sum(pool.replicas for pool in pools))
    replicas["life"] = st.OPEN
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
    record.front_end_s = pool.step_time.front_end_s
    record.front_end_steps = pool.step_time.front_end_steps
    record.ranks = pool.ranks


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
    records = st.records(st.STREAM, len(streams))
    for record, stream in zip(records, streams, strict=True):
        for field in fields(StreamSpec):
            record[field.name] = getattr(stream, field.name)
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


def _targets(pools: Sequence[PoolSpec | ApiSpec], targets: Sequence[Sequence[Sequence[int]]]) -> dict[str, Any]:
    """For each stream and strategy its tiers, for each tier its replicas."""
    first = np.concatenate(([0], np.cumsum([pool.replicas for pool in pools])))
    pairs = [members for strategies in targets for members in strategies]
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
    integers = ("prompt_tokens", "output_tokens", "stream", "priority", "context_id", "strategy")
    floats = {name: np.zeros(0) for name in ("arrival_s", "luck")} | {"api_luck": np.zeros((0, 2))}
    return {name: np.zeros(0, np.int64) for name in integers} | floats


def _client_buffers(clients: Sequence[ClientSpec], api_luck: bool) -> dict[str, Any]:
    shape = (len(clients), DRAWS)
    clients_most = max((client.concurrency for client in clients), default=0)
    return {
        "closed_prompt_tokens": np.zeros(shape, np.int64),
        "closed_output_tokens": np.zeros(shape, np.int64),
        "closed_strategy": np.zeros(shape, np.int64),
        "closed_luck": np.zeros(shape),
        "closed_api_luck": np.zeros((len(clients), DRAWS if api_luck else 0, 2)),
        "closed_ring_s": np.zeros((len(clients), clients_most)),
    }
