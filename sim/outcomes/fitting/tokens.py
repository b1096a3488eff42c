"""Accuracy by tokens, and what a prepared context is worth in tokens, by least squares on accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.outcomes.fitting.documents import Points
from sim.outcomes.fitting.numerics import best, unit
from sim.outcomes.thinking import Prepared, Thinking
from sim.workload.blocks import Floats

__all__ = [
    "by_bin",
    "fit_prepared",
    "fit_thinking",
    "left_out",
    "prepared_errors",
    "thinking_errors",
    "through",
    "told_of",
]

_PEAK, _DECLINE = 2.0, 0.1
"""Thinking does harm from twice the largest published budget on, a tenth of log odds a doubling: assumed."""


def fit_thinking(points: Points) -> Thinking:
    """A Hill curve; its floor is free where there are more than three points."""
    tokens, rates = np.array(points).T
    has_floor = len(points) > 3

    def curve(raw: Floats) -> Thinking:
        ceiling = float(rates.max() + (1.0 - rates.max()) * unit(raw[0]))
        floor = float(rates.min() * unit(raw[3])) if has_floor else 0.0
        half, steepness = np.exp(raw[1:3]).tolist()
        return Thinking(ceiling, floor, half, steepness, _PEAK * float(tokens.max()), _DECLINE)

    last = [2.0] if has_floor else []
    starts = [[top, np.log(np.median(tokens)), slope, *last] for top in (-3.0, 0.0, 3.0) for slope in (0.0, 1.0)]
    return curve(best(lambda raw: thinking_errors(curve(raw), points), starts))


def through(points: Points) -> Thinking:
    """The curve through all points."""
    tokens, rates = np.array(points).T
    peak = _PEAK * float(tokens.max())
    return Thinking(float(rates.max()), peak_tokens=peak, decline=_DECLINE, points=tuple(points))


def thinking_errors(thinking: Thinking, points: Points) -> Floats:
    """In accuracy, [n]."""
    return np.array([thinking.accuracy(b) - rate for b, rate in points], np.float64)


def fit_prepared(
    thinking: Thinking, points: Points, full_tokens: float, weights: Floats, gains: Sequence[float] | None = None
) -> Prepared:
    """m(b), with exponents by bin of predictability and, where given, by point."""

    def law(raw: Floats) -> Prepared:
        return Prepared(float(np.exp(raw[0])), 0.95 * unit(raw[1]), full_tokens)

    starts = ([0.05, 0.0], [-0.4, 1.0])
    return law(best(lambda raw: prepared_errors(thinking, law(raw), points, weights, gains), starts))


def prepared_errors(
    thinking: Thinking, law: Prepared, points: Points, weights: Floats, gains: Sequence[float] | None = None
) -> Floats:
    """In accuracy, [n]; a point is the mean over all contexts."""
    each = zip(points, gains or [1.0] * len(points), strict=True)
    found = [by_bin(thinking, law, b, weights * gain).mean() - rate for (b, rate), gain in each]
    return np.array(found, np.float64)


def by_bin(thinking: Thinking, law: Prepared, tokens: float, weights: Floats) -> Floats:
    """Accuracy by predictability, [bins]."""
    return np.array([thinking.accuracy(law.equivalent(tokens, weight)) for weight in weights], np.float64)


def left_out(
    thinking: Thinking, points: Points, full_tokens: float, weights: Floats, gains: Sequence[float] | None = None
) -> Floats:
    """The error of each point in a fit of m(b) without it, [n]."""
    given = gains or [1.0] * len(points)
    errors = []
    for place, (point, gain) in enumerate(zip(points, given, strict=True)):
        others, their_gains = ([*items[:place], *items[place + 1 :]] for items in (points, given))
        law = fit_prepared(thinking, others, full_tokens, weights, their_gains)
        errors.append(prepared_errors(thinking, law, [point], weights, [gain])[0])
    return np.array(errors, np.float64)


def told_of(points: Points) -> str:
    """What was fitted to points without preparation."""
    return "Hill curve" if len(points) > 3 else "Hill curve through three points, none kept for checking"
