"""One heap of what will happen to single requests: a client gives up, an API answers, a request is sent again.

A request has at most one timer and knows its place in the heap, so that it can be taken out.
"""

from __future__ import annotations

from sim.engine.jit import inlined
from sim.engine.queues import comes_before
from sim.engine.state import NONE, State

__all__ = ["cancel_timer", "set_timer"]


@inlined
def set_timer(s: State, slot: int, at_s: float) -> None:
    """Set the request's timer, in place of the one it may have."""
    cancel_timer(s, slot)
    run = s.run[0]
    run.timers += 1
    _rise(s, run.timers - 1, slot, at_s)


@inlined
def cancel_timer(s: State, slot: int) -> None:
    """Take the request's timer out of the heap, if it has one."""
    at = s.requests[slot].timer
    if at == NONE:
        return
    s.requests[slot].timer = NONE
    run = s.run[0]
    run.timers -= 1
    last = run.timers
    if at == last:
        return
    moved, moved_s = s.timer_slot[last], s.timer_s[last]
    if at > 0 and _before(s, moved, moved_s, (at - 1) >> 1):
        _rise(s, at, moved, moved_s)
    else:
        _sink(s, at, moved, moved_s)


@inlined
def _before(s: State, slot: int, at_s: float, place: int) -> bool:
    """True if this timer goes off before the one at `place`; of equal times that of the older request, or branch."""
    if at_s != s.timer_s[place]:
        return at_s < s.timer_s[place]
    return comes_before(s, slot, s.timer_slot[place])


@inlined
def _put(s: State, place: int, slot: int, at_s: float) -> None:
    s.timer_s[place] = at_s
    s.timer_slot[place] = slot
    s.requests[slot].timer = place


@inlined
def _rise(s: State, at: int, slot: int, at_s: float) -> None:
    while at > 0:
        parent = (at - 1) >> 1
        if not _before(s, slot, at_s, parent):
            break
        _put(s, at, s.timer_slot[parent], s.timer_s[parent])
        at = parent
    _put(s, at, slot, at_s)


@inlined
def _sink(s: State, at: int, slot: int, at_s: float) -> None:
    count = s.run[0].timers
    while True:
        child = 2 * at + 1
        if child >= count:
            break
        if child + 1 < count and _before(s, s.timer_slot[child + 1], s.timer_s[child + 1], child):
            child += 1
        if _before(s, slot, at_s, child):
            break
        _put(s, at, s.timer_slot[child], s.timer_s[child])
        at = child
    _put(s, at, slot, at_s)
