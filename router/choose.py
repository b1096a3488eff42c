"""The rule by which a request gets its strategy, in numpy, and why: for a gateway, and for the engine to agree with.

Of each strategy that may be taken the rule weighs three things in US dollars:

    utility = value_usd * p - mu * cost_usd - lateness_usd * p_late

    cost_usd = prompt_tokens * usd_per_prompt_token + tokens * usd_per_output_token
    e2e_s    = wait_s + prompt_tokens * prompt_s_per_token + path_tokens * tpot_s
    p_late   = Phi(ln(e2e_s / e2e_slo_s) / max(sd, 0.1))

and takes the greatest, the first of equals. A chance that is not known (NaN) is worth nothing. `sim.engine.choose` says
the same in compiled code; a test feeds both the same states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from router.errors import RouterError
from router.types import Floats, Load, Prices, Rule, Scores, Terms

__all__ = [
    "LEAST_SD",
    "Choices",
    "Estimates",
    "Stakes",
    "Switch",
    "choose",
    "estimates_of",
    "explain",
    "normal_cdf",
    "thompson",
    "weigh",
]

LEAST_SD = 0.1
"""However sure the lengths are, the logarithm of the time until the answer has this standard deviation at least."""


@dataclass(frozen=True)
class Estimates:
    """What is expected of n requests with each of A strategies, [n, A] each."""

    p: Floats
    """Chance of a right answer; NaN: not known."""
    tokens: Floats
    """Output tokens of all branches."""
    path_tokens: Floats
    """Of them, those that are written one after another."""
    sd: Floats
    """Standard deviation of the logarithm of the output tokens."""


@dataclass(frozen=True)
class Stakes:
    """What is at stake with each request, a number for all or [n] each."""

    value_usd: ArrayLike
    """Of a right answer."""
    lateness_usd: ArrayLike = 0.0
    """What an answer after its objective costs."""
    e2e_slo_s: ArrayLike = np.inf
    """Time until the answer that is promised; infinite: none."""
    mu: ArrayLike = 1.0
    """The budget's multiplier of costs, at least 1."""


@dataclass(frozen=True)
class Switch:
    """Two strategies and the threshold between them, for the rules DIFFICULTY and GAIN."""

    cheap: int
    strong: int
    threshold: float


@dataclass(frozen=True)
class Choices:
    """What n requests get, and why."""

    strategy: NDArray[np.int64]
    """Index of the strategy, [n]."""
    terms: Terms
    utility_usd: Floats
    """[n, A]; minus infinity where a strategy may not be taken."""


def choose(
    rule: Rule,
    estimates: Estimates,
    prompt_tokens: ArrayLike,
    prices: Prices,
    load: Load | None,
    stakes: Stakes,
    *,
    available: ArrayLike = True,
    switch: Switch | None = None,
) -> Choices:
    """The strategy of each of n requests by a rule, and the terms of every strategy's utility.

    `prompt_tokens` is [n]. The columns of `prices` and `load` are [A], or [n, A] where they differ by request; without
    `load` nobody is late. `available` is [A] or [n, A]: which strategies may be taken. For BANDIT the estimates'
    chances are those of `thompson`. DIFFICULTY and GAIN, which need a `switch`, take the other of their two strategies
    where the one they want is not available.

    Raises:
        RouterError: where no strategy is available to a request, or a rule lacks its switch.
    """
    terms = weigh(estimates, prompt_tokens, prices, load, stakes)
    free = np.broadcast_to(np.asarray(available, bool), estimates.p.shape)
    if not free.any(axis=1).all():
        raise RouterError("a request", "has no strategy that it may get", "make one available to each request")
    utility_usd = np.where(free, terms.value_usd - terms.cost_usd - terms.lateness_usd, -np.inf)
    strategy = np.argmax(utility_usd, axis=1).astype(np.int64)
    if rule in (Rule.DIFFICULTY, Rule.GAIN):
        strategy = _switched(rule, estimates.p, switch, free, strategy)
    return Choices(strategy, terms, utility_usd)


