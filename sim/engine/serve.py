"""The data plane's one loop: the next thing that happens anywhere, until a given time.

Six things can happen, and at the same instant they do so in this order: a request of the arrival block comes in; a
replica reaches the end of its span, and sees that request; a single request's timer goes off; a request whose stage is
over goes on to the next; a closed-loop client, who may have been answered just now, sends its next one; idle replicas
that were given work begin, with all of it. What control events took off a replica is sent again before all of them, and
then sleep-time jobs are sent.
"""

from __future__ import annotations

from math import floor, inf, nan

from sim.engine.api import bill, bill_so_far, send_to_api, start_at_api
from sim.engine.balancer import choose_replica, why_refused
from sim.engine.books import accrue, book, charge_unfinished, fold, settle_rows
from sim.engine.clients import fail_attempt, release, reset_work
from sim.engine.families import is_family, send_stage
from sim.engine.family_ends import end_alone, end_at_api
from sim.engine.jit import entry, inlined, kernel
from sim.engine.luck import FIRST_TOKEN, SPEED, context_key, normal
from sim.engine.meter import measure, measure_family, write_row
from sim.engine.reference import reference
from sim.engine.replica import begin_woken, boundary, give_up, receive
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
    FIRST_JOB,
    GIVEN_UP,
    HELD,
    NONE,
    PREPARING,
    REACHED,
    READY,
    ROWS_FULL,
    SEGMENTS_FULL,
    SLEEP,
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
        client = _next_client(s)
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
            slot = _take_job(s, run)
        elif now_s == arrival_s:
            slot = _arrive(s, run, now_s)
        elif now_s == s.event_s[r]:
            boundary(s, r)
        elif now_s == timer_s:
            slot = _go_off(s, now_s)
        elif now_s == continued_s:
            slot = _go_on(s, run, now_s)
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
    slot = _take_slot(s, run, now_s, s.stream[i], s.priority[i], s.prompt_tokens[i])
    req = s.requests[slot]
    req.strategy = s.strategy[i]
    req.context_id = s.context_id[i]
    call = s.calls[slot]
    call.key = s.key[i]
    call.luck = s.luck[i]
    if s.api_luck.shape[0] > 0:
        call.first_luck, call.speed_luck = s.api_luck[i, 0], s.api_luck[i, 1]
    call.late = 0
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
    for k in range(s.step_tokens.shape[2]):
        s.slot_tokens[slot, k] = s.step_tokens[i, variant, k]
        s.slot_chances[slot, k, 0] = s.p_sample[i, variant, k]
        s.slot_chances[slot, k, 1] = s.p_correct[i, variant, k]
        s.slot_escalates[slot, k] = s.escalates[i, variant, k]
    req.output_tokens = s.slot_tokens[slot, 0]


@kernel
def _found_family(s: State, slot: int) -> None:
    """A request with branches or a context begins, with nothing done."""
    family = s.families[slot]
    family.first_segment = NONE
    family.question_tokens = s.requests[slot].prompt_tokens
    family.context_key = 0
    family.prefix_tokens = 0
    family.keep_tokens = 0
    family.version = 0
    family.prepared = 0
    s.branches[slot].following = NONE
    s.branches[slot].segment = NONE
    _begin_strategy(s, slot)


