"""The chance that the best verified of several solutions is right.

Each verification is a verdict, right or wrong, by a verifier that sees a solution as good with a chance of its own:
Beta distributed over right solutions, and, lower, over wrong ones. So verdicts on one solution agree more than chance
would have it, and no number of them makes up for a solution that fools the verifier. The solution with most good
verdicts counts, among equals any of them.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaln, gammaln

from sim.workload.blocks import Floats

__all__ = ["verdicts", "verified_chances"]

Shape = tuple[float, float]


def verified_chances(p: Floats, solutions: int, verifications: int, right: Shape, wrong: Shape) -> Floats:
    """Chance that the chosen solution is right where each of them is with chance `p`, [n].

    With f1 and f0 the laws of the number of good verdicts on a right and on a wrong solution, f = p f1 + (1 - p) f0 and
    F its distribution function, the best of S has c good verdicts with chance F(c)^S - F(c-1)^S, and is then right with
    chance p f1(c) / f(c).

    >>> verified_chances(np.array([0.3]), 1, 8, (2.0, 1.0), (1.0, 2.0)).round(9).tolist()
    [0.3]
    """
    if solutions == 1:
        return p.copy()
    good, bad = verdicts(verifications, right), verdicts(verifications, wrong)
    both = p[:, None] * good + (1.0 - p[:, None]) * bad
    up_to = np.minimum(np.cumsum(both, axis=1), 1.0) ** solutions
    best = np.diff(up_to, axis=1, prepend=0.0)
    share = np.divide(p[:, None] * good, both, out=np.zeros_like(both), where=both > 0.0)
    found: Floats = np.minimum((best * share).sum(axis=1), 1.0)
    return found


def verdicts(verifications: int, shape: Shape) -> Floats:
    """Law of the number of good verdicts, 0 .. verifications: beta-binomial.

    >>> verdicts(1, (3.0, 1.0)).round(9).tolist()
    [0.25, 0.75]
    """
    good = np.arange(verifications + 1)
    ways = gammaln(verifications + 1) - gammaln(good + 1) - gammaln(verifications - good + 1)
    a, b = shape
    found: Floats = np.exp(ways + betaln(good + a, verifications - good + b) - betaln(a, b))
    return found
