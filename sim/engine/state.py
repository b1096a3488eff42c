"""Everything a run holds between two control events, as named arrays.

Record tables carry the moving parts (requests in flight, replicas, pools ...); the arrays beside them
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
SLEEP = 2
"""The class that yields to all others."""

IDLE, DECODE, MIXED, PREFILL = 0, 1, 2, 3
"""What a replica is doing: nothing, n decode steps, one step with rows and prompt slices, one step of prompts."""

PREFILL_FIRST, CHUNKED = 0, 1
"""Schedulers."""

ROUND_ROBIN, LEAST_OUTSTANDING, POWER_OF_TWO, PREFIX_AFFINITY = 0, 1, 2, 3
"""Balancers."""

COMPLETED, TOO_LONG, NO_REPLICA, UNFINISHED, QUEUE_FULL, RATE_LIMITED, TIMED_OUT, FAILED = 0, 1, 2, 3, 4, 5, 6, 7
"""How a request ended. TOO_LONG: more tokens than any replica that may serve it can hold or its model can read;
QUEUE_FULL: every open replica has as many requests as it may; FAILED: lost with its replica."""

OFF, STARTING, OPEN, DRAINING, DOWN = 0, 1, 2, 3, 4
"""The life of a replica; also what its paid but unused time is called."""
LIVES = 5

CLOSED_TO_ALL, OPEN_TO_ALL, HOLDS = 0, 1, 2
"""Whether a replica accepts requests. HOLDS: where nothing is open it queues them until it opens itself."""

USED, LOST_WORK, GIVEN_UP = 0, 1, 2
"""What a request's cost went into: an answer, work lost with its replica, work its client did not wait for."""
USES = 3

AT_REPLICA, API_QUEUED, API_RUNNING, BACKING_OFF, HELD, CONTINUED, ENDED = 0, 1, 2, 3, 4, 5, 6
"""Where a request in flight is, or a branch of one. BACKING_OFF: its client waits before it sends it again; HELD: until
its leader has read the prompt; CONTINUED: between two stages; ENDED: a branch that has its answer, or was dropped."""

BY_UTILITY, BY_DIFFICULTY, BY_GAIN, BY_BANDIT = 0, 1, 2, 3
"""How a request's strategy is chosen: the numbers of `router.types.Rule`."""

UNPREPARED, PREPARING, READY = 0, 1, 2
"""What a context is."""

FIRST_JOB = 1 << 40
"""Sleep-time jobs count from here."""

BILL_ARRIVAL, BILL_START, BILL_COMPLETION = 0, 1, 2
"""By which moment of a request an API's tariff bills it."""

INPUT, CACHED_INPUT, OUTPUT = 0, 1, 2
"""Kinds of tokens on an API's bill."""

NO_LIMIT = 1 << 62
"""As many as there may be."""

REACHED, BLOCK_EMPTY, CLOSED_EMPTY, SLOTS_FULL, ROWS_FULL, SEGMENTS_FULL = 0, 1, 2, 3, 4, 5
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
        ("admission", "i8"),  # order of admission on its replica: the largest is the newest; 0 while it waits
        ("preemptions", "i8"),
        ("next", "i8"),  # next slot in the same list
        ("timer", "i8"),  # its place in the heap of timers, or NONE
        ("gone", "i8"),  # 1: its client has given up, and the replica will at its next step boundary
        ("carried", "i8"),  # 1: some of its cost lies in earlier tariff windows
        ("head", "i8"),  # slot of the request it is a branch of; its own, where it is the first
        ("branch", "i8"),  # its number among the branches of the stage
        ("special", "i8"),  # 1: it has a family or a prefix cache to look after
        ("shared_blocks", "i8"),  # KV blocks of its prefix that lie in segments
    ]
)

CALL = np.dtype(
    [
        ("luck", "f8"),  # the balancer's draw
        ("first_luck", "f8"),  # standard normal: an API's time to first token
        ("speed_luck", "f8"),  # standard normal: an API's speed
        ("due_s", "f8"),  # when its client gives up
        ("start_s", "f8"),  # when an API begins with it
        ("first_token_s", "f8"),  # when it gives the first token
        ("finish_s", "f8"),  # when an API is done
        ("spent_usd", "f8"),  # what has been booked for it
        ("place", "i8"),
        ("attempts", "i8"),
        ("retries", "i8"),
        ("window", "i8"),  # tariff window an API bills it by
        ("late", "i8"),  # 1: it was sent on an answer, or again: just after the step boundaries of that instant
        ("key", "i8"),  # of its luck
    ]
)
"""The client's side of a request in flight."""

