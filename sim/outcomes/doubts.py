"""Which answers of a cascade's step are not sure enough, so that it goes on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.outcomes.asked import Asked
from sim.outcomes.confidence import confidences
from sim.outcomes.law import Answers
from sim.scenario import CascadeStrategy

__all__ = ["doubts"]


def doubts(cascade: CascadeStrategy, asked: Asked, answers: Answers, prior: float, step: int) -> NDArray[np.bool_]:
    """Which answers are not sure enough, [n]; none where nothing is known of their quality (`prior` is NaN)."""
    if np.isnan(prior):
        return np.zeros(asked.key.size, np.bool_)
    sure = confidences(asked.key, answers.p_correct, prior=prior, auc=cascade.confidence_auc, step=step)
    return sure < cascade.escalate_below
