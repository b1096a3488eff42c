"""Which strategies a router that looks at requests takes, at given prices and loads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from router.choose import Estimates, Stakes, Switch, choose
from router.types import Load, Prices, Rule
from sim.engine.specs import RouteSpec
from sim.planning.needs.batches import Batches
from sim.planning.needs.sampling import Sample
from sim.planning.purchase.instance import Floats, Integers

__all__ = ["NOBODY", "Counter", "Offered", "at_api", "at_replica", "chosen"]


class Offered(NamedTuple):
    """What a router sees of the pool that it would send a request to; of prompts a number for all or [J]."""

    usd_per_prompt_token: Floats | float
    usd_per_output_token: float
    wait_s: float
    prompt_s_per_token: Floats | float
    tpot_s: float


Counter = Sequence[Offered]
"""By strategy."""


def at_replica(
    batches: Batches, prompt_tokens: Integers, usd_per_s: float, kv_tokens: float, busy_rows: float, branches: int
) -> Offered:
    """A replica with a share of its places taken, as `sim.engine.loads` describes it."""
    law, most = batches.spec.step_time, batches.spec.max_num_batched_tokens
    places, prompts = batches.full_rows(kv_tokens), prompt_tokens.astype(np.float64)
    whole = law.linear(most) / most
    read_usd = usd_per_s * (whole + law.attention_s_per_pair * 0.5 * prompts)
    write_usd = usd_per_s * float(batches.step_s(np.array(float(places)), kv_tokens)) / places
    rows = min(busy_rows * places + branches, float(places))
    tpot_s = float(batches.step_s(np.array(max(rows, 1.0)), kv_tokens))
    read_s: Floats = batches.whole_prompt_s(prompts) / np.maximum(prompts, 1.0)
    wait_s = law.front_end_s + law.front_end_steps * tpot_s
    return Offered(read_usd, write_usd, wait_s, read_s, tpot_s)


def at_api(rates_usd: Floats, cached_share: float, calls: int, wait_s: float, tpot_s: float) -> Offered:
    """An API at its medians."""
    read_usd = (1.0 - cached_share) * rates_usd[0] + cached_share * rates_usd[1]
    return Offered(float(read_usd * calls), float(rates_usd[2]), wait_s, 0.0, tpot_s)


def chosen(sample: Sample, route: RouteSpec, counter: Counter, variant: int, e2e_slo_s: float) -> Integers:
    """The strategy of each request of a sample, [J]."""
    assert sample.expected is not None
    expected = sample.expected
    p, tokens, path, sd = (np.asarray(column[:, variant]) for column in expected)
    rows, count = p.shape
    prices = Prices(
        np.stack([np.broadcast_to(each.usd_per_prompt_token, rows) for each in counter], axis=1),
        np.array([each.usd_per_output_token for each in counter]),
    )
    load = Load(
        np.array([each.wait_s for each in counter]),
        np.stack([np.broadcast_to(each.prompt_s_per_token, rows) for each in counter], axis=1),
        np.array([each.tpot_s for each in counter]),
        np.ones(count),
    )
    lateness_usd = route.value_usd if route.lateness_usd is None else route.lateness_usd
    slo_s = e2e_slo_s if route.e2e_slo_s is None else route.e2e_slo_s
    stakes = Stakes(value_usd=route.value_usd, lateness_usd=lateness_usd, e2e_slo_s=slo_s, mu=route.mu)
    free = np.isin(np.arange(count), sample.strategies)
    rule = Rule.UTILITY if route.rule == Rule.BANDIT else Rule(route.rule)
    switch = Switch(route.cheap, route.strong, route.threshold) if rule in (Rule.DIFFICULTY, Rule.GAIN) else None
    seen = load if route.load and np.isfinite(slo_s) else None
    found: Integers = choose(
        rule, Estimates(p, tokens, path, sd), sample.prompt_tokens, prices, seen, stakes, available=free, switch=switch
    ).strategy
    return found


NOBODY = Offered(0.0, 0.0, 0.0, 0.0, 0.0)
"""Stands for the pool of a strategy that a stream cannot get."""
