"""What answers cost: tokens at a price, or a price an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from router.errors import RouterError
from router.types import Floats

__all__ = ["TokenPrices", "costs"]


@dataclass(frozen=True)
class TokenPrices:
    """Prices by strategy. One without a name of its own has the equal price of all."""

    usd_per_1m: Mapping[str, float] = field(default_factory=dict)
    """Of output tokens."""
    usd_per_1m_prompt: Mapping[str, float] = field(default_factory=dict)
    """Of prompt tokens; 0 where it is not given."""
    usd: Mapping[str, float] = field(default_factory=dict)
    """Of an answer, whatever its tokens."""
    equal_usd_per_1m: float = 1.0

    def check(self, strategies: Sequence[str]) -> None:
        """Refuse prices that are none, and those of strategies that are not there.

        Raises:
            RouterError: for the first such price.
        """
        for option, prices in (
            ("usd-per-1m", self.usd_per_1m),
            ("prompt-usd-per-1m", self.usd_per_1m_prompt),
            ("cost", self.usd),
        ):
            for name, usd in prices.items():
                if name not in strategies:
                    raise RouterError(
                        name, "is no strategy of the table", f"use some of: {', '.join(strategies)}", f"--{option}"
                    )
                if not (np.isfinite(usd) and usd >= 0.0):
                    raise RouterError(usd, "is no price", "give dollars, 0 or more", f"--{option} {name}")


def costs(strategies: Sequence[str], tokens: Floats, prompt_tokens: Floats | None, prices: TokenPrices) -> Floats:
    """What each answer costs in USD, [n, A], from output tokens [n, A] and prompt tokens [n, A].

    NaN where tokens are needed and not known.

    >>> prices = TokenPrices({"think": 4.0}, usd={"direct": 0.001})
    >>> costs(("direct", "think"), np.array([[np.nan, 500.0]]), None, prices).tolist()
    [[0.001, 0.002]]
    """
    usd = np.empty(tokens.shape)
    for place, name in enumerate(strategies):
        if name in prices.usd:
            usd[:, place] = prices.usd[name]
            continue
        usd[:, place] = tokens[:, place] * prices.usd_per_1m.get(name, prices.equal_usd_per_1m) / 1e6
        per_prompt = prices.usd_per_1m_prompt.get(name, 0.0)
        if per_prompt > 0.0:
            if prompt_tokens is None:
                raise RouterError(name, "has a price of prompt tokens, and the table has none", "give prompt_tokens")
            usd[:, place] += prompt_tokens[:, place] * per_prompt / 1e6
    return usd
