"""What a replay has cost, where the scenario's prices tell it: an API's tokens, or GPUs at a steady price."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from sim.errors import InputError, did_you_mean
from sim.prices import TokenClock, token_prices
from sim.prices.gpus import hourly_price
from sim.scenario import ApiPool, GpuPool, Scenario
from sim.workload.blocks import Floats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cost", "cost_of", "pool_of"]


class Cost(NamedTuple):
    """What a replay has cost."""

    total_usd: float | None
    """None where the scenario does not tell."""
    request_usd: Floats
    """What each request has cost, [n]; NaN where no request has a price of its own."""


def pool_of(scenario: Scenario, name: str | None) -> ApiPool | GpuPool | None:
    """The pool that the server stands for: the one named, else the only one; None where none of several is named.

    Raises:
        InputError: for a name that no pool has.
    """
    pools = {pool.name: pool for pool in scenario.fleet}
    if name is None:
        return scenario.fleet[0] if len(pools) == 1 else None
    if name not in pools:
        raise InputError(name, "is no pool of the scenario", did_you_mean(name, pools))
    return pools[name]


def cost_of(
    scenario: Scenario, pool: ApiPool | GpuPool | None, rows: pd.DataFrame, horizon_s: float, speed: float
) -> Cost:
    """What a replay of `horizon_s` seconds has cost.

    An API bills the tokens of completed requests, at the price of the scenario's clock, which ran `speed` times as
    fast. GPUs are paid for as long as the replay took.
    """
    if isinstance(pool, ApiPool):
        usd = _tokens_usd(scenario, pool, rows, speed)
        return Cost(float(np.nansum(usd)), usd)
    return Cost(_gpus_usd(pool, horizon_s) if pool is not None else None, np.full(len(rows), np.nan))


def _gpus_usd(pool: GpuPool, horizon_s: float) -> float | None:
    if pool.offer.tariff is not None:
        return None
    gpus = pool.replicas * pool.tensor_parallel * pool.data_parallel
    return hourly_price(pool.offer, pool.gpu) * gpus * horizon_s / 3600.0


def _tokens_usd(scenario: Scenario, pool: ApiPool, rows: pd.DataFrame, speed: float) -> Floats:
    clock = token_prices(pool.tariff, scenario.start, ZoneInfo(scenario.time_zone))
    prompt = rows["prompt_tokens"].to_numpy(float)
    cached = rows["cached_tokens"].to_numpy(float, na_value=np.nan)
    cached = np.where(np.isnan(cached), np.floor(pool.cached_share * prompt), cached)
    tokens = np.stack([prompt - cached, cached, rows["output_tokens"].to_numpy(float)], axis=1)
    rates = np.array([clock.at(at_s * speed).rates for at_s in _billed_at_s(clock, rows).tolist()]).reshape(-1, 3)
    done = (rows["status"] == "completed").to_numpy()
    return np.where(done, (tokens * rates).sum(axis=1), 0.0)


def _billed_at_s(clock: TokenClock, rows: pd.DataFrame) -> Floats:
    """The instant that counts of each request; its start is not seen from outside, so it is its arrival."""
    name = "end_s" if clock.bill_by == "completion" else "arrival_s"
    return rows[name].to_numpy(float)
