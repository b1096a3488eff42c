"""Which replica a request goes to, among those its strategy may use.

The pools of a strategy come in tiers. A replica may take a request if it accepts work, its whole KV cache could hold
the request, so could its model, and it has fewer requests than its limit; an API, if its rate limit has room. Three
passes look for one, each through all tiers in order: first below the number of requests at which a pool spills over
into the next tier, then up to the most it admits, and last replicas that are not open yet but hold requests until
they are.
"""

from __future__ import annotations

from sim.engine.api import has_room
from sim.engine.jit import kernel, rare
from sim.engine.memory import blocks_of
from sim.engine.state import (
    CLOSED_TO_ALL,
    HOLDS,
    LEAST_OUTSTANDING,
    NO_LIMIT,
    NO_REPLICA,
    NONE,
    OPEN_TO_ALL,
    QUEUE_FULL,
    RATE_LIMITED,
    ROUND_ROBIN,
    TOO_LONG,
    Records,
    State,
)

__all__ = ["choose_replica", "why_refused"]

BEFORE_SPILLING, TO_THE_LIMIT, UNTIL_OPEN = 0, 1, 2
"""The passes."""


@kernel
def choose_replica(s: State, req: Records, luck: float, now_s: float) -> int:
    """Replica for the request, or NONE if no replica may take it."""
    run = s.run[0]
    for which in range(3):
        if (which == TO_THE_LIMIT and not run.spills) or (which == UNTIL_OPEN and not run.holds):
            continue
        r = _from_tiers(s, req, luck, now_s, which)
        if r != NONE:
            return r
    return NONE


@rare
def why_refused(s: State, req: Records) -> int:
    """Why no replica took the request: of all reasons that of the replica that came closest to taking it.

    Their codes are in that order: too long, not open, full, beyond its rate limit.
    """
    status = TOO_LONG
    target = _target(s, req)
    first, last = s.target_first[s.tier_first[target]], s.target_first[s.tier_first[target + 1]]
    for at in range(first, last):
        r = s.target_replica[at]
        if not _holds(s, r, req):
            continue
        if s.accepting[r] == CLOSED_TO_ALL:
            reason = NO_REPLICA
        elif s.outstanding[r] >= s.pools[s.replicas[r].pool].max_outstanding:
            reason = QUEUE_FULL
        else:
            reason = RATE_LIMITED
        status = max(status, reason)
    return status


@kernel
def _target(s: State, req: Records) -> int:
    """Number of the request's stream and strategy among all pairs of them."""
    return req.stream * s.ended_usd.shape[2] + req.strategy


@kernel
def _from_tiers(s: State, req: Records, luck: float, now_s: float, which: int) -> int:
    target = _target(s, req)
    balancer = s.run[0].balancer
    for tier in range(s.tier_first[target], s.tier_first[target + 1]):
        if balancer == ROUND_ROBIN:
            r = _round_robin(s, req, tier, now_s, which)
        elif balancer == LEAST_OUTSTANDING:
            r = _least_outstanding(s, req, tier, now_s, which)
        else:
            r = _power_of_two(s, req, tier, luck, now_s, which)
        if r != NONE:
            return r
    return NONE


@kernel
def _takes(s: State, r: int, req: Records, now_s: float, which: int) -> bool:
    if s.accepting[r] != (HOLDS if which == UNTIL_OPEN else OPEN_TO_ALL):
        return False
    pool = s.pools[s.replicas[r].pool]
    if s.outstanding[r] >= (pool.spill_at if which == BEFORE_SPILLING else pool.max_outstanding):
        return False
    if pool.is_api and not pool.waits and not has_room(pool, req, now_s):
        return False
    return _holds(s, r, req)


@kernel
def _holds(s: State, r: int, req: Records) -> bool:
    """The last token is never written to the KV cache, as nothing attends to it."""
    pool = s.pools[s.replicas[r].pool]
    tokens = req.prompt_tokens + req.output_tokens
    return blocks_of(tokens - 1) <= pool.capacity_blocks and tokens <= pool.max_model_len


@kernel
def _round_robin(s: State, req: Records, tier: int, now_s: float, which: int) -> int:
    first = s.target_first[tier]
    count = s.target_first[tier + 1] - first
    for tried in range(count):
        turn = (s.target_turn[tier] + tried) % count
        r = s.target_replica[first + turn]
        if _takes(s, r, req, now_s, which):
            s.target_turn[tier] = turn + 1
            return r
    return NONE


@kernel
def _least_outstanding(s: State, req: Records, tier: int, now_s: float, which: int) -> int:
    """Fewest requests not ended; of equals the next in turn, so that an idle fleet is used evenly."""
    first, last = s.target_first[tier], s.target_first[tier + 1]
    turn = min(first + s.target_turn[tier], last)
    best, least = _least(s, req, turn, last, NONE, NO_LIMIT, now_s, which)
    best, _ = _least(s, req, first, turn, best, least, now_s, which)
    if best == NONE:
        return NONE
    s.target_turn[tier] = best + 1 - first
    return s.target_replica[best]


@kernel
def _least(
    s: State, req: Records, first: int, last: int, best: int, least: int, now_s: float, which: int
) -> tuple[int, int]:
    """Place in the target list and load of the least loaded replica that takes the request, from `first` to `last`."""
    for at in range(first, last):
        r = s.target_replica[at]
        if s.outstanding[r] < least and _takes(s, r, req, now_s, which):
            best, least = at, s.outstanding[r]
    return best, least


@kernel
def _power_of_two(s: State, req: Records, tier: int, luck: float, now_s: float, which: int) -> int:
    """The less loaded of two different replicas drawn at random (Mitzenmacher 2001).

    One uniform number gives both draws: its integer part times the count, and what is left of it.
    """
    count = _count_open(s, req, tier, now_s, which)
    if count == 0:
        return NONE
    scaled = luck * count
    one = min(int(scaled), count - 1)
    first = _nth_open(s, req, tier, one, now_s, which)
    if count == 1:
        return first
    two = min(int((scaled - one) * (count - 1)), count - 2)
    second = _nth_open(s, req, tier, two if two < one else two + 1, now_s, which)
    return second if s.outstanding[second] < s.outstanding[first] else first


@kernel
def _count_open(s: State, req: Records, tier: int, now_s: float, which: int) -> int:
    count = 0
    for at in range(s.target_first[tier], s.target_first[tier + 1]):
        count += _takes(s, s.target_replica[at], req, now_s, which)
    return count


@kernel
def _nth_open(s: State, req: Records, tier: int, n: int, now_s: float, which: int) -> int:
    at = s.target_first[tier]
    while True:
        r = s.target_replica[at]
        if _takes(s, r, req, now_s, which):
            if n == 0:
                return r
            n -= 1
        at += 1