BRANCH = np.dtype(
    [
        ("following", "i8"),  # slot of the next branch of the stage, or NONE
        ("segment", "i8"),  # what it refers to of the prefix cache, or NONE
        ("group_key", "i8"),  # its group's prompt, where another reads it; 0: none
        ("extended_key", "i8"),  # what it extends; 0: nothing
        ("hit", "i8"),  # what it would refer to if it were admitted now
        ("hit_tokens", "i8"),  # and use of it
        ("hit_limit", "i8"),  # as far as the text is the same
        ("found_tokens", "i8"),  # used at its first admission; NONE before
        ("gives_tokens", "i8"),  # tokens of prompt and answer that are worth keeping when it ends
        ("gives_key", "i8"),  # and as what; 0: nothing
    ]
)
"""A branch on a replica that refers to others, or to a prefix cache."""

FAMILY = np.dtype(
    [
        ("stage", "i8"),  # number among the stages of all strategies
        ("branches", "i8"),
        ("left", "i8"),  # branches that have neither ended nor been dropped
        ("leaving", "i8"),  # of a request that was given up: admitted branches not yet let go
        ("over", "i8"),  # 1: it is in the list of those whose stage may be over
        ("next", "i8"),  # in that list, or in that of those to be continued
        ("last_s", "f8"),  # when its last branch ended
        ("last_branch", "i8"),  # and which
        ("last_tokens", "i8"),  # and how long it was
        ("path_tokens", "i8"),
        ("stage_tokens", "i8"),  # generated by branches that have left the running stage
        ("generated_tokens", "i8"),  # in stages that are over, as are those below
        ("read_tokens", "i8"),
        ("cached_tokens", "i8"),
        ("first_segment", "i8"),  # segments of its own
        ("question_tokens", "i8"),  # its prompt, with what was prepared
        ("context_key", "i8"),  # 0: no context
        ("prefix_tokens", "i8"),
        ("text_key", "i8"),  # the context without its notes, where it is prepared; 0: not
        ("text_tokens", "i8"),
        ("keep_tokens", "i8"),
        ("version", "i8"),
        ("prepared", "i8"),
        ("correct", "i8"),  # NONE: unknown
        ("step", "i8"),  # of its strategy
    ]
)
"""What the branches of a request have in common."""

SEGMENT = np.dtype(
    [
        ("replica", "i8"),
        ("key", "i8"),
        ("tokens", "i8"),  # prefix up to its end
        ("blocks", "i8"),  # its own: beyond its parent's
        ("users", "i8"),  # requests that refer to it or to one that builds on it
        ("children", "i8"),
        ("parent", "i8"),
        ("next", "i8"),  # in its bucket, or in the list of free ones
        ("older", "i8"),  # in the order of disuse
        ("newer", "i8"),
        ("owner", "i8"),  # head of the family that it goes with, or NONE
        ("sibling", "i8"),  # next one of that family
    ]
)
"""KV blocks of a prefix that stay on a replica."""

CONTEXT = np.dtype(
    [
        ("state", "i8"),
        ("version", "i8"),  # of what is prepared, or being prepared
        ("ready_s", "f8"),
        ("expires_s", "f8"),
        ("lasts_s", "f8"),
        ("notes_tokens", "i8"),
        ("asked", "i8"),  # questions so far, prepared or not
        ("hits", "i8"),
        ("usd", "f8"),  # spent on it
        ("job_tokens", "i8"),
        ("pool", "i8"),  # where the work was done, or NONE
    ]
)
"""A context and what was prepared of it."""

JOB = np.dtype(
    [
        ("context_id", "i8"),
        ("version", "i8"),
        ("prompt_tokens", "i8"),
        ("output_tokens", "i8"),
        ("strategy", "i8"),
        ("key", "i8"),
    ]
)
"""A sleep-time job to send."""

