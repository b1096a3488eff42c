"""The data plane's one loop: the next thing that happens anywhere, until a given time.

Six things can happen, and at the same instant they do so in this order: a request of the arrival block comes in; a
replica reaches the end of its span, and sees that request; a single request's timer goes off; a request whose stage is
over goes on to the next; a closed-loop client, who may have been answered just now, sends its next one; idle replicas
that were given work begin, with all of it. What control events took off a replica is sent again before all of them, and
then sleep-time jobs are sent.
"""

from __future__ import annotations

from math import inf, nan

from sim.engine.api import bill, bill_so_far, start_at_api
from sim.engine.arrivals import arrive, ask, begin_strategy, next_client, take_job
from sim.engine.balancer import count_out
from sim.engine.books import accrue, book, charge_unfinished, fold, settle_rows
from sim.engine.clients import fail_attempt, release
from sim.engine.families import is_family
from sim.engine.family_ends import end_alone, end_at_api
from sim.engine.jit import entry, inlined, kernel
from sim.engine.meter import measure, measure_family, write_row
from sim.engine.reference import reference
from sim.engine.replica import begin_woken, boundary, give_up
from sim.engine.sending import send
from sim.engine.state import (
    API_QUEUED,
    API_RUNNING,
    AT_REPLICA,
    BACKING_OFF,
    BLOCK_EMPTY,
    CLOSED_EMPTY,
    COMPLETED,
    CONTINUED,
    ENDED,
    GIVEN_UP,
    NONE,
    REACHED,
    ROWS_FULL,
    SEGMENTS_FULL,
    SLOTS_FULL,
    TIMED_OUT,
    UNFINISHED,
    USED,
    Records,
    State,
)
from sim.engine.timers import cancel_timer

__all__ = ["close_books", "serve", "settle"]


@entry
def serve(s: State, until_s: float) -> int:
    """Advance every replica through all events before `until_s`.

    Returns REACHED, or the reason why Python is wanted first: BLOCK_EMPTY (bring the next arrivals), CLOSED_EMPTY
    (draw more lengths for the closed streams), SLOTS_FULL (make more room for requests in flight), ROWS_FULL
    (take the finished rows away), SEGMENTS_FULL (make more room in the prefix cache). Called again, it goes on where it
    stopped.
    """
    s = reference(s)
    run = s.run[0]
    rows_needed = s.heap.shape[1] + 1
    while True:
        if run.cursor == run.block_rows and run.more_blocks:
            return BLOCK_EMPTY
        if s.finished.size > 0 and s.finished.size - run.rows < rows_needed:
            return ROWS_FULL
        arrival_s = s.arrival_s[run.cursor] if run.cursor < run.block_rows else inf
        client = next_client(s)
        client_s = s.closed_ring_s[client, s.closed[client].first] if client != NONE else inf
        timer_s = s.timer_s[0] if run.timers > 0 else inf
        continued_s = run.continued_s if run.continued != NONE else inf
        r = s.winner[1]
        now_s = min(arrival_s, s.event_s[r], timer_s, continued_s, client_s, run.wake_s)
        if run.slots_free < run.most_branches:
            return SLOTS_FULL
        if run.caches and run.segments_free < 4 * rows_needed:
            return SEGMENTS_FULL
        if run.lost != NONE:
            now_s = run.lost_s
        elif run.job < run.jobs:
            now_s = run.jobs_s
        elif now_s >= until_s:
            return REACHED
        slot = NONE
        if run.lost != NONE:
            slot = _lost(s, run)
        elif run.job < run.jobs:
            slot = take_job(s, run)
        elif now_s == arrival_s:
            slot = arrive(s, run, now_s)
        elif now_s == s.event_s[r]:
            boundary(s, r)
        elif now_s == timer_s:
            slot = _go_off(s, now_s)
        elif now_s == continued_s:
            slot = _go_on(s, run, now_s)
        elif now_s == client_s:
            if s.closed[client].used == s.closed[client].drawn:
                return CLOSED_EMPTY
            slot = ask(s, run, client, now_s)
        else:
            begin_woken(s)
        if slot != NONE:
            send(s, slot, now_s)


