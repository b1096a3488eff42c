"""How requests come in: off the arrival block, from a closed-loop client, or as a sleep-time job.

A request takes a slot. One with branches or a context is a family as well, and meets its context: what is prepared of
it shortens the answer, and is part of the prompt. Where a request has options its strategy is chosen then.
"""

from __future__ import annotations

from math import floor, inf, nan

from sim.engine.choose import choose_strategy
from sim.engine.jit import inlined, kernel
from sim.engine.luck import FIRST_TOKEN, SPEED, context_key, normal
from sim.engine.state import FIRST_JOB, NONE, PREPARING, READY, SLEEP, Records, State

__all__ = ["arrive", "ask", "begin_strategy", "next_client", "take_job"]


@inlined
def next_client(s: State) -> int:
    """Closed stream whose client sends first, or NONE."""
    best = NONE
    best_s = inf
    for c in range(s.closed.size):
        client = s.closed[c]
        if client.ready > 0 and client.left != 0 and s.closed_ring_s[c, client.first] < best_s:
            best, best_s = c, s.closed_ring_s[c, client.first]
    return best


@kernel
def arrive(s: State, run: Records, now_s: float) -> int:
    """Take the next request off the arrival block; returns its slot."""
    i = run.cursor
    run.cursor += 1
    slot = _take_slot(s, run, now_s, s.stream[i], s.priority[i], s.prompt_tokens[i])
    req = s.requests[slot]
    req.context_id = s.context_id[i]
    call = s.calls[slot]
    call.key = s.key[i]
    call.luck = s.luck[i]
    if s.api_luck.shape[0] > 0:
        call.first_luck, call.speed_luck = s.api_luck[i, 0], s.api_luck[i, 1]
    call.late = 0
    if s.option_row.shape[0] > 0 and s.option_row[i] != NONE:
        _arrive_undecided(s, slot, i, now_s)
        return slot
    req.strategy = s.strategy[i]
    first = s.stages[s.stage_first[req.strategy]]
    if req.context_id == NONE and first.is_plain:
        req.special = 0
        req.output_tokens = s.step_tokens[i, 0, 0]
        s.slot_chances[slot, 0, 0] = s.p_sample[i, 0, 0]
        s.slot_chances[slot, 0, 1] = s.p_correct[i, 0, 0]
        return slot
    _arrive_special(s, slot, i, now_s)
    return slot


@kernel
def _arrive_special(s: State, slot: int, i: int, now_s: float) -> None:
    """Row i of the arrival block has branches or a context."""
    req = s.requests[slot]
    req.special = 1
    _found_family(s, slot)
    prepared = 0
    if req.context_id != NONE:
        prepared = _meet_context(s, slot, i, now_s)
    variant = min(prepared, s.step_tokens.shape[1] - 1)
    if prepared:
        _count_saved(s, req, s.step_tokens[i, 0, 0] - s.step_tokens[i, variant, 0])
    for k in range(s.step_tokens.shape[2]):
        s.slot_tokens[slot, k] = s.step_tokens[i, variant, k]
        s.slot_chances[slot, k, 0] = s.p_sample[i, variant, k]
        s.slot_chances[slot, k, 1] = s.p_correct[i, variant, k]
        s.slot_escalates[slot, k] = s.escalates[i, variant, k]
    req.output_tokens = s.slot_tokens[slot, 0]


@kernel
def _arrive_undecided(s: State, slot: int, i: int, now_s: float) -> None:
    """Row i of the arrival block gets its strategy, and with it what really comes of that."""
    req = s.requests[slot]
    row = s.option_row[i]
    prepared = 0
    req.special = 0
    if req.context_id != NONE:
        req.special = 1
        req.strategy = 0
        _found_family(s, slot)
        prepared = _meet_context(s, slot, i, now_s)
    a = choose_strategy(s, slot, row, NONE, prepared, now_s)
    variant = min(prepared, s.option_p.shape[1] - 1)
    _take_strategy(s, slot, a)
    if prepared:
        _count_saved(s, req, s.option_output_tokens[row, a, 0, 0] - s.option_output_tokens[row, a, variant, 0])
    for k in range(s.option_output_tokens.shape[3]):
        s.slot_tokens[slot, k] = s.option_output_tokens[row, a, variant, k]
        s.slot_chances[slot, k, 0] = s.option_p_sample[row, a, variant, k]
        s.slot_chances[slot, k, 1] = s.option_p_correct[row, a, variant, k]
        s.slot_escalates[slot, k] = s.option_escalates[row, a, variant, k]
    req.output_tokens = s.slot_tokens[slot, 0]


