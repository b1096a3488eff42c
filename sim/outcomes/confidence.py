"""How sure a strategy is of its single answer, which decides whether a cascade goes on."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit, ndtri

from sim.outcomes.luck import ANSWER, CONFIDENCE, normals, uniforms
from sim.workload.blocks import Floats, Integers

__all__ = ["confidences"]

_MOST = 1.0 - 1e-9


def confidences(key: Integers, p: Floats, *, prior: float, auc: float, step: int) -> Floats:
    """Chance of being right as the answers themselves tell it, [n]; right answers are those the engine will draw.

    A sign of it is normal, with mean d for right answers and 0 for wrong ones, d = sqrt(2) q(auc) for the normal
    quantile q: so a right one's is the higher with chance `auc`. Bayes' rule makes a chance of it, with the mean
    accuracy `prior`: of the answers with confidence c a share c is right.
    """
    right = uniforms(key, ANSWER) < p
    apart = math.sqrt(2.0) * float(ndtri(min(auc, _MOST)))
    sign = normals(key, CONFIDENCE, place=step) + np.where(right, apart, 0.0)
    sure = min(max(prior, 1.0 - _MOST), _MOST)
    found: Floats = expit(math.log(sure / (1.0 - sure)) + apart * sign - apart**2 / 2.0)
    return found
