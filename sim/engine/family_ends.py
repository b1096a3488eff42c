"""The ends of branches, and what comes after: the stage is over, the next one begins, the request has its answer.

When enough branches have ended the rest are dropped. A family whose client gives up leaves branch by branch.
"""

from __future__ import annotations

from math import isnan

from sim.engine.api import bill_so_far, given_tokens
from sim.engine.batch import leave_rows
from sim.engine.books import book
from sim.engine.clients import fail_attempt, release
from sim.engine.families import release_branches
from sim.engine.jit import kernel
from sim.engine.luck import RIGHT, right
from sim.engine.memory import blocks_of
from sim.engine.meter import count_stage, front_end_s, measure_family
from sim.engine.queues import remove, row_slot
from sim.engine.segments import drop_owned, release_segment
from sim.engine.state import (
    API_QUEUED,
    API_RUNNING,
    AT_REPLICA,
    COMPLETED,
    CONTINUED,
    ENDED,
    GIVEN_UP,
    NONE,
    SLEEP,
    TIMED_OUT,
    USED,
    State,
)
from sim.engine.timers import cancel_timer
from sim.engine.votes import most_votes

__all__ = [
    "branch_ended",
    "branch_let_go",
    "end_alone",
    "end_at_api",
    "end_stages",
    "give_up_family",
    "leave_batch",
]


@kernel
def end_alone(s: State, slot: int) -> None:
    """The only branch of a request that refers to a prefix cache has its answer."""
    family = s.families[slot]
    family.stage_tokens = s.requests[slot].output_tokens
    family.path_tokens = family.stage_tokens
    family.correct = right(s.calls[slot].key, s.slot_chances[slot, 0, 0])
    count_stage(s, slot)


@kernel
def branch_ended(s: State, slot: int, tokens: int, now_s: float) -> None:
    """A branch has its answer of `tokens` tokens: its stage may be over."""
    req = s.requests[slot]
    family = s.families[req.head]
    _mark_ended(s, slot)
    family.stage_tokens += tokens
    if now_s > family.last_s or req.branch > family.last_branch:
        family.last_s = now_s
        family.last_branch = req.branch
        family.last_tokens = tokens
    if not family.over:
        family.over = 1
        _note_over(s, req.head)


@kernel
def _note_over(s: State, head: int) -> None:
    """Put a family into the list of those whose stage may be over, which is in order of their requests."""
    run = s.run[0]
    before, after = NONE, run.over
    while after != NONE and s.requests[after].id < s.requests[head].id:
        before, after = after, s.families[after].next
    s.families[head].next = after
    if before == NONE:
        run.over = head
    else:
        s.families[before].next = head


@kernel
def _mark_ended(s: State, slot: int) -> None:
    """Nothing is owed for it any more but what is booked with its stage."""
    s.calls[slot].place = ENDED
    s.requests[slot].prefilled = NONE
    s.requests[slot].chunk = 0
    s.families[s.requests[slot].head].left -= 1


@kernel
def end_stages(s: State, now_s: float) -> None:
    """Look at all families of which a branch has ended just now."""
    run = s.run[0]
    while run.over != NONE:
        head = run.over
        family = s.families[head]
        run.over = family.next
        family.over = 0
        if family.leaving == 0 and _is_over(s, head):
            _end_stage(s, head, now_s)


@kernel
def _is_over(s: State, head: int) -> bool:
    family = s.families[head]
    stage = s.stages[family.stage]
    if family.branches - family.left >= min(stage.wait_for, family.branches):
        return True
    if stage.agree == 0 or isnan(s.slot_chances[head, stage.step, 0]):
        return False
    return most_votes(s, head)[1] >= stage.agree


@kernel
def _end_stage(s: State, head: int, now_s: float) -> None:
    """A stage is over: drop its other branches, and go on or complete."""
    req = s.requests[head]
    family = s.families[head]
    goes_on = _decide(s, head)
    _drop_rest(s, head, now_s, USED)
    family.path_tokens += family.last_tokens
    pool = s.replicas[req.replica].pool
    later_s = 0.0 if goes_on else front_end_s(s.pools[pool], req, family.path_tokens, now_s)
    if not goes_on and now_s + later_s > s.calls[head].due_s and not s.pools[pool].is_api:
        _come_to_nothing(s, head, now_s)
        return
    _book_branches(s, head, USED)
    count_stage(s, head)
    release_branches(s, head)
    if goes_on:
        family.stage += 1
        family.step = s.stages[family.stage].step
        if not s.stage_stays[req.stream, family.stage]:
            drop_owned(s, head)
        _continue(s, head, now_s)
        return
    drop_owned(s, head)
    req.first_token_s += later_s
    measure_family(s, head, now_s + later_s)
    release(s, head, COMPLETED, now_s + later_s, 0.0, now_s)


@kernel
def _decide(s: State, head: int) -> bool:
    """True if the request goes on to another stage; at the end of a step its answer is known."""
    family = s.families[head]
    stage = s.stages[family.stage]
    if not stage.ends_step:
        return True
    step = s.steps[s.step_first[s.requests[head].strategy] + stage.step]
    p = s.slot_chances[head, stage.step, 0]
    if step.vote and isnan(p):
        goes_on = False
    elif step.vote:
        best, votes, cast = most_votes(s, head)
        family.correct = int(best == RIGHT)
        goes_on = votes < step.agreement_below * max(cast, 1)
    else:
        family.correct = right(s.calls[head].key, p)
        goes_on = s.slot_escalates[head, stage.step] == 1
    return goes_on and not stage.is_last