@kernel
def _take_strategy(s: State, slot: int, a: int) -> None:
    """A request that has been chosen a strategy for begins with it."""
    req = s.requests[slot]
    req.strategy = a
    if req.special:
        begin_strategy(s, slot)
    elif not s.stages[s.stage_first[a]].is_plain:
        req.special = 1
        _found_family(s, slot)


@kernel
def _found_family(s: State, slot: int) -> None:
    """A request with branches or a context begins, with nothing done."""
    family = s.families[slot]
    family.first_segment = NONE
    family.question_tokens = s.requests[slot].prompt_tokens
    family.context_key = 0
    family.text_key = 0
    family.prefix_tokens = 0
    family.keep_tokens = 0
    family.version = 0
    family.prepared = 0
    s.branches[slot].following = NONE
    s.branches[slot].segment = NONE
    begin_strategy(s, slot)


@kernel
def begin_strategy(s: State, slot: int) -> None:
    """The first stage of a request's strategy is next."""
    family = s.families[slot]
    family.stage = s.stage_first[s.requests[slot].strategy]
    family.step = 0
    family.over = 0
    family.leaving = 0
    family.path_tokens = 0
    family.generated_tokens = 0
    family.read_tokens = 0
    family.cached_tokens = 0
    family.correct = NONE


@kernel
def _meet_context(s: State, slot: int, i: int, now_s: float) -> int:
    """Note the context of row i of the arrival block; returns 1 if it is prepared."""
    req = s.requests[slot]
    family = s.families[slot]
    family.version = s.version[i]
    family.prefix_tokens = s.prefix_tokens[i]
    family.keep_tokens = s.keep_tokens[i]
    prepared = 0
    if req.context_id < s.contexts.size:
        context = s.contexts[req.context_id]
        context.asked += 1
        prepared = _is_prepared(s.streams[req.stream], context, family.version, now_s)
        if prepared:
            context.hits += 1
            req.prompt_tokens += context.notes_tokens
            family.question_tokens = req.prompt_tokens
            family.text_key = context_key(req.context_id, family.version, 0)
            family.text_tokens = family.prefix_tokens
            family.prefix_tokens += context.notes_tokens
            family.keep_tokens += context.notes_tokens if family.keep_tokens > 0 else 0
    s.streams[req.stream].asked += 1
    family.prepared = prepared
    family.context_key = context_key(req.context_id, family.version, prepared)
    return prepared


@kernel
def _count_saved(s: State, req: Records, tokens: int) -> None:
    """Each branch of a request's first step needs so many tokens less, as its context is prepared."""
    s.streams[req.stream].saved_tokens += floor(tokens * _first_step(s, req.strategy) + 0.5)


@kernel
def _first_step(s: State, strategy: int) -> float:
    """Output of a strategy's first step, in mean branches."""
    branches = 0.0
    for at in range(s.stage_first[strategy], s.stage_first[strategy + 1]):
        stage = s.stages[at]
        if stage.step == 0:
            branches += stage.groups * stage.per_group * stage.tokens_factor
    return branches


@kernel
def _is_prepared(stream: Records, context: Records, version: int, now_s: float) -> int:
    if context.state == PREPARING:
        stream.late += 1
    elif context.state == READY and context.version != version:
        stream.stale += 1
    elif context.state == READY and now_s >= context.expires_s:
        stream.expired += 1
    elif context.state == READY:
        stream.hits += 1
        return 1
    return 0


