"""Accuracy by tokens spent on an answer, and what a prepared context is worth in tokens."""

from __future__ import annotations

import math
from bisect import bisect
from dataclasses import dataclass

__all__ = ["Prepared", "Thinking"]


@dataclass(frozen=True)
class Thinking:
    """Mean accuracy of a class at a mean of `tokens` output tokens a question.

    A Hill curve, saturating in log tokens, a(b) = floor + (ceiling - floor) / (1 + (half / b)^steepness); or, with
    `points`, straight between them in log tokens and flat beyond the last. Beyond `peak` the log odds fall by `decline`
    with each doubling: thinking for too long does harm.
    """

    ceiling: float
    floor: float = 0.0
    half_tokens: float = 1.0
    steepness: float = 0.0
    peak_tokens: float = math.inf
    decline: float = 0.0
    points: tuple[tuple[float, float], ...] = ()

    @property
    def is_flat(self) -> bool:
        """Whether tokens make no difference."""
        return self.steepness == 0.0 and not self.points

    def accuracy(self, tokens: float) -> float:
        """At a budget of so many tokens.

        >>> Thinking(ceiling=0.8, half_tokens=100, steepness=2).accuracy(100)
        0.4
        """
        if self.is_flat:
            return self.ceiling
        best = self._between(tokens) if self.points else self._hill(tokens)
        if tokens <= self.peak_tokens:
            return best
        odds = best / (1.0 - best) * math.exp(-self.decline * math.log2(tokens / self.peak_tokens))
        return odds / (1.0 + odds)

    def _hill(self, tokens: float) -> float:
        rise = 1.0 / (1.0 + math.pow(self.half_tokens / tokens, self.steepness))
        return self.floor + (self.ceiling - self.floor) * rise

    def _between(self, tokens: float) -> float:
        """Below the first point it falls on as from the second to the first."""
        known, rates = zip(*self.points, strict=True)
        after = min(max(bisect(known, tokens), 1), len(known) - 1)
        share = math.log(min(tokens, known[-1]) / known[after - 1]) / math.log(known[after] / known[after - 1])
        return float(max(rates[after - 1] + share * (rates[after] - rates[after - 1]), 0.0))


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