@kernel
def _continue(s: State, head: int, now_s: float) -> None:
    run = s.run[0]
    s.calls[head].place = CONTINUED
    s.calls[head].late = 1
    s.families[head].next = NONE
    if run.continued == NONE:
        run.continued = head
    else:
        s.families[run.continued_end].next = head
    run.continued_end = head
    run.continued_s = now_s


@kernel
def _drop_rest(s: State, head: int, now_s: float, use: int) -> None:
    """Drop the branches that have not ended, at a step boundary of their replica or at an API."""
    slot = head
    while slot != NONE:
        if s.calls[slot].place != ENDED:
            _drop(s, slot, now_s, use)
        slot = s.branches[slot].following


@kernel
def _drop(s: State, slot: int, now_s: float, use: int) -> None:
    req = s.requests[slot]
    place = s.calls[slot].place
    family = s.families[req.head]
    if place == API_RUNNING:
        family.stage_tokens += given_tokens(s, slot, now_s)
        bill_so_far(s, slot, now_s, use)
    if place in (API_RUNNING, API_QUEUED):
        cancel_timer(s, slot)
    elif place == AT_REPLICA and req.admission == 0:
        family.stage_tokens += req.produced
        _leave_queue(s, slot)
    elif place == AT_REPLICA:
        family.stage_tokens += leave_batch(s, slot)
    _count_out(s, slot)
    _mark_ended(s, slot)


@kernel
def _count_out(s: State, slot: int) -> None:
    req = s.requests[slot]
    if req.priority == SLEEP:
        s.asleep[req.replica] -= 1
    else:
        s.outstanding[req.replica] -= 1


@kernel
def _leave_queue(s: State, slot: int) -> None:
    req = s.requests[slot]
    remove(s.requests, s.waiting_head, s.waiting_tail, req.replica, req.priority, slot)
    s.replicas[req.replica].waiting -= 1


@kernel
def leave_batch(s: State, slot: int) -> int:
    """Take an admitted branch out of the batch between two steps; returns the tokens it has produced."""
    req = s.requests[slot]
    r = req.replica
    rep = s.replicas[r]
    tokens = req.produced
    if req.prefilled == req.target:
        tokens = req.output_tokens - (req.finish_step - rep.step)
        at = 0
        while row_slot(s.heap[r, at]) != slot:
            at += 1
        leave_rows(s, r, rep, at)
    else:
        remove(s.requests, s.prefill_head, s.prefill_tail, r, req.priority, slot)
        rep.blocks_used -= blocks_of(req.target) - req.shared_blocks
    if req.special:
        release_segment(s, rep, slot)
    rep.seqs -= 1
    s.seqs_of[r, req.priority] -= 1
    rep.ghosts -= req.gone
    return tokens


@kernel
def _book_branches(s: State, head: int, use: int) -> None:
    pool = s.replicas[s.requests[head].replica].pool
    slot = head
    while slot != NONE:
        book(s, slot, pool, use)
        slot = s.branches[slot].following


@kernel
def give_up_family(s: State, head: int, now_s: float) -> int:
    """The client of a family on a replica has waited long enough: what has not begun leaves at once.

    Returns how many admitted branches leave at the next step boundary; without any the attempt is over.
    """
    family = s.families[head]
    rep = s.replicas[s.requests[head].replica]
    slot = head
    while slot != NONE:
        req = s.requests[slot]
        place = s.calls[slot].place
        if place == AT_REPLICA and req.admission > 0:
            req.gone = 1
            rep.ghosts += 1
            family.leaving += 1
        elif place != ENDED:
            if place == AT_REPLICA:
                _leave_queue(s, slot)
            _count_out(s, slot)
            _mark_ended(s, slot)
        slot = s.branches[slot].following
    leaving = family.leaving
    if leaving == 0:
        _come_to_nothing(s, head, now_s)
    return leaving


@kernel
def branch_let_go(s: State, slot: int, now_s: float) -> None:
    """A branch of a family that was given up has left its replica."""
    head = s.requests[slot].head
    _mark_ended(s, slot)
    s.families[head].leaving -= 1
    if s.families[head].leaving == 0:
        _come_to_nothing(s, head, now_s)


@kernel
def _come_to_nothing(s: State, head: int, now_s: float) -> None:
    """All branches are gone after their client was."""
    _book_branches(s, head, GIVEN_UP)
    release_branches(s, head)
    drop_owned(s, head)
    fail_attempt(s, head, TIMED_OUT, s.calls[head].due_s, now_s)


@kernel
def end_at_api(s: State, slot: int, now_s: float, is_answered: bool) -> None:
    """A call of a family has been answered and billed; or will not be, and so comes to nothing with all others."""
    head = s.requests[slot].head
    if is_answered:
        _count_out(s, slot)
        branch_ended(s, slot, s.requests[slot].output_tokens, now_s)
        end_stages(s, now_s)
        return
    _drop_rest(s, head, now_s, GIVEN_UP)
    _book_branches(s, head, GIVEN_UP)
    release_branches(s, head)
    drop_owned(s, head)
    fail_attempt(s, head, TIMED_OUT, now_s, now_s)
