"""The chance that a vote finds the right answer, worked out as exactly as the engine draws it.

Each sample is right with chance p, else blank with chance `blank_share`, else wrong answer j of W with chance s_j. The
answer given most often counts, blanks aside; among equals the one that was given first, which is each of them equally
often.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.special import gammaln, xlogy

from sim.strategies import Plurality
from sim.workload.blocks import Floats

__all__ = ["plurality_chances", "wrong_shares"]

_TIES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_NOTHING = 1e-13
_TIES, _WEIGHTS = (_TIES + 1.0) / 2.0, _WEIGHTS / 2.0


def plurality_chances(p: Floats, samples: int, law: Plurality) -> Floats:
    """Chance that the plurality of `samples` is right where each of them is with chance `p`, [n].

    >>> wrong = Plurality(wrong_answers=4, blank_share=0.2)
    >>> plurality_chances(np.array([0.5]), 2, wrong).round(3).tolist()  # p (1 + blank), blank = (1 - p) blank_share
    [0.55]
    """
    # Here, as it takes a third of a second to import and only curves with votes need it.
    from scipy.stats import binom

    won = _won(samples, law)
    found: Floats = binom.pmf(np.arange(samples + 1), samples, p[:, None]) @ won
    return found


def wrong_shares(law: Plurality) -> Floats:
    """Share of each wrong answer among all wrong ones, [W]: floor(W v^skew) is j for v between two powers."""
    edges = np.linspace(0.0, 1.0, law.wrong_answers + 1) ** (1.0 / law.skew)
    return np.diff(edges)


@lru_cache(maxsize=256)
def _won(samples: int, law: Plurality) -> Floats:
    """Chance to win with m right samples, m = 0 .. samples: it rises from 0 to 1 with m."""
    won = np.ones(samples + 1)
    won[0] = 0.0
    most = samples // 2
    first = _first(lambda right: _won_with(right, samples - right, law) > _NOTHING, 1, most)
    last = _first(lambda right: _won_with(right, samples - right, law) > 1.0 - _NOTHING, first, most)
    won[1:first] = 0.0
    won[first:last] = [_won_with(right, samples - right, law) for right in range(first, last)]
    won.flags.writeable = False
    return won


def _first(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The first whole number from `low` to `high` for which something holds from there on; high + 1 for none."""
    while low <= high:
        middle = (low + high) // 2
        low, high = (low, middle - 1) if holds(middle) else (middle + 1, high)
    return low


def _won_with(right: int, others: int, law: Plurality) -> float:
    """Chance to win with `right` right samples against `others` that are not.

    The counts of what is not right are multinomial: independent Poisson counts, given that their sum is `others`. So
    the chance is a coefficient of the product of their generating functions, cut off at `right`, which a fast
    Fourier transform gives. A count of `right` is a tie: with t of them the chance is 1 / (1 + t), the integral of
    y^t over [0, 1], which Gauss' rule takes.
    """
    rates = others * (1.0 - law.blank_share) * wrong_shares(law)
    # Room beyond the coefficient for all the sum may come to: twelve standard deviations.
    size = 1 << int(others + 12.0 * np.sqrt(others) + 32.0).bit_length()
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    counts = np.arange(right + 1)
    chance = np.exp(-rates[:, None] + xlogy(counts, rates[:, None]) - gammaln(counts + 1))
    below, level = np.fft.rfft(chance[:, :right], size), chance[:, right:] * z**right
    product = sum(w * np.prod(below + y * level, axis=0) for y, w in zip(_TIES, _WEIGHTS, strict=True))
    blanks = np.exp(others * law.blank_share * (z - 1.0))
    whole = np.exp(-others + others * np.log(others) - gammaln(others + 1))
    coefficient = np.fft.irfft(product * blanks, size)[others]
    return float(min(max(coefficient / whole, 0.0), 1.0))
