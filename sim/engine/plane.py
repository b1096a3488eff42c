"""The data plane as an object: feeds the compiled loop with arrivals and room, and lets the control plane steer it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf, nan
from typing import Any

import numpy as np

from sim.engine import state as st
from sim.engine.build import DRAWS, FINISHED_ROWS, longer, new_state
from sim.engine.lives import reprice, take_off
from sim.engine.routing import Routing, client_options, corpus_columns, rows_of
from sim.engine.serve import close_books, serve, settle
from sim.engine.specs import (
    DIRECT_SPEC,
    ApiSpec,
    ClientSpec,
    Corpus,
    Options,
    PoolSpec,
    RouteSpec,
    Scored,
    StrategySpec,
    StreamSpec,
)
from sim.engine.throughput import full_batch_s
from sim.errors import EngineError
from sim.workload.blocks import RequestBlock, plain_block

__all__ = ["DataPlane"]

FIRST_SLOTS = 4096
MOST_SLOTS = 1 << 24
FIRST_SEGMENTS = 4096


class DataPlane:
    """Replicas, their queues and their books at one moment in simulated time.

    `targets[stream][strategy][stage]` lists the pools that may serve such a request. `score(block)` gives the strategy
    of each request of a block and what is known of it, the first one and no more without it; `luck(n)` n uniform
    numbers for the balancer; `api_luck(n)` n pairs of standard normal ones for the latencies of APIs.
    Where that leaves a choice (`options`), it is made as each request arrives, by the `routes` of its stream.
    `keep` is called with finished requests' records (ROW), in order of their end, if they are wanted. With
    `prepares` the last stream is that of sleep-time jobs, and contexts may be prepared.
    """

    def __init__(
        self,
        pools: Sequence[PoolSpec | ApiSpec],
        streams: Sequence[StreamSpec],
        targets: Sequence[Sequence[Sequence[Sequence[int]]]],
        *,
        strategies: Sequence[StrategySpec] = (DIRECT_SPEC,),
        blocks: Iterator[RequestBlock] | None = None,
        clients: Sequence[ClientSpec] = (),
        score: Callable[[RequestBlock], Scored] | None = None,
        luck: Callable[[int], st.Floats] | None = None,
        api_luck: Callable[[int], st.Floats] | None = None,
        balancer: int = st.LEAST_OUTSTANDING,
        affinity_slack: int = 0,
        warm_up_s: float = 0.0,
        keep: Callable[[st.Records], None] | None = None,
        prepares: bool = False,
        routes: Sequence[RouteSpec] = (),
    ) -> None:
        self._blocks = blocks or iter(())
        self._clients = clients
        self._score = score or _unscored
        self._luck = luck or np.zeros
        self._api_luck = api_luck or (lambda requests: np.zeros((0, 2)))
        self._keep = keep
        self._pools = pools
        self.first_replica = np.concatenate(([0], np.cumsum([pool.replicas for pool in pools]))).tolist()
        self._prepares = prepares
        self.state = new_state(
            pools, streams, strategies, targets, clients, keep is not None, api_luck is not None, routes
        )
        self.routing = Routing(self.state)
        self._corpus: Corpus | None = None
        run = self.state.run[0]
        run.learns = int(any(route.rule == st.BY_BANDIT for route in routes))
        for list_name in ("free", "lost", "over", "continued", "free_segment"):
            run[list_name] = st.NONE
        run.most_branches = max(stage.branches for strategy in strategies for stage in strategy.stages)
        run.affinity_slack = affinity_slack
        run.sleep_stream = len(streams) - 1 if prepares else st.NONE
        run.spills = int(any(pool.spill_at < pool.max_outstanding for pool in pools))
        run.wake_s = inf
        run.more_blocks = 1
        run.balancer = balancer
        run.warm_up_s = warm_up_s
        self._more_slots(FIRST_SLOTS)
        if prepares or any(strategy.stages[0].branches > 1 or len(strategy.stages) > 1 for strategy in strategies):
            self._more_segments(FIRST_SEGMENTS)

    def advance(self, until_s: float) -> None:
        """Serve all events before `until_s`."""
        while (why := serve(self.state, until_s)) != st.REACHED:
            if why == st.BLOCK_EMPTY:
                self._next_block()
            elif why == st.CLOSED_EMPTY:
                self._draw_lengths()
            elif why == st.SLOTS_FULL:
                self._more_slots(2 * self.state.requests.size)
            elif why == st.SEGMENTS_FULL:
                self._more_segments(2 * self.state.segments.size)
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
        """Work that a pool has done well so far, in the order of the arguments of `full_batch_s`, [5]."""
        done = self.state.pools[pool]
        return np.array(
            [done.branches, done.prompt_tokens, done.output_tokens, done.attended_tokens, done.cached_tokens]
        )

    def full_batch_s(
        self,
        pool: int,
        branches: int,
        prompt_tokens: int,
        output_tokens: int,
        attended_tokens: int | None = None,
        cached_tokens: int = 0,
    ) -> float:
        """What branches would take a replica of a pool of GPUs in full batches, seconds; they share no prompts where
        `attended_tokens` is left out.
        """
        spec = self._pools[pool]
        assert isinstance(spec, PoolSpec)
        return full_batch_s(
            spec.step_time,
            branches=branches,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            attended_tokens=prompt_tokens if attended_tokens is None else attended_tokens,
            cached_tokens=cached_tokens,
            rows=min(spec.max_num_seqs, spec.step_time.max_rows),
            step_tokens=spec.max_num_batched_tokens,
            kv_capacity_tokens=spec.kv_capacity_tokens,
        )

    @property
    def unfinished(self) -> int:
        """Requests in flight; sleep-time jobs are none."""
        return int(self.state.run[0].in_flight - self.state.run[0].jobs_in_flight)

    @property
    def contexts(self) -> st.Records:
        """What is prepared of each context, of type CONTEXT, by context id; grows as contexts appear."""
        return self.state.contexts

    def prepare(
        self,
        contexts: st.Integers,
        versions: st.Integers,
        prompt_tokens: st.Integers,
        output_tokens: st.Integers,
        notes_tokens: st.Integers,
        keys: st.Integers,
        *,
        lasts_s: float,
        strategy: int,
        now_s: float,
    ) -> None:
        """Send a sleep-time job for each of these contexts, [n], with its text as prompt.

        Once it has ended, what it has written counts as `notes_tokens` more of a prompt, and lasts for `lasts_s`
        seconds or until the version is another. Work under way for another version of a context is of no use then.
        """
        jobs = st.records(st.JOB, contexts.size)
        jobs["context_id"], jobs["version"], jobs["strategy"] = contexts, versions, strategy
        jobs["prompt_tokens"], jobs["output_tokens"], jobs["key"] = prompt_tokens, output_tokens, keys
        self._more_contexts(int(contexts.max(initial=-1)) + 1)
        table = self.state.contexts
        table["state"][contexts], table["version"][contexts] = st.PREPARING, versions
        table["notes_tokens"][contexts], table["lasts_s"][contexts] = notes_tokens, lasts_s
        for column in ("hits", "usd", "job_tokens"):
            table[column][contexts] = 0
        table["pool"][contexts] = st.NONE
        self.state = self.state._replace(jobs=jobs)
        run = self.state.run[0]
        run.job, run.jobs, run.jobs_s = 0, jobs.size, now_s
        self.advance(now_s)

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
                self._take_off(rank, now_s)

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

    def price(self, pool: int, usd_per_replica_hour: float, window: int, now_s: float) -> None:
        """What a replica of a pool costs from now on, and in which tariff window."""
        reprice(self.state, pool, usd_per_replica_hour / 3600.0, window, now_s)

    def rates(self, pool: int, window: int) -> None:
        """The tariff window of an API from now on."""
        self.state.pools[pool].window = window

    def close_api(self, pool: int, closed: bool) -> None:
        """Send an API nothing more, or send to it again; what it has it answers."""
        self._accept(self.first_replica[pool], st.CLOSED_TO_ALL if closed else st.OPEN_TO_ALL)

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
        slots = slots[np.isin(self.state.calls["place"][slots], (st.AT_REPLICA, st.HELD, st.ENDED))]
        slots = slots[np.argsort(requests["id"][slots], kind="stable")]
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
        scored = self._score(block)
        columns = {
            "arrival_s": block.arrival_s,
            "prompt_tokens": block.prompt_tokens,
            "stream": block.stream,
            "priority": block.priority,
            "context_id": block.context_id,
            "key": block.key,
            "version": block.version,
            "prefix_tokens": block.prefix_tokens,
            "keep_tokens": block.keep_tokens,
            "strategy": scored.strategy,
            "step_tokens": scored.output_tokens,
            "p_sample": scored.p_sample,
            "p_correct": scored.p_correct,
            "escalates": scored.escalates,
            "luck": self._luck(len(block.arrival_s)),
            "api_luck": self._api_luck(len(block.arrival_s)),
        }
        self.state = self.state._replace(**{name: _plain_array(column) for name, column in columns.items()})
        self._take_options(scored.options, run.block_rows)
        last_context = int(block.context_id.max())
        if last_context >= 0:
            self._more_segments(FIRST_SEGMENTS)
        if self._prepares:
            self._more_contexts(last_context + 1)

    def _take_options(self, options: Options | None, requests: int) -> None:
        """What the block's requests may become. A corpus that has come before is not looked at again."""
        if options is None:
            self.state = self.state._replace(option_row=np.zeros(0, np.int64))
            return
        columns: dict[str, Any] = {"option_row": rows_of(options, requests)}
        if options.corpus is not self._corpus:
            columns |= corpus_columns(options.corpus, self.state.choices.size, self.state.slot_tokens.shape[1])
            self._corpus = options.corpus
        self.state = self.state._replace(**columns)

    def _draw_lengths(self) -> None:
        s = self.state
        for c, client in enumerate(self._clients):
            if s.closed[c].used < s.closed[c].drawn:
                continue
            block = _requests_of(client)
            scored = self._score(block)
            s.closed_prompt_tokens[c] = block.prompt_tokens
            s.closed_key[c] = block.key
            s.closed[c].chooses = int(scored.options is not None)
            if scored.options is not None:
                made = client_options(s, c, scored.options, len(self._clients), DRAWS)
                self.state = s = s._replace(**made)
            else:
                s.closed_strategy[c] = scored.strategy
                s.closed_tokens[c] = scored.output_tokens[:, 0]
                s.closed_p_sample[c] = scored.p_sample[:, 0]
                s.closed_p_correct[c] = scored.p_correct[:, 0]
                s.closed_escalates[c] = scored.escalates[:, 0]
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
        self.state.run[0].slots_free += slots - before.size
        self.state = self.state._replace(
            requests=requests,
            calls=longer(self.state.calls, slots),
            branches=longer(self.state.branches, slots),
            families=longer(self.state.families, slots),
            slot_tokens=longer(self.state.slot_tokens, slots),
            slot_chances=longer(self.state.slot_chances, slots),
            slot_escalates=longer(self.state.slot_escalates, slots),
            carried_usd=longer(self.state.carried_usd, slots),
            timer_s=longer(self.state.timer_s, slots),
            timer_slot=longer(self.state.timer_slot, slots),
        )

    def _more_segments(self, count: int) -> None:
        """Have room for so many prefixes; their buckets are filled anew."""
        before = self.state.segments
        if count <= before.size:
            return
        run = self.state.run[0]
        segments = longer(before, count)
        segments["replica"][before.size :] = st.NONE
        segments["next"][before.size :] = np.arange(before.size + 1, count + 1)
        segments["next"][-1] = run.free_segment
        run.free_segment = before.size
        run.segments_free += count - before.size
        run.caches = 1
        bucket = np.full(1 << (2 * count - 1).bit_length(), st.NONE)
        for at in np.flatnonzero(segments["replica"] != st.NONE):
            place = segments["key"][at] & (bucket.size - 1)
            segments["next"][at] = bucket[place]
            bucket[place] = at
        self.state = self.state._replace(segments=segments, bucket=bucket)

    def _more_contexts(self, count: int) -> None:
        size = self.state.contexts.size
        if count > size:
            self.state = self.state._replace(contexts=longer(self.state.contexts, max(count, 2 * size)))

    def _hand_over(self) -> None:
        run = self.state.run[0]
        if self._keep is not None and run.rows:
            self._keep(self.state.finished[: run.rows].copy())
        run.rows = 0


def _plain_array(column: Any) -> Any:
    """The column as the compiled code knows it: for a view of another layout all of it would be compiled again."""
    return np.require(column, requirements=("C", "W"))


def _unscored(block: RequestBlock) -> Scored:
    """The first strategy for all, and nothing known of their answers."""
    shape = (len(block.arrival_s), 1, 1)
    unknown = np.full(shape, nan)
    zeros = np.zeros(shape, np.int64)
    return Scored(zeros[:, 0, 0], np.reshape(block.output_tokens, shape), unknown, unknown, zeros)


def _requests_of(client: ClientSpec) -> RequestBlock:
    """The next requests of a closed stream, whose times are not known yet."""
    prompt_tokens, output_tokens = client.draw(DRAWS)
    return plain_block(
        np.zeros(DRAWS),
        prompt_tokens,
        output_tokens,
        stream=client.stream,
        priority=client.priority,
        key=client.draw_keys(DRAWS),
    )
