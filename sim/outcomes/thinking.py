"""Accuracy by tokens spent on an answer, and what a prepared context is worth in tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Prepared", "Thinking"]


@dataclass(frozen=True)
class Thinking:
    """Mean accuracy of a class at a mean of `tokens` output tokens a question.

    A Hill curve, saturating in log tokens, a(b) = floor + (ceiling - floor) / (1 + (half / b)^steepness); beyond `peak`
    the log odds fall by `decline` with each doubling: thinking for too long does harm.
    """

    ceiling: float
    floor: float = 0.0
    half_tokens: float = 1.0
    steepness: float = 0.0
    peak_tokens: float = math.inf
    decline: float = 0.0

    def accuracy(self, tokens: float) -> float:
        """At a budget of so many tokens.

        >>> Thinking(ceiling=0.8, half_tokens=100, steepness=2).accuracy(100)
        0.4
        """
        if self.steepness == 0.0:
            return self.ceiling
        rise = 1.0 / (1.0 + math.pow(self.half_tokens / tokens, self.steepness))
        best = self.floor + (self.ceiling - self.floor) * rise
        if tokens <= self.peak_tokens:
            return best
        odds = best / (1.0 - best) * math.exp(-self.decline * math.log2(tokens / self.peak_tokens))
        return odds / (1.0 + odds)


@dataclass(frozen=True)
class Prepared:
    """What a prepared context is worth: b tokens on it are as good as m(b) b without.

    m(b) = scale (b / full)^-exponent, and m(b)^weight for contexts of another predictability, as long as m is above 1.
    """

    scale: float
    exponent: float
    full_tokens: float

    def equivalent(self, tokens: float, weight: float = 1.0) -> float:
        """Tokens without preparation that are as good as `tokens` on a prepared context.

        >>> round(Prepared(scale=1.06, exponent=0.59, full_tokens=500).equivalent(50))
        206
        """
        times = self.scale * math.pow(tokens / self.full_tokens, -self.exponent)
        return tokens * (math.pow(times, weight) if times > 1.0 else times)

    def enough(self, tokens: float, weight: float, least: float) -> float:
        """Tokens on a prepared context that are as good as `tokens` without: from `least` to `tokens`.

        >>> round(Prepared(scale=1.06, exponent=0.59, full_tokens=500).enough(206, 1.0, 1.0))
        50
        """
        low, high = min(least, tokens), tokens
        if self.equivalent(high, weight) <= tokens:
            return tokens
        if self.equivalent(low, weight) >= tokens:
            return low
        for _ in range(60):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.equivalent(middle, weight) < tokens else (low, middle)
        return high
