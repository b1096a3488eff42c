"""Prices of tokens by the clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import chain, count
from zoneinfo import ZoneInfo

import numpy as np

from sim.prices.clock import TokenClock
from sim.prices.run import run_of
from sim.prices.shipped import shipped_tokens, tier
from sim.prices.windows import Priced, names, windowed
from sim.scenario.tariffs import NamedTokens, TokenTariff, TokenWindow, TokenWindows

__all__ = ["token_prices", "token_tariff"]

_TOKENS = 1e6


def token_prices(tariff: TokenTariff, start: datetime, zone: ZoneInfo, *, horizon_s: float | None = None) -> TokenClock:
    """US dollars a token of input, cached input and output, from a local start on.

    Windows of one name and different rates get names of their own, so that a window's rates never change.

    Raises:
        InputError: for an unknown tariff or tier, or a run that the tariff is not valid for.
    """
    whole = token_tariff(tariff)
    run = run_of(whole, start, zone, horizon_s)
    priced = _told_apart(whole, _priced(whole))
    table = np.array(list(dict(priced).values()))
    return TokenClock(names(priced), table, whole.bill_by, windowed(whole, whole.windows, priced, run))


def token_tariff(tariff: TokenTariff) -> TokenWindows:
    """The tariff written out: found by its name, its tier looked up, as a multiplier.

    Raises:
        InputError: for an unknown tariff or tier.
    """
    if isinstance(tariff, str):
        return token_tariff(shipped_tokens(tariff))
    if isinstance(tariff, NamedTokens):
        base = token_tariff(shipped_tokens(tariff.name))
        factor = _factor(tariff) * _factor(base)
        return base.model_copy(update={"multiplier": factor, "bill_by": tariff.bill_by or base.bill_by})
    return tariff.model_copy(update={"multiplier": _factor(tariff), "tier": None})


def _factor(tariff: TokenWindows | NamedTokens) -> float:
    if tariff.tier is not None:
        return tier(tariff.tier).multiplier
    return 1.0 if tariff.multiplier is None else tariff.multiplier


def _priced(tariff: TokenWindows) -> list[Priced]:
    windows = [*tariff.windows, TokenWindow(name=tariff.base_name)]
    return [(window.label, _rates(tariff, window)) for window in windows]


def _rates(tariff: TokenWindows, window: TokenWindow) -> tuple[float, float, float]:
    base = tariff.base
    fresh = _given(window.input_usd_per_1m, base.input_usd_per_1m)
    cached = _given(window.cached_input_usd_per_1m, _given(base.cached_input_usd_per_1m, fresh))
    output = _given(window.output_usd_per_1m, base.output_usd_per_1m)
    factor = _factor(tariff) / _TOKENS
    return fresh * factor, cached * factor, output * factor


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _told_apart(tariff: TokenWindows, priced: Sequence[Priced]) -> list[Priced]:
    """The same with longer names where one stands for several rates: told apart by dates, or numbered."""
    rates_of = Counter(name for name, _ in set(priced))
    longer: dict[Priced, str] = {}
    for window, each in zip([*tariff.windows, None], priced, strict=True):
        if each not in longer:
            name = each[0] if rates_of[each[0]] == 1 else _dated(window, each[0])
            longer[each] = _unused(name, set(longer.values()))
    return [(longer[each], each[1]) for each in priced]


def _unused(name: str, used: set[str]) -> str:
    numbered = (f"{name} ({number})" for number in count(2))
    return next(each for each in chain([name], numbered) if each not in used)


def _dated(window: TokenWindow | None, name: str) -> str:
    if window is not None and window.valid_from is not None:
        return f"{name} from {window.valid_from.date()}"
    if window is not None and window.valid_to is not None:
        return f"{name} to {window.valid_to.date()}"
    return name
