"""Everything a run holds between two control events, as named arrays.

Three record tables carry the moving parts (requests in flight, replicas, pools); the arrays beside them
are those the hot loop scans. Sizes depend on the fleet and on the number of requests in flight, never on
the horizon.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Records: TypeAlias = Any
"""A numpy record array: a row is a view, its fields are attributes, in Python as in compiled code."""

NONE = -1
"""No slot: the end of a list."""

BLOCK_TOKENS = 16
"""KV cache tokens in one block (vLLM's default block size)."""

CLASSES = 3
"""Priority classes: 0 interactive, 1 batch, 2 sleep."""

IDLE, DECODE, MIXED, PREFILL = 0, 1, 2, 3
"""What a replica is doing: nothing, n decode steps, one step with rows and prompt slices, one step of prompts."""

PREFILL_FIRST, CHUNKED = 0, 1
"""Schedulers."""

ROUND_ROBIN, LEAST_OUTSTANDING, POWER_OF_TWO = 0, 1, 2
"""Balancers."""

COMPLETED, TOO_LONG, NO_REPLICA, UNFINISHED = 0, 1, 2, 3
"""How a request ended. TOO_LONG: more tokens than any replica that may serve it can hold or its model can read."""

REACHED, BLOCK_EMPTY, CLOSED_EMPTY, SLOTS_FULL, ROWS_FULL = 0, 1, 2, 3, 4
"""Why `serve` came back: time reached, or one of its buffers wants attention from Python."""

TTFT, TPOT, E2E = 0, 1, 2
"""Rows of a stream's latency tables."""

REQUEST = np.dtype(
    [
        ("arrival_s", "f8"),
        ("first_token_s", "f8"),  # end of the step that gave it, until the request completes; NaN before
        ("cost_usd", "f8"),  # what it has been charged, up to the last time it joined the decode rows
        ("joined_usd", "f8"),  # the replica's row_usd when it joined; less what was settled since
        ("id", "i8"),
        ("stream", "i8"),  # NONE: the slot is free
        ("strategy", "i8"),
        ("priority", "i8"),
        ("context_id", "i8"),
        ("closed", "i8"),  # closed stream that waits for it, or NONE
        ("replica", "i8"),
        ("prompt_tokens", "i8"),
        ("output_tokens", "i8"),
        ("produced", "i8"),  # output tokens out when it last joined or was preempted
        ("target", "i8"),  # tokens to prefill: the prompt, and after a preemption what it had produced too
        ("prefilled", "i8"),
        ("chunk", "i8"),  # prompt tokens in the running step
        ("join_step", "i8"),  # replica step at which its first decode step begins
        ("finish_step", "i8"),  # replica step at which its last token is out
        ("admission", "i8"),  # order of admission on its replica: the largest is the newest
        ("preemptions", "i8"),
        ("next", "i8"),  # next slot in the same list
    ]
)

REPLICA = np.dtype(
    [
        ("pool", "i8"),
        ("mode", "i8"),
        ("waking", "i8"),  # idle, and about to begin
        ("span_start_s", "f8"),
        ("span_steps", "i8"),  # decode steps until the next event; 1 in a mixed step, 0 in a prefill step
        ("base_s", "f8"),  # law of the running span: a step takes base_s + per_kv_s * KV tokens
        ("per_kv_s", "f8"),
        ("step", "i8"),  # decode steps done since the start
        ("rows", "i8"),  # requests in decode
        ("seqs", "i8"),  # requests admitted: rows and those being prefilled
        ("kv_tokens", "i8"),  # KV tokens of the rows
        ("blocks_used", "i8"),
        ("prompt_tokens", "i8"),  # prompt tokens in the running step
        ("waiting", "i8"),
        ("admissions", "i8"),
        ("always_paid", "i8"),  # reserved: costs money switched on or off
        ("paid", "i8"),
        ("usd_per_s", "f8"),
        ("accrued_s", "f8"),  # the books are right up to this time
        ("row_share", "f8"),  # share of the running span's time that each decode row pays
        ("prompt_share", "f8"),  # share that the prompts being prefilled pay together
        ("row_usd", "f8"),  # cost per decode row since the last settlement: the integral of price / rows
        ("prompt_usd", "f8"),  # cost of the prompt part of the running step
        ("busy_s", "f8"),  # up to the last settlement
        ("idle_s", "f8"),
        ("busy_usd", "f8"),
        ("idle_usd", "f8"),
        ("recent_busy_s", "f8"),  # since then
        ("recent_idle_s", "f8"),
        ("recent_busy_usd", "f8"),
        ("recent_idle_usd", "f8"),
    ]
)

POOL = np.dtype(
    [
        ("scheduler", "i8"),
        ("max_num_seqs", "i8"),
        ("max_num_batched_tokens", "i8"),
        ("capacity_blocks", "i8"),
        ("max_model_len", "i8"),  # most tokens of prompt and output together
        ("attention_s_per_pair", "f8"),
        ("front_end_s", "f8"),  # what the server adds outside its steps: seconds
        ("front_end_steps", "f8"),  # and a request's own mean times per output token
        ("arrived", "i8"),
        ("completed", "i8"),
        ("prompt_tokens", "i8"),  # of completed requests
        ("output_tokens", "i8"),  # of completed requests
        ("preemptions", "i8"),
        ("recomputed_tokens", "i8"),
    ]
)

STREAM = np.dtype(
    [
        ("ttft_slo_s", "f8"),
        ("tpot_slo_s", "f8"),
        ("e2e_slo_s", "f8"),
        ("offered", "i8"),
        ("completed", "i8"),
        ("too_long", "i8"),
        ("no_replica", "i8"),
        ("prompt_tokens", "i8"),  # of completed requests
        ("output_tokens", "i8"),  # of completed requests
        ("measured_offered", "i8"),  # measured: arrived after the warm-up
        ("measured_met", "i8"),  # completed within every objective
    ]
)

CLOSED = np.dtype(
    [
        ("stream", "i8"),
        ("priority", "i8"),
        ("think_time_s", "f8"),
        ("left", "i8"),  # requests still to send; NONE: without end
        ("drawn", "i8"),  # lengths in the buffer
        ("used", "i8"),
        ("first", "i8"),  # ring of the times at which its clients send next
        ("ready", "i8"),
    ]
)

RUN = np.dtype(
    [
        ("cursor", "i8"),  # next row of the arrival block
        ("block_rows", "i8"),
        ("more_blocks", "i8"),
        ("free", "i8"),  # head of the list of free slots
        ("in_flight", "i8"),
        ("next_id", "i8"),
        ("rows", "i8"),  # rows written to the buffer of finished requests
        ("woken", "i8"),  # replicas about to begin
        ("wake_s", "f8"),  # and when
        ("told_s", "f8"),  # latest time at which a client sees a request answered or refused
        ("warm_up_s", "f8"),
        ("balancer", "i8"),
    ]
)

ROW = np.dtype(
    [
        ("request_id", "i8"),
        ("stream", "i8"),
        ("context_id", "i8"),
        ("arrival_s", "f8"),
        ("strategy", "i8"),
        ("replica", "i8"),
        ("status", "i8"),
        ("prompt_tokens", "i8"),
        ("output_tokens", "i8"),
        ("first_token_s", "f8"),
        ("finish_s", "f8"),
        ("cost_usd", "f8"),
        ("priority", "i8"),
        ("preemptions", "i8"),
    ]
)


class State(NamedTuple):
    """The data plane. R replicas, P pools, N slots, S streams, A strategies, C closed streams."""

    run: Records  # RUN [1]
    requests: Records  # REQUEST [N]
    replicas: Records  # REPLICA [R]
    pools: Records  # POOL [P]
    streams: Records  # STREAM [S]
    closed: Records  # CLOSED [C]
    finished: Records  # ROW [capacity]; empty unless rows are kept

    event_s: Floats  # [leaves] when each replica's batch next changes; inf: idle
    winner: Integers  # [leaves] tournament over event_s; node 1 is the replica that comes first
    woken: Integers  # [R] idle replicas about to begin
    outstanding: Integers  # [R] requests routed there and not ended
    accepting: Integers  # [R] 1: takes new requests
    waiting_head: Integers  # [R, CLASSES]
    waiting_tail: Integers  # [R, CLASSES]
    prefill_head: Integers  # [R, CLASSES]
    prefill_tail: Integers  # [R, CLASSES]
    seqs_of: Integers  # [R, CLASSES] admitted requests by priority class
    heap: Integers  # [R, max_num_seqs] decode rows by finish step
    phase: Integers  # [R, BLOCK_TOKENS] decode rows by the steps at which they take a new KV block

    base_s: Floats  # [P, segments, rows] f: a decode step's time without KV
    per_kv_s: Floats  # [P, segments, rows] k: and for each KV token
    kv_edge: Floats  # [P, segments] a segment's law holds up to here
    linear_s: Floats  # [P, tokens] g: linear layers by tokens in the step
    linear_slope_s: Floats  # [P] g beyond its table

    target_first: Integers  # [S * A + 1] where the replicas open to (stream, strategy) begin in target_replica
    target_replica: Integers
    target_turn: Integers  # [S * A] whose turn it is

    arrival_s: Floats  # the arrival block, one column each
    prompt_tokens: Integers
    output_tokens: Integers
    stream: Integers
    priority: Integers
    context_id: Integers
    strategy: Integers
    luck: Floats  # uniform in [0, 1): the balancer's draw

    closed_prompt_tokens: Integers  # [C, draws]
    closed_output_tokens: Integers
    closed_strategy: Integers
    closed_luck: Floats
    closed_ring_s: Floats  # [C, clients]

    histogram: Integers  # [S, 3, BINS] TTFT, TPOT, E2E of measured requests
    latency_sum_s: Floats  # [S, 3]
    latency_count: Integers  # [S, 3]
    ended_usd: Floats  # [P, S, A, CLASSES] cost of requests that had ended at the last settlement
    recent_usd: Floats  # [P, S, A, CLASSES] and of those since
    ended_requests: Integers  # [P, S, A, CLASSES] completed
    ended_output_tokens: Integers  # [P, S, A, CLASSES] of those


def records(dtype: np.dtype[Any], rows: int) -> Records:
    """A zeroed record array of `rows` rows."""
    return np.zeros(rows, dtype).view(np.recarray)
