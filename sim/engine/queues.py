"""Three small structures: lists of slots, a heap of decode rows, a tournament of replicas."""

from __future__ import annotations

from sim.engine.jit import inlined
from sim.engine.state import NONE, Floats, Integers, Records, State

__all__ = [
    "append",
    "comes_before",
    "insert_after",
    "play",
    "pop_first",
    "prepend",
    "push_row",
    "remove",
    "remove_row",
    "row_key",
    "row_slot",
    "row_step",
]

SLOT_BITS = 24
"""A decode row is one integer, finish step above slot: up to 16 million slots and 5e11 steps."""


@inlined
def append(requests: Records, head: Integers, tail: Integers, r: int, c: int, slot: int) -> None:
    """Put `slot` at the end of list (r, c)."""
    requests[slot].next = NONE
    if tail[r, c] == NONE:
        head[r, c] = slot
    else:
        requests[tail[r, c]].next = slot
    tail[r, c] = slot


@inlined
def insert_after(requests: Records, tail: Integers, r: int, c: int, before: int, slot: int) -> None:
    """Put `slot` behind `before`, which is in list (r, c)."""
    requests[slot].next = requests[before].next
    requests[before].next = slot
    if tail[r, c] == before:
        tail[r, c] = slot


@inlined
def prepend(requests: Records, head: Integers, tail: Integers, r: int, c: int, slot: int) -> None:
    """Put `slot` at the front of list (r, c)."""
    requests[slot].next = head[r, c]
    if head[r, c] == NONE:
        tail[r, c] = slot
    head[r, c] = slot


@inlined
def pop_first(requests: Records, head: Integers, tail: Integers, r: int, c: int) -> None:
    """Take the first slot off list (r, c), which is not empty."""
    head[r, c] = requests[head[r, c]].next
    if head[r, c] == NONE:
        tail[r, c] = NONE


@inlined
def remove(requests: Records, head: Integers, tail: Integers, r: int, c: int, slot: int) -> None:
    """Take `slot`, wherever it stands, off list (r, c)."""
    if head[r, c] == slot:
        pop_first(requests, head, tail, r, c)
        return
    before = head[r, c]
    while requests[before].next != slot:
        before = requests[before].next
    requests[before].next = requests[slot].next
    if tail[r, c] == slot:
        tail[r, c] = before


@inlined
def comes_before(s: State, one: int, other: int) -> bool:
    """True if a slot's request came before the other's; branches of the same one in order of their numbers."""
    if s.requests[one].id != s.requests[other].id:
        return s.requests[one].id < s.requests[other].id
    return s.requests[one].branch < s.requests[other].branch


@inlined
def row_key(finish_step: int, slot: int) -> int:
    return (finish_step << SLOT_BITS) | slot


@inlined
def row_step(key: int) -> int:
    return key >> SLOT_BITS


@inlined
def row_slot(key: int) -> int:
    return key & ((1 << SLOT_BITS) - 1)


@inlined
def push_row(heap: Integers, r: int, rows: int, key: int) -> None:
    """Add `key` to the heap of replica r, which holds `rows` keys."""
    _rise(heap, r, rows, key)


@inlined
def remove_row(heap: Integers, r: int, rows: int, at: int) -> None:
    """Take the key at place `at` (0: the least) off the heap of replica r, which holds `rows` keys."""
    last = heap[r, rows - 1]
    if at < rows - 1:
        if at > 0 and last < heap[r, (at - 1) >> 1]:
            _rise(heap, r, at, last)
        else:
            _sink(heap, r, rows - 1, at, last)


@inlined
def _rise(heap: Integers, r: int, at: int, key: int) -> None:
    while at > 0:
        parent = (at - 1) >> 1
        if heap[r, parent] <= key:
            break
        heap[r, at] = heap[r, parent]
        at = parent
    heap[r, at] = key


@inlined
def _sink(heap: Integers, r: int, rows: int, at: int, key: int) -> None:
    while True:
        child = 2 * at + 1
        if child >= rows:
            break
        child += heap[r, min(child + 1, rows - 1)] < heap[r, child]
        if key <= heap[r, child]:
            break
        heap[r, at] = heap[r, child]
        at = child
    heap[r, at] = key


@inlined
def play(event_s: Floats, winner: Integers, r: int) -> None:
    """Replay the tournament after event_s[r] changed: winner[1] is again the replica whose event comes first.

    `event_s` has a power of two of leaves, unused ones at infinity; of equal times the lower replica wins. The
    outcomes are no better than coin tosses to a processor, so they are worked out without branches.
    """
    node, best, best_s = event_s.size + r, r, event_s[r]
    while node > 1:
        other = winner[node ^ 1]
        other_s = event_s[other]
        beats = (other_s < best_s) | ((other_s == best_s) & (other < best))
        best += (other - best) * beats
        best_s = min(best_s, other_s)
        node >>= 1
        winner[node] = best
