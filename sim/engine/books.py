"""Who pays for a replica's time.

A replica's time is busy or unused. Busy time in which rows decode is shared equally by the rows: `row_usd` is
the running integral of price / rows, and a request is charged the difference between leaving and joining. What
a step takes longer because of the prompts in it goes to those prompts, by tokens. A request's cost is booked when it is
over, as only then it is known what it went into; at the edge of a tariff window its cost so far is laid aside under
the window that ends.
"""

from __future__ import annotations

from sim.engine.jit import inlined
from sim.engine.queues import row_slot
from sim.engine.state import AT_REPLICA, ENDED, IDLE, NONE, Records, State

__all__ = ["accrue", "book", "carry", "charge_row", "charge_unfinished", "fold", "settle_rows", "share_time"]


@inlined
def share_time(rep: Records, rows_s: float, prompts_s: float) -> None:
    """Say how the span that begins now is paid for: `rows_s` by the rows, `prompts_s` by the prompts."""
    total_s = rows_s + prompts_s
    rep.row_share = rows_s / (total_s * rep.rows) if rows_s > 0.0 else 0.0
    rep.prompt_share = prompts_s / total_s if prompts_s > 0.0 else 0.0


@inlined
def accrue(rep: Records, now_s: float) -> None:
    """Bring the replica's books up to `now_s`. Right at any time within a span, as its shares are constant."""
    elapsed_s = now_s - rep.accrued_s
    rep.accrued_s = now_s
    if rep.mode == IDLE:
        if rep.paid:
            rep.recent_unused_s += elapsed_s
    else:
        usd = elapsed_s * rep.usd_per_s
        rep.recent_busy_s += elapsed_s
        rep.recent_prompt_s += elapsed_s * rep.prompt_share
        rep.row_usd += usd * rep.row_share
        rep.prompt_usd += usd * rep.prompt_share


@inlined
def fold(s: State, rep: Records) -> None:
    """Add what is recent to the sums, under the price, tariff window and life that the replica had until now.

    Summed in one go, a hundred million equal amounts drift by 1e-9, as each addition rounds the same way; summed by
    settlements they do not.
    """
    w = s.pools[rep.pool].window
    rep.busy_s += rep.recent_busy_s
    s.work_s[rep.pool, w] += rep.recent_busy_s
    s.work_usd[rep.pool, w] += rep.recent_busy_s * rep.usd_per_s
    s.prompt_s[rep.pool, w] += rep.recent_prompt_s
    s.unused_s[rep.pool, w, rep.life] += rep.recent_unused_s
    s.unused_usd[rep.pool, w, rep.life] += rep.recent_unused_s * rep.usd_per_s
    rep.recent_busy_s = 0.0
    rep.recent_prompt_s = 0.0
    rep.recent_unused_s = 0.0


@inlined
def settle_rows(s: State, r: int, rep: Records) -> None:
    """Begin the integral of price / rows anew, without a change to what the rows owe."""
    for at in range(rep.rows):
        s.requests[row_slot(s.heap[r, at])].joined_usd -= rep.row_usd
    rep.row_usd = 0.0


@inlined
def charge_row(rep: Records, req: Records) -> None:
    """Charge a request that leaves the decode rows for its time in them."""
    req.cost_usd += rep.row_usd - req.joined_usd


@inlined
def charge_unfinished(rep: Records, req: Records) -> None:
    """Charge a request for its part, so far, in a span that has not ended."""
    if req.prefilled == req.target:
        charge_row(rep, req)
        req.joined_usd = rep.row_usd
    elif req.chunk > 0:
        req.cost_usd += rep.prompt_usd * req.chunk / rep.prompt_tokens


@inlined
def carry(s: State, pool: int) -> None:
    """Lay the cost so far of a pool's requests aside under its present tariff window; its books are right until now."""
    w = s.pools[pool].window
    for slot in range(s.requests.size):
        req = s.requests[slot]
        place = s.calls[slot].place
        if req.stream == NONE or req.replica == NONE or (place != AT_REPLICA and place != ENDED):
            continue
        rep = s.replicas[req.replica]
        if rep.pool != pool:
            continue
        charge_unfinished(rep, req)
        s.carried_usd[slot, w] += req.cost_usd
        req.cost_usd = 0.0
        req.carried = 1
    for r in range(s.replicas.size):
        if s.replicas[r].pool == pool:
            s.replicas[r].prompt_usd = 0.0


@inlined
def book(s: State, slot: int, pool: int, use: int) -> None:
    """Put the cost of what has been done for a request on its pool, stream, strategy, class, window and use."""
    req = s.requests[slot]
    call = s.calls[req.head]
    i, a, c = req.stream, req.strategy, req.priority
    s.recent_usd[pool, i, a, c, s.pools[pool].window, use] += req.cost_usd
    call.spent_usd += req.cost_usd
    req.cost_usd = 0.0
    if req.carried:
        for w in range(s.carried_usd.shape[1]):
            s.recent_usd[pool, i, a, c, w, use] += s.carried_usd[slot, w]
            call.spent_usd += s.carried_usd[slot, w]
            s.carried_usd[slot, w] = 0.0
        req.carried = 0