STAGE = np.dtype(
    [
        ("step", "i8"),
        ("groups", "i8"),
        ("per_group", "i8"),
        ("extends", "i8"),
        ("apart", "i8"),  # and finds nothing of that
        ("prompt_tokens", "i8"),
        ("tokens_factor", "f8"),
        ("sigma", "f8"),
        ("most_tokens", "i8"),
        ("wait_for", "i8"),
        ("agree", "i8"),
        ("ends_step", "i8"),
        ("is_first", "i8"),  # of its strategy
        ("is_last", "i8"),
        ("is_alone", "i8"),  # the only branch of the only stage
        ("is_plain", "i8"),  # and just the question and its answer
    ]
)

STEP = np.dtype(
    [
        ("vote", "i8"),
        ("wrong_answers", "i8"),
        ("skew", "f8"),
        ("blank_share", "f8"),
        ("agreement_below", "f8"),
    ]
)

REPLICA = np.dtype(
    [
        ("pool", "i8"),
        ("life", "i8"),
        ("server", "i8"),  # first rank of its server
        ("ended_s", "f8"),  # when it was last switched off
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
        ("prompt_slices", "i8"),  # in so many slices of more than one
        ("waiting", "i8"),
        ("admissions", "i8"),
        ("ghosts", "i8"),  # admitted requests whose clients have given up
        ("sleep_rows", "i8"),  # of the rows
        ("cached_blocks", "i8"),  # KV blocks that nobody uses now
        ("oldest", "i8"),  # segment in disuse for longest, or NONE
        ("newest", "i8"),
        ("always_paid", "i8"),  # reserved: costs money switched on or off
        ("paid", "i8"),
        ("usd_per_s", "f8"),
        ("accrued_s", "f8"),  # the books are right up to this time
        ("row_share", "f8"),  # share of the running span's time that each decode row pays
        ("prompt_share", "f8"),  # share that the prompts being prefilled pay together
        ("row_usd", "f8"),  # cost per decode row since the last settlement: the integral of price / rows
        ("prompt_usd", "f8"),  # cost of the prompt part of the running step
        ("busy_s", "f8"),  # up to the last settlement
        ("recent_busy_s", "f8"),  # since then
        ("recent_prompt_s", "f8"),  # of it what the prompts pay
        ("recent_unused_s", "f8"),
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
        ("slice_s", "f8"),  # seconds for each slice of a prompt of more than one token
        ("front_end_s", "f8"),  # what the server adds outside its steps: seconds
        ("front_end_steps", "f8"),  # and a request's own mean times per output token
        ("ranks", "i8"),  # replicas that are one server
        ("spill_at", "i8"),  # requests of a replica from which the next tier is tried
        ("max_outstanding", "i8"),  # most requests of a replica
        ("window", "i8"),  # tariff window now
        ("prefix_cache", "i8"),
        ("sleep_slowdown", "f8"),
        ("sleep_step_tokens", "i8"),
        ("is_api", "i8"),
        ("bill_by", "i8"),
        ("waits", "i8"),  # 1: beyond its rate limit an API queues; 0: it refuses
        ("ttft_median_s", "f8"),
        ("ttft_sigma", "f8"),
        ("tokens_per_s", "f8"),
        ("speed_sigma", "f8"),
        ("batch_window_s", "f8"),  # 0: not a batch tier
        ("cached_share", "f8"),
        ("s_per_request", "f8"),  # rate limits; 0: none
        ("s_per_token", "f8"),
        ("burst_s", "f8"),
        ("requests_full_s", "f8"),  # theoretical arrival times of the limits (GCRA)
        ("tokens_full_s", "f8"),
        ("arrived", "i8"),  # sleep-time jobs are none of these, nor of what follows
        ("completed", "i8"),
        ("prompt_tokens", "i8"),  # of stages that ended well, as are those below
        ("output_tokens", "i8"),
        ("cached_tokens", "i8"),  # of the prompts
        ("branches", "i8"),
        ("attended_tokens", "i8"),  # of the prompts, as often as branches have them before them
        ("preemptions", "i8"),  # here they count
        ("recomputed_tokens", "i8"),
    ]
)

