"""Which replica a request goes to, among those its strategy may use.

A replica is open to a request if it accepts work, its whole KV cache could hold the request, and so could its model.
"""

from __future__ import annotations

from sim.engine.jit import kernel
from sim.engine.memory import blocks_of
from sim.engine.state import (
    LEAST_OUTSTANDING,
    NO_REPLICA,
    NONE,
    ROUND_ROBIN,
    TOO_LONG,
    Records,
    State,
)

__all__ = ["choose_replica", "why_refused"]


@kernel
def choose_replica(s: State, req: Records, luck: float) -> int:
    """Replica for the request, or NONE if no replica is open to it."""
    balancer = s.run[0].balancer
    if balancer == ROUND_ROBIN:
        return _round_robin(s, req)
    if balancer == LEAST_OUTSTANDING:
        return _least_outstanding(s, req)
    return _power_of_two(s, req, luck)


@kernel
def _target(s: State, req: Records) -> int:
    """Number of the list of replicas that the request's stream and strategy may use."""
    return req.stream * s.ended_usd.shape[2] + req.strategy


@kernel
def why_refused(s: State, req: Records) -> int:
    """TOO_LONG if no replica of the strategy could ever hold the request, else NO_REPLICA."""
    target = _target(s, req)
    for at in range(s.target_first[target], s.target_first[target + 1]):
        if _holds(s, s.target_replica[at], req):
            return NO_REPLICA
    return TOO_LONG


@kernel
def _holds(s: State, r: int, req: Records) -> bool:
    """The last token is never written to the KV cache, as nothing attends to it."""
    pool = s.pools[s.replicas[r].pool]
    tokens = req.prompt_tokens + req.output_tokens
    return blocks_of(tokens - 1) <= pool.capacity_blocks and tokens <= pool.max_model_len


@kernel
def _round_robin(s: State, req: Records) -> int:
    target = _target(s, req)
    first = s.target_first[target]
    count = s.target_first[target + 1] - first
    for tried in range(count):
        turn = (s.target_turn[target] + tried) % count
        r = s.target_replica[first + turn]
        if s.accepting[r] and _holds(s, r, req):
            s.target_turn[target] = turn + 1
            return r
    return NONE


@kernel
def _least_outstanding(s: State, req: Records) -> int:
    """Fewest requests not ended; of equals the next in turn, so that an idle fleet is used evenly."""
    target = _target(s, req)
    first, last = s.target_first[target], s.target_first[target + 1]
    turn = first + s.target_turn[target]
    best, least = _least(s, req, turn, last, NONE, 1 << 62)
    best, _ = _least(s, req, first, turn, best, least)
    if best == NONE:
        return NONE
    s.target_turn[target] = best + 1 - first
    return s.target_replica[best]


@kernel
def _least(s: State, req: Records, first: int, last: int, best: int, least: int) -> tuple[int, int]:
    """Place in the target list and load of the least loaded open replica, of those from `first` to before `last`."""
    for at in range(first, last):
        r = s.target_replica[at]
        if s.outstanding[r] < least and s.accepting[r] and _holds(s, r, req):
            best, least = at, s.outstanding[r]
    return best, least


@kernel
def _power_of_two(s: State, req: Records, luck: float) -> int:
    """The less loaded of two different open replicas drawn at random (Mitzenmacher 2001).

    One uniform number gives both draws: its integer part times the count, and what is left of it.
    """
    count = _count_open(s, req)
    if count == 0:
        return NONE
    scaled = luck * count
    one = min(int(scaled), count - 1)
    first = _nth_open(s, req, one)
    if count == 1:
        return first
    two = min(int((scaled - one) * (count - 1)), count - 2)
    second = _nth_open(s, req, two if two < one else two + 1)
    return second if s.outstanding[second] < s.outstanding[first] else first


@kernel
def _count_open(s: State, req: Records) -> int:
    count = 0
    target = _target(s, req)
    for at in range(s.target_first[target], s.target_first[target + 1]):
        r = s.target_replica[at]
        if s.accepting[r] and _holds(s, r, req):
            count += 1
    return count


@kernel
def _nth_open(s: State, req: Records, n: int) -> int:
    at = s.target_first[_target(s, req)]
    while True:
        r = s.target_replica[at]
        if s.accepting[r] and _holds(s, r, req):
            if n == 0:
                return r
            n -= 1
        at += 1
