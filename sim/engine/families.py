"""Requests of more than one branch: how a stage of them is made and sent, and what its branches share.

A stage is sent to one replica. The first branch of each group, its leader, is queued at once; once it has read the
group's prompt the others are put in front of the queue and find it in the prefix cache. From there on each is a request
like any other.
"""

from __future__ import annotations

from math import inf

from sim.engine.api import has_room
from sim.engine.balancer import choose_replica, fits_in, why_refused
from sim.engine.clients import fail_attempt, reset_work
from sim.engine.jit import kernel
from sim.engine.luck import branch_tokens, family_key
from sim.engine.queues import insert_after, prepend
from sim.engine.segments import drop_owned, publish
from sim.engine.state import AT_REPLICA, HELD, NO_LIMIT, NONE, OPEN_TO_ALL, Records, State

__all__ = ["is_family", "keep_answer", "prompt_is_read", "release_branches", "send_stage"]


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
    if not stage.is_last and s.stage_stays[req.stream, family.stage + 1]:
        following = s.stages[family.stage + 1]
        extended = following.groups if following.extends and not following.apart else 0
    slot = head
    while slot != NONE:
        branch = s.branches[slot]
        number = s.requests[slot].branch
        group = number // stage.per_group
        branch.group_key = family_key(req.id, family.stage, group, 0) if number % stage.per_group > 0 else 0
        goes_on = stage.extends and not stage.apart
        branch.extended_key = family_key(req.id, family.stage - 1, group, 1) if goes_on else 0
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