STREAM = np.dtype(
    [
        ("ttft_slo_s", "f8"),
        ("tpot_slo_s", "f8"),
        ("e2e_slo_s", "f8"),
        ("timeout_s", "f8"),  # of an attempt
        ("retries", "i8"),  # most of them
        ("backoff_s", "f8"),
        ("backoff_factor", "f8"),
        ("backoff_max_s", "f8"),
        ("jitter", "f8"),
        ("retry_rejected", "i8"),
        ("retry_timed_out", "i8"),
        ("retry_failed", "i8"),
        ("resend_lost", "i8"),
        ("offered", "i8"),
        ("attempts", "i8"),
        ("retried", "i8"),
        ("completed", "i8"),
        ("too_long", "i8"),
        ("no_replica", "i8"),
        ("queue_full", "i8"),
        ("rate_limited", "i8"),
        ("timed_out", "i8"),
        ("failed", "i8"),
        ("prompt_tokens", "i8"),  # of completed requests
        ("output_tokens", "i8"),  # of completed requests
        ("measured_offered", "i8"),  # measured: arrived after the warm-up
        ("measured_ended", "i8"),
        ("measured_met", "i8"),  # completed within every objective
        ("measured_rejected", "i8"),
        ("measured_timed_out", "i8"),
        ("missed_ttft", "i8"),  # completed; the first objective missed was that of the first token
        ("missed_tpot", "i8"),
        ("missed_e2e", "i8"),
        ("asked", "i8"),  # of a context
        ("hits", "i8"),  # that was prepared
        ("stale", "i8"),  # that has changed since it was prepared
        ("expired", "i8"),
        ("late", "i8"),  # that was being prepared
        ("saved_tokens", "i8"),  # output tokens that the first steps of hits did not need, if no branch is dropped
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
        ("chooses", "i8"),  # 1: its requests have options
    ]
)

ROUTE = np.dtype(
    [
        ("rule", "i8"),  # of router.types.Rule
        ("only", "i8"),  # the one strategy that the stream may get, or NONE
        ("mu", "f8"),  # the budget's multiplier of costs
        ("value_usd", "f8"),  # of a right answer
        ("lateness_usd", "f8"),  # what an answer after the objective costs
        ("e2e_slo_s", "f8"),  # time until the answer that counts for that
        ("price", "i8"),  # 1: prices as they are now; 0: their means over time
        ("load", "i8"),  # 1: it is looked at how busy replicas are
        ("cheap", "i8"),  # strategies between which a threshold decides
        ("strong", "i8"),
        ("threshold", "f8"),
        ("feedback", "f8"),  # chance that it is learned whether an answer was right
        ("latency_s", "f8"),  # what the choice takes before the request comes here
    ]
)
"""How the requests of a stream get their strategies."""

CHOICE = np.dtype(
    [
        ("available", "i8"),
        ("p", "f8"),  # as in specs.Corpus, or as the bandit has learned
        ("tokens", "f8"),
        ("path_tokens", "f8"),
        ("sd", "f8"),
        ("usd_per_prompt_token", "f8"),
        ("usd_per_output_token", "f8"),
        ("wait_s", "f8"),
        ("prompt_s_per_token", "f8"),
        ("tpot_s", "f8"),
        ("bound_usd", "f8"),  # its utility if it were never late
        ("p_late", "f8"),  # of the one that is picked
        ("replica", "i8"),  # the least loaded that takes the request, or NONE; what follows is said of it
        ("ahead", "i8"),  # branches there
        ("places", "f8"),  # for branches in its batch
        ("row_kv", "f8"),  # mean KV tokens of a row
        ("mean_tokens", "f8"),  # of the branches that its pool has ended so far
        ("read_usd", "f8"),  # a token of a prompt
        ("read_s", "f8"),
        ("write_usd", "f8"),  # a token of output
    ]
)
"""What is known of a strategy while a request is given one."""

WAY = np.dtype(
    [
        ("branches", "i8"),  # of its first stage
        ("prompts", "i8"),  # how often a replica reads the prompt in the first step
        ("calls", "i8"),  # how often an API is sent it
    ]
)
"""What a strategy asks for."""

CHOSEN = np.dtype([("count", "i8"), ("p", "f8"), ("cost_usd", "f8"), ("p_late", "f8"), ("e2e_s", "f8")])
"""How often a strategy was chosen, and sums of what was expected of it."""

