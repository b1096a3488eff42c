"""What goes into a decision and what comes out of it: scores of requests, prices and load of strategies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Load", "Prices", "Rule", "Scores", "Terms"]

Floats = NDArray[np.float64]


class Rule(IntEnum):
    """How a strategy is chosen; the compiled engine knows the rules by these numbers."""

    UTILITY = 0
    """The greatest value less cost less lateness."""
    DIFFICULTY = 1
    """The strong strategy where the cheap one is likelier than not to fail: its chance is below a threshold."""
    GAIN = 2
    """The strong strategy where its chance is above the cheap one's by more than a threshold."""
    BANDIT = 3
    """The greatest utility, chances being drawn from what has been seen so far."""


@dataclass(frozen=True)
class Scores:
    """What is expected of n requests with each of A strategies."""

    p_correct: Floats
    """Chance of a right answer, [n, A]."""
    log_tokens: Floats
    """Mean of the logarithm of output tokens, those of all branches together, [n, A]."""
    log_tokens_sd: Floats
    """Standard deviation of that logarithm, [n, A]."""
    prepared: Scores | None = None
    """The same on prepared contexts; None where nothing is known of them."""
    predictability: Floats | None = None
    """How far the context foretells the question, [n]: expected log-probability of the question."""
    expected_questions: Floats | None = None
    """Questions expected on the request's context, [n]."""

    def tokens(self) -> Floats:
        """Expected output tokens, [n, A]: the mean of a lognormal."""
        return np.exp(self.log_tokens + 0.5 * self.log_tokens_sd**2)


@dataclass(frozen=True)
class Prices:
    """What a token of each strategy costs now, [A] each, in USD."""

    usd_per_prompt_token: Floats
    usd_per_output_token: Floats


@dataclass(frozen=True)
class Load:
    """How busy the pools behind the strategies are now, [A] each."""

    wait_s: Floats
    """Seconds until a request that comes now is begun."""
    prompt_s_per_token: Floats
    """Seconds that a token of a prompt takes."""
    tpot_s: Floats
    """Seconds from one output token to the next."""
    path_share: Floats
    """Tokens of the longest branch, stages one after another, as a share of all output tokens."""


@dataclass(frozen=True)
class Terms:
    """Why each of n requests was given its strategy: the terms of every strategy's utility in USD, [n, A] each."""

    value_usd: Floats
    cost_usd: Floats
    """Times the budget's multiplier."""
    lateness_usd: Floats
    p_late: Floats
    e2e_s: Floats
