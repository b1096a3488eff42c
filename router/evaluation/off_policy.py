"""What a policy would earn, from a log of another one that chose by chance with known chances.

Row i of the log has a question x_i, the strategy a_i that it was given with chance e_i (its propensity), and what came
of it, r_i. The policy pi would give it a_i with chance pi(a_i | x_i), so the row counts `w_i = pi(a_i | x_i) / e_i`
times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from router.errors import RouterError
from router.evaluation.resampling import Draws, interval
from router.evaluation.table import Integers
from router.types import Floats

__all__ = ["Log", "off_policy"]

_LEAST_SAMPLE = 30.0
"""Effective rows below which no estimate is given: its interval would mean nothing."""
_FAR_OFF = 4.0
"""Standard errors by which the mean weight may be off 1."""


@dataclass(frozen=True)
class Log:
    """n rows of a log, with A strategies."""

    strategies: tuple[str, ...]
    chosen: Integers
    """The strategy that each row was given, [n]."""
    propensity: Floats
    """The chance with which it was, [n]."""
    reward: Floats
    """What came of it, [n]: 1 for a right answer, or any other figure, such as value less cost."""
    group: Integers
    """Group of each row, [n]."""


def off_policy(
    log: Log, target: Floats, model: Floats, *, draws: int = 500, seed: int = 0, least_sample: float = _LEAST_SAMPLE
) -> dict[str, Any]:
    """Mean reward of a policy by three estimators, with intervals, and the effective sample size.

    `target` are the policy's chances of each strategy, [n, A]; `model` what reward is expected of each, [n, A].
    - IPS: `mean of w r` (Horvitz and Thompson 1952). Right on average, and wild where w is large.
    - self-normalised: `sum of w r / sum of w` (Swaminathan and Joachims 2015). A little biased, far calmer.
    - doubly robust: `mean of (sum over a of pi(a) q(a)) + w (r - q(a_i))`, q being the model (Dudik, Langford and Li
      2011, arXiv 1103.4601). Right where either the propensities or the model are.
    The effective sample size is `(sum of w)^2 / sum of w^2` (Kong 1992).

    Raises:
        RouterError: for propensities outside (0, 1], for a strategy that the policy chooses and the log never did, for
            an effective sample of less than `least_sample` rows, and where the mean weight, 1 on average, is so far
            from 1 that the propensities cannot be those the log was made with.
    """
    _check(log, target)
    rows = np.arange(log.chosen.size)
    weight = target[rows, log.chosen] / log.propensity
    sample = _effective(weight)
    if sample < least_sample:
        rule = f"are too few effective rows (of {weight.size}) for an estimate"
        raise RouterError(f"{sample:.1f}", rule, f"log more, with chances nearer to the policy's; {least_sample:g} do")
    _check_mean(weight)
    expected = (target * np.where(target > 0.0, model, 0.0)).sum(axis=1)
    robust = expected + weight * (log.reward - model[rows, log.chosen])
    values = np.stack([weight * log.reward, weight, robust, expected, log.reward], axis=1)
    means = Draws(log.group, draws, seed).means(values)
    calm = np.divide(means[:, 0], means[:, 1], out=np.full(means.shape[0], np.nan), where=means[:, 1] > 0.0)
    return {
        "rows": int(weight.size),
        "logged": interval(means[:, 4]),
        "ips": interval(means[:, 0]),
        "self_normalised": interval(calm),
        "doubly_robust": interval(means[:, 2]),
        "gain": interval(means[:, 2] - means[:, 4]),
        "model_alone": interval(means[:, 3]),
        "effective_rows": float(sample),
        "effective_share": float(sample / weight.size),
        "largest_weight": float(weight.max()),
        "mean_weight": interval(means[:, 1]),
    }


def _effective(weight: Floats) -> float:
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0.0 else 0.0


def _check(log: Log, target: Floats) -> None:
    wrong = np.flatnonzero(~((log.propensity > 0.0) & (log.propensity <= 1.0)))
    if wrong.size:
        rule = "must be above 0 and at most 1"
        raise RouterError(f"{log.propensity[wrong[0]]:g}", rule, "give the chance of the choice", f"row {wrong[0] + 1}")
    if not np.allclose(target.sum(axis=1), 1.0, atol=1e-6):
        raise RouterError(f"{target.sum(axis=1).max():g}", "is no sum of chances", "give chances that add up to 1")
    logged = np.bincount(log.chosen, minlength=len(log.strategies)) > 0
    lacking = np.flatnonzero((target.max(axis=0) > 0.0) & ~logged)
    if lacking.size:
        place = int(lacking[0])
        rule = f"is chosen for {target[:, place].mean():.1%} of the rows, and the log never gave it"
        raise RouterError(log.strategies[place], rule, "log it with some chance, or leave it out with --strategies")


def _check_mean(weight: Floats) -> None:
    """E[w] = sum over a of e(a) pi(a) / e(a) = 1 where every strategy that pi chooses had a chance in every row."""
    error = float(weight.std(ddof=1)) / np.sqrt(weight.size) if weight.size > 1 else np.inf
    mean = float(weight.mean())
    if abs(mean - 1.0) > _FAR_OFF * error + 1e-9:
        rule = f"is the mean weight, {abs(mean - 1.0) / max(error, 1e-12):.0f} standard errors from 1"
        remedy = "check the propensities: some choices of the policy had no chance in the log, or others than it says"
        raise RouterError(f"{mean:.3f}", rule, remedy)
