"""What is kept of a request that has ended: counts, sums, and latency histograms of fixed size.

A histogram has 256 bins an octave, linear within it, read straight from the bits of the number: a bin is 0.2-0.4 %
wide, and finding it costs a shift.
"""

from __future__ import annotations

from math import floor, nan
from typing import Any

import numpy as np

from sim.engine.bandit import learn
from sim.engine.jit import inlined, kernel
from sim.engine.luck import right
from sim.engine.state import COMPLETED, E2E, NONE, TPOT, TTFT, Floats, Integers, Records, State

__all__ = [
    "BINS",
    "bin_edges_s",
    "bin_of",
    "cached_tokens",
    "count_stage",
    "front_end_s",
    "measure",
    "measure_family",
    "write_row",
]

BITS = 8
LOWEST = (1023 - 20) << BITS
"""Bin 0 begins at 2^-20 s, about a microsecond; what is shorter counts there."""
BINS = 42 << BITS
"""The last bin ends at 2^22 s, about 48 days; what is longer counts there."""


@inlined
def bin_of(seconds: float) -> int:
    """Histogram bin of a latency."""
    bits: Any = np.float64(seconds).view(np.int64)
    return min(max((bits >> (52 - BITS)) - LOWEST, 0), BINS - 1)


def bin_edges_s() -> Floats:
    """The BINS + 1 edges of the histogram bins, in seconds."""
    bits: Integers = (np.arange(BINS + 1, dtype=np.int64) + LOWEST) << (52 - BITS)
    return bits.view(np.float64)


@inlined
def front_end_s(pool: Records, req: Records, output_tokens: int, now_s: float) -> float:
    """Seconds by which its client sees a request, whose last step ended at `now_s`, later than its steps say."""
    tpot_s = (now_s - req.first_token_s) / max(output_tokens - 1, 1)
    return pool.front_end_s + pool.front_end_steps * tpot_s


@inlined
def cached_tokens(pool: Records, req: Records) -> int:
    """Prompt tokens that a pool takes from its cache."""
    return floor(pool.cached_share * req.prompt_tokens)


@kernel
def count_stage(s: State, head: int) -> None:
    """Count the tokens of a stage that has ended well: each group's prompt once, or as often as an API was sent it."""
    req = s.requests[head]
    family = s.families[head]
    stage = s.stages[family.stage]
    pool = s.pools[s.replicas[req.replica].pool]
    read, cached, branches, attended = 0, 0, 0, 0
    slot = head
    while slot != NONE:
        one = s.requests[slot]
        branches += 1
        attended += one.prompt_tokens
        if pool.is_api:
            read += one.prompt_tokens
            cached += cached_tokens(pool, one)
        elif one.branch % stage.per_group == 0:
            read += one.prompt_tokens
            cached += max(s.branches[slot].found_tokens, 0)
        slot = s.branches[slot].following
    if req.stream != s.run[0].sleep_stream:
        _count_tokens(pool, read, family.stage_tokens, cached)
        pool.branches += branches
        pool.attended_tokens += attended
    family.read_tokens += read
    family.cached_tokens += cached
    family.generated_tokens += family.stage_tokens


@inlined
def _count_tokens(pool: Records, prompt_tokens: int, output_tokens: int, cached: int) -> None:
    pool.prompt_tokens += prompt_tokens
    pool.output_tokens += output_tokens
    pool.cached_tokens += cached


@inlined
def measure(s: State, slot: int, now_s: float) -> None:
    """Count a plain request whose client sees it complete at `now_s`."""
    req = s.requests[slot]
    pool = s.pools[s.replicas[req.replica].pool]
    _count_tokens(pool, req.prompt_tokens, req.output_tokens, cached_tokens(pool, req))
    pool.branches += 1
    pool.attended_tokens += req.prompt_tokens
    chances = s.slot_chances[slot, 0]
    correct = right(s.calls[slot].key, chances[0])
    _count_answer(s, req, correct, chances[1])
    if s.run[0].learns:
        learn(s, slot, 0, correct, req.output_tokens, req.output_tokens)
    _count_request(s, req, req.prompt_tokens, req.output_tokens, req.output_tokens, now_s)


@kernel
def measure_family(s: State, slot: int, now_s: float) -> None:
    """Count a request with branches or a context whose client sees it complete at `now_s`."""
    req = s.requests[slot]
    family = s.families[slot]
    _count_answer(s, req, family.correct, s.slot_chances[slot, family.step, 1])
    if s.run[0].learns and req.stream != s.run[0].sleep_stream:
        learn(s, slot, family.prepared, family.correct, family.generated_tokens, family.path_tokens)
    _count_request(s, req, family.read_tokens, family.generated_tokens, family.path_tokens, now_s)


