"""Which replica a request goes to, among those its strategy may use.

The pools of a strategy come in tiers. A replica may take a request if it accepts work, its whole KV cache could hold
the request, so could its model, and it has fewer requests than its limit; an API, if its rate limit has room. Three
passes look for one, each through all tiers in order: first below the number of requests at which a pool spills over
into the next tier, then up to the most it admits, and last replicas that are not open yet but hold requests until
they are.
"""

from __future__ import annotations

from sim.engine.api import has_room
from sim.engine.jit import inlined, kernel
from sim.engine.memory import blocks_of
from sim.engine.segments import cached_here, find_segment
from sim.engine.state import (
    CLOSED_TO_ALL,
    HOLDS,
    LEAST_OUTSTANDING,
    NO_LIMIT,
    NO_REPLICA,
    NONE,
    OPEN_TO_ALL,
    PREFIX_AFFINITY,
    QUEUE_FULL,
    RATE_LIMITED,
    ROUND_ROBIN,
    SLEEP,
    TOO_LONG,
    Records,
    State,
)

__all__ = [
    "BEFORE_SPILLING",
    "TO_THE_LIMIT",
    "UNTIL_OPEN",
    "choose_replica",
    "count_in",
    "count_out",
    "fits_in",
    "load_of",
    "takes",
    "target_of",
    "why_refused",
]

BEFORE_SPILLING, TO_THE_LIMIT, UNTIL_OPEN = 0, 1, 2
"""The passes."""


@kernel
def choose_replica(s: State, slot: int, stage: int, tokens: int, now_s: float) -> int:
    """Replica for a stage of a request, whose longest branch has so many tokens, or NONE if no replica may take it."""
    run = s.run[0]
    if run.balancer != LEAST_OUTSTANDING or run.spills or run.holds:
        return _in_passes(s, slot, stage, tokens, now_s)
    req = s.requests[slot]
    target = target_of(s, req, stage)
    for tier in range(s.tier_first[target], s.tier_first[target + 1]):
        r = _least_outstanding(s, req, tier, tokens, now_s, BEFORE_SPILLING)
        if r != NONE:
            return r
    return NONE


@kernel
def _in_passes(s: State, slot: int, stage: int, tokens: int, now_s: float) -> int:
    """By any rule, in all passes that make a difference."""
    run = s.run[0]
    r = _from_tiers(s, slot, stage, tokens, now_s, BEFORE_SPILLING)
    if r == NONE and run.spills:
        r = _from_tiers(s, slot, stage, tokens, now_s, TO_THE_LIMIT)
    if r == NONE and run.holds:
        r = _from_tiers(s, slot, stage, tokens, now_s, UNTIL_OPEN)
    return r


@kernel
def why_refused(s: State, slot: int, stage: int, tokens: int) -> int:
    """Why no replica took the request: of all reasons that of the replica that came closest to taking it.

    Their codes are in that order: too long, not open, full, beyond its rate limit.
    """
    status = TOO_LONG
    req = s.requests[slot]
    target = target_of(s, req, stage)
    first, last = s.target_first[s.tier_first[target]], s.target_first[s.tier_first[target + 1]]
    for at in range(first, last):
        r = s.target_replica[at]
        if not fits_in(s, r, tokens):
            continue
        if s.accepting[r] == CLOSED_TO_ALL:
            reason = NO_REPLICA
        elif load_of(s, r, req) >= s.pools[s.replicas[r].pool].max_outstanding:
            reason = QUEUE_FULL
        else:
            reason = RATE_LIMITED
        status = max(status, reason)
    return status


@inlined
def target_of(s: State, req: Records, stage: int) -> int:
    """Number of the request's stream and its stage among all pairs of them."""
    return req.stream * s.stages.size + stage


@inlined
def count_in(s: State, r: int, priority: int) -> None:
    """A branch is sent to a replica."""
    if priority == SLEEP:
        s.asleep[r] += 1
    else:
        s.outstanding[r] += 1


@inlined
def count_out(s: State, r: int, priority: int) -> None:
    """A branch is no more on its way through a replica."""
    if priority == SLEEP:
        s.asleep[r] -= 1
    else:
        s.outstanding[r] -= 1


@inlined
def load_of(s: State, r: int, req: Records) -> int:
    """Branches on a replica that the request has to share with: class sleep does not count to the others."""
    if req.priority == SLEEP:
        return s.outstanding[r] + s.asleep[r]
    return s.outstanding[r]


@kernel
def _from_tiers(s: State, slot: int, stage: int, tokens: int, now_s: float, which: int) -> int:
    req = s.requests[slot]
    target = target_of(s, req, stage)
    balancer = s.run[0].balancer
    for tier in range(s.tier_first[target], s.tier_first[target + 1]):
        if balancer == ROUND_ROBIN:
            r = _round_robin(s, req, tier, tokens, now_s, which)
        elif balancer == LEAST_OUTSTANDING:
            r = _least_outstanding(s, req, tier, tokens, now_s, which)
        elif balancer == PREFIX_AFFINITY:
            r = _prefix_affinity(s, slot, tier, tokens, now_s, which)
        else:
            r = _power_of_two(s, req, tier, s.calls[slot].luck, tokens, now_s, which)
        if r != NONE:
            return r
    return NONE


