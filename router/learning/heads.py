"""A head: ridge and forest on one block of targets, blended, then brought to scale column by column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.learning.calibration import Sigmoids
from router.learning.forest import Forest, Growth, fit_forest
from router.learning.ridge import PENALTIES, Linear, Scaling, fit_ridge, scaling_of

__all__ = ["Amounts", "Blend", "Chances", "Fitted", "Head", "OutOfFold", "best_blend", "fit_head", "out_of_fold"]

Floats = NDArray[np.float64]

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the regression in the average that are tried."""


@dataclass(frozen=True)
class Fitted:
    """Ridge by penalty and forest, fitted to one block of targets."""

    linear: dict[float, Linear]
    forest: Forest


@dataclass(frozen=True)
class OutOfFold:
    """Scores of rows by models that have not seen their blocks."""

    linear: dict[float, Floats]
    """By penalty, [Q, M]."""
    forest: Floats


@dataclass(frozen=True)
class Blend:
    """score = share * ridge + (1 - share) * forest."""

    penalty: float
    share: float

    def of(self, scores: OutOfFold) -> Floats:
        """The blended scores, [Q, M]."""
        return self.share * scores.linear[self.penalty] + (1.0 - self.share) * scores.forest


@dataclass(frozen=True)
class Head:
    """A block of targets from features: a blend of ridge and forest."""

    scaling: Scaling
    linear: Linear
    forest: Forest
    share: float
    """Share of the ridge in the blend."""

    def score(self, features: NDArray[np.float32]) -> Floats:
        """The blended scores, [n, M]."""
        score = np.zeros((len(features), len(self.linear.offset)))
        if self.share > 0.0:
            score += self.share * self.linear.of(self.scaling.of(features))
        if self.share < 1.0:
            score += (1.0 - self.share) * self.forest.of(features)
        return score


@dataclass(frozen=True)
class Chances:
    """Chances of a right answer."""

    head: Head
    sigmoids: Sigmoids

    def of(self, features: NDArray[np.float32]) -> Floats:
        """Predictions, [n, M]."""
        return self.sigmoids.of(self.head.score(features))


@dataclass(frozen=True)
class Amounts:
    """Amounts: slope * score + offset."""

    head: Head
    slope: Floats
    offset: Floats

    def of(self, features: NDArray[np.float32]) -> Floats:
        """Predictions, [n, M]."""
        return self.slope * self.head.score(features) + self.offset


def fit_head(
    features: NDArray[np.float32], dense: int, targets: Floats, seed: int, growth: Growth
) -> tuple[Scaling, Fitted]:
    """Ridge for every penalty, and a forest. What is NaN is taken as the ridge of the middle penalty sees it."""
    scaling = scaling_of(features, dense)
    scaled = scaling.of(features)
    linear = fit_ridge(scaled, targets)
    guess = linear[PENALTIES[len(PENALTIES) // 2]].of(scaled)
    filled = np.where(np.isnan(targets), guess, targets)
    return scaling, Fitted(linear, fit_forest(features, dense, filled, seed, growth))


def out_of_fold(
    features: NDArray[np.float32],
    dense: int,
    targets: Floats,
    fold: NDArray[np.int64],
    seed: int,
    growth: Growth,
    progress: Callable[[], None] = lambda: None,
) -> OutOfFold:
    """Scores of each fold by models fitted to the others."""
    linear = {penalty: np.zeros(targets.shape) for penalty in PENALTIES}
    forest = np.zeros(targets.shape)
    for held in np.unique(fold):
        seen, out = fold != held, fold == held
        scaling, fitted = fit_head(features[seen], dense, targets[seen], seed, growth)
        scaled = scaling.of(features[out])
        for penalty, model in fitted.linear.items():
            linear[penalty][out] = model.of(scaled)
        forest[out] = fitted.forest.of(features[out])
        progress()
    return OutOfFold(linear, forest)


def best_blend(scores: OutOfFold, unexplained: Callable[[Floats], float]) -> Blend:
    """The blend whose scores leave least unexplained; the first of equals."""
    best, least = Blend(PENALTIES[0], 0.5), np.inf
    for penalty in PENALTIES:
        for share in SHARES:
            blend = Blend(penalty, share)
            total = unexplained(blend.of(scores))
            if total < least - 1e-12:
                best, least = blend, total
    return best
