"""How good held-out chances are: AUC, calibration error, Brier score, and whether routing between two pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.learning.targets import Layout

__all__ = ["apgr", "auc", "brier", "calibration_error", "figures_of"]

Floats = NDArray[np.float64]

_BINS = 15
_DRAWS = 200


def auc(chance: Floats, share: Floats) -> float:
    """Chance that a right answer scores above a wrong one, ties counting half. Shares count as both; NaN if one class.

    >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([0.0, 0.0, 1.0, 1.0]))
    0.875
    """
    order = np.argsort(chance, kind="stable")
    values, right = chance[order], share[order]
    first = np.append(True, values[1:] != values[:-1])
    tie = np.cumsum(first) - 1
    good, bad = np.bincount(tie, right), np.bincount(tie, 1.0 - right)
    pairs = good.sum() * bad.sum()
    return float((good * (np.cumsum(bad) - 0.5 * bad)).sum() / pairs) if pairs > 0 else float("nan")


def calibration_error(chance: Floats, share: Floats, *, equal_mass: bool = False) -> float:
    """Mean distance between chance and share in 15 bins of equal width, or of equal numbers of rows, by their rows."""
    if equal_mass:
        place = np.empty(len(chance), np.int64)
        place[np.argsort(chance, kind="stable")] = np.arange(len(chance)) * _BINS // len(chance)
    else:
        place = np.minimum((chance * _BINS).astype(np.int64), _BINS - 1)
    return float(np.abs(np.bincount(place, chance - share, _BINS)).sum() / len(chance))


def brier(chance: Floats, share: Floats) -> float:
    """Mean squared distance between chance and share."""
    return float(np.mean((chance - share) ** 2))


def apgr(score: Floats, weak: Floats, strong: Floats) -> float:
    """Area under the recovered gap over the share of calls to the strong model, the highest scores first (RouteLLM).

    By chance it is 0.5. Rows of equal score go over together. NaN where the two are equally often right.

    >>> round(apgr(np.array([3.0, 2.0, 1.0]), np.array([0.0, 1.0, 1.0]), np.array([1.0, 1.0, 1.0])), 4)
    0.8333
    """
    order = np.argsort(-score, kind="stable")
    values, gain = score[order], (strong - weak)[order]
    last = np.append(values[1:] != values[:-1], True)
    calls = np.append(0.0, np.flatnonzero(last) + 1.0) / len(score)
    recovered = np.append(0.0, np.cumsum(gain)[last])
    if abs(recovered[-1]) < 1e-12:
        return float("nan")
    return float(np.trapezoid(recovered / recovered[-1], calls))


def figures_of(layout: Layout, chances: Floats, shares: Floats, blocks: NDArray[np.int64], seed: int) -> dict[str, Any]:
    """Figures by strategy, with 95 % intervals from resampled blocks, and of routing from the weakest to the best."""
    found: dict[str, Any] = {"by_strategy": {}}
    for column in range(layout.columns):
        known = ~np.isnan(shares[:, column])
        chance, share, block = chances[known, column], shares[known, column], blocks[known]
        of: dict[str, Callable[[NDArray[np.int64]], float]] = {
            "auc": lambda rows, chance=chance, share=share: auc(chance[rows], share[rows]),  # type: ignore[misc]
            "ece": lambda rows, chance=chance, share=share: calibration_error(chance[rows], share[rows]),  # type: ignore[misc]
            "brier": lambda rows, chance=chance, share=share: brier(chance[rows], share[rows]),  # type: ignore[misc]
        }
        figures: dict[str, Any] = {"accuracy": float(share.mean()), "questions": int(known.sum())}
        for name, measure in of.items():
            figures[name] = measure(np.arange(len(share)))
            figures[f"{name}_interval"] = interval(measure, block, seed)
        figures["ece_equal_mass"] = calibration_error(chance, share, equal_mass=True)
        found["by_strategy"][layout.name_of(column)] = figures
    first = len(layout.strategies)
    if first > 1:
        found["routing"] = _routing(layout, chances[:, :first], shares[:, :first], blocks, seed)
    return found


def _routing(layout: Layout, chances: Floats, shares: Floats, blocks: NDArray[np.int64], seed: int) -> dict[str, Any]:
    mean = np.nanmean(shares, axis=0)
    weak, strong = int(mean.argmin()), int(mean.argmax())
    known = ~np.isnan(shares[:, weak]) & ~np.isnan(shares[:, strong])
    low, high, block = shares[known, weak], shares[known, strong], blocks[known]
    scores = {"gain": (chances[:, strong] - chances[:, weak])[known], "difficulty": 1.0 - chances[known, weak]}
    found: dict[str, Any] = {"weak": layout.strategies[weak], "strong": layout.strategies[strong]}
    for name, score in scores.items():
        found[f"apgr_{name}"] = apgr(score, low, high)
        found[f"apgr_{name}_interval"] = interval(
            lambda rows, score=score: apgr(score[rows], low[rows], high[rows]),  # type: ignore[misc]
            block,
            seed,
        )
    better = max(scores, key=lambda name: found[f"apgr_{name}"])
    found["ranking"] = better
    found["verdict"] = "pays" if found[f"apgr_{better}_interval"][0] > 0.5 else "does not pay"
    return found


def interval(measure: Callable[[NDArray[np.int64]], float], blocks: NDArray[np.int64], seed: int) -> list[float]:
    """95 % of the measure over blocks drawn with replacement."""
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,)))
    _, code = np.unique(blocks, return_inverse=True)
    order = np.argsort(code, kind="stable")
    size = np.bincount(code)
    start = np.cumsum(size) - size
    drawn = []
    for _ in range(_DRAWS):
        chosen = generator.integers(len(size), size=len(size))
        count = size[chosen]
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        drawn.append(measure(order[np.repeat(start[chosen], count) + within]))
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return [float(low), float(high)]
