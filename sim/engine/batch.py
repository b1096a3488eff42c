"""What goes into a replica's next step: which rows keep their memory, which prompts are read, who waits.

Both schedulers serve the classes in order, first come first served within one. Nobody overtakes: while the first
of a class does not fit, nobody behind it or below it is admitted. A prompt takes all its KV blocks when it is
admitted, but for those of its prefix that the replica still holds. Where memory or places run out, the newest request
of the lowest class goes back to the front of its queue and is computed again later (preemption by recompute). Class
sleep has rules of its own: see `sleep.py`.
"""

from __future__ import annotations

from sim.engine.books import charge_row
from sim.engine.jit import inlined, kernel
from sim.engine.memory import blocks_of, free_blocks, growth, row_kv, row_phase
from sim.engine.queues import append, pop_first, prepend, remove, remove_row, row_slot
from sim.engine.segments import evict, look_up, refer, release_segment
from sim.engine.state import BLOCK_TOKENS, CLASSES, NO_LIMIT, NONE, SLEEP, Records, State

__all__ = [
    "admit",
    "fill_chunked",
    "fill_prompts",
    "leave_rows",
    "make_room",
    "make_way",
    "others_are_there",
    "put_back",
    "take",
]


@inlined
def make_room(s: State, r: int, rep: Records) -> bool:
    """Preempt until every decode row that needs a KV block in the next step can have one; true if one had to go."""
    before = rep.waiting
    while growth(s.phase, r, rep.rows, rep.step, 1) > free_blocks(s, rep):
        _preempt_newest(s, r, rep)
    return rep.waiting > before


@inlined
def others_are_there(s: State, r: int) -> bool:
    """True if a request above class sleep is admitted or waits."""
    there = 0
    for c in range(SLEEP):
        there += s.seqs_of[r, c] > 0 or s.waiting_head[r, c] != NONE
    return there > 0


@inlined
def fill_chunked(s: State, r: int, rep: Records) -> tuple[float, bool]:
    """Fill the token budget that the decode rows leave with prompt slices of the classes above sleep, admitting while
    there is budget.

    Sets rep.prompt_tokens, rep.prompt_slices and each request's chunk; returns the attention work in (token, attended
    token) pairs, and whether somebody could not be admitted.
    """
    rep.prompt_tokens = 0
    rep.prompt_slices = 0
    pairs = 0.0
    blocked = False
    if rep.waiting == 0 and rep.seqs == rep.rows:
        return pairs, blocked
    for c in range(SLEEP):
        slot = s.prefill_head[r, c]
        while slot != NONE:
            pairs += _slice(s, rep, slot)
            slot = s.requests[slot].next
        while not blocked and s.waiting_head[r, c] != NONE and _budget(s, rep) > 0:
            slot = s.waiting_head[r, c]
            if make_way(s, r, rep, slot, 1):
                admit(s, r, rep, slot)
                pairs += _slice(s, rep, slot)
            else:
                blocked = True
    return pairs, blocked


@kernel
def fill_prompts(s: State, r: int, rep: Records) -> float:
    """Admit whole prompts up to the token limit; one that is longer than the limit goes alone.

    Sets rep.prompt_tokens, rep.prompt_slices and each request's chunk; returns the attention work in (token, attended
    token) pairs.
    """
    rep.prompt_tokens = 0
    rep.prompt_slices = 0
    limit = s.pools[rep.pool].max_num_batched_tokens
    pairs = 0.0
    classes = SLEEP if s.waiting_head[r, SLEEP] == NONE or others_are_there(s, r) else CLASSES
    if classes == CLASSES or (s.seqs_of[r, SLEEP] > rep.sleep_rows and not others_are_there(s, r)):
        pairs += _resume(s, r, rep, limit)
    for c in range(classes):
        while s.waiting_head[r, c] != NONE:
            slot = s.waiting_head[r, c]
            req = s.requests[slot]
            left = req.target
            if req.special:
                look_up(s, r, slot, NO_LIMIT)
                left -= s.branches[slot].hit_tokens
            if rep.prompt_tokens > 0 and rep.prompt_tokens + left > limit:
                return pairs
            if not make_way(s, r, rep, slot, 0):
                return pairs
            admit(s, r, rep, slot)
            pairs += take(rep, req, req.target - req.prefilled)
    return pairs


