"""The prefix cache of a replica: KV blocks of prompts that others may share, for as long as there is room.

A segment holds the blocks of a prefix beyond those of its parent, the prefix it builds on. A request refers to one
segment at most, and so uses all it builds on. What is in use counts as `blocks_used`; what nobody uses is kept in
`cached_blocks` and goes, longest in disuse first, when the room is needed.
"""

from __future__ import annotations

from sim.engine.jit import inlined, kernel
from sim.engine.memory import blocks_of
from sim.engine.state import BLOCK_TOKENS, NO_LIMIT, NONE, Records, State

__all__ = [
    "cached_here",
    "drop_all",
    "drop_owned",
    "evict",
    "find_segment",
    "look_up",
    "publish",
    "refer",
    "release_segment",
]


@kernel
def find_segment(s: State, r: int, key: int) -> int:
    """Segment of this key on replica r, or NONE."""
    at = s.bucket[key & (s.bucket.size - 1)]
    while at != NONE and (s.segments[at].key != key or s.segments[at].replica != r):
        at = s.segments[at].next
    return at


@kernel
def cached_here(s: State, at: int, limit: int, target: int) -> int:
    """Tokens of a segment that a prompt of `target` tokens can use: whole blocks, and not all of the prompt."""
    usable = min(s.segments[at].tokens, limit, target - 1)
    return max(usable, 0) // BLOCK_TOKENS * BLOCK_TOKENS


@kernel
def look_up(s: State, r: int, slot: int, free_blocks: int) -> bool:
    """Note what an admission of the branch now would find; true if it needs no more than `free_blocks` then.

    It looks for its group's prompt, then for what it extends, then for its context, with its notes and without. What
    comes into use with a hit needs room as well, so where there is too little the next one is looked for, and last it
    does without.
    """
    req = s.requests[slot]
    branch = s.branches[slot]
    family = s.families[req.head]
    has_cache = family.context_key and s.pools[s.replicas[r].pool].prefix_cache
    if branch.group_key and _would_fit_with(s, r, slot, branch.group_key, NO_LIMIT, free_blocks):
        return True
    if branch.extended_key and _would_fit_with(s, r, slot, branch.extended_key, NO_LIMIT, free_blocks):
        return True
    if has_cache and _would_fit_with(s, r, slot, family.context_key, family.prefix_tokens, free_blocks):
        return True
    if has_cache and family.text_key and _would_fit_with(s, r, slot, family.text_key, family.text_tokens, free_blocks):
        return True
    branch.hit = NONE
    branch.hit_tokens = 0
    return blocks_of(req.target) <= free_blocks


@kernel
def _would_fit_with(s: State, r: int, slot: int, key: int, limit: int, free_blocks: int) -> bool:
    req = s.requests[slot]
    branch = s.branches[slot]
    branch.hit = find_segment(s, r, key)
    if branch.hit == NONE:
        return False
    branch.hit_limit = NO_LIMIT if key == s.families[req.head].text_key else limit
    branch.hit_tokens = cached_here(s, branch.hit, limit, req.target)
    needed = blocks_of(req.target) - branch.hit_tokens // BLOCK_TOKENS + _not_in_use(s, branch)
    return branch.hit_tokens > 0 and needed <= free_blocks


@kernel
def _not_in_use(s: State, branch: Records) -> int:
    """Blocks that would come into use with the hit, a segment that is too long being trimmed."""
    blocks = 0
    at = branch.hit
    while at != NONE and s.segments[at].users == 0:
        blocks += s.segments[at].blocks
        at = s.segments[at].parent
    if _is_outdated(s.segments[branch.hit], branch):
        blocks -= (s.segments[branch.hit].tokens - branch.hit_tokens) // BLOCK_TOKENS
    return blocks


@kernel
def _is_outdated(segment: Records, branch: Records) -> bool:
    """True if the text has changed behind what the branch can use, and nobody uses the old one."""
    return _is_free(segment) and segment.tokens > branch.hit_limit


@kernel
def _is_free(segment: Records) -> bool:
    return segment.users == 0 and segment.children == 0


@kernel
def refer(s: State, rep: Records, slot: int) -> None:
    """Have an admitted branch use what it has found."""
    branch = s.branches[slot]
    if branch.found_tokens == NONE:
        branch.found_tokens = branch.hit_tokens
    branch.segment = branch.hit
    s.requests[slot].shared_blocks = branch.hit_tokens // BLOCK_TOKENS
    s.requests[slot].prefilled = branch.hit_tokens
    if branch.hit == NONE:
        return
    found = s.segments[branch.hit]
    if _is_outdated(found, branch):
        trimmed = (found.tokens - branch.hit_tokens) // BLOCK_TOKENS
        found.tokens = branch.hit_tokens
        found.blocks -= trimmed
        rep.cached_blocks -= trimmed
    at = branch.hit
    while at != NONE:
        segment = s.segments[at]
        if segment.users == 0:
            rep.blocks_used += segment.blocks
            rep.cached_blocks -= segment.blocks
            if segment.children == 0:
                _leave_disuse(s, rep, at)
        segment.users += 1
        at = segment.parent


