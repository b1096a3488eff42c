"""The bare loop that the engine is measured against: the same event skipping, and nothing else.

Least outstanding, first come first served, whole prompts read in the step after they arrive, decode steps skipped
in closed form. No token budget, KV limit, preemption, priorities, streams, ledger, histograms or control plane. The
laws are those of `sim.engine.steps`, for a step time that does not bend.
"""

from __future__ import annotations

from math import ceil, inf, sqrt
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from sim.steptime import StepTime

__all__ = ["serve_bare"]

MOST_WAITING = 8192
REQUEST_BITS = 32

bare = numba.njit(error_model="numpy", _nrt=False)


class Requests(NamedTuple):
    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]


class Law(NamedTuple):
    base_s: NDArray[np.float64]
    per_kv_s: NDArray[np.float64]
    linear_s: NDArray[np.float64]
    attention_s_per_pair: float


class Replicas(NamedTuple):
    event_s: NDArray[np.float64]  # end of the span; infinite: idle
    start_s: NDArray[np.float64]
    steps: NDArray[np.int64]  # decode steps in the span
    step: NDArray[np.int64]  # decode steps done
    rows: NDArray[np.int64]
    kv_tokens: NDArray[np.int64]
    reading: NDArray[np.int64]  # prompts in the running step
    first: NDArray[np.int64]  # ring of requests: those being read, then those waiting
    behind: NDArray[np.int64]
    outstanding: NDArray[np.int64]
    ring: NDArray[np.int64]
    heap: NDArray[np.int64]  # decode rows: finish step above request


def serve_bare(
    arrival_s: NDArray[np.float64],
    prompt_tokens: NDArray[np.int64],
    output_tokens: NDArray[np.int64],
    step_time: StepTime,
    replicas: int,
) -> float:
    """Serve all requests; returns the sum of their end-to-end times in seconds."""
    law = Law(step_time.decode_base_s[0], step_time.decode_kv_s[0], step_time.linear_s, step_time.attention_s_per_pair)
    counts = (np.zeros(replicas, np.int64) for _ in range(8))
    ring = np.zeros((replicas, MOST_WAITING), np.int64)
    heap = np.zeros((replicas, law.base_s.size), np.int64)
    fleet = Replicas(np.full(replicas, inf), np.zeros(replicas), *counts, ring=ring, heap=heap)
    total_s: float = _serve(Requests(arrival_s, prompt_tokens, output_tokens), law, fleet)
    return total_s


@bare
def _serve(q: Requests, law: Law, f: Replicas) -> float:
    total_s, i = 0.0, 0
    while True:
        r = _least(f.event_s)
        if i < q.arrival_s.size and q.arrival_s[i] <= f.event_s[r]:
            _receive(law, f, _least(f.outstanding), i, q.arrival_s[i])
            i += 1
        elif f.event_s[r] < inf:
            total_s += _boundary(q, law, f, r)
        else:
            return total_s


@bare
def _least(values: NDArray[np.float64]) -> int:
    best, least = 0, values[0]
    for at in range(1, values.size):
        if values[at] < least:
            best, least = at, values[at]
    return best


@bare
def _receive(law: Law, f: Replicas, r: int, i: int, now_s: float) -> None:
    f.ring[r, f.behind[r] % MOST_WAITING] = i
    f.behind[r] += 1
    f.outstanding[r] += 1
    if f.event_s[r] == inf:
        f.event_s[r] = now_s
    elif f.reading[r] == 0:
        _cut_span(law, f, r, now_s)


@bare
def _cut_span(law: Law, f: Replicas, r: int, now_s: float) -> None:
    wanted_s = now_s - f.start_s[r]
    a, b = _parabola(law, f, r)
    n = max(ceil(2.0 * wanted_s / (b + sqrt(b * b + 4.0 * a * wanted_s))), 1)
    if n < f.steps[r]:
        f.steps[r] = n
        f.event_s[r] = f.start_s[r] + n * (a * n + b)


