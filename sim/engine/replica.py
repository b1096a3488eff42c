"""One model server: a span of steps ends, its tokens are counted, and the next span begins.

A span is what happens between two changes of the batch: n decode steps, or one step that also reads prompts.
Its end is known when it begins; only an arrival that could be admitted cuts it short, at the first step
boundary not before the arrival.
"""

from __future__ import annotations

from math import inf, isnan

import numpy as np

from sim.engine.balancer import count_out
from sim.engine.batch import fill_chunked, fill_prompts, leave_rows, make_room, others_are_there
from sim.engine.books import accrue, book, fold, share_time
from sim.engine.clients import fail_attempt, release
from sim.engine.families import is_family, keep_answer, prompt_is_read
from sim.engine.family_ends import branch_ended, branch_let_go, end_alone, end_stages, give_up_family, leave_batch
from sim.engine.jit import inlined, kernel
from sim.engine.memory import free_blocks, growth, row_phase, steps_that_fit
from sim.engine.meter import front_end_s, measure, measure_family
from sim.engine.queues import append, comes_before, play, push_row, remove, row_key, row_slot, row_step
from sim.engine.segments import drop_all, evict, release_segment
from sim.engine.sleep import fill_sleep, pause_all
from sim.engine.state import (
    AT_REPLICA,
    BLOCK_TOKENS,
    CHUNKED,
    CLASSES,
    COMPLETED,
    DECODE,
    DRAINING,
    GIVEN_UP,
    IDLE,
    MIXED,
    NONE,
    OFF,
    OPEN,
    PREFILL,
    SLEEP,
    STARTING,
    TIMED_OUT,
    USED,
    Records,
    State,
)
from sim.engine.steps import law_segment, parts_s, span_s, steps_to_reach

__all__ = ["begin_woken", "boundary", "give_up", "receive", "rest", "wake"]


@inlined
def receive(s: State, r: int, slot: int, now_s: float) -> None:
    """Queue a request that was routed here, and have the replica look at it as soon as it may be admitted.

    What is late comes just after all step boundaries of that instant, other arrivals come just before. A replica that
    is not open yet only holds it.
    """
    rep = s.replicas[r]
    req = s.requests[slot]
    c = req.priority
    s.calls[slot].place = AT_REPLICA
    if rep.life != OFF and rep.life != STARTING:
        if rep.mode == IDLE:
            wake(s, r, rep, now_s)
        elif rep.mode == DECODE and not _is_blocked(s, r, rep, c):
            _cut_span(s, r, rep, np.nextafter(now_s, inf) if s.calls[slot].late else now_s)
    append(s.requests, s.waiting_head, s.waiting_tail, r, c, slot)
    req.admission = 0
    rep.waiting += 1


@inlined
def wake(s: State, r: int, rep: Records, now_s: float) -> None:
    """Note an idle replica; it begins once all that comes at this instant is there."""
    if not rep.waking:
        rep.waking = 1
        s.woken[s.run[0].woken] = r
        s.run[0].woken += 1
        s.run[0].wake_s = now_s


@kernel
def give_up(s: State, slot: int, now_s: float) -> None:
    """The client of a request at a replica has waited long enough.

    A waiting request leaves at once; one that was admitted at the next step boundary, and costs money until then.
    """
    req = s.requests[slot]
    r = req.replica
    rep = s.replicas[r]
    if is_family(s, slot):
        give_up_family(s, slot, now_s)
    elif req.admission > 0:
        req.gone = 1
        rep.ghosts += 1
    else:
        remove(s.requests, s.waiting_head, s.waiting_tail, r, req.priority, slot)
        rep.waiting -= 1
        count_out(s, r, req.priority)
        _time_out(s, r, slot, now_s)
    if rep.mode == DECODE and (rep.ghosts or rep.waiting):
        _cut_span(s, r, rep, np.nextafter(now_s, inf))


@kernel
def _time_out(s: State, r: int, slot: int, now_s: float) -> None:
    """A replica is rid of a request whose client has given up."""
    book(s, slot, s.replicas[r].pool, GIVEN_UP)
    fail_attempt(s, slot, TIMED_OUT, s.calls[slot].due_s, now_s)