SEEN = np.dtype([("right", "i8"), ("wrong", "i8"), ("ended", "i8"), ("tokens", "i8"), ("path_tokens", "i8")])
"""What has come of a strategy: answers known to be right or wrong, answers, and their tokens."""

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
        ("timers", "i8"),
        ("lost", "i8"),  # head of the list of requests to send again, taken off a replica
        ("lost_s", "f8"),  # and when
        ("spills", "i8"),  # 1: some pool has a limit from which the next tier is tried
        ("holds", "i8"),  # 1: some replica may hold requests until it opens
        ("told_s", "f8"),  # latest time at which a client sees a request answered or refused
        ("warm_up_s", "f8"),
        ("balancer", "i8"),
        ("affinity_slack", "i8"),
        ("slots_free", "i8"),
        ("most_branches", "i8"),
        ("free_segment", "i8"),  # head of the list of free ones
        ("segments_free", "i8"),
        ("caches", "i8"),  # 1: segments may be made
        ("over", "i8"),  # list of families whose stage may be over
        ("continued", "i8"),  # list of families to send on
        ("continued_end", "i8"),
        ("continued_s", "f8"),
        ("job", "i8"),  # next sleep-time job to send
        ("jobs", "i8"),
        ("jobs_s", "f8"),
        ("jobs_in_flight", "i8"),
        ("next_job", "i8"),
        ("sleep_stream", "i8"),  # stream of sleep-time jobs, or NONE
        ("learns", "i8"),  # 1: what comes of strategies is noted
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
        ("attempts", "i8"),
        ("cached_tokens", "i8"),
        ("correct", "i8"),  # NONE: unknown
        ("p_correct", "f8"),
        ("prepared", "i8"),
        ("steps", "i8"),
        ("path_tokens", "i8"),  # output tokens one after the other, by which the time per token counts
    ]
)