@bare
def _parabola(law: Law, f: Replicas, r: int) -> tuple[float, float]:
    """n decode steps take n * (a * n + b)."""
    rows = f.rows[r]
    a = 0.5 * law.per_kv_s[rows] * rows
    return a, law.base_s[rows] + law.per_kv_s[rows] * (f.kv_tokens[r] + rows) - a


@bare
def _boundary(q: Requests, law: Law, f: Replicas, r: int) -> float:
    f.step[r] += f.steps[r]
    f.kv_tokens[r] += f.steps[r] * f.rows[r]
    _join_rows(q, f, r)
    ended_s = 0.0
    while f.rows[r] > 0 and f.heap[r, 0] >> REQUEST_BITS == f.step[r]:
        ended_s += f.event_s[r] - q.arrival_s[_leave_rows(q, f, r)]
    f.start_s[r] = f.event_s[r]
    _begin_span(q, law, f, r)
    return ended_s


@bare
def _join_rows(q: Requests, f: Replicas, r: int) -> None:
    for _ in range(f.reading[r]):
        i = f.ring[r, f.first[r] % MOST_WAITING]
        f.first[r] += 1
        f.kv_tokens[r] += q.prompt_tokens[i]
        _push(f.heap, r, f.rows[r], (f.step[r] + q.output_tokens[i] - 1) << REQUEST_BITS | i)
        f.rows[r] += 1


@bare
def _leave_rows(q: Requests, f: Replicas, r: int) -> int:
    i = f.heap[r, 0] & ((1 << REQUEST_BITS) - 1)
    f.kv_tokens[r] -= q.prompt_tokens[i] + q.output_tokens[i] - 1
    f.rows[r] -= 1
    f.outstanding[r] -= 1
    _pop(f.heap, r, f.rows[r])
    return i


@bare
def _begin_span(q: Requests, law: Law, f: Replicas, r: int) -> None:
    rows, tokens, pairs = f.rows[r], 0, 0.0
    reading = min(f.behind[r] - f.first[r], law.base_s.size - 1 - rows)
    for at in range(f.first[r], f.first[r] + reading):
        prompt = q.prompt_tokens[f.ring[r, at % MOST_WAITING]]
        tokens += prompt
        pairs += 0.5 * prompt * (prompt + 1)
    f.reading[r] = reading
    if rows == 0 and reading == 0:
        f.event_s[r] = inf
        return
    f.steps[r] = 1 if reading > 0 else (f.heap[r, 0] >> REQUEST_BITS) - f.step[r]
    a, b = _parabola(law, f, r)
    prompts_s = _linear_s(law, rows + tokens) - _linear_s(law, rows) + law.attention_s_per_pair * pairs
    f.event_s[r] += f.steps[r] * (a * f.steps[r] + b) + prompts_s


@bare
def _linear_s(law: Law, tokens: int) -> float:
    last = law.linear_s.size - 1
    slope_s = law.linear_s[last] - law.linear_s[last - 1]
    return law.linear_s[min(tokens, last)] + max(tokens - last, 0) * slope_s


@bare
def _push(heap: NDArray[np.int64], r: int, at: int, key: int) -> None:
    while at > 0 and heap[r, (at - 1) >> 1] > key:
        heap[r, at] = heap[r, (at - 1) >> 1]
        at = (at - 1) >> 1
    heap[r, at] = key


@bare
def _pop(heap: NDArray[np.int64], r: int, rows: int) -> None:
    """Take the least key off; `rows` are left."""
    at, key = 0, heap[r, rows]
    while 2 * at + 1 < rows:
        child = 2 * at + 1
        child += heap[r, min(child + 1, rows - 1)] < heap[r, child]
        if key <= heap[r, child]:
            break
        heap[r, at] = heap[r, child]
        at = child
    heap[r, at] = key
