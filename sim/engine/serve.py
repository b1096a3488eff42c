"""The data plane's one loop: the next thing that happens anywhere, until a given time.

Five things can happen, and at the same instant they do so in this order: a request of the arrival block comes in; a
replica reaches the end of its span, and sees that request; a single request's timer goes off; a closed-loop client, who
may have been answered just now, sends its next one; idle replicas that were given work begin, with all of it. What
control events took off a replica is sent again before all of them.
"""

from __future__ import annotations

from math import inf, nan

from sim.engine.api import bill, bill_so_far, send_to_api, start_at_api
from sim.engine.balancer import choose_replica, why_refused
from sim.engine.books import accrue, book, charge_unfinished, fold, settle_rows
from sim.engine.clients import fail_attempt, release, reset_work
from sim.engine.jit import entry, kernel, rare
from sim.engine.meter import measure, write_row
from sim.engine.replica import begin_woken, boundary, give_up, receive
from sim.engine.state import (
    API_QUEUED,
    API_RUNNING,
    AT_REPLICA,
    BACKING_OFF,
    BLOCK_EMPTY,
    CLOSED_EMPTY,
    COMPLETED,
    GIVEN_UP,
    NONE,
    REACHED,
    ROWS_FULL,
    SLOTS_FULL,
    TIMED_OUT,
    UNFINISHED,
    USED,
    Records,
    State,
)
from sim.engine.timers import cancel_timer, set_timer

__all__ = ["close_books", "serve", "settle"]


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
        timer_s = s.timer_s[0] if run.timers > 0 else inf
        r = s.winner[1]
        now_s = min(arrival_s, s.event_s[r], timer_s, client_s, run.wake_s)
        if run.lost != NONE:
            now_s = run.lost_s
        elif now_s >= until_s:
            return REACHED
        elif run.free == NONE:
            return SLOTS_FULL
        slot = NONE
        if run.lost != NONE:
            slot = _lost(s, run)
        elif now_s == arrival_s:
            slot = _arrive(s, run, now_s)
        elif now_s == s.event_s[r]:
            boundary(s, r)
        elif now_s == timer_s:
            slot = _go_off(s, now_s)
        elif now_s == client_s:
            if s.closed[client].used == s.closed[client].drawn:
                return CLOSED_EMPTY
            slot = _ask(s, run, client, now_s)
        else:
            begin_woken(s)
        if slot != NONE:
            _send(s, slot, now_s)


@entry
def settle(s: State, now_s: float) -> None:
    """Bring all books up to `now_s`, which `serve` has reached, and add what is recent to the sums."""
    for r in range(s.replicas.size):
        rep = s.replicas[r]
        accrue(rep, now_s)
        fold(s, rep)
        settle_rows(s, r, rep)
    pools, streams, strategies, classes, windows, uses = s.recent_usd.shape
    for p in range(pools):
        for i in range(streams):
            for a in range(strategies):
                for c in range(classes):
                    for w in range(windows):
                        for use in range(uses):
                            s.ended_usd[p, i, a, c, w, use] += s.recent_usd[p, i, a, c, w, use]
                            s.recent_usd[p, i, a, c, w, use] = 0.0


@entry
def close_books(s: State, first: int, now_s: float) -> int:
    """Charge requests in flight for what they have used until `now_s`, from slot `first` on, and write their rows.

    Returns the slot to go on with once rows were taken away; the number of slots when done.
    """
    for slot in range(first, s.requests.size):
        req = s.requests[slot]
        if req.stream == NONE:
            continue
        if s.run[0].rows == s.finished.size and s.finished.size > 0:
            return slot
        place = s.calls[slot].place
        if place == AT_REPLICA:
            rep = s.replicas[req.replica]
            charge_unfinished(rep, req)
            book(s, slot, rep.pool, USED)
        elif place == API_RUNNING:
            bill_so_far(s, slot, now_s, USED)
        if req.first_token_s > now_s:
            req.first_token_s = nan
        write_row(s, slot, UNFINISHED, nan)
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
def _arrive(s: State, run: Records, now_s: float) -> int:
    """Take the next request off the arrival block; returns its slot."""
    i = run.cursor
    run.cursor += 1
    slot = _take_slot(s, run, now_s, s.stream[i], s.priority[i], s.prompt_tokens[i], s.output_tokens[i])
    req = s.requests[slot]
    req.strategy = s.strategy[i]
    req.context_id = s.context_id[i]
    call = s.calls[slot]
    call.luck = s.luck[i]
    if s.api_luck.shape[0] > 0:
        call.first_luck, call.speed_luck = s.api_luck[i, 0], s.api_luck[i, 1]
    call.late = 0
    return slot