class State(NamedTuple):
    """The data plane. R replicas, P pools, N slots, S streams, A strategies, C closed streams, W tariff windows.

    K is the most steps of a strategy; V is 2 where answers may come from a prepared context, else 1. Where requests
    get their strategies as they arrive, what may come of them stands in O rows.

    An API is a pool with one replica that has no steps.
    """

    run: Records  # RUN [1]
    requests: Records  # REQUEST [N]
    calls: Records  # CALL [N]
    branches: Records  # BRANCH [N]
    families: Records  # FAMILY [N]
    slot_tokens: Integers  # [N, K] tokens of one branch of each step
    slot_chances: Floats  # [N, K, 2] that one sample is right, that the step's answer is
    slot_escalates: Integers  # [N, K]
    carried_usd: Floats  # [N, W] a request's cost in earlier tariff windows
    timer_s: Floats  # [N] heap of timers, by time and request id
    timer_slot: Integers  # [N]
    replicas: Records  # REPLICA [R]
    pools: Records  # POOL [P]
    streams: Records  # STREAM [S]
    closed: Records  # CLOSED [C]
    finished: Records  # ROW [capacity]; empty unless rows are kept
    stages: Records  # STAGE [stages of all strategies]
    stage_first: Integers  # [A + 1] where a strategy's stages begin
    stage_stays: Integers  # [S, stages] 1: it may run on the same replicas as the stage before
    steps: Records  # STEP [steps of all strategies]
    step_first: Integers  # [A + 1]
    segments: Records  # SEGMENT
    bucket: Integers  # [a power of two] first segment by key
    contexts: Records  # CONTEXT; empty unless there are sleep-time jobs
    jobs: Records  # JOB
    votes: Integers  # [wrong answers + 1] counts, and below the lowest branch that gave each
    voters: Integers

    event_s: Floats  # [leaves] when each replica's batch next changes; inf: idle
    winner: Integers  # [2 leaves] tournament over event_s; node 1 is the replica that comes first
    woken: Integers  # [R] idle replicas about to begin
    outstanding: Integers  # [R] branches routed there and not ended, but for those of class sleep
    asleep: Integers  # [R] those of class sleep
    accepting: Integers  # [R] CLOSED_TO_ALL, OPEN_TO_ALL or HOLDS
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

    tier_first: Integers  # [S * stages + 1] where the tiers of (stream, stage) begin; a tier is a list of replicas
    target_first: Integers  # [tiers + 1] where the replicas of a tier begin in target_replica
    target_replica: Integers
    target_turn: Integers  # [tiers] whose turn it is

    arrival_s: Floats  # the arrival block, one column each
    prompt_tokens: Integers
    stream: Integers
    priority: Integers
    context_id: Integers
    strategy: Integers
    key: Integers
    version: Integers
    prefix_tokens: Integers
    keep_tokens: Integers
    step_tokens: Integers  # [rows, V, K]
    p_sample: Floats  # [rows, V, K]
    p_correct: Floats  # [rows, V, K]
    escalates: Integers  # [rows, V, K]
    luck: Floats  # uniform in [0, 1): the balancer's draw
    api_luck: Floats  # [rows, 2] standard normal: an API's time to first token, its speed

    option_row: Integers  # [rows] row of each request in the options below; empty where strategies are given
    option_p: Floats  # [O, V, A] estimates, as in specs.Corpus
    option_tokens: Floats  # [O, V, A]
    option_path_tokens: Floats  # [O, V, A]
    option_sd: Floats  # [O, V, A]
    option_output_tokens: Integers  # [O, A, V, K] what really comes of it
    option_p_sample: Floats  # [O, A, V, K]
    option_p_correct: Floats  # [O, A, V, K]
    option_escalates: Integers  # [O, A, V, K]
    routes: Records  # ROUTE [S]
    allowed: Integers  # [S, A] 1: the stream may get the strategy
    like: Integers  # [S, A] first allowed strategy whose first stage goes to the same pools
    ways: Records  # WAY [A]
    choices: Records  # CHOICE [A] of the request that is being looked at
    chosen: Records  # CHOSEN [S, A]
    seen: Records  # SEEN [S, 2, A] without and with a prepared context
    mean_usd_per_s: Floats  # [P] what a replica costs on average over time
    mean_rates_usd: Floats  # [P, 3] what an API takes on average over time

    closed_prompt_tokens: Integers  # [C, draws]
    closed_key: Integers
    closed_strategy: Integers
    closed_tokens: Integers  # [C, draws, K]
    closed_p_sample: Floats
    closed_p_correct: Floats
    closed_escalates: Integers
    closed_luck: Floats
    closed_api_luck: Floats  # [C, draws, 2]
    closed_ring_s: Floats  # [C, clients]
    closed_option_p: Floats  # [C, draws, A] estimates of the requests drawn, as above; empty where they have no options
    closed_option_tokens: Floats  # [C, draws, A]
    closed_option_path_tokens: Floats  # [C, draws, A]
    closed_option_sd: Floats  # [C, draws, A]
    closed_option_output_tokens: Integers  # [C, draws, A, K]
    closed_option_p_sample: Floats  # [C, draws, A, K]
    closed_option_p_correct: Floats  # [C, draws, A, K]
    closed_option_escalates: Integers  # [C, draws, A, K]

    histogram: Integers  # [S, 3, BINS] TTFT, TPOT, E2E of measured requests
    latency_sum_s: Floats  # [S, 3]
    latency_count: Integers  # [S, 3]
    ended_usd: Floats  # [P, S, A, CLASSES, W, USES] cost of requests that had ended at the last settlement
    recent_usd: Floats  # [P, S, A, CLASSES, W, USES] and of those since
    work_s: Floats  # [P, W] replica time in which there was work
    prompt_s: Floats  # [P, W] of it for prompts
    work_usd: Floats  # [P, W] what it cost
    unused_s: Floats  # [P, W, LIVES] replica time paid for and not used
    unused_usd: Floats  # [P, W, LIVES]
    rates_usd: Floats  # [P, W, 3] what an API takes for a token of each kind
    billed_tokens: Integers  # [P, W, 3] tokens an API has billed
    ended_requests: Integers  # [P, S, A, CLASSES] completed
    ended_output_tokens: Integers  # [P, S, A, CLASSES] of those
    ended_known: Integers  # [P, S, A, CLASSES] of those whose answer is known to be right or wrong
    ended_correct: Integers  # [P, S, A, CLASSES] right ones
    ended_p: Floats  # [P, S, A, CLASSES] sum of their chances to be right


def records(dtype: np.dtype[Any], rows: int) -> Records:
    """A zeroed record array of `rows` rows."""
    return np.zeros(rows, dtype).view(np.recarray)
