"""How hard questions are: the chance of a right answer as it differs from question to question of a class.

The chances of a class follow a Beta law whose mean moves with the budget. A question keeps its rank u in it, 0 the
hardest and 1 the easiest, so that what is hard for a direct answer is hard after thinking. Ranks are looked at in
`CELLS` equal cells, in each of which the chance is its mean there.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, betaincinv, ndtr, ndtri

from sim.workload.blocks import Floats, Integers

__all__ = ["CELLS", "cells_of", "chances", "ranks", "shifted"]

CELLS = 1024
"""Steps in which difficulty is looked at."""

_EDGES = np.linspace(0.0, 1.0, CELLS + 1)
_SURE = 1e-9


def chances(mean: float, concentration: float) -> Floats:
    """Chance of a right answer in each cell, hardest first, [CELLS].

    Of Beta(a, b) with a = mean x concentration and a + b = concentration, the mean over the ranks from u to v is
    mean x (I(q(v); a+1, b) - I(q(u); a+1, b)) / (v - u), where q are quantiles and I is the regularised incomplete
    beta function; so the mean over all cells is exactly `mean`.

    >>> bool(abs(chances(0.3, 0.9).mean() - 0.3) < 1e-9)
    True
    """
    if not _SURE < mean < 1.0 - _SURE:
        return np.full(CELLS, float(mean > 0.5))
    right, wrong = _of_lower(mean, concentration), _of_lower(1.0 - mean, concentration)[::-1]
    # A quantile near 1 cannot be told from it: the easy cells are one less the chance to be wrong.
    return np.where(np.maximum.accumulate(right) < 0.5, right, 1.0 - wrong)


def _of_lower(mean: float, concentration: float) -> Floats:
    """Mean of a Beta law in each cell, exact as long as it is not near 1."""
    a, b = mean * concentration, (1.0 - mean) * concentration
    below = betainc(a + 1.0, b, betaincinv(a, b, _EDGES))
    found: Floats = np.clip(np.diff(below) * mean * CELLS, 0.0, 1.0)
    return found


def shifted(p: Floats, logit: float | Floats) -> Floats:
    """Chances whose log odds are `logit` higher, which may be one number for each of the last axis.

    >>> shifted(np.array([0.5]), 1.0).round(3).tolist()
    [0.731]
    """
    odds = np.exp(logit)
    found: Floats = p * odds / (1.0 - p + p * odds)
    return found


def ranks(own: Floats, context: Floats, rho: float) -> Floats:
    """Ranks of difficulty that go with the ranks of contexts by a Gaussian copula of correlation `rho`, [n].

    `own` are even numbers of the questions. A rank of a context that is NaN goes with none.
    """
    if rho == 0.0:
        return own
    both = rho * ndtri(np.clip(context, _SURE, 1.0 - _SURE)) + np.sqrt(1.0 - rho**2) * ndtri(np.maximum(own, _SURE))
    return np.where(np.isnan(context), own, ndtr(both))


def cells_of(rank: Floats) -> Integers:
    """The cell of each rank, [n]."""
    return np.minimum((rank * CELLS).astype(np.int64), CELLS - 1)
