"""Who pays for what: the bill shared out among streams, strategies and classes, and among kinds of tokens.

The ledger says what each request used. The rest (idle time, starting, electricity ...) is shared out in proportion to
that, pool by pool; what a pool costs that nobody used is borne by all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.engine import state as st
from sim.ledger import Charges

__all__ = ["allocated_usd", "pool_usd", "token_kinds_usd"]


def pool_usd(charges: Charges) -> NDArray[np.float64]:
    """All dollars of each pool, [P]."""
    usd: NDArray[np.float64] = charges.used_usd.sum(axis=(1, 2, 3, 4, 5)) + charges.unused_usd.sum(axis=(1, 2))
    for entry in charges.entries:
        usd[entry.pool] += entry.usd
    return usd


def allocated_usd(charges: Charges) -> NDArray[np.float64]:
    """All dollars by stream, strategy and class, [S, A, C]; they sum to the bill unless nothing was used at all.

    The cost of GPUs that are free by the hour (their electricity, say) is shared out by the output tokens of answers.
    """
    used = charges.used_usd.sum(axis=(4, 5))
    weights = _or_else(used, charges.answered_tokens)
    usd: NDArray[np.float64] = _spread(weights, pool_usd(charges)).sum(axis=0)
    return usd


def token_kinds_usd(charges: Charges, is_api: Sequence[bool]) -> NDArray[np.float64]:
    """All dollars by kind of token they were spent on: fresh prompt tokens, cached ones, output tokens, [3].

    An API's bill says so itself. A GPU's work is for prompts or for output, a step's prompts paying for what they add
    to it; tokens found in a cache cost nothing there.
    """
    kinds, seconds = charges.token_usd.sum(axis=1), np.zeros((len(is_api), 3))
    work_usd = charges.used_usd.sum(axis=(1, 2, 3, 5))
    prompt_share = charges.prompt_s / np.where(charges.work_s > 0.0, charges.work_s, 1.0)
    gpu = ~np.asarray(is_api, dtype=bool)
    kinds[gpu, st.INPUT] = (work_usd * prompt_share).sum(axis=1)[gpu]
    kinds[gpu, st.OUTPUT] = (work_usd * (1.0 - prompt_share)).sum(axis=1)[gpu]
    seconds[:, st.INPUT] = charges.prompt_s.sum(axis=1)
    seconds[:, st.OUTPUT] = (charges.work_s - charges.prompt_s).sum(axis=1)
    usd: NDArray[np.float64] = _spread(_or_else(kinds, seconds), pool_usd(charges)).sum(axis=0)
    return usd


def _or_else(usd: NDArray[np.float64], others: NDArray[Any]) -> NDArray[np.float64]:
    """Weights of what each pool's total is shared out by: dollars [P, ...], or the others where a pool has none."""
    axes = tuple(range(1, usd.ndim))
    none = (usd.sum(axis=axes) == 0.0).reshape((-1, *(1 for _ in axes)))
    return np.where(none, others, usd)


def _spread(direct: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """`direct` [P, ...] scaled so that each pool comes to its total [P]; a pool without any goes to all."""
    axes = tuple(range(1, direct.ndim))
    sums = direct.sum(axis=axes)
    used = sums > 0.0
    factors = np.where(used, total / np.where(used, sums, 1.0), 0.0)
    spread = direct * factors.reshape((-1, *(1 for _ in axes)))
    left, whole = float(total[~used].sum()), float(spread.sum())
    return spread * (1.0 + left / whole) if whole else spread
