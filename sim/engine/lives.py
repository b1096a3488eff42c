"""What control events do to a replica between two spans of serving: a price changes, requests are taken off."""

from __future__ import annotations

from math import inf

from sim.engine.books import accrue, book, carry, charge_unfinished, fold, settle_rows
from sim.engine.clients import fail_attempt, reset_work
from sim.engine.families import release_branches
from sim.engine.jit import entry, kernel
from sim.engine.queues import play
from sim.engine.reference import reference
from sim.engine.segments import drop_all
from sim.engine.state import (
    BLOCK_TOKENS,
    CLASSES,
    FAILED,
    GIVEN_UP,
    IDLE,
    LOST_WORK,
    NONE,
    TIMED_OUT,
    Integers,
    Records,
    State,
)

__all__ = ["reprice", "take_off"]


@entry
def reprice(s: State, p: int, usd_per_s: float, window: int, now_s: float) -> None:
    """From `now_s` on a replica of pool p costs `usd_per_s`, in another tariff window or the same.

    In another one, what requests have cost so far stays with the old one.
    """
    s = reference(s)
    for r in range(s.replicas.size):
        rep = s.replicas[r]
        if rep.pool == p:
            accrue(rep, now_s)
            fold(s, rep)
    if window != s.pools[p].window:
        carry(s, p)
    s.pools[p].window = window
    for r in range(s.replicas.size):
        rep = s.replicas[r]
        if rep.pool == p:
            settle_rows(s, r, rep)
            rep.usd_per_s = usd_per_s


@entry
def take_off(s: State, r: int, slots: Integers, now_s: float) -> None:
    """Take all its requests, given in order of their ids, off replica r, whose running step gives nothing.

    What was done for them is lost. They are sent again by the next call of `serve`, or have failed.
    """
    s = reference(s)
    rep = s.replicas[r]
    accrue(rep, now_s)
    fold(s, rep)
    for slot in slots:
        charge_unfinished(rep, s.requests[slot])
        book(s, slot, rep.pool, GIVEN_UP if _is_given_up(s, slot) else LOST_WORK)
    _empty(s, r, rep)
    last = s.run[0].lost
    while last != NONE and s.requests[last].next != NONE:
        last = s.requests[last].next
    for slot in slots:
        req = s.requests[slot]
        if req.head != slot:
            continue
        given_up = _is_given_up(s, slot)
        if req.special:
            s.branches[slot].segment = NONE
            s.families[slot].leaving = 0
            release_branches(s, slot)
        if given_up:
            fail_attempt(s, slot, TIMED_OUT, s.calls[slot].due_s, now_s)
        elif s.streams[req.stream].resend_lost:
            last = _await_resending(s, slot, last, now_s)
        else:
            fail_attempt(s, slot, FAILED, now_s, now_s)


@kernel
def _is_given_up(s: State, slot: int) -> bool:
    req = s.requests[slot]
    return req.gone == 1 or (req.special == 1 and s.families[req.head].leaving > 0)


@kernel
def _await_resending(s: State, slot: int, last: int, now_s: float) -> int:
    """Put the request at the end of the list of those to send again; returns that end."""
    run = s.run[0]
    first_token_s = s.requests[slot].first_token_s
    reset_work(s, slot)
    if s.requests[slot].special and not s.stages[s.families[slot].stage].is_first:
        s.requests[slot].first_token_s = first_token_s
    s.requests[slot].next = NONE
    s.requests[slot].replica = NONE
    if last == NONE:
        run.lost = slot
    else:
        s.requests[last].next = slot
    run.lost_s = now_s
    return slot


@kernel
def _empty(s: State, r: int, rep: Records) -> None:
    rep.mode = IDLE
    rep.span_start_s = rep.accrued_s
    rep.span_steps = 0
    rep.rows = 0
    rep.seqs = 0
    rep.kv_tokens = 0
    rep.blocks_used = 0
    rep.prompt_tokens = 0
    rep.prompt_slices = 0
    rep.waiting = 0
    rep.ghosts = 0
    rep.sleep_rows = 0
    rep.row_usd = 0.0
    rep.prompt_usd = 0.0
    s.outstanding[r] = 0
    s.asleep[r] = 0
    drop_all(s, r)
    for turn in range(BLOCK_TOKENS):
        s.phase[r, turn] = 0
    for c in range(CLASSES):
        s.waiting_head[r, c] = NONE
        s.waiting_tail[r, c] = NONE
        s.prefill_head[r, c] = NONE
        s.prefill_tail[r, c] = NONE
        s.seqs_of[r, c] = 0
    s.event_s[r] = inf
    play(s.event_s, s.winner, r)