@kernel
def begin_woken(s: State) -> None:
    """Let the idle replicas that have work begin."""
    run = s.run[0]
    for i in range(run.woken):
        r = s.woken[i]
        rep = s.replicas[r]
        rep.waking = 0
        if rep.life == OPEN or rep.life == DRAINING:
            accrue(rep, run.wake_s)
            _begin_span(s, r, rep, run.wake_s)
            play(s.event_s, s.winner, r)
    run.woken = 0
    run.wake_s = inf


@inlined
def _is_blocked(s: State, r: int, rep: Records, c: int) -> bool:
    """True if a newcomer of class c stands behind one who did not fit: nothing fits before a row completes."""
    if rep.waiting == 0:
        return False
    above = 0
    while above <= c and s.waiting_head[r, above] == NONE:
        above += 1
    return above <= c


@inlined
def _cut_span(s: State, r: int, rep: Records, now_s: float) -> None:
    kv = rep.kv_tokens + rep.rows
    n = steps_to_reach(rep.span_start_s, now_s, rep.base_s, rep.per_kv_s, kv, rep.rows, rep.span_steps)
    if n < rep.span_steps:
        rep.span_steps = n
        s.event_s[r] = rep.span_start_s + span_s(rep.base_s, rep.per_kv_s, kv, rep.rows, n)
        play(s.event_s, s.winner, r)


@kernel
def boundary(s: State, r: int) -> None:
    """End the running span of replica r and begin the next, at its event time."""
    rep = s.replicas[r]
    now_s = s.event_s[r]
    accrue(rep, now_s)
    if rep.span_steps > 0:
        _advance_rows(s, r, rep, now_s)
    if rep.prompt_tokens > 0:
        _finish_prompts(s, r, rep, now_s)
    if rep.ghosts > 0:
        _let_go(s, r, rep, now_s)
    if s.run[0].over != NONE:
        end_stages(s, now_s)
    _begin_span(s, r, rep, now_s)
    play(s.event_s, s.winner, r)


@kernel
def _advance_rows(s: State, r: int, rep: Records, now_s: float) -> None:
    """Every row has `span_steps` more tokens; those with all of theirs complete."""
    rep.blocks_used += growth(s.phase, r, rep.rows, rep.step, rep.span_steps)
    evict(s, rep)
    rep.kv_tokens += rep.rows * rep.span_steps
    rep.step += rep.span_steps
    while rep.rows > 0 and row_step(s.heap[r, 0]) == rep.step:
        at = _first_ended(s, r, rep) if s.run[0].caches and rep.rows > 1 else 0
        _end_row(s, r, rep, at, now_s)


@kernel
def _end_row(s: State, r: int, rep: Records, at: int, now_s: float) -> None:
    slot = row_slot(s.heap[r, at])
    if s.requests[slot].special:
        _end_special_row(s, r, rep, at, now_s)
        return
    leave_rows(s, r, rep, at)
    _complete(s, r, rep, slot, now_s)


@kernel
def _end_special_row(s: State, r: int, rep: Records, at: int, now_s: float) -> None:
    """A branch of a family, or a request with a context, has all its tokens."""
    slot = row_slot(s.heap[r, at])
    req = s.requests[slot]
    keep_answer(s, r, rep, slot)
    leave_rows(s, r, rep, at)
    _leave(s, r, rep, slot)
    release_segment(s, rep, slot)
    if not is_family(s, slot):
        _complete_alone(s, r, rep, slot, now_s)
    elif req.gone:
        branch_let_go(s, slot, now_s)
    else:
        branch_ended(s, slot, req.output_tokens, now_s)


@kernel
def _complete_alone(s: State, r: int, rep: Records, slot: int, now_s: float) -> None:
    req = s.requests[slot]
    later_s = front_end_s(s.pools[rep.pool], req, req.output_tokens, now_s)
    if req.gone or now_s + later_s > s.calls[slot].due_s:
        _time_out(s, r, slot, now_s)
        return
    req.first_token_s += later_s
    end_alone(s, slot)
    measure_family(s, slot, now_s + later_s)
    book(s, slot, rep.pool, USED)
    release(s, slot, COMPLETED, now_s + later_s, 0.0, now_s)


@kernel
def _first_ended(s: State, r: int, rep: Records) -> int:
    """Place in the heap of the ended row whose request came first: what they leave to others depends on the order."""
    first = 0
    for at in range(1, rep.rows):
        if row_step(s.heap[r, at]) == rep.step and comes_before(s, row_slot(s.heap[r, at]), row_slot(s.heap[r, first])):
            first = at
    return first


