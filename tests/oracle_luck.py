"""Luck that belongs to a request and its branches whatever comes in between, said plainly."""

from __future__ import annotations

from math import cos, exp, floor, log, pi, sqrt

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
ANSWER, LENGTH, API_FIRST, API_SPEED, BANDIT, FEEDBACK = 0, 1, 3, 5, 7, 9
"""Purposes of a uniform number; a normal one takes two of them."""


def mix(z: int) -> int:
    """SplitMix64's finish of a word."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def uniform(key: int, place: int, branch: int, purpose: int) -> float:
    """The number in [0, 1) of a request's branch at a place, a stage or zero, for a purpose."""
    inner = mix((key + GOLDEN * (1 + purpose)) & MASK)
    return (mix((inner + GOLDEN * (1 + branch + (place << 20))) & MASK) >> 11) * 2.0**-53


def normal(key: int, place: int, branch: int, purpose: int) -> float:
    """A standard normal number from the uniform ones of two purposes, this and the next (Box and Muller)."""
    first, second = (uniform(key, place, branch, purpose + i) for i in (0, 1))
    return sqrt(-2.0 * log(1.0 - first)) * cos(2.0 * pi * second)


def length(key: int, stage: int, branch: int, mean: float, sigma: float, most: int) -> int:
    """Tokens of a branch: lognormal about their mean, at least one and at most `most`."""
    luck = exp(sigma * normal(key, stage, branch, LENGTH) - sigma * sigma / 2.0) if sigma else 1.0
    return min(max(floor(mean * luck + 0.5), 1), most)
