"""Accuracy at equal total spend, spend at equal accuracy, share of the oracle's gain, regret: all paired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from router.evaluation.curves import accuracy_at, aiq, hull, spend_at
from router.evaluation.resampling import Draws, Interval, interval
from router.evaluation.table import Judged
from router.evaluation.ways import (
    Score,
    Sweep,
    by_price,
    fixed,
    mixes,
    oracle,
    pairs_of,
    threshold,
    threshold_points,
)
from router.types import Floats

__all__ = ["Comparison", "compared"]

_BUDGETS = 64
"""Spends between the cheapest and the best strategy over which a mean is taken."""
_ON_THE_WAY = (0.25, 0.5, 0.75)
"""Spends between the cheapest and the best fixed strategy."""
_NEARLY = (0.01, 0.02)
"""So much less accuracy than the best fixed strategy's is nearly as much."""
_ROUNDED = 1.0 + 1e-12
"""Sums in another order differ by less."""
_SCORES: tuple[Score, ...] = ("difficulty", "gain")


@dataclass(frozen=True)
class Comparison:
    """All that the ways are compared by."""

    table: Judged
    draws: Draws
    singles: Sweep
    mix: Sweep
    router: Sweep
    oracle: Sweep
    best: int
    """The fixed strategy that the router is held against."""
    cheapest: int
    baseline: Sweep | None = None
    """Another router's rule."""

    def spend_of(self, strategy: int) -> Floats:
        """Spend of a fixed strategy by draw, [1 + draws]."""
        return self.singles.usd[:, strategy]


def compared(
    table: Judged,
    draws: Draws,
    budgets_usd: tuple[float, ...] = (),
    baseline: Judged | None = None,
    best: int | None = None,
) -> dict[str, Any]:
    """The section `routing`: curves, figures at equal spend and at equal accuracy, over all budgets, and AIQ.

    `table` must know every strategy for every question. `budgets_usd` are spends a question to compare at, besides
    those of the fixed strategies that a random mix would use. `best` is the fixed strategy to hold the router against;
    without it that with most right answers, of equals the cheapest.
    """
    singles = fixed(table, draws)
    usd, right = singles.usd[0], singles.right[0]
    best = int(np.lexsort((usd, -right))[0]) if best is None else best
    cheapest = int(np.lexsort((-right, usd))[0])
    other = None if baseline is None else by_price(baseline, draws)
    case = Comparison(
        table, draws, singles, mixes(singles), by_price(table, draws), oracle(table, draws), best, cheapest, other
    )
    thresholds = _Thresholds(table, draws)
    names = table.strategies
    spends = _spends(case, budgets_usd)
    return {
        "questions": int(table.group.size),
        "groups": draws.groups,
        "unit": table.unit,
        "best_single": names[best],
        "cheapest_single": names[cheapest],
        "singles": {
            name: {"usd": interval(singles.usd[:, place]), "accuracy": interval(singles.right[:, place])}
            for place, name in enumerate(names)
        },
        "at_spend": [_at_spend(case, thresholds, name, spend) for name, spend in spends],
        "over_budgets": _over_budgets(case, thresholds),
        "same_accuracy": _same_accuracy(case, thresholds),
        "aiq": _aiq(case),
        "curves": {
            "router": _curve(case.router, names) | {"hull": _hull_of(case.router)},
            "mix of singles": _curve(case.mix, names),
            "oracle": _curve(case.oracle, names),
        },
    }


def _spends(case: Comparison, budgets_usd: tuple[float, ...]) -> list[tuple[str, Floats]]:
    """Spends to compare at by draw, [1 + draws], with their names, from the least to the largest.

    Those on the way from the cheapest strategy to the best one, those of the other strategies that a random mix would
    use, and the budgets. At the cheapest strategy's own spend there is nothing to choose.
    """
    names = case.table.strategies
    low, high = case.spend_of(case.cheapest), case.spend_of(case.best)
    marks = [int(row.argmax()) for row in case.mix.share]
    places = dict.fromkeys((case.best, *marks[1:]))
    spends = [(f"always {names[place]}", case.spend_of(place)) for place in places]
    if high[0] > low[0]:
        spends += [(f"{part:.0%} of the way there", low + part * (high - low)) for part in _ON_THE_WAY]
    spends += [("budget", np.full(low.size, budget)) for budget in budgets_usd]
    return sorted(spends, key=lambda spend: float(spend[1][0]))


