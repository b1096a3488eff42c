"""Which answer most samples give."""

from __future__ import annotations

from sim.engine.jit import kernel
from sim.engine.luck import BLANK, answer
from sim.engine.state import ENDED, NONE, State

__all__ = ["most_votes"]


@kernel
def most_votes(s: State, head: int) -> tuple[int, int, int]:
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