@kernel
def _resume(s: State, r: int, rep: Records, limit: int) -> float:
    """Go on with paused requests, a token each; returns pairs."""
    pairs = 0.0
    slot = s.prefill_head[r, SLEEP]
    while slot != NONE and rep.prompt_tokens < limit:
        req = s.requests[slot]
        pairs += take(rep, req, req.target - req.prefilled)
        slot = req.next
    return pairs


@inlined
def _budget(s: State, rep: Records) -> int:
    """Tokens left in the step; rows of class sleep, which may have to pause, take nothing of it."""
    return s.pools[rep.pool].max_num_batched_tokens - (rep.rows - rep.sleep_rows) - rep.prompt_tokens


@inlined
def _slice(s: State, rep: Records, slot: int) -> float:
    req = s.requests[slot]
    return take(rep, req, min(req.target - req.prefilled, _budget(s, rep)))


@inlined
def take(rep: Records, req: Records, chunk: int) -> float:
    """Put the next `chunk` tokens of a prompt into the step: each attends to itself and all before it."""
    req.chunk = chunk
    rep.prompt_tokens += chunk
    rep.prompt_slices += int(chunk > 1)
    return chunk * (req.prefilled + 0.5 * (chunk + 1))


@inlined
def admit(s: State, r: int, rep: Records, slot: int) -> None:
    """Admit a waiting request for which way has been made; what its prefix finds in the cache is read already."""
    req = s.requests[slot]
    pop_first(s.requests, s.waiting_head, s.waiting_tail, r, req.priority)
    append(s.requests, s.prefill_head, s.prefill_tail, r, req.priority, slot)
    rep.waiting -= 1
    rep.seqs += 1
    s.seqs_of[r, req.priority] += 1
    if req.special:
        refer(s, rep, slot)
    rep.blocks_used += blocks_of(req.target) - req.shared_blocks
    evict(s, rep)
    rep.admissions += 1
    req.admission = rep.admissions


@kernel
def make_way(s: State, r: int, rep: Records, slot: int, rows_advance: int) -> bool:
    """True if the waiting request has a place and memory, after preempting lower classes where that is enough.

    `rows_advance` is 1 if the decode rows take part in the step, and so must keep room for their next token.
    """
    req = s.requests[slot]
    while not _fits(s, r, rep, slot, rows_advance):
        if _lower(s, r, req) == 0 or not _would_fit_alone(s, r, rep, req, rows_advance):
            return False
        _preempt_newest(s, r, rep)
    return True


@inlined
def _fits(s: State, r: int, rep: Records, slot: int, rows_advance: int) -> bool:
    """True if there are a place and memory."""
    req = s.requests[slot]
    if rep.seqs >= s.pools[rep.pool].max_num_seqs:
        return False
    free = free_blocks(s, rep) - growth(s.phase, r, rep.rows, rep.step, rows_advance)
    if req.special:
        return look_up(s, r, slot, free)
    return blocks_of(req.target) <= free


@inlined
def _lower(s: State, r: int, req: Records) -> int:
    """Admitted requests of lower classes."""
    lower = 0
    for c in range(req.priority + 1, CLASSES):
        lower += s.seqs_of[r, c]
    return lower


