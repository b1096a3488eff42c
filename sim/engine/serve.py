"""The data plane's one loop: the next thing that happens anywhere, until a given time.

Four things can happen, and at the same instant they do so in this order: a request of the arrival block comes in; a
replica reaches the end of its span, and sees that request; a closed-loop client, who may have been answered just
now, sends its next one; idle replicas that were given work begin, with all of it.
"""

from __future__ import annotations

from math import inf, nan

from sim.engine.balancer import choose_replica, why_refused
from sim.engine.books import accrue, charge_unfinished, fold
from sim.engine.jit import entry, kernel
from sim.engine.meter import book, write_row
from sim.engine.queues import row_slot
from sim.engine.replica import begin_woken, boundary, receive, release
from sim.engine.state import (
    BLOCK_EMPTY,
    CLOSED_EMPTY,
    NONE,
    REACHED,
    ROWS_FULL,
    SLOTS_FULL,
    TOO_LONG,
    UNFINISHED,
    Records,
    State,
)

__all__ = ["REFUSED_PAUSE_S", "close_books", "serve", "settle"]

REFUSED_PAUSE_S = 1.0
"""A closed-loop client whose request was refused waits this long before its next one."""


@entry
def serve(s: State, until_s: float) -> int:
    """Advance every replica through all events before `until_s`.

    Returns REACHED, or the reason why Python is wanted first: BLOCK_EMPTY (bring the next arrivals), CLOSED_EMPTY
    (draw more lengths for the closed streams), SLOTS_FULL (make more room for requests in flight), ROWS_FULL
    (take the finished rows away). Called again, it goes on where it stopped.
    """
    run = s.run[0]
    rows_needed = s.heap.shape[1] + 1
    while True:
        if run.cursor == run.block_rows and run.more_blocks:
            return BLOCK_EMPTY
        if s.finished.size > 0 and s.finished.size - run.rows < rows_needed:
            return ROWS_FULL
        arrival_s = s.arrival_s[run.cursor] if run.cursor < run.block_rows else inf
        client = _next_client(s)
        client_s = s.closed_ring_s[client, s.closed[client].first] if client != NONE else inf
        r = s.winner[1]
        now_s = min(arrival_s, s.event_s[r], client_s, run.wake_s)
        if now_s >= until_s:
            return REACHED
        if run.free == NONE:
            return SLOTS_FULL
        if now_s == arrival_s:
            _arrive(s, run, now_s)
        elif now_s == s.event_s[r]:
            boundary(s, r)
        elif now_s == client_s:
            if s.closed[client].used == s.closed[client].drawn:
                return CLOSED_EMPTY
            _send(s, run, client, now_s)
        else:
            begin_woken(s)


@entry
def settle(s: State, now_s: float) -> None:
    """Bring all books up to `now_s`, which `serve` has reached, and add what is recent to the sums."""
    for r in range(s.replicas.size):
        rep = s.replicas[r]
        accrue(rep, now_s)
        fold(rep)
        for at in range(rep.rows):
            s.requests[row_slot(s.heap[r, at])].joined_usd -= rep.row_usd
        rep.row_usd = 0.0
    for p in range(s.recent_usd.shape[0]):
        for i in range(s.recent_usd.shape[1]):
            for a in range(s.recent_usd.shape[2]):
                for c in range(s.recent_usd.shape[3]):
                    s.ended_usd[p, i, a, c] += s.recent_usd[p, i, a, c]
                    s.recent_usd[p, i, a, c] = 0.0


@entry
def close_books(s: State, first: int) -> int:
    """Charge requests in flight for what they have used so far, from slot `first` on, and write their rows.

    Returns the slot to go on with once rows were taken away; the number of slots when done.
    """
    for slot in range(first, s.requests.size):
        req = s.requests[slot]
        if req.stream == NONE:
            continue
        if s.run[0].rows == s.finished.size and s.finished.size > 0:
            return slot
        charge_unfinished(s.replicas[req.replica], req)
        book(s, req)
        write_row(s, req, UNFINISHED, nan)
    return s.requests.size


@kernel
def _next_client(s: State) -> int:
    """Closed stream whose client sends first, or NONE."""
    best = NONE
    best_s = inf
    for c in range(s.closed.size):
        client = s.closed[c]
        if client.ready > 0 and client.left != 0 and s.closed_ring_s[c, client.first] < best_s:
            best, best_s = c, s.closed_ring_s[c, client.first]
    return best


@kernel
def _arrive(s: State, run: Records, now_s: float) -> None:
    """Take the next request off the arrival block."""
    i = run.cursor
    run.cursor += 1
    slot = _take_slot(s, run, now_s, s.stream[i], s.priority[i], s.prompt_tokens[i], s.output_tokens[i])
    req = s.requests[slot]
    req.strategy = s.strategy[i]
    req.context_id = s.context_id[i]
    _route(s, slot, s.luck[i], now_s)


@kernel
def _send(s: State, run: Records, c: int, now_s: float) -> None:
    """A client of closed stream c sends its next request."""
    client = s.closed[c]
    i = client.used
    client.used += 1
    client.first = (client.first + 1) % s.closed_ring_s.shape[1]
    client.ready -= 1
    if client.left > 0:
        client.left -= 1
    prompt, output = s.closed_prompt_tokens[c, i], s.closed_output_tokens[c, i]
    slot = _take_slot(s, run, now_s, client.stream, client.priority, prompt, output)
    req = s.requests[slot]
    req.strategy = s.closed_strategy[c, i]
    req.closed = c
    _route(s, slot, s.closed_luck[c, i], now_s)


@kernel
def _take_slot(
    s: State, run: Records, now_s: float, stream: int, priority: int, prompt_tokens: int, output_tokens: int
) -> int:
    slot = run.free
    req = s.requests[slot]
    run.free = req.next
    run.in_flight += 1
    req.id = run.next_id
    run.next_id += 1
    req.arrival_s = now_s
    req.first_token_s = nan
    req.cost_usd = 0.0
    req.stream = stream
    req.priority = priority
    req.prompt_tokens = prompt_tokens
    req.output_tokens = output_tokens
    req.target = prompt_tokens
    req.produced = 0
    req.prefilled = 0
    req.chunk = 0
    req.preemptions = 0
    req.context_id = NONE
    req.closed = NONE
    return slot


@kernel
def _route(s: State, slot: int, luck: float, now_s: float) -> None:
    req = s.requests[slot]
    stream = s.streams[req.stream]
    stream.offered += 1
    if now_s >= s.run[0].warm_up_s:
        stream.measured_offered += 1
    r = choose_replica(s, req, luck)
    req.replica = r
    if r == NONE:
        _refuse(s, slot, now_s)
    else:
        s.pools[s.replicas[r].pool].arrived += 1
        receive(s, r, slot, now_s)


@kernel
def _refuse(s: State, slot: int, now_s: float) -> None:
    req = s.requests[slot]
    status = why_refused(s, req)
    s.run[0].told_s = max(s.run[0].told_s, now_s)
    if status == TOO_LONG:
        s.streams[req.stream].too_long += 1
    else:
        s.streams[req.stream].no_replica += 1
    release(s, slot, status, now_s + REFUSED_PAUSE_S)