@kernel
def _ask(s: State, run: Records, c: int, now_s: float) -> int:
    """A client of closed stream c has its next request; returns its slot."""
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
    call = s.calls[slot]
    call.luck = s.closed_luck[c, i]
    if s.closed_api_luck.shape[1] > 0:
        call.first_luck, call.speed_luck = s.closed_api_luck[c, i, 0], s.closed_api_luck[c, i, 1]
    call.late = 1
    return slot


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
    req.cost_usd = 0.0
    req.stream = stream
    req.priority = priority
    req.prompt_tokens = prompt_tokens
    req.output_tokens = output_tokens
    req.preemptions = 0
    req.context_id = NONE
    req.closed = NONE
    req.timer = NONE
    req.carried = 0
    call = s.calls[slot]
    call.due_s = now_s + s.streams[stream].timeout_s
    call.spent_usd = 0.0
    call.attempts = 0
    call.retries = 0
    s.streams[stream].offered += 1
    if now_s >= run.warm_up_s:
        s.streams[stream].measured_offered += 1
    return slot


@kernel
def _lost(s: State, run: Records) -> int:
    """The next of what was taken off a replica, to be sent again; its client, who waits as before, notices nothing."""
    slot = run.lost
    run.lost = s.requests[slot].next
    s.calls[slot].late = 0
    return slot


@rare
def _go_off(s: State, now_s: float) -> int:
    """The timer that comes first: what is due depends on where its request is; the slot to send again, or NONE."""
    slot = s.timer_slot[0]
    call = s.calls[slot]
    if call.place == BACKING_OFF:
        cancel_timer(s, slot)
        s.streams[s.requests[slot].stream].retried += 1
        call.due_s = now_s + s.streams[s.requests[slot].stream].timeout_s
        call.late = 1
        return slot
    if call.place == AT_REPLICA:
        cancel_timer(s, slot)
        give_up(s, slot, now_s)
    elif call.place == API_QUEUED and call.start_s <= now_s:
        start_at_api(s, slot)
    else:
        _end_at_api(s, slot, now_s)
    return NONE


@kernel
def _send(s: State, slot: int, now_s: float) -> None:
    """Send a request to a replica: for the first time, or from scratch once more."""
    req = s.requests[slot]
    call = s.calls[slot]
    s.streams[req.stream].attempts += 1
    call.attempts += 1
    reset_work(s, slot)
    r = choose_replica(s, req, call.luck, now_s)
    req.replica = r
    if r == NONE:
        fail_attempt(s, slot, why_refused(s, req), now_s, now_s)
        return
    pool = s.pools[s.replicas[r].pool]
    pool.arrived += 1
    if pool.is_api:
        send_to_api(s, r, slot, now_s)
        return
    receive(s, r, slot, now_s)
    if call.due_s < inf:
        set_timer(s, slot, call.due_s)


@kernel
def _end_at_api(s: State, slot: int, now_s: float) -> None:
    """An API has answered, or will not: its completion window is over, or the client has given up."""
    req = s.requests[slot]
    call = s.calls[slot]
    s.outstanding[req.replica] -= 1
    if call.place == API_RUNNING and call.finish_s <= now_s:
        bill(s, slot, req.output_tokens, USED)
        measure(s, req, now_s)
        release(s, slot, COMPLETED, now_s, 0.0, now_s)
        return
    if call.place == API_RUNNING:
        bill_so_far(s, slot, now_s, GIVEN_UP)
    fail_attempt(s, slot, TIMED_OUT, now_s, now_s)
