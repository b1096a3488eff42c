"""Who pays for what: the bill shared out among streams, strategies and classes, and among kinds of tokens.

The ledger says what each request used. The rest (idle time, starting, electricity ...) is shared out in proportion to
that, pool by pool; what a pool costs that nobody used is borne by all.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    """All dollars by stream, strategy and class, [S, A, C]; they sum to the bill unless nothing was used at all."""
    used = charges.used_usd.sum(axis=(4, 5))
    usd: NDArray[np.float64] = _spread(used, pool_usd(charges)).sum(axis=0)
    return usd


def token_kinds_usd(charges: Charges, is_api: Sequence[bool]) -> NDArray[np.float64]:
    """All dollars by kind of token they were spent on: fresh prompt tokens, cached ones, output tokens, [3].

    An API's bill says so itself. A GPU's work is for prompts or for output, a step's prompts paying for what they add
    to it; tokens found in a cache cost nothing there.
    """
    kinds = charges.token_usd.sum(axis=1)
    prompt_usd = charges.prompt_usd.sum(axis=1)
    work_usd = charges.used_usd.sum(axis=(1, 2, 3, 4, 5))
    gpu = ~np.asarray(is_api, dtype=bool)
    kinds[gpu, st.INPUT] = prompt_usd[gpu]
    kinds[gpu, st.OUTPUT] = np.maximum(work_usd - prompt_usd, 0.0)[gpu]
    usd: NDArray[np.float64] = _spread(kinds, pool_usd(charges)).sum(axis=0)
    return usd


def _spread(direct: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """`direct` [P, ...] scaled so that each pool comes to its total [P]; a pool without any goes to all."""
    axes = tuple(range(1, direct.ndim))
    sums = direct.sum(axis=axes)
    used = sums > 0.0
    factors = np.where(used, total / np.where(used, sums, 1.0), 0.0)
    spread = direct * factors.reshape((-1, *(1 for _ in axes)))
    left, whole = float(total[~used].sum()), float(spread.sum())
    return spread * (1.0 + left / whole) if whole else spread
