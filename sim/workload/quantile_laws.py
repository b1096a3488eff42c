"""Laws of lengths through published quantiles, with the published mean.

The quantile function is a power law in pieces: ln q is linear in p between p = 0, 0.5, 0.9, 0.99 and 1. The three
inner quantiles are the published ones; the rest is chosen so that the mean is the published one. With
M(a, b) = (b - a) / ln(b / a), the mean of a piece from a to b:

    mean = 0.5 M(q0, q50) + 0.4 M(q50, q90) + 0.09 M(q90, q99) + 0.01 M(q99, q1)

First q1 = q99 (q99 / q90)^(2/3), which gives the tail beyond p99 the mean it has in a lognormal law, and q0 follows
from the mean. Where that would leave [1, q50], q0 is the nearer end and q1 follows, from q99 to the longest q99 of
the whole table. Where that does not do either, a share of each piece stays at its lower (or upper) end, as in
counts that take few values; and where all would stay at their upper ends, q1 grows without bounds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.workload.blocks import Floats, Integers
from sim.workload.lengths import LONGEST_TOKENS, whole_tokens

__all__ = ["QuantileLaws", "quantile_laws"]

_EDGES = np.array([0.0, 0.5, 0.9, 0.99, 1.0])
_PIECES = np.diff(_EDGES)
_HALVINGS = 60


class QuantileLaws(NamedTuple):
    """Quantile functions exp(intercept + slope * u) between bounds, of n laws in four pieces: [4 n]."""

    least: Floats
    """Logarithm of the lower end."""
    most: Floats
    """Logarithm of the upper end."""
    intercept: Floats
    slope: Floats

    def tokens(self, law: Integers, uniform: Floats) -> Integers:
        """Whole tokens, one at least, at these probabilities: [r]."""
        piece = (uniform >= _EDGES[1]).astype(np.int64)
        piece += uniform >= _EDGES[2]
        piece += uniform >= _EDGES[3]
        piece += 4 * law
        logarithm = self.slope[piece]
        logarithm *= uniform
        logarithm += self.intercept[piece]
        np.clip(logarithm, self.least[piece], self.most[piece], out=logarithm)
        return whole_tokens(np.exp(logarithm, out=logarithm))


def quantile_laws(mean: Floats, p50: Floats, p90: Floats, p99: Floats) -> QuantileLaws:
    """The laws with these means and quantiles, each [n]; quantiles below 1 count as 1."""
    p50, p90, p99 = (np.maximum(quantile, 1.0) for quantile in (p50, p90, p99))
    inner = _PIECES[1] * _piece_mean(p50, p90) + _PIECES[2] * _piece_mean(p90, p99)
    top = p99 * (p99 / p90) ** (2 / 3)
    below = mean - inner - _PIECES[3] * _piece_mean(p99, top)
    bottom = _other_end(below / _PIECES[0], p50, np.ones_like(p50), p50)
    above = mean - inner - _PIECES[0] * _piece_mean(bottom, p50)
    at_an_end = (bottom < 1.0 + 1e-9) | (bottom > p50 * (1.0 - 1e-9))
    ceiling = np.maximum(top, p99.max(initial=1.0))
    top = np.where(at_an_end, _other_end(above / _PIECES[3], p99, p99, ceiling), top)
    reachable = np.stack([p50, p90, p99], axis=1) @ _PIECES[:3]
    top = np.minimum(np.maximum(top, (mean - reachable) / _PIECES[3]), LONGEST_TOKENS)
    knots = np.stack([bottom, p50, p90, p99, top], axis=1)
    return _laws(knots, _share_at_ends(knots, mean))


def _piece_mean(low: Floats, high: Floats) -> Floats:
    """Mean of a piece between two quantiles: (b - a) / ln(b / a)."""
    ratio = np.maximum(high / low, 1.0)
    wide = ratio > 1 + 1e-9
    return np.asarray(np.where(wide, low * (ratio - 1) / np.log(np.where(wide, ratio, np.e)), low))


def _other_end(mean: Floats, end: Floats, least: Floats, most: Floats) -> Floats:
    """The other end, within bounds, of pieces with one end and this mean; by bisection of its logarithm."""
    low, high = np.log(least), np.log(most)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        other = np.exp(middle)
        short = _piece_mean(np.minimum(end, other), np.maximum(end, other)) < mean
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray(np.exp(high))


def _share_at_ends(knots: Floats, mean: Floats) -> Floats:
    """Share of each piece that stays at its lower end, or below zero at its upper end, to keep the mean: [n]."""
    full, least, most = (
        part @ _PIECES for part in (_piece_mean(knots[:, :-1], knots[:, 1:]), knots[:, :-1], knots[:, 1:])
    )
    room = np.where(full > mean, full - least, most - full)
    return np.asarray(np.clip((full - mean) / np.maximum(room, 1e-9 * full), 1e-9 - 1.0, 1.0 - 1e-9))


def _laws(knots: Floats, share: Floats) -> QuantileLaws:
    """In a piece from p to p + d the logarithm rises linearly, from p + w d where a share w stays at its lower end."""
    logarithm, share = np.log(knots), share[:, np.newaxis]
    least, most = logarithm[:, :-1], logarithm[:, 1:]
    slope = (most - least) / (_PIECES * (1.0 - np.abs(share)))
    intercept = least - slope * (_EDGES[:-1] + _PIECES * np.maximum(share, 0.0))
    return QuantileLaws(least.ravel(), most.ravel(), intercept.ravel(), slope.ravel())