@kernel
def _finish_prompts(s: State, r: int, rep: Records, now_s: float) -> None:
    """Count the prompt slices of the step; a prompt read to its end gives a token and joins the rows."""
    usd_per_token = rep.prompt_usd / rep.prompt_tokens
    rep.prompt_usd = 0.0
    for c in range(CLASSES):
        slot = s.prefill_head[r, c]
        while slot != NONE and s.requests[slot].chunk > 0:
            req = s.requests[slot]
            req.prefilled += req.chunk
            req.cost_usd += req.chunk * usd_per_token
            req.chunk = 0
            following = req.next
            if req.prefilled == req.target:
                remove(s.requests, s.prefill_head, s.prefill_tail, r, c, slot)
                if req.special:
                    prompt_is_read(s, r, rep, slot)
                _join_rows(s, r, rep, slot, now_s)
            slot = following


@inlined
def _join_rows(s: State, r: int, rep: Records, slot: int, now_s: float) -> None:
    req = s.requests[slot]
    if isnan(s.requests[req.head].first_token_s):
        s.requests[req.head].first_token_s = now_s
    req.produced += 1
    req.join_step = rep.step
    req.finish_step = rep.step + req.output_tokens - req.produced
    req.joined_usd = rep.row_usd
    push_row(s.heap, r, rep.rows, row_key(req.finish_step, slot))
    s.phase[r, row_phase(req)] += 1
    rep.rows += 1
    rep.sleep_rows += req.priority == SLEEP
    rep.kv_tokens += req.target
    if req.finish_step == rep.step:
        _end_at_once(s, r, rep, slot, now_s)


@kernel
def _end_at_once(s: State, r: int, rep: Records, slot: int, now_s: float) -> None:
    """The first token of a request was its last."""
    at = 0
    while row_slot(s.heap[r, at]) != slot:
        at += 1
    _end_row(s, r, rep, at, now_s)


@inlined
def _complete(s: State, r: int, rep: Records, slot: int, now_s: float) -> None:
    """The replica is done with a request, whose client sees it through the server's front end, if not too late."""
    req = s.requests[slot]
    _leave(s, r, rep, slot)
    later_s = front_end_s(s.pools[rep.pool], req, req.output_tokens, now_s)
    if req.gone or now_s + later_s > s.calls[slot].due_s:
        _time_out(s, r, slot, now_s)
        return
    req.first_token_s += later_s
    measure(s, slot, now_s + later_s)
    book(s, slot, rep.pool, USED)
    release(s, slot, COMPLETED, now_s + later_s, 0.0, now_s)


@inlined
def _leave(s: State, r: int, rep: Records, slot: int) -> None:
    """An admitted request is not the replica's any more."""
    req = s.requests[slot]
    rep.seqs -= 1
    s.seqs_of[r, req.priority] -= 1
    count_out(s, r, req.priority)
    rep.ghosts -= req.gone


@kernel
def _let_go(s: State, r: int, rep: Records, now_s: float) -> None:
    """Admitted requests whose clients have given up leave, in order of their coming."""
    while rep.ghosts > 0:
        slot = _first_ghost(s, r, rep)
        leave_batch(s, slot)
        count_out(s, r, s.requests[slot].priority)
        if is_family(s, slot):
            branch_let_go(s, slot, now_s)
        else:
            _time_out(s, r, slot, now_s)


@kernel
def _first_ghost(s: State, r: int, rep: Records) -> int:
    first = NONE
    for at in range(rep.rows):
        slot = row_slot(s.heap[r, at])
        if s.requests[slot].gone and (first == NONE or comes_before(s, slot, first)):
            first = slot
    for c in range(CLASSES):
        slot = s.prefill_head[r, c]
        while slot != NONE:
            if s.requests[slot].gone and (first == NONE or comes_before(s, slot, first)):
                first = slot
            slot = s.requests[slot].next
    return first


