"""Ridge regression of many targets at once: one decomposition for all of them and for every penalty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PENALTIES", "Linear", "Scaling", "fit_ridge", "scaling_of"]

Floats = NDArray[np.float64]

PENALTIES = (10.0, 20.0, 40.0, 160.0)
"""Sums of squares that are tried; rows of hashed n-grams have length 1."""

_REACH = 4.0
_WEIGHT = 0.05
_ROUNDS = 12


@dataclass(frozen=True)
class Scaling:
    """Columns before the hashed ones, brought to spread `_WEIGHT`; what lies further out than 4 spreads is drawn in."""

    middle: NDArray[np.float32]
    scale: NDArray[np.float32]
    reach: float = _REACH * _WEIGHT

    def of(self, features: NDArray[np.float32]) -> Floats:
        """The features as the regression takes them, [n, F]."""
        wide = len(self.middle)
        dense = np.clip((features[:, :wide] - self.middle) * self.scale, -self.reach, self.reach)
        return np.concatenate([dense, features[:, wide:]], axis=1).astype(np.float64)


@dataclass(frozen=True)
class Linear:
    """targets = features @ weights + offset."""

    weights: Floats
    offset: Floats

    def of(self, scaled: Floats) -> Floats:
        """Predicted targets, [n, M]."""
        return scaled @ self.weights + self.offset


def scaling_of(features: NDArray[np.float32], dense: int) -> Scaling:
    """Middle and scale of the first `dense` columns; one that never changes counts nothing."""
    columns = features[:, :dense].astype(np.float64)
    spread = columns.std(axis=0)
    tiny = 1e-9 * (1.0 + np.abs(columns).max(axis=0, initial=0.0))
    scale = np.where(spread > tiny, _WEIGHT / np.maximum(spread, tiny), 0.0)
    return Scaling(columns.mean(axis=0).astype(np.float32), scale.astype(np.float32))


def fit_ridge(scaled: Floats, targets: Floats, penalties: Sequence[float] = PENALTIES) -> dict[float, Linear]:
    """The regression by penalty: least squares of targets [n, M] plus penalty times the squared weights.

    Targets that are NaN are replaced by what the regression itself makes of them, in a few rounds (expectation
    maximisation), so that they pull nowhere. Works on F x F or n x n products, whichever is smaller.
    """
    middle = scaled.mean(axis=0)
    centred = scaled - middle
    tall = len(centred) >= centred.shape[1]
    values, vectors = np.linalg.eigh(centred.T @ centred if tall else centred @ centred.T)
    found = {}
    for penalty in penalties:
        shrunk = 1.0 / (np.maximum(values, 0.0) + penalty)

        def solve(filled: Floats, shrunk: Floats = shrunk) -> Floats:
            if tall:
                return np.asarray(vectors @ (shrunk[:, None] * (vectors.T @ (centred.T @ filled))))
            return np.asarray(centred.T @ (vectors @ (shrunk[:, None] * (vectors.T @ filled))))

        missing = np.isnan(targets)
        offset = np.nanmean(targets, axis=0)
        filled = np.where(missing, offset, targets)
        weights = solve(filled - offset)
        for _ in range(_ROUNDS if missing.any() else 0):
            filled = np.where(missing, centred @ weights + offset, targets)
            offset = filled.mean(axis=0)
            weights = solve(filled - offset)
        found[penalty] = Linear(weights, offset - middle @ weights)
    return found