def weigh(estimates: Estimates, prompt_tokens: ArrayLike, prices: Prices, load: Load | None, stakes: Stakes) -> Terms:
    """The terms of every strategy's utility, [n, A] each; arguments as for `choose`.

    Without `load` the times until the answers are not known (NaN).
    """
    prompt = np.asarray(prompt_tokens, np.float64)[:, np.newaxis]
    cost_usd = prompt * prices.usd_per_prompt_token + estimates.tokens * prices.usd_per_output_token
    e2e_s = np.full(estimates.p.shape, np.nan)
    p_late = np.zeros(estimates.p.shape)
    if load is not None:
        e2e_s = load.wait_s + prompt * load.prompt_s_per_token + estimates.path_tokens * load.tpot_s
        slo_s = _column(stakes.e2e_slo_s)
        with np.errstate(divide="ignore"):
            p_late = normal_cdf(np.log(e2e_s / slo_s) / np.maximum(estimates.sd, LEAST_SD))
    return Terms(
        value_usd=_column(stakes.value_usd) * np.nan_to_num(estimates.p),
        cost_usd=_column(stakes.mu) * cost_usd,
        lateness_usd=_column(stakes.lateness_usd) * p_late,
        p_late=p_late,
        e2e_s=e2e_s,
    )


def _column(number: ArrayLike) -> Floats:
    """A number for all requests, or one of each, so that it goes with [n, A]."""
    return np.asarray(number, np.float64)[..., np.newaxis]


def _switched(
    rule: Rule, p: Floats, switch: Switch | None, free: NDArray[np.bool_], otherwise: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The strong strategy or the cheap one, the other where that is not available, `otherwise` where neither is."""
    if switch is None:
        raise RouterError(rule.name.lower(), "has no cheap and strong strategy", "give both, and a threshold")
    cheap, strong = p[:, switch.cheap], p[:, switch.strong]
    is_strong = cheap < switch.threshold if rule == Rule.DIFFICULTY else strong - cheap > switch.threshold
    wanted = np.where(is_strong, switch.strong, switch.cheap)
    other = np.where(is_strong, switch.cheap, switch.strong)
    rows = np.arange(p.shape[0])
    found = np.where(free[rows, wanted], wanted, np.where(free[rows, other], other, otherwise))
    return found.astype(np.int64)


def estimates_of(scores: Scores, path_share: ArrayLike = 1.0) -> Estimates:
    """What scores say of n requests; `path_share`, [A], of the output tokens is written one after another."""
    tokens = scores.tokens()
    return Estimates(scores.p_correct, tokens, tokens * np.asarray(path_share), scores.log_tokens_sd)


def thompson(right: ArrayLike, wrong: ArrayLike, normals: ArrayLike) -> Floats:
    """Chances drawn from what has been seen: from Beta(1 + right, 1 + wrong), taken as normal and kept to [0, 1].

    All of one shape; `normals` are independent standard normal numbers. Thompson (1933); the mean of Beta(a, b) is
    m = a / (a + b), its variance m (1 - m) / (a + b + 1).

    >>> thompson([8.0], [0.0], [0.0]).round(3).tolist()
    [0.9]
    """
    a, b = 1.0 + np.asarray(right, np.float64), 1.0 + np.asarray(wrong, np.float64)
    mean = a / (a + b)
    drawn = mean + np.asarray(normals) * np.sqrt(mean * (1.0 - mean) / (a + b + 1.0))
    kept: Floats = np.clip(drawn, 0.0, 1.0)
    return kept


def normal_cdf(x: Floats) -> Floats:
    """Phi to 7.5e-8 (Abramowitz and Stegun 1964, 26.2.17): numpy has no error function, and the engine does the same.

    >>> normal_cdf(np.array([-np.inf, 0.0, 1.96])).round(5).tolist()
    [0.0, 0.5, 0.975]
    """
    size = np.minimum(np.abs(x), 40.0)
    t = 1.0 / (1.0 + 0.2316419 * size)
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail: Floats = 0.3989422804014327 * np.exp(-0.5 * size * size) * series
    return np.where(x < 0.0, tail, 1.0 - tail)


def explain(choices: Choices, request: int, strategies: list[str]) -> str:
    """One line on why a request got its strategy, beside the best of the others."""
    chosen = int(choices.strategy[request])
    utility_usd = choices.utility_usd[request]
    line = f"{strategies[chosen]}: {_sum(choices, request, chosen)}"
    others = [a for a in np.argsort(-utility_usd, kind="stable") if a != chosen and np.isfinite(utility_usd[a])]
    if not others:
        return f"{line}; no other could be taken"
    return f"{line}; next {strategies[others[0]]}: {_sum(choices, request, int(others[0]))}"


def _sum(choices: Choices, request: int, strategy: int) -> str:
    terms, at = choices.terms, (request, strategy)
    parts = f"{terms.value_usd[at]:.3g} value - {terms.cost_usd[at]:.3g} cost - {terms.lateness_usd[at]:.3g} lateness"
    return f"{choices.utility_usd[at]:.3g} USD = {parts}"