@kernel
def _begin_span(s: State, r: int, rep: Records, now_s: float) -> None:
    pool = s.pools[rep.pool]
    chunked = pool.scheduler == CHUNKED
    if rep.sleep_rows > 0 and (not chunked or pool.sleep_slowdown == 0.0) and others_are_there(s, r):
        pause_all(s, r, rep)
    preempted = False
    if chunked:
        make_room(s, r, rep)
        pairs, blocked = fill_chunked(s, r, rep)
        if s.seqs_of[r, SLEEP] > 0 or s.waiting_head[r, SLEEP] != NONE:
            pairs = fill_sleep(s, r, rep, pairs, blocked)
    else:
        pairs = fill_prompts(s, r, rep)
        if rep.prompt_tokens == 0:
            preempted = make_room(s, r, rep)
            if preempted and rep.rows == 0:
                # The last row made room for itself, beside a prefix of which it used a part. Nobody is there: it fits.
                pairs = fill_prompts(s, r, rep)
    rep.span_start_s = now_s
    if rep.prompt_tokens == 0 and rep.rows == 0:
        _begin_idle(s, r, rep, now_s)
    elif rep.prompt_tokens == 0:
        _begin_decode(s, r, rep, now_s, preempted)
    else:
        _begin_prompts(s, r, rep, now_s, pairs, chunked)


@inlined
def _begin_idle(s: State, r: int, rep: Records, now_s: float) -> None:
    rep.mode = IDLE
    rep.span_steps = 0
    s.event_s[r] = inf
    if rep.life == DRAINING:
        rest(s, rep, now_s)


@kernel
def rest(s: State, rep: Records, now_s: float) -> None:
    """A draining replica has nothing left: its server goes off if the other ranks have nothing left either."""
    last = rep.server + s.pools[rep.pool].ranks
    for r in range(rep.server, last):
        rank = s.replicas[r]
        if rank.life == OPEN or rank.mode != IDLE or rank.waiting > 0:
            return
    for r in range(rep.server, last):
        rank = s.replicas[r]
        accrue(rank, now_s)
        fold(s, rank)
        rank.life = OFF
        rank.paid = rank.always_paid
        rank.ended_s = now_s
        drop_all(s, r)


@inlined
def _begin_decode(s: State, r: int, rep: Records, now_s: float, look_again: bool) -> None:
    """Decode until a row completes, memory runs out or the step law bends.

    A single step where it is to be looked at who may take part after it: where somebody has been preempted after the
    prompts had their turn, and may fit now, and where class sleep takes part with others.
    """
    kv = rep.kv_tokens + rep.rows
    segment = law_segment(s.kv_edge, rep.pool, kv)
    n = _steps_in_memory(s, r, rep, row_step(s.heap[r, 0]) - rep.step)
    if look_again or _sleep_takes_part(s, r, rep):
        n = 1
    edge = s.kv_edge[rep.pool, segment]
    if kv + rep.rows * (n - 1) > edge:
        n = int((edge - kv) // rep.rows) + 1
    rep.mode = DECODE
    rep.span_steps = n
    rep.base_s = s.base_s[rep.pool, segment, rep.rows]
    rep.per_kv_s = s.per_kv_s[rep.pool, segment, rep.rows]
    s.event_s[r] = now_s + span_s(rep.base_s, rep.per_kv_s, kv, rep.rows, n)
    share_time(rep, 1.0, 0.0)


@inlined
def _sleep_takes_part(s: State, r: int, rep: Records) -> bool:
    if s.seqs_of[r, SLEEP] == 0 and s.waiting_head[r, SLEEP] == NONE:
        return False
    return s.pools[rep.pool].sleep_slowdown > 0.0 and others_are_there(s, r)


@inlined
def _steps_in_memory(s: State, r: int, rep: Records, most: int) -> int:
    """Steps, at most `most`, for which there is memory; nearly always there is more than enough for all."""
    free = free_blocks(s, rep)
    if (most // BLOCK_TOKENS + 1) * rep.rows <= free:
        return most
    return min(steps_that_fit(s.phase, r, rep.rows, rep.step, free), most)


@inlined
def _begin_prompts(s: State, r: int, rep: Records, now_s: float, pairs: float, chunked: bool) -> None:
    """One step that reads prompts: with the decode rows in it (chunked), or while they pause (prefill first)."""
    if chunked and rep.rows > 0:
        rep.mode = MIXED
        rep.span_steps = 1
        kv = rep.kv_tokens + rep.rows
        rows_s, prompts_s = parts_s(s, rep.pool, rep.rows, kv, rep.prompt_tokens, pairs, rep.prompt_slices)
    else:
        rep.mode = PREFILL
        rep.span_steps = 0
        rows_s, prompts_s = parts_s(s, rep.pool, 0, 0, rep.prompt_tokens, pairs, rep.prompt_slices)
    s.event_s[r] = now_s + rows_s + prompts_s
    share_time(rep, rows_s, prompts_s)
