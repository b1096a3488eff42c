"""Sending: a request, or the stage it is at, goes to the replica or API that the balancer chooses."""

from __future__ import annotations

from math import inf

from sim.engine.api import send_to_api
from sim.engine.balancer import choose_replica, count_in, why_refused
from sim.engine.clients import fail_attempt, reset_work
from sim.engine.families import send_stage
from sim.engine.jit import kernel
from sim.engine.luck import FIRST_TOKEN, SPEED, normal
from sim.engine.replica import receive
from sim.engine.state import CONTINUED, HELD, NONE, State
from sim.engine.timers import set_timer

__all__ = ["send"]


@kernel
def send(s: State, slot: int, now_s: float) -> None:
    """Send a request to a replica: for the first time, or from scratch once more, or its next stage."""
    req = s.requests[slot]
    call = s.calls[slot]
    if req.special:
        _send_special(s, slot, now_s)
        return
    s.streams[req.stream].attempts += 1
    call.attempts += 1
    reset_work(s, slot)
    tokens = req.prompt_tokens + req.output_tokens
    r = choose_replica(s, slot, s.stage_first[req.strategy], tokens, now_s)
    req.replica = r
    if r == NONE:
        _refuse(s, slot, tokens, now_s)
        return
    pool = s.pools[s.replicas[r].pool]
    pool.arrived += 1
    count_in(s, r, req.priority)
    if pool.is_api:
        send_to_api(s, r, slot, now_s)
        return
    receive(s, r, slot, now_s)
    if call.due_s < inf:
        set_timer(s, slot, call.due_s)


@kernel
def _refuse(s: State, slot: int, tokens: int, now_s: float) -> None:
    """No replica takes a request."""
    status = why_refused(s, slot, s.stage_first[s.requests[slot].strategy], tokens)
    fail_attempt(s, slot, status, now_s, now_s)


@kernel
def _send_special(s: State, head: int, now_s: float) -> None:
    """Send the stage that a request with branches or a context is at."""
    call = s.calls[head]
    if call.place != CONTINUED or call.attempts == 0:
        s.streams[s.requests[head].stream].attempts += 1
        call.attempts += 1
    r = send_stage(s, head, now_s)
    if r == NONE:
        return
    pool = s.pools[s.replicas[r].pool]
    pool.arrived += s.requests[head].stream != s.run[0].sleep_stream
    _queue_leaders(s, r, head, now_s)
    if not pool.is_api and call.due_s < inf:
        set_timer(s, head, call.due_s)


@kernel
def _queue_leaders(s: State, r: int, head: int, now_s: float) -> None:
    """Queue the branches of a stage that need not wait for others: the leaders, or all calls of an API."""
    pool = s.pools[s.replicas[r].pool]
    stage = s.stages[s.families[head].stage]
    slot = head
    while slot != NONE:
        count_in(s, r, s.requests[slot].priority)
        following = s.branches[slot].following
        number = s.requests[slot].branch
        if pool.is_api:
            if slot != head or not stage.is_first:
                place = s.families[head].stage - s.stage_first[s.requests[head].strategy]
                s.calls[slot].first_luck = normal(s.calls[head].key, place, number, FIRST_TOKEN)
                s.calls[slot].speed_luck = normal(s.calls[head].key, place, number, SPEED)
            send_to_api(s, r, slot, now_s)
        elif number % stage.per_group == 0:
            receive(s, r, slot, now_s)
        else:
            s.calls[slot].place = HELD
        slot = following
