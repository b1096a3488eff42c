"""The paged KV cache of a replica: who holds how many blocks, and when the next one is needed.

A decode row writes one KV token a step, so it takes a new block each BLOCK_TOKENS steps. Rows are counted by
the steps at which they do so: `phase[r, p]` rows take a block in every step whose number is -p modulo
BLOCK_TOKENS, and n steps need floor(n / 16) blocks for each row plus those whose turn falls into the rest.
"""

from __future__ import annotations

from sim.engine.jit import inlined
from sim.engine.state import BLOCK_TOKENS, Integers, Records, State

__all__ = ["blocks_of", "free_blocks", "growth", "row_kv", "row_phase", "steps_that_fit"]


@inlined
def blocks_of(tokens: int) -> int:
    return (tokens + BLOCK_TOKENS - 1) // BLOCK_TOKENS


@inlined
def row_kv(req: Records, step: int) -> int:
    """KV tokens of a decode row before the replica's step number `step`."""
    return req.target + step - req.join_step


@inlined
def row_phase(req: Records) -> int:
    return (req.target - req.join_step) & (BLOCK_TOKENS - 1)


@inlined
def growth(phase: Integers, r: int, rows: int, step: int, n: int) -> int:
    """Blocks that the rows of replica r take in the n steps from number `step` on."""
    blocks = (n // BLOCK_TOKENS) * rows
    for ahead in range(n & (BLOCK_TOKENS - 1)):
        blocks += phase[r, -(step + ahead) & (BLOCK_TOKENS - 1)]
    return blocks


@inlined
def steps_that_fit(phase: Integers, r: int, rows: int, step: int, free_blocks: int) -> int:
    """Most steps from number `step` on for which `free_blocks` are enough."""
    n = (free_blocks // rows) * BLOCK_TOKENS
    left = free_blocks % rows
    while True:
        left -= phase[r, -(step + n) & (BLOCK_TOKENS - 1)]
        if left < 0:
            return n
        n += 1


@inlined
def free_blocks(s: State, rep: Records) -> int:
    return s.pools[rep.pool].capacity_blocks - rep.blocks_used
