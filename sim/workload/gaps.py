"""Gaps between the requests of a client: gamma or Weibull of mean 1, and how a wait is carried to another law.

A renewal process is in equilibrium where the gap that covers an instant is length-biased (density proportional
to x f(x)) and the instant lies uniformly in it (Cox, Renewal Theory, 1962, section 5.4). The expected number of
requests in any span is then exactly its length in mean gaps. With the law changes, as from one window of a table
to the next, the gap in progress keeps its rank among length-biased gaps and the instant its place within
the gap. So equilibrium holds on both sides of the edge, nothing starts anew there, and where the law stays the gap
stays. Length-biased gaps of mean 1, in terms of the upper incomplete gamma function Q:

    gamma of shape k:    P(L > x) = Q(k + 1, k x)
    Weibull of shape k:  P(L > x) = Q(1 + 1/k, (x G)^k),  G = Gamma(1 + 1/k)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.workload.blocks import Floats, Integers

__all__ = ["GapLaws", "carry", "draw_gaps", "gap_laws"]

_LARGEST_GAMMA_SHAPE = 1e12
_LEAST_RANK = 1e-300
_WEIBULL_SHAPES = np.geomspace(0.05, 1_000.0, 20_001)


class GapLaws(NamedTuple):
    """Laws of gaps with mean 1, [n]."""

    weibull: NDArray[np.bool_]
    """Weibull where true, else gamma."""
    shape: Floats

    def of(self, rows: slice | Integers | NDArray[np.bool_]) -> GapLaws:
        """The laws of some rows."""
        return GapLaws(self.weibull[rows], self.shape[rows])


def gap_laws(cv: Floats, weibull: NDArray[np.bool_]) -> GapLaws:
    """The laws with these coefficients of variation.

    Gamma: the shape is 1/cv^2. Weibull: it solves cv^2 = Gamma(1 + 2/k) / Gamma(1 + 1/k)^2 - 1, to 1e-6 of k.
    Below 1e-6 (gamma) or 0.0013 (Weibull) `cv` counts as that.
    """
    from scipy.special import gammaln

    inverse = 1.0 / _WEIBULL_SHAPES
    log_moments = gammaln(1 + 2 * inverse) - 2 * gammaln(1 + inverse)
    of_weibull = np.exp(np.interp(np.log1p(cv**2), log_moments[::-1], np.log(_WEIBULL_SHAPES)[::-1]))
    of_gamma = np.minimum(cv**-2.0, _LARGEST_GAMMA_SHAPE)
    return GapLaws(weibull, np.where(weibull, of_weibull, of_gamma))


def draw_gaps(random: np.random.Generator, weibull: bool, shape: float, gaps: int) -> Floats:
    """Independent gaps of mean 1, [gaps]."""
    if weibull:
        return random.weibull(shape, gaps) / math.gamma(1 + 1 / shape)
    return random.standard_gamma(shape, gaps) / shape


def carry(gap: Floats, before: GapLaws, after: GapLaws) -> Floats:
    """The gaps of the same rank among length-biased gaps of another law, [n]."""
    from scipy.special import gammaincc, gammainccinv

    changed = (before.shape != after.shape) | (before.weibull != after.weibull)
    if not changed.any():
        return gap
    rank = np.maximum(gammaincc(_bias_shape(before), _standardised(before, gap)), _LEAST_RANK)
    standard = gammainccinv(_bias_shape(after), rank)
    return np.where(changed, _from_standard(after, standard), gap)


def _bias_shape(laws: GapLaws) -> Floats:
    return np.asarray(np.where(laws.weibull, 1 + 1 / laws.shape, laws.shape + 1))


def _standardised(laws: GapLaws, gap: Floats) -> Floats:
    """Gaps as values of a gamma law of scale 1, [n]."""
    from scipy.special import gamma

    power = np.where(laws.weibull, laws.shape, 1.0)
    return np.asarray(np.where(laws.weibull, gap * gamma(1 + 1 / _tame(laws)), gap * laws.shape) ** power)


def _from_standard(laws: GapLaws, standard: Floats) -> Floats:
    from scipy.special import gamma

    tame = _tame(laws)
    return np.asarray(np.where(laws.weibull, standard ** (1 / tame) / gamma(1 + 1 / tame), standard / laws.shape))


def _tame(laws: GapLaws) -> Floats:
    """Shapes of the Weibull laws, 1 elsewhere, so that no power of a gamma shape overflows."""
    return np.where(laws.weibull, laws.shape, 1.0)
