"""Ways of choosing a strategy for each question, from cheap to dear: learned rule, thresholds, fixed, the oracle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from router.evaluation.resampling import Draws
from router.evaluation.table import Integers, Judged
from router.types import Floats

__all__ = ["Sweep", "by_price", "fixed", "mixes", "oracle", "pairs_of", "threshold"]

_SETTINGS = 128
_LEVELS = 129
_SAMPLE = 200_000
"""Pairs of strategies from which the prices of a dollar are taken."""
_EQUAL = 1e-13
"""Worths that differ by less are equal: what is left of them by rounding."""

Score = Literal["difficulty", "gain"]


@dataclass(frozen=True)
class Sweep:
    """One way of choosing at m settings. Between two neighbours stands their random mix, spending what lies between."""

    usd: Floats
    """Spend a question by draw and setting, [1 + draws, m]."""
    right: Floats
    """Share of right answers, [1 + draws, m]."""
    share: Floats
    """Share of the questions that each strategy gets, [m, A]."""


def by_price(table: Judged, draws: Draws) -> Sweep:
    """The learned rule: the strategy of highest `p - mu expected_usd`, mu being the right answers a dollar is worth.

    mu goes from infinity (always the cheapest) to 0 (always the likeliest to be right).
    """
    return _swept(table, draws, table.p, table.expected_usd)


def oracle(table: Judged, draws: Draws) -> Sweep:
    """The same rule with what really comes of each strategy in the place of what is expected: no router does better."""
    return _swept(table, draws, table.correct, table.usd)


def _swept(table: Judged, draws: Draws, worth: Floats, usd: Floats) -> Sweep:
    scale = float(usd.max()) or 1.0
    cost = usd / scale
    choices = []
    for mu in _prices_of_a_dollar(worth, cost):
        value = worth - mu * cost if np.isfinite(mu) else -cost
        second = cost if np.isfinite(mu) else -worth
        # Of equals the cheaper, and of the cheapest the likeliest to be right.
        tied = value >= value.max(axis=1, keepdims=True) - _EQUAL
        choices.append(np.where(tied, second, np.inf).argmin(axis=1))
    return _sweep(table, draws, np.array(choices))


def _prices_of_a_dollar(worth: Floats, usd: Floats) -> Floats:
    """Values of mu between which choices change, evenly over all such changes, from infinity to 0, [m].

    Two strategies a and b of a question change places at `(worth_a - worth_b) / (usd_a - usd_b)`. Half of the values
    are from all such pairs, half from those at which a question leaves its cheapest strategy.
    """
    count = worth.shape[1]
    first, second = np.triu_indices(count, 1)
    every = max(1, worth.shape[0] * first.size // _SAMPLE)
    few, cost = worth[::every], usd[::every]
    pairs = _slopes(few[:, first] - few[:, second], cost[:, first] - cost[:, second])
    rows, cheapest = np.arange(worth.shape[0]), usd.argmin(axis=1)
    leaving = _slopes(worth - worth[rows, cheapest][:, None], usd - usd[rows, cheapest][:, None]).max(axis=1)
    edges = np.unique(np.concatenate([_spread(pairs[pairs > 0.0]), _spread(leaving[leaving > 0.0])]))
    if not edges.size:
        return np.array([np.inf, 0.0])
    between = (edges[1:] + edges[:-1]) / 2.0
    return np.concatenate([[np.inf, 2.0 * edges[-1]], between[::-1], [0.5 * edges[0], 0.0]])


def _slopes(rise: Floats, run: Floats) -> Floats:
    return np.divide(rise, run, out=np.zeros_like(rise), where=run != 0.0)


def _spread(values: Floats) -> Floats:
    """The values themselves where they are few, else their quantiles."""
    distinct = np.unique(values)
    if distinct.size <= _SETTINGS:
        return distinct
    return np.quantile(values, np.linspace(0.0, 1.0, _SETTINGS), method="lower")


def _sweep(table: Judged, draws: Draws, choices: Integers) -> Sweep:
    """What choices [m, n] spend and get right; a setting that chooses as the one before it is left out."""
    changed = np.append(True, (choices[1:] != choices[:-1]).any(axis=1))
    choices = choices[changed]
    rows = np.arange(choices.shape[1])
    strategies = len(table.strategies)
    usd = np.stack([draws.by_group(table.usd[rows, row]) for row in choices], axis=1)
    right = np.stack([draws.by_group(table.correct[rows, row]) for row in choices], axis=1)
    share = np.stack([np.bincount(row, minlength=strategies) for row in choices]) / rows.size
    return _from_groups(draws, usd, right, share)


def _from_groups(draws: Draws, usd: Floats, right: Floats, share: Floats) -> Sweep:
    """A sweep from sums by group and setting, [groups, m]."""
    count = draws.by_group(np.ones(draws.group.size))[:, None]
    sums = draws.sums_of_groups(np.concatenate([count, usd, right], axis=1))
    means = sums[:, 1:] / sums[:, :1]
    return Sweep(means[:, : usd.shape[1]], means[:, usd.shape[1] :], share)


def fixed(table: Judged, draws: Draws) -> Sweep:
    """Always the same strategy; the settings are the strategies in their order, and mean nothing between them."""
    return _from_groups(draws, draws.by_group(table.usd), draws.by_group(table.correct), np.eye(len(table.strategies)))


def mixes(singles: Sweep) -> Sweep:
    """The best random mixes of fixed strategies: the upper hull of their points, from the cheapest to the best.

    Which strategies stand on it is taken from the sample, so the mixes are the best with hindsight.
    """
    places = _hull_places(singles.usd[0], singles.right[0])
    return Sweep(singles.usd[:, places], singles.right[:, places], singles.share[places])


def _hull_places(usd: Floats, right: Floats) -> list[int]:
    """Points on the rising upper hull, from the cheapest (of equals the best) to the best (of equals the cheapest)."""
    places: list[int] = []
    for place in np.lexsort((-right, usd)).tolist():
        if places and right[place] <= right[places[-1]]:
            continue
        while len(places) > 1 and _is_below(places[-2], places[-1], place, usd, right):
            places.pop()
        if places and usd[place] == usd[places[-1]]:
            places.pop()
        places.append(place)
    return places


def _is_below(first: int, middle: int, last: int, usd: Floats, right: Floats) -> bool:
    """Whether the middle point is on or below the line between the others."""
    rise, run = right[last] - right[first], usd[last] - usd[first]
    return bool((right[middle] - right[first]) * run <= rise * (usd[middle] - usd[first]))


def pairs_of(table: Judged) -> list[tuple[int, int]]:
    """Strategies (cheap, strong) of which the second costs more and is better, so that a threshold makes sense."""
    usd, right = table.usd.mean(axis=0), table.correct.mean(axis=0)
    places = range(len(table.strategies))
    return [(a, b) for a in places for b in places if usd[a] < usd[b] and right[a] < right[b]]


def threshold(table: Judged, draws: Draws, cheap: int, strong: int, score: Score) -> Sweep:
    """The strong strategy for the questions above a threshold, which goes through quantiles of the score.

    The score is the cheap strategy's expected difficulty, `1 - p`, or the gain expected of the strong one,
    `p_strong - p_cheap`.
    """
    order, ends = _ordered(_score(table, cheap, strong, score))
    place = np.empty(order.size, np.int64)
    place[order] = np.searchsorted(ends, np.arange(order.size), side="right") - 1
    cells = draws.group * (ends.size - 1) + place
    sums = []
    for values in (table.usd, table.correct):
        base = draws.by_group(values[:, cheap])[:, None]
        change = values[:, strong] - values[:, cheap]
        added = np.bincount(cells, weights=change, minlength=draws.groups * (ends.size - 1))
        risen = np.cumsum(added.reshape(draws.groups, -1), axis=1)
        sums.append(np.concatenate([base, base + risen], axis=1))
    share = np.zeros((ends.size, len(table.strategies)))
    share[:, strong] = ends / order.size
    share[:, cheap] = 1.0 - share[:, strong]
    return _from_groups(draws, sums[0], sums[1], share)


def threshold_points(table: Judged, cheap: int, strong: int, score: Score) -> tuple[Floats, Floats]:
    """Spend and share of right answers at the thresholds, [levels] each, of the sample alone."""
    order, ends = _ordered(_score(table, cheap, strong, score))
    points = []
    for values in (table.usd, table.correct):
        change = (values[:, strong] - values[:, cheap])[order]
        points.append(values[:, cheap].mean() + np.append(0.0, np.cumsum(change))[ends] / order.size)
    return points[0], points[1]


def _score(table: Judged, cheap: int, strong: int, score: Score) -> Floats:
    return -table.p[:, cheap] if score == "difficulty" else table.p[:, strong] - table.p[:, cheap]


def _ordered(score: Floats) -> tuple[Integers, Integers]:
    """Questions from the highest score down, and how many of them are above each threshold; equals stay together."""
    order = np.argsort(-score, kind="stable")
    breaks = np.append(np.flatnonzero(np.diff(score[order]) != 0.0) + 1, order.size)
    wanted = np.linspace(0, order.size, _LEVELS)
    ends = np.unique(breaks[np.minimum(np.searchsorted(breaks, wanted), breaks.size - 1)])
    return order, np.append(0, ends[ends > 0]).astype(np.int64)
