"""How class sleep yields: it takes what others leave, and hardly anybody notices.

On a replica with nobody else it runs in steps of bounded length, so that who comes waits for one of them at most. Where
others are, it may lengthen a step by a given share. Its rows beyond that pause: they keep their memory, and one more
token read makes them rows again, so that nothing is computed twice. Only where others need the memory is it preempted.
"""

from __future__ import annotations

from math import inf

from sim.engine.batch import admit, leave_rows, make_way, others_are_there, put_back, take
from sim.engine.jit import kernel
from sim.engine.memory import blocks_of, free_blocks, row_kv
from sim.engine.queues import append, row_slot
from sim.engine.segments import evict
from sim.engine.state import BLOCK_TOKENS, NONE, SLEEP, Records, State
from sim.engine.steps import parts_s

__all__ = ["LEAST_CHUNK", "fill_sleep", "pause_all"]

LEAST_CHUNK = 16
"""Fewer tokens of a prompt are not worth a place in a step that others are in."""


@kernel
def pause_all(s: State, r: int, rep: Records) -> None:
    """Pause all rows of class sleep, newest first."""
    while rep.sleep_rows > 0:
        _pause(s, r, rep, _newest_row(s, r, rep))


@kernel
def fill_sleep(s: State, r: int, rep: Records, pairs: float, blocked: bool) -> float:
    """Have sleep take part in the next step of a chunked replica, whose other requests have their slices.

    Returns the attention work of all slices.
    """
    pool = s.pools[rep.pool]
    if not others_are_there(s, r):
        return _fill(s, r, rep, pairs, blocked, inf, min(pool.max_num_batched_tokens, pool.sleep_step_tokens))
    if pool.sleep_slowdown == 0.0:
        return pairs
    longest_s = (1.0 + pool.sleep_slowdown) * _others_step_s(s, r, rep, pairs)
    while rep.sleep_rows > 0 and _is_too_much(s, rep, pool.max_num_batched_tokens, pairs, longest_s):
        _pause(s, r, rep, _newest_row(s, r, rep))
    return _fill(s, r, rep, pairs, blocked, longest_s, pool.max_num_batched_tokens)


@kernel
def _is_too_much(s: State, rep: Records, tokens: int, pairs: float, longest_s: float) -> bool:
    too_many = rep.rows + rep.prompt_tokens > tokens
    return too_many or _step_s(s, rep, rep.prompt_tokens, pairs, rep.prompt_slices) > longest_s


@kernel
def _fill(s: State, r: int, rep: Records, pairs: float, blocked: bool, longest_s: float, tokens: int) -> float:
    slot = s.prefill_head[r, SLEEP]
    while slot != NONE:
        req = s.requests[slot]
        chunk = _chunk(s, rep, req.target - req.prefilled, req.prefilled, pairs, longest_s, tokens)
        if chunk == 0:
            return pairs
        pairs += take(rep, req, chunk)
        slot = req.next
    while not blocked and s.waiting_head[r, SLEEP] != NONE and tokens > rep.rows + rep.prompt_tokens:
        slot = s.waiting_head[r, SLEEP]
        if not make_way(s, r, rep, slot, 1):
            return pairs
        req = s.requests[slot]
        found = s.branches[slot].hit_tokens if req.special else 0
        chunk = _chunk(s, rep, req.target - found, found, pairs, longest_s, tokens)
        if chunk == 0:
            return pairs
        admit(s, r, rep, slot)
        pairs += take(rep, req, chunk)
    return pairs


@kernel
def _chunk(s: State, rep: Records, left: int, read: int, pairs: float, longest_s: float, tokens: int) -> int:
    """How many of the `left` tokens of a prompt that is read up to `read` go into a step of at most `longest_s`."""
    chunk = min(left, tokens - rep.rows - rep.prompt_tokens)
    if longest_s == inf:
        return max(chunk, 0)
    while chunk >= min(LEAST_CHUNK, left):
        all_pairs = pairs + chunk * (read + 0.5 * (chunk + 1))
        if _step_s(s, rep, rep.prompt_tokens + chunk, all_pairs, rep.prompt_slices + int(chunk > 1)) <= longest_s:
            return chunk
        chunk //= 2
    return 0


@kernel
def _step_s(s: State, rep: Records, prompt_tokens: int, pairs: float, slices: int) -> float:
    """Seconds of a step with all rows."""
    rows_s, prompts_s = parts_s(s, rep.pool, rep.rows, rep.kv_tokens + rep.rows, prompt_tokens, pairs, slices)
    return rows_s + prompts_s


@kernel
def _others_step_s(s: State, r: int, rep: Records, pairs: float) -> float:
    """Seconds of a step without the rows of class sleep."""
    rows = rep.rows - rep.sleep_rows
    kv = rep.kv_tokens + rows
    if rep.sleep_rows > 0:
        for at in range(rep.rows):
            req = s.requests[row_slot(s.heap[r, at])]
            if req.priority == SLEEP:
                kv -= row_kv(req, rep.step)
    rows_s, prompts_s = parts_s(s, rep.pool, rows, kv, rep.prompt_tokens, pairs, rep.prompt_slices)
    return rows_s + prompts_s


@kernel
def _newest_row(s: State, r: int, rep: Records) -> int:
    """Place in the heap of the row of class sleep that was admitted last."""
    newest, admission = NONE, 0
    for at in range(rep.rows):
        req = s.requests[row_slot(s.heap[r, at])]
        if req.priority == SLEEP and req.admission > admission:
            newest, admission = at, req.admission
    return newest


@kernel
def _pause(s: State, r: int, rep: Records, at: int) -> None:
    """Take a row out of the batch and let it keep its memory; where one more token has no room, preempt it."""
    slot = leave_rows(s, r, rep, at)
    req = s.requests[slot]
    req.produced = req.output_tokens - (req.finish_step - rep.step)
    target = req.prompt_tokens + req.produced
    blocks = blocks_of(target) - req.shared_blocks
    if blocks > free_blocks(s, rep):
        put_back(s, r, rep, slot, target - 1 - req.shared_blocks * BLOCK_TOKENS)
        return
    req.target = target
    req.prefilled = target - 1
    req.chunk = 0
    rep.blocks_used += blocks
    evict(s, rep)
    append(s.requests, s.prefill_head, s.prefill_tail, r, SLEEP, slot)