@kernel
def _would_fit_alone(s: State, r: int, rep: Records, req: Records, rows_advance: int) -> bool:
    """True if the request would fit once every request of a lower class were gone: of these there are some."""
    lower = _lower(s, r, req)
    if rep.seqs == lower:
        return True
    if rep.seqs - lower >= s.pools[rep.pool].max_num_seqs:
        return False
    free = free_blocks(s, rep) - growth(s.phase, r, rep.rows, rep.step, rows_advance)
    for at in range(rep.rows):
        row = s.requests[row_slot(s.heap[r, at])]
        if row.priority > req.priority:
            kv = row_kv(row, rep.step)
            free += blocks_of(kv + rows_advance) - row.shared_blocks
    for c in range(req.priority + 1, CLASSES):
        slot = s.prefill_head[r, c]
        while slot != NONE:
            free += blocks_of(s.requests[slot].target) - s.requests[slot].shared_blocks
            slot = s.requests[slot].next
    return blocks_of(req.target) <= free


@kernel
def _preempt_newest(s: State, r: int, rep: Records) -> None:
    _preempt(s, r, rep, _newest_of_lowest_class(s, r, rep))


@kernel
def _newest_of_lowest_class(s: State, r: int, rep: Records) -> int:
    """Slot of the admitted request that gives way: of the lowest class present, the one admitted last."""
    lowest = CLASSES - 1
    while s.seqs_of[r, lowest] == 0:
        lowest -= 1
    newest = s.prefill_head[r, lowest]
    following = newest
    while following != NONE:
        if s.requests[following].admission > s.requests[newest].admission:
            newest = following
        following = s.requests[following].next
    for at in range(rep.rows):
        slot = row_slot(s.heap[r, at])
        row = s.requests[slot]
        if row.priority == lowest and (newest == NONE or row.admission > s.requests[newest].admission):
            newest = slot
    return newest


@kernel
def _preempt(s: State, r: int, rep: Records, slot: int) -> None:
    """Send an admitted request back to the front of its queue; what it had produced joins its prompt."""
    req = s.requests[slot]
    held = req.prefilled - req.shared_blocks * BLOCK_TOKENS
    if req.prefilled == req.target:
        held = row_kv(req, rep.step) - req.shared_blocks * BLOCK_TOKENS
        _drop_row(s, r, rep, slot)
        req.produced = req.output_tokens - (req.finish_step - rep.step)
    else:
        remove(s.requests, s.prefill_head, s.prefill_tail, r, req.priority, slot)
        rep.blocks_used -= blocks_of(req.target) - req.shared_blocks
        rep.prompt_tokens -= req.chunk
    put_back(s, r, rep, slot, held)


@kernel
def put_back(s: State, r: int, rep: Records, slot: int, held: int) -> None:
    """Put a request that has left the batch, where it held `held` KV tokens of its own, back into its queue."""
    req = s.requests[slot]
    pool = s.pools[rep.pool]
    if req.special:
        release_segment(s, rep, slot)
    pool.preemptions += 1
    pool.recomputed_tokens += held
    req.preemptions += 1
    req.target = req.prompt_tokens + req.produced
    req.prefilled = 0
    req.chunk = 0
    req.admission = 0
    rep.seqs -= 1
    s.seqs_of[r, req.priority] -= 1
    rep.waiting += 1
    prepend(s.requests, s.waiting_head, s.waiting_tail, r, req.priority, slot)


@kernel
def _drop_row(s: State, r: int, rep: Records, slot: int) -> None:
    at = 0
    while row_slot(s.heap[r, at]) != slot:
        at += 1
    leave_rows(s, r, rep, at)


@inlined
def leave_rows(s: State, r: int, rep: Records, at: int) -> int:
    """Take the row at heap place `at` out of the decode rows, free its memory, charge it; returns its slot."""
    slot = row_slot(s.heap[r, at])
    req = s.requests[slot]
    kv = row_kv(req, rep.step)
    remove_row(s.heap, r, rep.rows, at)
    s.phase[r, row_phase(req)] -= 1
    rep.rows -= 1
    rep.sleep_rows -= req.priority == SLEEP
    rep.kv_tokens -= kv
    rep.blocks_used -= blocks_of(kv) - req.shared_blocks
    charge_row(rep, req)
    return slot
