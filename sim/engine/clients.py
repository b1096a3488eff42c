"""What clients do: give up on an answer, wait, send again; and how a request ends for good."""

from __future__ import annotations

from math import isnan, nan

import numpy as np

from sim.engine.jit import inlined, kernel
from sim.engine.meter import write_row
from sim.engine.state import (
    BACKING_OFF,
    COMPLETED,
    FAILED,
    NO_REPLICA,
    NONE,
    PREPARING,
    QUEUE_FULL,
    RATE_LIMITED,
    READY,
    TIMED_OUT,
    TOO_LONG,
    UNPREPARED,
    Records,
    State,
)
from sim.engine.timers import cancel_timer, set_timer

__all__ = ["REFUSED_PAUSE_S", "fail_attempt", "release", "reset_work"]

REFUSED_PAUSE_S = 1.0
"""A closed-loop client whose request was refused waits this long before its next one."""


@inlined
def reset_work(s: State, slot: int) -> None:
    """Nothing is done of a request, which may be sent anywhere."""
    req = s.requests[slot]
    req.first_token_s = nan
    req.target = req.prompt_tokens
    req.produced = 0
    req.prefilled = 0
    req.chunk = 0
    req.gone = 0
    req.admission = 0
    req.shared_blocks = 0


@kernel
def fail_attempt(s: State, slot: int, status: int, at_s: float, now_s: float) -> None:
    """An attempt has come to nothing: its client learns it at `at_s`, and the server is done with it at `now_s`.

    The client backs off and sends the request again, or that was its end.
    """
    stream = s.streams[s.requests[slot].stream]
    call = s.calls[slot]
    cancel_timer(s, slot)
    if _retries(stream, status) and call.retries < stream.retries:
        call.retries += 1
        call.place = BACKING_OFF
        set_timer(s, slot, max(at_s + _backoff_s(stream, s.requests[slot].id, call.retries), now_s))
        return
    _count_end(stream, status)
    pause_s = 0.0 if status in (TIMED_OUT, FAILED) else REFUSED_PAUSE_S
    release(s, slot, status, at_s, pause_s, now_s)


@kernel
def _retries(stream: Records, status: int) -> bool:
    if status == TIMED_OUT:
        return stream.retry_timed_out == 1
    if status == FAILED:
        return stream.retry_failed == 1
    return status != TOO_LONG and stream.retry_rejected == 1


@kernel
def _count_end(stream: Records, status: int) -> None:
    stream.too_long += status == TOO_LONG
    stream.no_replica += status == NO_REPLICA
    stream.queue_full += status == QUEUE_FULL
    stream.rate_limited += status == RATE_LIMITED
    stream.timed_out += status == TIMED_OUT
    stream.failed += status == FAILED


@kernel
def _count_measured(stream: Records, status: int) -> None:
    """Count the end of a request that arrived after the warm-up; how one that completed went is counted elsewhere."""
    stream.measured_ended += 1
    stream.measured_timed_out += status == TIMED_OUT
    stream.measured_rejected += status in (TOO_LONG, NO_REPLICA, QUEUE_FULL, RATE_LIMITED)


@kernel
def _backoff_s(stream: Records, request_id: int, retry: int) -> float:
    """Exponential back-off, shortened by chance: drawn from request and retry, so the same in whatever order."""
    longest_s = min(stream.backoff_s * stream.backoff_factor ** (retry - 1), stream.backoff_max_s)
    return longest_s * (1.0 - stream.jitter * _uniform(request_id, retry))


@kernel
def _uniform(request_id: int, retry: int) -> float:
    """A number in [0, 1) that belongs to the pair (SplitMix64: Steele, Lea and Flood 2014)."""
    z = np.uint64(request_id) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(retry) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * 2.0**-53


@kernel
def release(s: State, slot: int, status: int, told_s: float, pause_s: float, now_s: float) -> None:
    """A request has ended: write its row, free its slot, and let its closed-loop client go on.

    Its client is told at `told_s` and thinks after a pause, but sends nothing before `now_s`. Its cost has been booked.
    """
    req = s.requests[slot]
    cancel_timer(s, slot)
    s.run[0].told_s = max(s.run[0].told_s, told_s)
    if req.arrival_s >= s.run[0].warm_up_s:
        _count_measured(s.streams[req.stream], status)
    if status != COMPLETED and not isnan(req.first_token_s) and req.first_token_s > told_s:
        req.first_token_s = nan
    write_row(s, slot, status, told_s)
    if req.special and req.stream == s.run[0].sleep_stream:
        _end_job(s, slot, status, now_s)
    if req.closed != NONE:
        _wake_client(s, req.closed, max(told_s + pause_s + s.closed[req.closed].think_time_s, now_s))
    req.stream = NONE
    req.next = s.run[0].free
    s.run[0].free = slot
    s.run[0].slots_free += 1
    s.run[0].in_flight -= 1


@kernel
def _end_job(s: State, slot: int, status: int, now_s: float) -> None:
    """A sleep-time job has ended: its context is prepared, unless another job has been sent for it since."""
    s.run[0].jobs_in_flight -= 1
    req = s.requests[slot]
    context = s.contexts[req.context_id]
    if context.state != PREPARING or context.version != s.families[slot].version:
        return
    context.usd += s.calls[slot].spent_usd
    context.job_tokens = s.families[slot].generated_tokens
    context.state = UNPREPARED
    if req.replica != NONE:
        context.pool = s.replicas[req.replica].pool
    if status == COMPLETED:
        context.state = READY
        context.ready_s = now_s
        context.expires_s = now_s + context.lasts_s


@inlined
def _wake_client(s: State, c: int, at_s: float) -> None:
    """A client of closed stream c sends again at `at_s`: sorted into the ring of waiting clients, from its end."""
    client = s.closed[c]
    ring = s.closed_ring_s.shape[1]
    place = client.first + client.ready
    while place > client.first and s.closed_ring_s[c, (place - 1) % ring] > at_s:
        s.closed_ring_s[c, place % ring] = s.closed_ring_s[c, (place - 1) % ring]
        place -= 1
    s.closed_ring_s[c, place % ring] = at_s
    client.ready += 1
