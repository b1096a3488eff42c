"""Requests of more than one branch: stages of branches side by side, their ends, and what comes after.

A stage is sent to one replica. The first branch of each group, its leader, is queued at once; once it has read the
group's prompt the others are put in front of the queue and find it in the prefix cache. From there on each is a request
like any other. When enough of them have ended the stage is over: the rest are dropped, and the request goes on to its
next stage, or has its answer.
"""

from __future__ import annotations

from math import inf, isnan

from sim.engine.api import bill_so_far, given_tokens, has_room
from sim.engine.balancer import choose_replica, fits_in, why_refused
from sim.engine.batch import leave_rows
from sim.engine.books import book
from sim.engine.clients import fail_attempt, release, reset_work
from sim.engine.jit import kernel
from sim.engine.luck import BLANK, RIGHT, answer, branch_tokens, family_key, right
from sim.engine.memory import blocks_of
from sim.engine.meter import count_stage, front_end_s, measure_family
from sim.engine.queues import insert_after, prepend, remove, row_slot
from sim.engine.segments import drop_owned, publish, release_segment
from sim.engine.state import (
    API_QUEUED,
    API_RUNNING,
    AT_REPLICA,
    COMPLETED,
    CONTINUED,
    ENDED,
    GIVEN_UP,
    HELD,
    NO_LIMIT,
    NONE,
    OPEN_TO_ALL,
    SLEEP,
    TIMED_OUT,
    USED,
    Records,
    State,
)
from sim.engine.timers import cancel_timer

__all__ = [
    "branch_ended",
    "branch_let_go",
    "end_alone",
    "end_at_api",
    "end_stages",
    "give_up_family",
    "is_family",
    "keep_answer",
    "leave_batch",
    "prompt_is_read",
    "release_branches",
    "send_stage",
]


@kernel
def is_family(s: State, slot: int) -> bool:
    """True for a branch of a request that has others, now or in another stage."""
    req = s.requests[slot]
    return req.special == 1 and s.stages[s.families[req.head].stage].is_alone == 0


@kernel
def send_stage(s: State, head: int, now_s: float) -> int:
    """Make the branches of the stage a request is at and choose where they go.

    Returns the replica, or NONE where nobody takes them: the attempt has come to nothing.
    """
    req = s.requests[head]
    family = s.families[head]
    stage = s.stages[family.stage]
    first_token_s = req.first_token_s
    family.branches = stage.groups * stage.per_group
    family.left = family.branches
    family.leaving = 0
    family.over = 0
    family.stage_tokens = 0
    family.last_s = -inf
    family.last_branch = NONE
    tokens = _make_branches(s, head)
    if not stage.is_first:
        req.first_token_s = first_token_s
    before = req.replica
    r = _replica_for(s, head, tokens, now_s)
    if r != before:
        drop_owned(s, head)
    slot = head
    while slot != NONE:
        s.requests[slot].replica = r
        slot = s.branches[slot].following
    if r == NONE:
        status = why_refused(s, head, family.stage, tokens)
        release_branches(s, head)
        fail_attempt(s, head, status, now_s, now_s)
        return NONE
    _prepare_lookups(s, head)
    return r


@kernel
def _make_branches(s: State, head: int) -> int:
    """Give each branch of the stage a slot, its prompt and its length; returns the most tokens of one."""
    family = s.families[head]
    most, last = 0, NONE
    for number in range(family.branches):
        slot = head if number == 0 else _take_slot_for_branch(s, head)
        reset_work(s, slot)
        branch = s.branches[slot]
        branch.following = NONE
        branch.found_tokens = NONE
        branch.segment = NONE
        if last != NONE:
            s.branches[last].following = slot
        last = slot
        _give_lengths(s, head, slot, number)
        most = max(most, s.requests[slot].prompt_tokens + s.requests[slot].output_tokens)
    return most


@kernel
def _take_slot_for_branch(s: State, head: int) -> int:
    run = s.run[0]
    slot = run.free
    of = s.requests[head]
    req = s.requests[slot]
    run.free = req.next
    run.slots_free -= 1
    req.id = of.id
    req.arrival_s = of.arrival_s
    req.stream = of.stream
    req.strategy = of.strategy
    req.priority = of.priority
    req.context_id = of.context_id
    req.closed = NONE
    req.timer = NONE
    req.cost_usd = 0.0
    req.carried = 0
    req.preemptions = 0
    req.special = 1
    req.head = head
    req.shared_blocks = 0
    call = s.calls[slot]
    call.due_s = s.calls[head].due_s
    call.late = s.calls[head].late
    return slot


