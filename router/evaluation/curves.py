"""What a sweep is worth: accuracy at a spend, spend at an accuracy, and its area.

All take the draws side by side: spend and accuracy are [draws, m], in the order of the sweep.
"""

from __future__ import annotations

import numpy as np

from router.evaluation.ways import Sweep
from router.types import Floats

_ROUNDED = 1.0 + 1e-12
"""Sums in another order differ by less."""

__all__ = ["accuracy_at", "aiq", "hull", "spend_at"]


def accuracy_at(sweep: Sweep, usd: Floats) -> Floats:
    """Share of right answers at spends [draws], or [draws, k]: that of the mix of two neighbours which spends just so.

    Who spends more than the dearest setting has that setting and money left. Where several neighbours enclose a spend,
    as a sweep may turn back, the best of their mixes counts. NaN below the cheapest.

    >>> sweep = Sweep(np.array([[1.0, 3.0]]), np.array([[0.2, 0.6]]), np.eye(2))
    >>> accuracy_at(sweep, np.array([[0.5, 1.0, 2.0, 9.0]])).tolist()
    [[nan, 0.2, 0.4, 0.6]]
    """
    wanted = usd.reshape(usd.shape[0], -1)
    found = np.full(wanted.shape, np.nan)
    last = sweep.usd.shape[1] - 1
    dearest = sweep.usd.argmax(axis=1)
    rows = np.arange(wanted.shape[0])
    for place in range(last):
        first, second = sweep.usd[:, place, None], sweep.usd[:, place + 1, None]
        low, high = np.minimum(first, second), np.maximum(first, second)
        inside = (low <= wanted * _ROUNDED) & (wanted <= high * _ROUNDED)
        if inside.any():
            run = np.divide(wanted - first, second - first, out=np.ones_like(wanted), where=high > low)
            rise = sweep.right[:, place + 1, None] - sweep.right[:, place, None]
            mixed = sweep.right[:, place, None] + np.clip(run, 0.0, 1.0) * rise
            found = np.where(inside, np.fmax(found, mixed), found)
    beyond = wanted * _ROUNDED >= sweep.usd[rows, dearest][:, None]
    found = np.where(beyond, np.fmax(found, sweep.right[rows, dearest][:, None]), found)
    accuracy: Floats = found.reshape(usd.shape)
    return accuracy


def spend_at(sweep: Sweep, right: Floats) -> Floats:
    """Least spend of the sweep that has so many right answers, [draws]; infinite where it never has.

    >>> sweep = Sweep(np.array([[1.0, 3.0]]), np.array([[0.2, 0.6]]), np.eye(2))
    >>> spend_at(sweep, np.array([0.5])).round(12).tolist(), spend_at(sweep, np.array([0.7])).tolist()
    ([2.5], [inf])
    """
    spend = np.where(sweep.right >= right[:, None], sweep.usd, np.inf).min(axis=1)
    low, high = sweep.right[:, :-1], sweep.right[:, 1:]
    wanted = right[:, None]
    crosses = (np.minimum(low, high) < wanted) & (wanted <= np.maximum(low, high))
    run = np.divide(wanted - low, high - low, out=np.zeros_like(low), where=high != low)
    at = np.where(crosses, sweep.usd[:, :-1] + run * np.diff(sweep.usd, axis=1), np.inf)
    least: Floats = np.minimum(spend, at.min(axis=1, initial=np.inf))
    return least


def hull(usd: Floats, right: Floats) -> tuple[list[float], list[float]]:
    """The upper hull of points [m] that never falls (RouterBench, Hu et al. 2024, arXiv 2403.12031, section 3.2).

    >>> hull(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.2, 0.6, 0.5]))
    ([1.0, 3.0], [0.0, 0.6])
    """
    xs: list[float] = []
    ys: list[float] = []
    for x, y in sorted(zip(usd.tolist(), right.tolist(), strict=True), key=lambda point: (point[0], -point[1])):
        if ys and y <= ys[-1]:
            continue
        while len(xs) > 1 and (ys[-1] - ys[-2]) * (x - xs[-2]) <= (y - ys[-2]) * (xs[-1] - xs[-2]):
            xs.pop()
            ys.pop()
        if xs and x == xs[-1]:
            xs.pop()
            ys.pop()
        xs.append(x)
        ys.append(y)
    return xs, ys


def aiq(sweep: Sweep, singles: Sweep) -> Floats:
    """Average improvement in quality, [draws]: mean height of a sweep's hull from the cheapest to the dearest strategy.

    `1 / (c_max - c_min)  integral of R(c) dc`, R being the hull that never falls (RouterBench, section 3.2). Every way
    may always call the cheapest strategy, so that all have the same range. NaN where all strategies cost the same.
    """
    found = np.full(sweep.usd.shape[0], np.nan)
    for draw, (usd, right) in enumerate(zip(sweep.usd, sweep.right, strict=True)):
        cheapest = int(singles.usd[draw].argmin())
        low, high = float(singles.usd[draw, cheapest]), float(singles.usd[draw].max())
        if high > low:
            xs, ys = hull(np.append(usd, low), np.append(right, singles.right[draw, cheapest]))
            found[draw] = _area(xs, ys, low, high) / (high - low)
    return found


def _area(xs: list[float], ys: list[float], low: float, high: float) -> float:
    """Area under points joined by lines, flat beyond its ends, from low to high."""
    at = np.unique(np.clip([low, *xs, high], low, high))
    heights = np.interp(at, xs, ys)
    return float(0.5 * ((heights[1:] + heights[:-1]) * np.diff(at)).sum())
