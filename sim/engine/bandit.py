"""What has come of each strategy so far, by stream and whether the context was prepared; and chances drawn from it.

A bandit knows nothing of a request but these. It draws each strategy's chance from what it has seen of it, so it tries
what it knows little of, and less and less what has proved worse (Thompson 1933).
"""

from __future__ import annotations

from math import sqrt

from sim.engine.jit import kernel
from sim.engine.luck import BANDIT, FEEDBACK, normal, uniform
from sim.engine.state import NONE, State

__all__ = ["draw", "learn"]


@kernel
def draw(s: State, stream: int, prepared: int, key: int) -> None:
    """Chances drawn from what has been seen, as `router.choose.thompson` does, and mean tokens, the first guess at
    which counts as one answer.
    """
    for a in range(s.choices.size):
        option = s.choices[a]
        seen = s.seen[stream, prepared, a]
        right, wrong = 1.0 + seen.right, 1.0 + seen.wrong
        mean = right / (right + wrong)
        drawn = mean + normal(key, 0, a, BANDIT) * sqrt(mean * (1.0 - mean) / (right + wrong + 1.0))
        option.p = min(max(drawn, 0.0), 1.0)
        option.tokens = (option.tokens + seen.tokens) / (1 + seen.ended)
        option.path_tokens = (option.path_tokens + seen.path_tokens) / (1 + seen.ended)


@kernel
def learn(s: State, slot: int, prepared: int, correct: int, tokens: int, path_tokens: int) -> None:
    """Note what came of a request: its tokens, and by chance `feedback` whether the answer was right, where known."""
    req = s.requests[slot]
    seen = s.seen[req.stream, prepared, req.strategy]
    seen.ended += 1
    seen.tokens += tokens
    seen.path_tokens += path_tokens
    if correct != NONE and uniform(s.calls[slot].key, 0, 0, FEEDBACK) < s.routes[req.stream].feedback:
        seen.right += correct
        seen.wrong += 1 - correct
