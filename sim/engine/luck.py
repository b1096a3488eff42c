"""What chance has in store for a request, drawn from its key alone: the same in whatever order things happen.

A counter-based generator in the manner of SplitMix64 (Steele, Lea and Flood 2014): each number belongs to a key, a
place (step or stage), a branch and a purpose.
"""

from __future__ import annotations

from math import cos, exp, floor, log, pi, sqrt
from typing import Any

import numpy as np

from sim.engine.jit import inlined, kernel
from sim.engine.state import NONE, Records

__all__ = [
    "BANDIT",
    "BLANK",
    "FEEDBACK",
    "answer",
    "branch_tokens",
    "context_key",
    "family_key",
    "normal",
    "right",
    "uniform",
]

ANSWER, LENGTH, FIRST_TOKEN, SPEED, BANDIT, FEEDBACK = 0, 1, 3, 5, 7, 9
"""Purposes; those of normal numbers take two."""

RIGHT, BLANK = 0, NONE
"""Answers; wrong ones count from 1."""


@inlined
def _mix(z: Any) -> Any:
    """SplitMix64's last step, of an unsigned number."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@inlined
def _bits(key: int, place: int, branch: int, purpose: int) -> Any:
    gold = np.uint64(0x9E3779B97F4A7C15)
    inner = _mix(np.uint64(key) + gold * np.uint64(1 + purpose))
    return _mix(inner + gold * np.uint64(1 + branch + (place << 20)))


@inlined
def uniform(key: int, place: int, branch: int, purpose: int) -> float:
    """A number in [0, 1)."""
    return float(_bits(key, place, branch, purpose) >> np.uint64(11)) * 2.0**-53


@kernel
def normal(key: int, place: int, branch: int, purpose: int) -> float:
    """A standard normal number (Box and Muller 1958)."""
    radius = sqrt(-2.0 * log(1.0 - uniform(key, place, branch, purpose)))
    return radius * cos(2.0 * pi * uniform(key, place, branch, purpose + 1))


@kernel
def branch_tokens(key: int, place: int, branch: int, stage: Records, base: int) -> int:
    """Tokens of a branch: lognormal, with `base` times the stage's factor as mean."""
    mean = base * stage.tokens_factor
    if stage.sigma > 0.0:
        mean *= exp(stage.sigma * normal(key, place, branch, LENGTH) - 0.5 * stage.sigma * stage.sigma)
    return min(max(floor(mean + 0.5), 1), stage.most_tokens)


@inlined
def right(key: int, p: float) -> int:
    """1 if a single answer is right, 0 if not; NONE where its chance is not known."""
    if p != p:
        return NONE
    return int(uniform(key, 0, 0, ANSWER) < p)


@kernel
def answer(key: int, branch: int, p: float, step: Records) -> int:
    """What a sample answers: RIGHT, the number of a wrong answer, or BLANK."""
    u = uniform(key, 0, branch, ANSWER)
    if u < p:
        return RIGHT
    v = (u - p) / (1.0 - p)
    given = 1.0 - step.blank_share
    if v >= given:
        return BLANK
    return 1 + min(floor(step.wrong_answers * (v / given) ** step.skew), step.wrong_answers - 1)


@kernel
def context_key(context_id: int, version: int, prepared: int) -> int:
    """Key of the text of a context in a prefix cache: never 0."""
    return _key(context_id, 2 * version + prepared, 0)


@kernel
def family_key(request_id: int, stage: int, number: int, is_branch: int) -> int:
    """Key of a group's prompt, or of a branch's prompt and answer, in a prefix cache: never 0."""
    return _key(request_id, 2 * number + is_branch, 1 + stage)


@kernel
def _key(one: int, two: int, purpose: int) -> int:
    return int(_bits(one, 0, two, purpose) >> np.uint64(1)) | 1
