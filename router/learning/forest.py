"""Boosted trees that all targets share: each tree splits where it tells most of all targets together.

A leaf holds as many numbers as there are directions, the principal ones of the targets; a matrix turns these into
targets. So the cost of a request does not grow with the number of strategies, and what strategies have in common is
learned from all of them. Splits and leaves minimise squared error, hence differences between strategies (their gain)
are as well estimated as the strategies themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Forest", "Growth", "fit_forest"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Growth:
    """How trees grow."""

    trees: int = 60
    rate: float = 0.1
    depth: int = 4
    features: float = 0.3
    """Share of the columns that a split looks at."""
    rows: float = 0.6
    """Share of the rows that a tree sees."""
    directions: int = 8
    smallest_leaf: int = 20
    leaf_share: float = 0.0125
    """Share of the rows that a leaf holds at least."""


@dataclass(frozen=True)
class Forest:
    """targets = rate * (sum of leaves) @ mixing + offset, on the columns before the hashed ones."""

    trees: tuple[Any, ...]
    """Trees of scikit-learn."""
    rate: float
    mixing: Floats
    """What a direction adds to each target, [directions, M]."""
    offset: Floats
    dense: int

    def of(self, features: NDArray[np.float32]) -> Floats:
        """Predicted targets, [n, M]."""
        dense = np.ascontiguousarray(features[:, : self.dense])
        total = np.zeros((len(features), len(self.mixing)))
        for tree in self.trees:
            total += tree.predict(dense).reshape(len(features), -1)
        return self.rate * total @ self.mixing + self.offset


def fit_forest(features: NDArray[np.float32], dense: int, targets: Floats, seed: int, growth: Growth) -> Forest:
    """Boost squared error of targets [n, M], none of them NaN, from the first `dense` columns."""
    from sklearn.tree import DecisionTreeRegressor

    columns = np.ascontiguousarray(features[:, :dense])
    offset = targets.mean(axis=0)
    centred = targets - offset
    mixing = _directions(centred, growth.directions)
    left = centred @ mixing.T
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    smallest = max(growth.smallest_leaf, int(growth.leaf_share * len(columns)))
    trees = []
    for _ in range(growth.trees):
        seen = np.sort(generator.permutation(len(columns))[: max(int(growth.rows * len(columns)), 1)])
        tree = DecisionTreeRegressor(
            max_depth=growth.depth,
            min_samples_leaf=smallest,
            max_features=growth.features,
            random_state=int(generator.integers(2**31)),
        )
        tree.fit(columns[seen], left[seen])
        left = left - growth.rate * tree.predict(columns).reshape(left.shape)
        trees.append(tree)
    return Forest(tuple(trees), growth.rate, mixing, offset, dense)


def _directions(centred: Floats, most: int) -> Floats:
    """Principal directions of the targets, [directions, M], orthonormal, each with its greatest part positive."""
    values, vectors = np.linalg.eigh(centred.T @ centred)
    order = np.argsort(-values)[:most]
    kept = vectors[:, order[values[order] > 1e-9 * max(values.max(), 1e-300)]].T
    if not len(kept):
        kept = np.eye(1, centred.shape[1])
    signs = np.sign(kept[np.arange(len(kept)), np.abs(kept).argmax(axis=1)])
    return np.asarray(kept * signs[:, None])
