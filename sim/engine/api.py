"""Somebody else's model behind an API: no steps and no memory, but latencies by chance, rate limits, a bill by tokens.

An interactive API streams: first token after a lognormal time, later ones at a lognormal speed. A batch tier gives its
answer whole, after a lognormal time, or not at all once its completion window is over.

Rate limits are a generic cell rate algorithm (ITU-T I.371): each request moves the time at which the limit would be
used up evenly by its share of a minute, and may be `burst_s` ahead of it. A request larger than the burst goes when
all of the burst is there, and those after it wait for the rest. One whose client will be gone before its turn takes
nothing.
"""

from __future__ import annotations

from math import exp, floor, inf

from sim.engine.books import book
from sim.engine.jit import kernel
from sim.engine.meter import cached_tokens
from sim.engine.state import (
    API_QUEUED,
    API_RUNNING,
    BILL_ARRIVAL,
    BILL_COMPLETION,
    BILL_START,
    CACHED_INPUT,
    INPUT,
    OUTPUT,
    Records,
    State,
)
from sim.engine.timers import set_timer

__all__ = ["bill", "bill_so_far", "given_tokens", "has_room", "send_to_api", "start_at_api"]


@kernel
def has_room(pool: Records, req: Records, now_s: float) -> bool:
    """True if the API's rate limits let the request begin now."""
    return _wait_s(pool, req, now_s) <= 0.0


@kernel
def _wait_s(pool: Records, req: Records, now_s: float) -> float:
    """Seconds until both limits have room for the request; zero or less: now."""
    wait_s = -inf
    if pool.s_per_request > 0.0:
        wait_s = max(wait_s, _over_s(pool.requests_full_s, now_s, pool.s_per_request, pool.burst_s))
    if pool.s_per_token > 0.0:
        wait_s = max(wait_s, _over_s(pool.tokens_full_s, now_s, _tokens_s(pool, req), pool.burst_s))
    return wait_s


@kernel
def _over_s(full_s: float, now_s: float, increment_s: float, burst_s: float) -> float:
    return max(full_s, now_s) - now_s + min(increment_s, burst_s) - burst_s


@kernel
def _tokens_s(pool: Records, req: Records) -> float:
    return (req.prompt_tokens + req.output_tokens) * pool.s_per_token


@kernel
def send_to_api(s: State, r: int, slot: int, now_s: float) -> None:
    """Send a request: it begins now, or queues for the rate limit."""
    req = s.requests[slot]
    call = s.calls[slot]
    pool = s.pools[s.replicas[r].pool]
    if pool.bill_by == BILL_ARRIVAL:
        call.window = pool.window
    call.start_s = now_s + max(_wait_s(pool, req, now_s), 0.0)
    if call.start_s <= call.due_s:
        pool.requests_full_s = max(pool.requests_full_s, call.start_s) + pool.s_per_request
        pool.tokens_full_s = max(pool.tokens_full_s, call.start_s) + _tokens_s(pool, req)
    if call.start_s > now_s:
        call.place = API_QUEUED
        set_timer(s, slot, min(call.start_s, call.due_s))
    else:
        start_at_api(s, slot)


@kernel
def start_at_api(s: State, slot: int) -> None:
    """The API begins with a request: all that will come of it is known now."""
    req = s.requests[slot]
    call = s.calls[slot]
    pool = s.pools[s.replicas[req.replica].pool]
    call.place = API_RUNNING
    if pool.bill_by == BILL_START:
        call.window = pool.window
    first_s = pool.ttft_median_s * exp(pool.ttft_sigma * call.first_luck)
    call.first_token_s = call.start_s + first_s
    call.finish_s = call.first_token_s
    if not s.requests[req.head].first_token_s <= call.first_token_s:
        s.requests[req.head].first_token_s = call.first_token_s
    if pool.batch_window_s == 0.0:
        call.finish_s += (req.output_tokens - 1) * _per_token_s(pool, call)
    elif first_s > pool.batch_window_s:
        call.finish_s = inf
    ends_s = min(call.finish_s, call.start_s + pool.batch_window_s) if pool.batch_window_s > 0.0 else call.finish_s
    set_timer(s, slot, min(ends_s, call.due_s))


@kernel
def _per_token_s(pool: Records, call: Records) -> float:
    return 1.0 / (pool.tokens_per_s * exp(pool.speed_sigma * call.speed_luck))


@kernel
def bill(s: State, slot: int, output_tokens: int, use: int) -> None:
    """Bill a request's prompt and the tokens it was given, by the tariff window that counts.

    Branches of a family are booked with their stage.
    """
    req = s.requests[slot]
    p = s.replicas[req.replica].pool
    pool = s.pools[p]
    w = pool.window if pool.bill_by == BILL_COMPLETION else s.calls[slot].window
    cached = cached_tokens(pool, req)
    fresh = req.prompt_tokens - cached
    s.billed_tokens[p, w, INPUT] += fresh
    s.billed_tokens[p, w, CACHED_INPUT] += cached
    s.billed_tokens[p, w, OUTPUT] += output_tokens
    s.carried_usd[slot, w] += (
        fresh * s.rates_usd[p, w, INPUT]
        + cached * s.rates_usd[p, w, CACHED_INPUT]
        + output_tokens * s.rates_usd[p, w, OUTPUT]
    )
    req.carried = 1
    if not req.special or s.stages[s.families[req.head].stage].is_alone:
        book(s, slot, p, use)


@kernel
def bill_so_far(s: State, slot: int, now_s: float, use: int) -> None:
    """Bill a running request that ends at `now_s` for the tokens it has been given: nothing by a batch tier."""
    if s.pools[s.replicas[s.requests[slot].replica].pool].batch_window_s == 0.0:
        bill(s, slot, given_tokens(s, slot, now_s), use)


@kernel
def given_tokens(s: State, slot: int, now_s: float) -> int:
    """Tokens that a running request has been given so far: none by a batch tier."""
    req = s.requests[slot]
    pool = s.pools[s.replicas[req.replica].pool]
    if pool.batch_window_s > 0.0 or now_s < s.calls[slot].first_token_s:
        return 0
    later = floor((now_s - s.calls[slot].first_token_s) / _per_token_s(pool, s.calls[slot]))
    return min(1 + later, req.output_tokens)