@inlined
def takes(s: State, r: int, req: Records, tokens: int, now_s: float, which: int) -> bool:
    """True if a replica takes a request, whose longest branch has so many tokens, in one of the passes."""
    if s.accepting[r] != (HOLDS if which == UNTIL_OPEN else OPEN_TO_ALL):
        return False
    pool = s.pools[s.replicas[r].pool]
    if load_of(s, r, req) >= (pool.spill_at if which == BEFORE_SPILLING else pool.max_outstanding):
        return False
    if pool.is_api and not pool.waits and not has_room(pool, req, now_s):
        return False
    return fits_in(s, r, tokens)


@inlined
def fits_in(s: State, r: int, tokens: int) -> bool:
    """True if a replica can ever hold so many tokens of prompt and output; the last is never written to the KV cache,
    as nothing attends to it.
    """
    pool = s.pools[s.replicas[r].pool]
    return blocks_of(tokens - 1) <= pool.capacity_blocks and tokens <= pool.max_model_len


@kernel
def _round_robin(s: State, req: Records, tier: int, tokens: int, now_s: float, which: int) -> int:
    first = s.target_first[tier]
    count = s.target_first[tier + 1] - first
    for tried in range(count):
        turn = (s.target_turn[tier] + tried) % count
        r = s.target_replica[first + turn]
        if takes(s, r, req, tokens, now_s, which):
            s.target_turn[tier] = turn + 1
            return r
    return NONE


@inlined
def _least_outstanding(s: State, req: Records, tier: int, tokens: int, now_s: float, which: int) -> int:
    """Fewest requests not ended; of equals the next in turn, so that an idle fleet is used evenly."""
    best, _ = _least(s, req, tier, tokens, now_s, which)
    if best == NONE:
        return NONE
    s.target_turn[tier] = best + 1 - s.target_first[tier]
    return s.target_replica[best]


@inlined
def _least(s: State, req: Records, tier: int, tokens: int, now_s: float, which: int) -> tuple[int, int]:
    """Place in the target list and load of the least loaded replica that takes the request, the next in turn first."""
    first, last = s.target_first[tier], s.target_first[tier + 1]
    best, least = NONE, NO_LIMIT
    at = min(first + s.target_turn[tier], last)
    for _ in range(first, last):
        at = first if at == last else at
        r = s.target_replica[at]
        load = load_of(s, r, req)
        if load < least and takes(s, r, req, tokens, now_s, which):
            best, least = at, load
        at += 1
    return best, least


@kernel
def _prefix_affinity(s: State, slot: int, tier: int, tokens: int, now_s: float, which: int) -> int:
    """The replica that holds most of the request's context, unless another has much less to do.

    Where nobody holds any of it, or the one who does has over `affinity_slack` more than the least loaded, it is the
    least loaded.
    """
    req = s.requests[slot]
    family = s.families[slot]
    best, most = NONE, 0
    if req.special and family.context_key:
        for at in range(s.target_first[tier], s.target_first[tier + 1]):
            r = s.target_replica[at]
            if not s.pools[s.replicas[r].pool].prefix_cache or not takes(s, r, req, tokens, now_s, which):
                continue
            cached = _cached(s, r, family)
            if cached > most or (cached == most > 0 and load_of(s, r, req) < load_of(s, best, req)):
                best, most = r, cached
    if best == NONE:
        return _least_outstanding(s, req, tier, tokens, now_s, which)
    least = _least(s, req, tier, tokens, now_s, which)[1]
    if load_of(s, best, req) > least + s.run[0].affinity_slack:
        return _least_outstanding(s, req, tier, tokens, now_s, which)
    return best


@kernel
def _cached(s: State, r: int, family: Records) -> int:
    """Tokens of a family's context that a replica holds and its prompt can use, with notes or else without."""
    cached = 0
    found = find_segment(s, r, family.context_key)
    if found != NONE:
        cached = cached_here(s, found, family.prefix_tokens, family.question_tokens)
    if cached == 0 and family.text_key:
        found = find_segment(s, r, family.text_key)
        if found != NONE:
            cached = cached_here(s, found, family.text_tokens, family.question_tokens)
    return cached


@kernel
def _power_of_two(s: State, req: Records, tier: int, luck: float, tokens: int, now_s: float, which: int) -> int:
    """The less loaded of two different replicas drawn at random (Mitzenmacher 2001).

    One uniform number gives both draws: its integer part times the count, and what is left of it.
    """
    count = _count_open(s, req, tier, tokens, now_s, which)
    if count == 0:
        return NONE
    scaled = luck * count
    one = min(int(scaled), count - 1)
    first = _nth_open(s, req, tier, one, tokens, now_s, which)
    if count == 1:
        return first
    two = min(int((scaled - one) * (count - 1)), count - 2)
    second = _nth_open(s, req, tier, two if two < one else two + 1, tokens, now_s, which)
    return second if load_of(s, second, req) < load_of(s, first, req) else first


@kernel
def _count_open(s: State, req: Records, tier: int, tokens: int, now_s: float, which: int) -> int:
    count = 0
    for at in range(s.target_first[tier], s.target_first[tier + 1]):
        count += takes(s, s.target_replica[at], req, tokens, now_s, which)
    return count


@kernel
def _nth_open(s: State, req: Records, tier: int, n: int, tokens: int, now_s: float, which: int) -> int:
    at = s.target_first[tier]
    while True:
        r = s.target_replica[at]
        if takes(s, r, req, tokens, now_s, which):
            if n == 0:
                return r
            n -= 1
        at += 1