@kernel
def _give_lengths(s: State, head: int, slot: int, number: int) -> None:
    family = s.families[head]
    stage = s.stages[family.stage]
    req = s.requests[slot]
    req.branch = number
    req.prompt_tokens = family.question_tokens + stage.prompt_tokens
    if stage.extends:
        req.prompt_tokens += _path_tokens(s, head, number // stage.per_group)
    req.target = req.prompt_tokens
    req.output_tokens = _branch_tokens(s, head, family.stage, number)


@kernel
def _branch_tokens(s: State, head: int, at: int, number: int) -> int:
    """Tokens of a branch of stage number `at` of all: the counter of chance is the stage's number in its strategy."""
    stage = s.stages[at]
    place = at - s.stage_first[s.requests[head].strategy]
    return branch_tokens(s.calls[head].key, place, number, stage, s.slot_tokens[head, stage.step])


@kernel
def _path_tokens(s: State, head: int, number: int) -> int:
    """Tokens of branch `number` of the stage before, and of what it extends."""
    at = s.families[head].stage - 1
    tokens = _branch_tokens(s, head, at, number) + s.stages[at].prompt_tokens
    while s.stages[at].extends:
        number //= s.stages[at].per_group
        at -= 1
        tokens += _branch_tokens(s, head, at, number) + s.stages[at].prompt_tokens
    return tokens


@kernel
def _replica_for(s: State, head: int, tokens: int, now_s: float) -> int:
    """The replica of the stage before, if this one may stay there; otherwise the balancer's choice."""
    req = s.requests[head]
    r = req.replica
    if s.stage_stays[req.stream, s.families[head].stage] and r != NONE:
        pool = s.pools[s.replicas[r].pool]
        has_turn = not pool.is_api or pool.waits or has_room(pool, req, now_s)
        if s.accepting[r] == OPEN_TO_ALL and has_turn and fits_in(s, r, tokens):
            return r
    return choose_replica(s, head, s.families[head].stage, tokens, now_s)


@kernel
def _prepare_lookups(s: State, head: int) -> None:
    """Say what each branch looks for in the prefix cache, and what it leaves there when it ends."""
    req = s.requests[head]
    family = s.families[head]
    stage = s.stages[family.stage]
    has_cache = family.context_key and s.pools[s.replicas[req.replica].pool].prefix_cache
    extended = 0
    if not stage.is_last and s.stages[family.stage + 1].extends and s.stage_stays[req.stream, family.stage + 1]:
        extended = s.stages[family.stage + 1].groups
    slot = head
    while slot != NONE:
        branch = s.branches[slot]
        number = s.requests[slot].branch
        group = number // stage.per_group
        branch.group_key = family_key(req.id, family.stage, group, 0) if number % stage.per_group > 0 else 0
        branch.extended_key = family_key(req.id, family.stage - 1, group, 1) if stage.extends else 0
        branch.gives_key = 0
        if stage.is_alone and has_cache:
            branch.gives_key = family.context_key
            branch.gives_tokens = family.keep_tokens
        elif number < extended:
            branch.gives_key = family_key(req.id, family.stage, number, 1)
            branch.gives_tokens = NO_LIMIT
        slot = branch.following


@kernel
def prompt_is_read(s: State, r: int, rep: Records, slot: int) -> None:
    """A branch has read its prompt: others may share it, and a leader's group is queued."""
    req = s.requests[slot]
    family = s.families[req.head]
    stage = s.stages[family.stage]
    if family.context_key and s.pools[rep.pool].prefix_cache:
        publish(s, r, rep, slot, family.context_key, min(family.keep_tokens, req.prompt_tokens), NONE)
    if stage.per_group > 1 and req.branch % stage.per_group == 0:
        key = family_key(req.id, family.stage, req.branch // stage.per_group, 0)
        publish(s, r, rep, slot, key, req.prompt_tokens, req.head)
        if s.calls[s.branches[slot].following].place == HELD:
            _queue_group(s, r, rep, slot, stage.per_group)


@kernel
def _queue_group(s: State, r: int, rep: Records, leader: int, per_group: int) -> None:
    """Put the others of a leader's group in front of their class's queue, in order."""
    before = NONE
    slot = s.branches[leader].following
    for _ in range(per_group - 1):
        s.calls[slot].place = AT_REPLICA
        if before == NONE:
            prepend(s.requests, s.waiting_head, s.waiting_tail, r, s.requests[slot].priority, slot)
        else:
            insert_after(s.requests, s.waiting_tail, r, s.requests[slot].priority, before, slot)
        rep.waiting += 1
        before = slot
        slot = s.branches[slot].following


@kernel
def keep_answer(s: State, r: int, rep: Records, slot: int) -> None:
    """A row that ends leaves what others may build on to the prefix cache."""
    req = s.requests[slot]
    branch = s.branches[slot]
    if branch.gives_key == 0 or req.gone:
        return
    tokens = min(branch.gives_tokens, req.prompt_tokens + req.output_tokens - 1)
    owner = NONE if s.stages[s.families[req.head].stage].is_alone else req.head
    publish(s, r, rep, slot, branch.gives_key, tokens, owner)


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
    return _most_votes(s, head)[1] >= stage.agree


@kernel
def _most_votes(s: State, head: int) -> tuple[int, int, int]:
    """The answer that most ended branches give, its votes, and all votes; of equals that of the lowest branch.

    BLANK if no branch gives an answer. Quality is known.
    """
    family = s.families[head]
    at = s.stages[family.stage].step
    step = s.steps[s.step_first[s.requests[head].strategy] + at]
    p = s.slot_chances[head, at, 0]
    for kind in range(step.wrong_answers + 1):
        s.votes[kind] = 0
    best, cast = BLANK, 0
    slot = head
    while slot != NONE:
        if s.calls[slot].place == ENDED:
            number = s.requests[slot].branch
            given = answer(s.calls[head].key, number, p, step)
            if given != BLANK:
                cast += 1
                if s.votes[given] == 0:
                    s.voters[given] = number
                s.votes[given] += 1
                if best == BLANK or _leads(s, given, best):
                    best = given
        slot = s.branches[slot].following
    return best, s.votes[best] if best != BLANK else 0, cast


@kernel
def _leads(s: State, one: int, other: int) -> bool:
    if s.votes[one] != s.votes[other]:
        return s.votes[one] > s.votes[other]
    return s.voters[one] < s.voters[other]


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
        best, votes, cast = _most_votes(s, head)
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
def release_branches(s: State, head: int) -> None:
    """Free the slots of all branches but the first."""
    run = s.run[0]
    slot = s.branches[head].following
    s.branches[head].following = NONE
    while slot != NONE:
        following = s.branches[slot].following
        s.requests[head].preemptions += s.requests[slot].preemptions
        s.requests[slot].stream = NONE
        s.requests[slot].next = run.free
        run.free = slot
        run.slots_free += 1
        slot = following


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
