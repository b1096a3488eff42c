"""What is kept of a request that has ended: counts, sums, and latency histograms of fixed size.

A histogram has 256 bins an octave, linear within it, read straight from the bits of the number: a bin is 0.2-0.4 %
wide, and finding it costs a shift.
"""

from __future__ import annotations

from math import floor
from typing import Any

import numpy as np

from sim.engine.jit import kernel
from sim.engine.state import E2E, NONE, TPOT, TTFT, Floats, Integers, Records, State

__all__ = ["BINS", "bin_edges_s", "bin_of", "cached_tokens", "front_end_s", "measure", "write_row"]

BITS = 8
LOWEST = (1023 - 20) << BITS
"""Bin 0 begins at 2^-20 s, about a microsecond; what is shorter counts there."""
BINS = 42 << BITS
"""The last bin ends at 2^22 s, about 48 days; what is longer counts there."""


@kernel
def bin_of(seconds: float) -> int:
    """Histogram bin of a latency."""
    bits: Any = np.float64(seconds).view(np.int64)
    return min(max((bits >> (52 - BITS)) - LOWEST, 0), BINS - 1)


def bin_edges_s() -> Floats:
    """The BINS + 1 edges of the histogram bins, in seconds."""
    bits: Integers = (np.arange(BINS + 1, dtype=np.int64) + LOWEST) << (52 - BITS)
    return bits.view(np.float64)


@kernel
def front_end_s(pool: Records, req: Records, now_s: float) -> float:
    """Seconds by which its client sees a request, whose last step ended at `now_s`, later than its steps say."""
    tpot_s = (now_s - req.first_token_s) / max(req.output_tokens - 1, 1)
    return pool.front_end_s + pool.front_end_steps * tpot_s


@kernel
def cached_tokens(pool: Records, req: Records) -> int:
    """Prompt tokens that a pool takes from its cache."""
    return floor(pool.cached_share * req.prompt_tokens)


@kernel
def measure(s: State, req: Records, now_s: float) -> None:
    """Count a request whose client sees it complete at `now_s`; its latencies only if it arrived after the warm-up."""
    stream = s.streams[req.stream]
    stream.completed += 1
    stream.prompt_tokens += req.prompt_tokens
    stream.output_tokens += req.output_tokens
    pool = s.replicas[req.replica].pool
    s.pools[pool].completed += 1
    s.pools[pool].prompt_tokens += req.prompt_tokens
    s.pools[pool].output_tokens += req.output_tokens
    s.pools[pool].cached_tokens += cached_tokens(s.pools[pool], req)
    s.ended_requests[pool, req.stream, req.strategy, req.priority] += 1
    s.ended_output_tokens[pool, req.stream, req.strategy, req.priority] += req.output_tokens
    if req.arrival_s < s.run[0].warm_up_s:
        return
    ttft_s = req.first_token_s - req.arrival_s
    e2e_s = now_s - req.arrival_s
    _count(s, req.stream, TTFT, ttft_s)
    _count(s, req.stream, E2E, e2e_s)
    met = ttft_s <= stream.ttft_slo_s and e2e_s <= stream.e2e_slo_s
    if req.output_tokens > 1 and s.pools[pool].batch_window_s == 0.0:
        tpot_s = (now_s - req.first_token_s) / (req.output_tokens - 1)
        _count(s, req.stream, TPOT, tpot_s)
        met = met and tpot_s <= stream.tpot_slo_s
    stream.measured_met += met


@kernel
def _count(s: State, stream: int, metric: int, seconds: float) -> None:
    s.histogram[stream, metric, bin_of(seconds)] += 1
    s.latency_sum_s[stream, metric] += seconds
    s.latency_count[stream, metric] += 1


@kernel
def write_row(s: State, slot: int, status: int, finish_s: float) -> None:
    """Keep the request's own row, where rows are kept."""
    if s.finished.size == 0:
        return
    req = s.requests[slot]
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
    row.output_tokens = req.output_tokens
    row.first_token_s = req.first_token_s
    row.finish_s = finish_s
    row.cost_usd = call.spent_usd
    row.priority = req.priority
    row.preemptions = req.preemptions
    row.attempts = call.attempts
    row.cached_tokens = 0
    if req.replica != NONE:
        row.cached_tokens = cached_tokens(s.pools[s.replicas[req.replica].pool], req)