class _Thresholds:
    """Thresholds between all pairs of strategies; which pair is best is taken from the sample, so with hindsight."""

    def __init__(self, table: Judged, draws: Draws) -> None:
        self._table, self._draws = table, draws
        self._pairs = pairs_of(table)
        self._points = {
            score: _stacked([threshold_points(table, *pair, score) for pair in self._pairs]) for score in _SCORES
        }
        self._sweeps: dict[tuple[int, int, Score], Sweep] = {}

    def best(self, score: Score, usd: Floats) -> tuple[str, Sweep] | None:
        """The pair with most right answers on average over spends [k], "cheap -> strong", and its sweep.

        A pair whose thresholds cannot spend so little counts as having no right answer there; None where there is no
        pair.
        """
        if not self._pairs:
            return None
        wanted = np.broadcast_to(usd, (len(self._pairs), usd.size))
        right = np.nan_to_num(accuracy_at(self._points[score], wanted)).mean(axis=1)
        cheap, strong = self._pairs[int(right.argmax())]
        key = (cheap, strong, score)
        if key not in self._sweeps:
            self._sweeps[key] = threshold(self._table, self._draws, cheap, strong, score)
        names = self._table.strategies
        return f"{names[cheap]} -> {names[strong]}", self._sweeps[key]


def _stacked(points: list[tuple[Floats, Floats]]) -> Sweep:
    """Sweeps of the sample side by side, one a row; shorter ones stay at their last point."""
    longest = max((usd.size for usd, _ in points), default=0)
    usd, right = (
        np.array([np.pad(point[part], (0, longest - point[part].size), mode="edge") for point in points])
        for part in (0, 1)
    )
    return Sweep(usd, right, np.empty((longest, 0)))


def _rivals(case: Comparison, thresholds: _Thresholds, usd: Floats) -> dict[str, tuple[str | None, Sweep]]:
    """What the router is held against at spends [k], each with the strategies that it is made of."""
    found: dict[str, tuple[str | None, Sweep]] = {"mix of singles": (None, case.mix)}
    for score in _SCORES:
        made = thresholds.best(score, usd)
        if made is not None:
            found[f"threshold on {score}"] = made
    if case.baseline is not None:
        found["baseline"] = (None, case.baseline)
    return found


def _at_spend(case: Comparison, thresholds: _Thresholds, name: str, usd: Floats) -> dict[str, Any]:
    router, upper = accuracy_at(case.router, usd), accuracy_at(case.oracle, usd)
    affordable = case.singles.usd[0] <= usd[0] * _ROUNDED
    single = int(np.where(affordable, case.singles.right[0], -1.0).argmax()) if affordable.any() else None
    rivals = {key: (made, accuracy_at(way, usd)) for key, (made, way) in _rivals(case, thresholds, usd[:1]).items()}
    if single is not None:
        label = case.table.strategies[single]
        rivals = {"best single": (label, case.singles.right[:, single]), **rivals}
    base = rivals["best single"][1] if single is not None else rivals["mix of singles"][1]
    return {
        "spend": name,
        "usd": interval(usd),
        "router": interval(router),
        "rivals": {key: {"of": made, "accuracy": interval(values)} for key, (made, values) in rivals.items()},
        "gain_over": {key: interval(router - values) for key, (_, values) in rivals.items()},
        "oracle": interval(upper),
        "oracle_gain_share": interval(_share(router - base, upper - base)),
        "regret": interval(upper - router),
        "shares": _shares_at(case.router, float(usd[0]), case.table.strategies),
    }


def _share(part: Floats, whole: Floats) -> Floats:
    share: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 1e-12)
    return share


def _shares_at(sweep: Sweep, usd: float, names: tuple[str, ...]) -> dict[str, float]:
    """How much of the questions each strategy gets at a spend, in the sample."""
    at = np.clip(np.searchsorted(sweep.usd[0], usd), 0, sweep.share.shape[0] - 1)
    return {name: float(share) for name, share in zip(names, sweep.share[int(at)], strict=True) if share > 0.0}