@kernel
def release_segment(s: State, rep: Records, slot: int) -> None:
    """A branch, whose own blocks are free, uses its segment no more."""
    branch = s.branches[slot]
    at = branch.segment
    branch.segment = NONE
    s.requests[slot].shared_blocks = 0
    while at != NONE:
        segment = s.segments[at]
        segment.users -= 1
        if segment.users == 0:
            rep.blocks_used -= segment.blocks
            rep.cached_blocks += segment.blocks
            if segment.children == 0:
                _join_disuse(s, rep, at)
        at = segment.parent


@kernel
def publish(s: State, r: int, rep: Records, slot: int, key: int, tokens: int, owner: int) -> None:
    """Have a branch share the first `tokens` tokens it holds; blocks of its own become those of a segment.

    A segment that it refers to and has read all of grows. One that others made in the meantime stays as it is.
    """
    req = s.requests[slot]
    branch = s.branches[slot]
    blocks = tokens // BLOCK_TOKENS - req.shared_blocks
    if blocks <= 0:
        return
    at = find_segment(s, r, key)
    if at == NONE:
        at = _new_segment(s, r, key, branch.segment, owner)
        branch.segment = at
    elif at != branch.segment or s.segments[at].tokens != req.shared_blocks * BLOCK_TOKENS:
        return
    segment = s.segments[at]
    segment.tokens = tokens // BLOCK_TOKENS * BLOCK_TOKENS
    segment.blocks += blocks
    req.shared_blocks += blocks


@kernel
def _new_segment(s: State, r: int, key: int, parent: int, owner: int) -> int:
    """A segment with one user, who uses the parent already."""
    run = s.run[0]
    at = run.free_segment
    segment = s.segments[at]
    run.free_segment = segment.next
    run.segments_free -= 1
    segment.replica = r
    segment.key = key
    segment.blocks = 0
    segment.users = 1
    segment.children = 0
    segment.parent = parent
    segment.older = NONE
    segment.newer = NONE
    place = key & (s.bucket.size - 1)
    segment.next = s.bucket[place]
    s.bucket[place] = at
    if parent != NONE:
        s.segments[parent].children += 1
    segment.owner = owner
    segment.sibling = NONE
    if owner != NONE:
        segment.sibling = s.families[owner].first_segment
        s.families[owner].first_segment = at
    return at


@kernel
def _join_disuse(s: State, rep: Records, at: int) -> None:
    segment = s.segments[at]
    segment.older = rep.newest
    segment.newer = NONE
    if rep.newest == NONE:
        rep.oldest = at
    else:
        s.segments[rep.newest].newer = at
    rep.newest = at


@kernel
def _leave_disuse(s: State, rep: Records, at: int) -> None:
    segment = s.segments[at]
    if segment.older == NONE:
        rep.oldest = segment.newer
    else:
        s.segments[segment.older].newer = segment.newer
    if segment.newer == NONE:
        rep.newest = segment.older
    else:
        s.segments[segment.newer].older = segment.older


@inlined
def evict(s: State, rep: Records) -> None:
    """Drop what has been in disuse for longest until what is in use and what is kept fit into memory."""
    if rep.cached_blocks > 0 and rep.blocks_used + rep.cached_blocks > s.pools[rep.pool].capacity_blocks:
        _evict(s, rep)


@kernel
def _evict(s: State, rep: Records) -> None:
    while rep.cached_blocks > 0 and rep.blocks_used + rep.cached_blocks > s.pools[rep.pool].capacity_blocks:
        _drop_disused(s, rep, rep.oldest)


@kernel
def _drop_disused(s: State, rep: Records, at: int) -> None:
    segment = s.segments[at]
    _leave_disuse(s, rep, at)
    rep.cached_blocks -= segment.blocks
    parent = segment.parent
    if parent != NONE:
        s.segments[parent].children -= 1
        if _is_free(s.segments[parent]):
            _join_disuse(s, rep, parent)
    if segment.owner != NONE:
        _disown(s, segment.owner, at)
    _free_segment(s, at)


@kernel
def _disown(s: State, owner: int, at: int) -> None:
    family = s.families[owner]
    if family.first_segment == at:
        family.first_segment = s.segments[at].sibling
        return
    before = family.first_segment
    while s.segments[before].sibling != at:
        before = s.segments[before].sibling
    s.segments[before].sibling = s.segments[at].sibling


@kernel
def _free_segment(s: State, at: int) -> None:
    segment = s.segments[at]
    place = segment.key & (s.bucket.size - 1)
    if s.bucket[place] == at:
        s.bucket[place] = segment.next
    else:
        before = s.bucket[place]
        while s.segments[before].next != at:
            before = s.segments[before].next
        s.segments[before].next = segment.next
    segment.replica = NONE
    segment.next = s.run[0].free_segment
    s.run[0].free_segment = at
    s.run[0].segments_free += 1


@kernel
def drop_owned(s: State, head: int) -> None:
    """Drop a family's own segments, which nobody uses: those that build on others were made after them."""
    while s.families[head].first_segment != NONE:
        at = s.families[head].first_segment
        _drop_disused(s, s.replicas[s.segments[at].replica], at)


@kernel
def drop_all(s: State, r: int) -> None:
    """A replica is gone with all it had kept."""
    rep = s.replicas[r]
    for at in range(s.segments.size):
        segment = s.segments[at]
        if segment.replica == r:
            if segment.owner != NONE:
                _disown(s, segment.owner, at)
            _free_segment(s, at)
    rep.cached_blocks = 0
    rep.oldest = NONE
    rep.newest = NONE