@kernel
def _begin_strategy(s: State, slot: int) -> None:
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
            variant = s.step_tokens.shape[1] - 1
            saved = s.step_tokens[i, 0, 0] - s.step_tokens[i, variant, 0]
            s.streams[req.stream].saved_tokens += floor(saved * _first_step(s, req.strategy) + 0.5)
            req.prompt_tokens += context.notes_tokens
            family.question_tokens = req.prompt_tokens
            family.prefix_tokens += context.notes_tokens
            family.keep_tokens += context.notes_tokens if family.keep_tokens > 0 else 0
    s.streams[req.stream].asked += 1
    family.prepared = prepared
    family.context_key = context_key(req.context_id, family.version, prepared)
    return prepared


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
def _ask(s: State, run: Records, c: int, now_s: float) -> int:
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
    req.strategy = s.closed_strategy[c, i]
    req.closed = c
    call = s.calls[slot]
    call.key = s.closed_key[c, i]
    call.luck = s.closed_luck[c, i]
    if s.closed_api_luck.shape[1] > 0:
        call.first_luck, call.speed_luck = s.closed_api_luck[c, i, 0], s.closed_api_luck[c, i, 1]
    call.late = 1
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
def _take_job(s: State, run: Records) -> int:
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
    req.arrival_s = now_s
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
    call.due_s = now_s + s.streams[stream].timeout_s
    call.spent_usd = 0.0
    call.attempts = 0
    call.retries = 0
    s.streams[stream].offered += 1
    if now_s >= run.warm_up_s:
        s.streams[stream].measured_offered += 1
    return slot


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
            _begin_strategy(s, slot)
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
def _send(s: State, slot: int, now_s: float) -> None:
    """Send a request to a replica: for the first time, or from scratch once more, or its next stage."""
    req = s.requests[slot]
    call = s.calls[slot]
    if req.special:
        _send_special(s, slot, now_s)
        return
    s.streams[req.stream].attempts += 1
    call.attempts += 1
    reset_work(s, slot)
    tokens = req.prompt_tokens + req.output_tokens
    r = choose_replica(s, slot, s.stage_first[req.strategy], tokens, now_s)
    req.replica = r
    if r == NONE:
        _refuse(s, slot, tokens, now_s)
        return
    pool = s.pools[s.replicas[r].pool]
    pool.arrived += 1
    s.outstanding[r] += req.priority != SLEEP
    s.asleep[r] += req.priority == SLEEP
    if pool.is_api:
        send_to_api(s, r, slot, now_s)
        return
    receive(s, r, slot, now_s)
    if call.due_s < inf:
        set_timer(s, slot, call.due_s)


@kernel
def _refuse(s: State, slot: int, tokens: int, now_s: float) -> None:
    """No replica takes a request."""
    status = why_refused(s, slot, s.stage_first[s.requests[slot].strategy], tokens)
    fail_attempt(s, slot, status, now_s, now_s)


@kernel
def _send_special(s: State, head: int, now_s: float) -> None:
    """Send the stage that a request with branches or a context is at."""
    call = s.calls[head]
    if call.place != CONTINUED or call.attempts == 0:
        s.streams[s.requests[head].stream].attempts += 1
        call.attempts += 1
    r = send_stage(s, head, now_s)
    if r == NONE:
        return
    pool = s.pools[s.replicas[r].pool]
    pool.arrived += s.requests[head].stream != s.run[0].sleep_stream
    _queue_leaders(s, r, head, now_s)
    if not pool.is_api and call.due_s < inf:
        set_timer(s, head, call.due_s)


@kernel
def _queue_leaders(s: State, r: int, head: int, now_s: float) -> None:
    """Queue the branches of a stage that need not wait for others: the leaders, or all calls of an API."""
    pool = s.pools[s.replicas[r].pool]
    stage = s.stages[s.families[head].stage]
    asleep = s.requests[head].priority == SLEEP
    slot = head
    while slot != NONE:
        s.outstanding[r] += not asleep
        s.asleep[r] += asleep
        following = s.branches[slot].following
        number = s.requests[slot].branch
        if pool.is_api:
            if slot != head or not stage.is_first:
                place = s.families[head].stage - s.stage_first[s.requests[head].strategy]
                s.calls[slot].first_luck = normal(s.calls[head].key, place, number, FIRST_TOKEN)
                s.calls[slot].speed_luck = normal(s.calls[head].key, place, number, SPEED)
            send_to_api(s, r, slot, now_s)
        elif number % stage.per_group == 0:
            receive(s, r, slot, now_s)
        else:
            s.calls[slot].place = HELD
        slot = following


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
    if req.priority == SLEEP:
        s.asleep[req.replica] -= 1
    else:
        s.outstanding[req.replica] -= 1
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