def _over_budgets(case: Comparison, thresholds: _Thresholds) -> dict[str, Any] | None:
    """Means over all spends between the cheapest and the best fixed strategy; None where they are the same."""
    low, high = case.spend_of(case.cheapest), case.spend_of(case.best)
    if high[0] <= low[0]:
        return None
    part = (np.arange(_BUDGETS) + 0.5) / _BUDGETS
    usd = low[:, None] + part * (high - low)[:, None]
    router, upper = (_mean_at(way, usd) for way in (case.router, case.oracle))
    each = [interval(values) for values in (_at(case.router, usd) - _at(case.mix, usd)).T]
    rivals = {key: (made, _mean_at(way, usd)) for key, (made, way) in _rivals(case, thresholds, usd[0]).items()}
    base = rivals["mix of singles"][1]
    return {
        "from": case.table.strategies[case.cheapest],
        "to": case.table.strategies[case.best],
        "router": interval(router),
        "rivals": {key: {"of": made, "accuracy": interval(values)} for key, (made, values) in rivals.items()},
        "gain_over": {key: interval(router - values) for key, (_, values) in rivals.items()},
        "oracle": interval(upper),
        "oracle_gain_share": interval(_share(router - base, upper - base)),
        "regret": interval(upper - router),
        "gain_by_budget": {
            "usd": usd[0].tolist(),
            **{end: [point[end] for point in each] for end in ("value", "low", "high")},
        },
    }


def _mean_at(way: Sweep, usd: Floats) -> Floats:
    mean: Floats = _at(way, usd).mean(axis=1)
    return mean


def _at(way: Sweep, usd: Floats) -> Floats:
    """Accuracy at spends [draws, k]; a spend under the cheapest setting counts as that setting."""
    found = accuracy_at(way, usd)
    return np.where(np.isnan(found), way.right[:, :1], found)


def _same_accuracy(case: Comparison, thresholds: _Thresholds) -> dict[str, Any]:
    """What it costs to be right as often as the best fixed strategy, and nearly as often.

    A saving is a share of that strategy's cost. A way that never is right as often costs infinitely much there, so its
    saving has no end.
    """
    right, paid = case.singles.right[:, case.best], case.spend_of(case.best)
    ways: dict[str, tuple[str | None, Sweep]] = {"router": (None, case.router), "oracle": (None, case.oracle)}
    ways |= _rivals(case, thresholds, paid[:1])

    def at(less: float) -> dict[str, Any]:
        found = {}
        for key, (made, way) in ways.items():
            usd = spend_at(way, right - less)
            found[key] = {"of": made, "usd": interval(usd), "saving": interval(1.0 - _ratio(usd, paid))}
        return {"less": less, "ways": found}

    nearly = [at(less) for less in _NEARLY]
    same = {"as": case.table.strategies[case.best], "accuracy": interval(right), "usd": interval(paid)}
    return {**same, **at(0.0), "nearly": nearly}


def _ratio(part: Floats, whole: Floats) -> Floats:
    ratio: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0.0)
    return ratio


def _aiq(case: Comparison) -> dict[str, Interval]:
    """AIQ of the ways, and the router's lead over the mixes of fixed strategies."""
    found = {
        key: aiq(way, case.singles)
        for key, way in (("router", case.router), ("mix of singles", case.mix), ("oracle", case.oracle))
    }
    lead = found["router"] - found["mix of singles"]
    return {key: interval(values) for key, values in found.items()} | {"lead": interval(lead)}


def _curve(sweep: Sweep, names: tuple[str, ...]) -> dict[str, Any]:
    """A curve to draw: spend, accuracy with its band, and shares of the strategies."""
    accuracy = [interval(values) for values in sweep.right.T]
    return {
        "usd": sweep.usd[0].tolist(),
        **{end: [point[end] for point in accuracy] for end in ("value", "low", "high")},
        "shares": {name: sweep.share[:, place].tolist() for place, name in enumerate(names)},
    }


def _hull_of(sweep: Sweep) -> dict[str, list[float]]:
    usd, accuracy = hull(sweep.usd[0], sweep.right[0])
    return {"usd": usd, "value": accuracy}