@entry
def settle(s: State, now_s: float) -> None:
    """Bring all books up to `now_s`, which `serve` has reached, and add what is recent to the sums."""
    s = reference(s)
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
    s = reference(s)
    if first == 0:
        _charge_all(s, now_s)
    for slot in range(first, s.requests.size):
        req = s.requests[slot]
        if req.stream == NONE or req.head != slot:
            continue
        if s.run[0].rows == s.finished.size and s.finished.size > 0:
            return slot
        if req.first_token_s > now_s:
            req.first_token_s = nan
        write_row(s, slot, UNFINISHED, nan)
    return s.requests.size


@kernel
def _charge_all(s: State, now_s: float) -> None:
    for slot in range(s.requests.size):
        req = s.requests[slot]
        if req.stream == NONE:
            continue
        if req.head != slot:
            s.requests[req.head].preemptions += req.preemptions
        place = s.calls[slot].place
        if place == API_RUNNING:
            bill_so_far(s, slot, now_s, USED)
        if place in (AT_REPLICA, ENDED, API_RUNNING):
            rep = s.replicas[req.replica]
            if place == AT_REPLICA:
                charge_unfinished(rep, req)
            book(s, slot, rep.pool, USED)


@inlined
def _lost(s: State, run: Records) -> int:
    """The next of what was taken off a replica, to be sent again; its client, who waits as before, notices nothing."""
    slot = run.lost
    run.lost = s.requests[slot].next
    s.calls[slot].late = 0
    return slot


@kernel
def _go_on(s: State, run: Records, now_s: float) -> int:
    """The next request that goes on to another stage, or NONE if its client has given up by now."""
    slot = run.continued
    run.continued = s.families[slot].next
    if s.calls[slot].due_s <= now_s:
        fail_attempt(s, slot, TIMED_OUT, s.calls[slot].due_s, now_s)
        return NONE
    return slot


@kernel
def _go_off(s: State, now_s: float) -> int:
    """The timer that comes first: what is due depends on where its request is; the slot to send again, or NONE."""
    slot = s.timer_slot[0]
    call = s.calls[slot]
    if call.place == BACKING_OFF:
        cancel_timer(s, slot)
        s.streams[s.requests[slot].stream].retried += 1
        call.due_s = now_s + s.streams[s.requests[slot].stream].timeout_s
        call.late = 1
        if s.requests[slot].special:
            begin_strategy(s, slot)
        return slot
    if call.place == API_QUEUED and call.start_s <= now_s:
        start_at_api(s, slot)
    elif call.place == API_QUEUED or call.place == API_RUNNING:
        _end_at_api(s, slot, now_s)
    else:
        cancel_timer(s, slot)
        if call.place != CONTINUED:
            give_up(s, slot, now_s)
    return NONE


@kernel
def _end_at_api(s: State, slot: int, now_s: float) -> None:
    """An API has answered, or will not: its completion window is over, or the client has given up."""
    req = s.requests[slot]
    call = s.calls[slot]
    is_answered = call.place == API_RUNNING and call.finish_s <= now_s
    if is_answered:
        bill(s, slot, req.output_tokens, USED)
    if is_family(s, slot):
        cancel_timer(s, slot)
        end_at_api(s, slot, now_s, is_answered)
        return
    count_out(s, req.replica, req.priority)
    if is_answered:
        if req.special:
            end_alone(s, slot)
            measure_family(s, slot, now_s)
        else:
            measure(s, slot, now_s)
        release(s, slot, COMPLETED, now_s, 0.0, now_s)
        return
    if call.place == API_RUNNING:
        bill_so_far(s, slot, now_s, GIVEN_UP)
    fail_attempt(s, slot, TIMED_OUT, now_s, now_s)