@kernel
def ask(s: State, run: Records, c: int, now_s: float) -> int:
    """A client of closed stream c has its next request; returns its slot."""
    client = s.closed[c]
    i = client.used
    client.used += 1
    client.first = (client.first + 1) % s.closed_ring_s.shape[1]
    client.ready -= 1
    if client.left > 0:
        client.left -= 1
    slot = _take_slot(s, run, now_s, client.stream, client.priority, s.closed_prompt_tokens[c, i])
    req = s.requests[slot]
    req.closed = c
    call = s.calls[slot]
    call.key = s.closed_key[c, i]
    call.luck = s.closed_luck[c, i]
    if s.closed_api_luck.shape[1] > 0:
        call.first_luck, call.speed_luck = s.closed_api_luck[c, i, 0], s.closed_api_luck[c, i, 1]
    call.late = 1
    if client.chooses:
        _ask_undecided(s, slot, c, i, now_s)
        return slot
    req.strategy = s.closed_strategy[c, i]
    for k in range(s.closed_tokens.shape[2]):
        s.slot_tokens[slot, k] = s.closed_tokens[c, i, k]
        s.slot_chances[slot, k, 0] = s.closed_p_sample[c, i, k]
        s.slot_chances[slot, k, 1] = s.closed_p_correct[c, i, k]
        s.slot_escalates[slot, k] = s.closed_escalates[c, i, k]
    req.output_tokens = s.slot_tokens[slot, 0]
    req.special = 0
    if not s.stages[s.stage_first[req.strategy]].is_plain:
        req.special = 1
        _found_family(s, slot)
    return slot


@kernel
def _ask_undecided(s: State, slot: int, c: int, i: int, now_s: float) -> None:
    """Request i of closed stream c gets its strategy, and with it what really comes of that."""
    req = s.requests[slot]
    req.special = 0
    a = choose_strategy(s, slot, i, c, 0, now_s)
    _take_strategy(s, slot, a)
    for k in range(s.closed_option_output_tokens.shape[3]):
        s.slot_tokens[slot, k] = s.closed_option_output_tokens[c, i, a, k]
        s.slot_chances[slot, k, 0] = s.closed_option_p_sample[c, i, a, k]
        s.slot_chances[slot, k, 1] = s.closed_option_p_correct[c, i, a, k]
        s.slot_escalates[slot, k] = s.closed_option_escalates[c, i, a, k]
    req.output_tokens = s.slot_tokens[slot, 0]


@kernel
def take_job(s: State, run: Records) -> int:
    """Take the next sleep-time job off the list; returns its slot."""
    job = s.jobs[run.job]
    run.job += 1
    slot = _take_slot(s, run, run.jobs_s, run.sleep_stream, SLEEP, job.prompt_tokens)
    run.next_id -= 1
    run.jobs_in_flight += 1
    req = s.requests[slot]
    req.id = FIRST_JOB + run.next_job
    run.next_job += 1
    req.strategy = job.strategy
    req.context_id = job.context_id
    req.special = 1
    call = s.calls[slot]
    call.key = job.key
    call.luck = 0.0
    call.first_luck = normal(job.key, 0, 0, FIRST_TOKEN)
    call.speed_luck = normal(job.key, 0, 0, SPEED)
    call.late = 0
    _found_family(s, slot)
    family = s.families[slot]
    family.version = job.version
    family.prefix_tokens = job.prompt_tokens
    family.keep_tokens = job.prompt_tokens
    family.context_key = context_key(job.context_id, job.version, 0)
    for k in range(s.slot_tokens.shape[1]):
        s.slot_tokens[slot, k] = job.output_tokens
        s.slot_chances[slot, k, 0] = nan
        s.slot_chances[slot, k, 1] = nan
        s.slot_escalates[slot, k] = 0
    req.output_tokens = job.output_tokens
    return slot


@inlined
def _take_slot(s: State, run: Records, now_s: float, stream: int, priority: int, prompt_tokens: int) -> int:
    slot = run.free
    req = s.requests[slot]
    run.free = req.next
    run.slots_free -= 1
    run.in_flight += 1
    req.id = run.next_id
    run.next_id += 1
    req.arrival_s = now_s - s.routes[stream].latency_s
    req.cost_usd = 0.0
    req.stream = stream
    req.priority = priority
    req.prompt_tokens = prompt_tokens
    req.preemptions = 0
    req.context_id = NONE
    req.closed = NONE
    req.timer = NONE
    req.carried = 0
    req.head = slot
    req.branch = 0
    req.replica = NONE
    call = s.calls[slot]
    call.due_s = req.arrival_s + s.streams[stream].timeout_s
    call.spent_usd = 0.0
    call.attempts = 0
    call.retries = 0
    s.streams[stream].offered += 1
    if req.arrival_s >= run.warm_up_s:
        s.streams[stream].measured_offered += 1
    return slot