@inlined
def _count_answer(s: State, req: Records, correct: int, chance: float) -> None:
    if correct != NONE:
        p = s.replicas[req.replica].pool
        s.ended_known[p, req.stream, req.strategy, req.priority] += 1
        s.ended_correct[p, req.stream, req.strategy, req.priority] += correct
        s.ended_p[p, req.stream, req.strategy, req.priority] += chance


@inlined
def _count_request(s: State, req: Records, read: int, generated: int, path: int, now_s: float) -> None:
    """Its latencies count only if it arrived after the warm-up; the time per token is that of the longest `path`."""
    stream = s.streams[req.stream]
    p = s.replicas[req.replica].pool
    pool = s.pools[p]
    stream.completed += 1
    stream.prompt_tokens += read
    stream.output_tokens += generated
    pool.completed += req.stream != s.run[0].sleep_stream
    s.ended_requests[p, req.stream, req.strategy, req.priority] += 1
    s.ended_output_tokens[p, req.stream, req.strategy, req.priority] += generated
    if req.arrival_s < s.run[0].warm_up_s:
        return
    ttft_s = req.first_token_s - req.arrival_s
    e2e_s = now_s - req.arrival_s
    _count(s, req.stream, TTFT, ttft_s)
    _count(s, req.stream, E2E, e2e_s)
    in_step = True
    if path > 1 and pool.batch_window_s == 0.0:
        tpot_s = (now_s - req.first_token_s) / (path - 1)
        _count(s, req.stream, TPOT, tpot_s)
        in_step = tpot_s <= stream.tpot_slo_s
    if ttft_s > stream.ttft_slo_s:
        stream.missed_ttft += 1
    elif not in_step:
        stream.missed_tpot += 1
    elif e2e_s > stream.e2e_slo_s:
        stream.missed_e2e += 1
    else:
        stream.measured_met += 1


@inlined
def _count(s: State, stream: int, metric: int, seconds: float) -> None:
    s.histogram[stream, metric, bin_of(seconds)] += 1
    s.latency_sum_s[stream, metric] += seconds
    s.latency_count[stream, metric] += 1


@kernel
def write_row(s: State, slot: int, status: int, finish_s: float) -> None:
    """Keep the request's own row, where rows are kept; sleep-time jobs have none."""
    req = s.requests[slot]
    if s.finished.size == 0 or req.stream == s.run[0].sleep_stream:
        return
    call = s.calls[slot]
    row = s.finished[s.run[0].rows]
    s.run[0].rows += 1
    row.request_id = req.id
    row.stream = req.stream
    row.context_id = req.context_id
    row.arrival_s = req.arrival_s
    row.strategy = req.strategy
    row.replica = req.replica
    row.status = status
    row.prompt_tokens = req.prompt_tokens
    row.output_tokens = row.path_tokens = req.output_tokens
    row.first_token_s = req.first_token_s
    row.finish_s = finish_s
    row.cost_usd = call.spent_usd
    row.priority = req.priority
    row.preemptions = req.preemptions
    row.attempts = call.attempts
    row.cached_tokens = 0
    row.correct = NONE
    row.p_correct = nan
    row.prepared = 0
    row.steps = 1
    if req.special:
        _write_family(s, slot, row)
    elif req.replica != NONE:
        row.cached_tokens = cached_tokens(s.pools[s.replicas[req.replica].pool], req)
    if status == COMPLETED:
        row.p_correct = s.slot_chances[slot, row.steps - 1, 1]
        if not req.special:
            row.correct = right(call.key, s.slot_chances[slot, 0, 0])


@kernel
def _write_family(s: State, slot: int, row: Records) -> None:
    """What is known of a request with branches or a context: of one that did not complete, what it asked for."""
    family = s.families[slot]
    row.prepared = family.prepared
    row.steps = family.step + 1
    row.cached_tokens = family.cached_tokens
    row.prompt_tokens = family.question_tokens
    row.output_tokens = s.slot_tokens[slot, 0]
    if row.status == COMPLETED:
        row.prompt_tokens = family.read_tokens
        row.output_tokens = family.generated_tokens
        row.path_tokens = family.path_tokens
        row.correct = family.correct
