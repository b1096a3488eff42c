"""What a policy attains at a given spending, between the places of its dial that were run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from sim.policies.trial import Trial
from sim.workload.blocks import Floats

__all__ = ["METRICS", "attained", "hull", "refined"]

METRICS = ("accuracy", "late", "worth_usd")
"""What is compared at equal spending."""

_STEP = 4.0
_FAR = 6
_SAME = 0.02
_LOG_STEP = 1.25
_FEWEST_HALVED = 3


def attained(trials: Sequence[Trial], spend_usd: Floats, metric: str) -> Floats:
    """A metric at a spending, replication by replication, [R]; straight between the two trials around it.

    NaN where even the cheapest trial spends more. Where the dearest one spends less, that one counts: there is nothing
    more to buy.
    """
    spent = np.array([trial.spend_usd for trial in trials])
    values = np.array([getattr(trial, metric) for trial in trials])
    found = np.full(spend_usd.size, np.nan)
    for run in range(spend_usd.size):
        order = np.argsort(spent[:, run], kind="stable")
        found[run] = np.interp(spend_usd[run], spent[order, run], values[order, run], left=np.nan)
        # What is spent alike but for rounding is the same spending.
        if np.isnan(found[run]) and spend_usd[run] >= spent[order[0], run] * (1.0 - 1e-9):
            found[run] = values[order[0], run]
    return found


def hull(trials: Sequence[Trial]) -> list[int]:
    """Places of the trials that no mix of others beats in accuracy at equal mean spending, cheapest first."""
    order = sorted(range(len(trials)), key=lambda at: (trials[at].spend_usd.mean(), -trials[at].accuracy.mean()))
    found: list[int] = []
    for at in order:
        if found and trials[at].accuracy.mean() <= trials[found[-1]].accuracy.mean():
            continue
        while len(found) > 1 and _slope(trials, found[-2], found[-1]) <= _slope(trials, found[-2], at):
            found.pop()
        found.append(at)
    return found


def _slope(trials: Sequence[Trial], one: int, other: int) -> float:
    first, second = trials[one], trials[other]
    return float((second.accuracy.mean() - first.accuracy.mean()) / (second.spend_usd.mean() - first.spend_usd.mean()))


def refined(
    run: Callable[[float], Trial], start: float, limits: tuple[float, float], most: int, *, logarithmic: bool
) -> list[Trial]:
    """Trials of a policy along its dial, spread over what it can spend between two limits; about `most` at most.

    A dial in the logarithm is turned outward from `start` by factors of 4, until spending has left the limits or stands
    still; another one goes from 0 to 1. Then the widest gaps in spending are halved.
    """
    trials = {at: run(at) for at in ([start] if logarithmic else [0.0, 1.0])}
    if logarithmic:
        for factor, end in ((1.0 / _STEP, limits[0]), (_STEP, limits[1])):
            _walk(run, trials, factor, end)
    most = max(most, len(trials) + _FEWEST_HALVED)
    while len(trials) < most and (at := _gap(trials, limits, logarithmic=logarithmic)) is not None:
        trials[at] = run(at)
    return [trials[at] for at in sorted(trials)]


def _walk(run: Callable[[float], Trial], trials: dict[float, Trial], factor: float, end_usd: float) -> None:
    at = max(trials) if factor > 1.0 else min(trials)
    for _ in range(_FAR):
        before = _spend(trials[at])
        if (before >= end_usd) if factor > 1.0 else (before <= end_usd):
            return
        at *= factor
        trials[at] = run(at)
        if abs(_spend(trials[at]) / before - 1.0) < _SAME / 2.0:
            return


def _gap(trials: dict[float, Trial], limits: tuple[float, float], *, logarithmic: bool) -> float | None:
    """Where between two neighbours of the dial spending differs most, within the limits; None where it is close."""
    places = sorted(trials)
    wide = [
        (high / low, at, after)
        for at, after in pairwise(places)
        for low, high in [_within(_spend(trials[at]), _spend(trials[after]), limits)]
        if high > low * _LOG_STEP and after - at > 1e-4 * max(abs(at), abs(after))
    ]
    if not wide:
        return None
    _, at, after = max(wide)
    return float(np.sqrt(at * after)) if logarithmic else (at + after) / 2.0


def _within(one: float, other: float, limits: tuple[float, float]) -> tuple[float, float]:
    low, high = sorted((one, other))
    return max(low, limits[0]), min(high, limits[1])


def _spend(trial: Trial) -> float:
    return float(trial.spend_usd.mean())
