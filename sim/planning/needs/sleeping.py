"""Contexts prepared ahead, as a plan sees them: how many questions will find one, and what that takes.

An estimate without the dispatcher: a context is prepared if that pays at mean prices, in the hours that `sleep.when`
allows, and in time for a question if a look at the clock and the drafts themselves come before it.
"""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from sim.engine.specs import ApiSpec
from sim.planning.needs.policy import Option
from sim.planning.purchase.instance import Deferrable, Floats
from sim.scenario import ApiPool, Reserved, Scenario
from sim.scenario.contexts import Contexts
from sim.scenario.tariffs import GpuWindows, TokenWindows
from sim.sleep import sleep_pools

__all__ = ["deferrable_of", "open_blocks", "prepared_shares", "sleep_usd_per_request"]

_RANKS: Floats = (np.arange(20) + 0.5) / 20
_OFF_PEAK = "off-peak"


def open_blocks(scenario: Scenario, usd: list[list[Floats]], hours: Floats) -> NDArray[np.bool_]:
    """Blocks in which sleep-time work may run, [H]; `usd` are prices by block and pool, `hours` those of a month."""
    sleep = scenario.sleep
    if sleep is None:
        return np.zeros(len(usd), np.bool_)
    if "always" in sleep.when or "idle" in sleep.when:
        return np.ones(len(usd), np.bool_)
    price = np.array([sum(float(block[pool][-1]) for pool in sleep_pools(scenario)) for block in usd])
    mean = float(price @ hours / max(hours.sum(), 1e-9))
    found: NDArray[np.bool_] = price < mean * (1.0 - 1e-9)
    if not found.any() and any(_names_off_peak(scenario, pool) for pool in sleep_pools(scenario)):
        found = price <= price.min()
    return found


def _names_off_peak(scenario: Scenario, pool: int) -> bool:
    own = scenario.fleet[pool]
    tariff = own.tariff if isinstance(own, ApiPool) else own.offer.tariff
    return isinstance(tariff, GpuWindows | TokenWindows) and tariff.base_name == _OFF_PEAK


def prepared_shares(option: Option, usd: list[list[Floats]], rps: Floats, hours: Floats) -> Floats:
    """Share of each stream's requests on contexts that meet a prepared one, [S]; `rps` is [S, H]."""
    scenario, found = option.scenario, np.zeros(option.shape[0])
    if scenario.sleep is None:
        return found
    is_open = open_blocks(scenario, usd, hours)
    mean_usd = [np.mean([block[pool] for block in usd], axis=0) for pool in range(option.shape[2])]
    for stream, sample in enumerate(option.samples):
        if not sample.has_context.any():
            continue
        requests = rps[stream] * hours
        meets = float(requests @ is_open / max(requests.sum(), 1e-12))
        found[stream] = meets * _in_time(option, stream) * _worth_it(option, stream, mean_usd)
    return found * _affordable(option, found, mean_usd, rps, hours)


def _affordable(option: Option, prepared: Floats, usd: list[Floats], rps: Floats, hours: Floats) -> float:
    """Share of it that the budget of sleep-time work pays for."""
    assert option.scenario.sleep is not None
    budget_usd = option.scenario.sleep.budget_usd_per_day
    if not budget_usd:
        return 1.0 if budget_usd is None else 0.0
    jobs = {stream: _jobs(option, stream, prepared, rps, hours) for stream in np.flatnonzero(prepared).tolist()}
    wanted_usd = sum(number * _job_usd(option, stream, usd) for stream, number in jobs.items())
    return min(1.0, budget_usd * float(hours.sum()) / 24.0 / wanted_usd) if wanted_usd else 1.0


def _in_time(option: Option, stream: int) -> float:
    """Share of questions that come once their context could be prepared."""
    sample, law = option.samples[stream], option.scenario.workload[stream].contexts
    assert option.scenario.sleep is not None
    first = float(np.mean(sample.asked_before[sample.has_context] == 0))
    delay_s = option.scenario.sleep.tick / 2.0 + _drafting_s(option, stream)
    return 1.0 - first * (1.0 - _chance_above(law, delay_s))


def _chance_above(law: Contexts | None, delay_s: float) -> float:
    """Chance that the first question comes later than this after its context."""
    from scipy.special import ndtr

    lead = None if law is None else law.lead
    if lead is None:
        return 0.0
    if (value := getattr(lead, "value", None)) is not None:
        return float(value > delay_s)
    median, sigma = float(getattr(lead, "median", 0.0)), float(getattr(lead, "sigma", 0.0))
    return float(ndtr(np.log(median / delay_s) / sigma)) if median > 0.0 and sigma > 0.0 else float(median > delay_s)


def _drafting_s(option: Option, stream: int) -> float:
    """Time that a draft takes where little else runs."""
    pool = sleep_pools(option.scenario)[0]
    spec, tokens = option.fleet.pools[pool], option.outcomes.sleep_work(stream).draft_tokens
    if isinstance(spec, ApiSpec):
        return spec.ttft_median_s + (0.0 if spec.batch_window_s else tokens / spec.tokens_per_s_median)
    batches = option.batches[pool]
    assert batches is not None
    return float(tokens * batches.step_s(np.array(8.0), option.kv_tokens[pool]))


def _worth_it(option: Option, stream: int, usd: list[Floats]) -> float:
    """Share of contexts whose questions are expected to save enough, by their ranks."""
    sleep, sample = option.scenario.sleep, option.samples[stream]
    assert sleep is not None
    cost_usd = _job_usd(option, stream, usd)
    if sleep.min_saving == 0.0 or cost_usd == 0.0:
        return 1.0
    questions = 1.0 / max(float(np.mean(sample.asked_before[sample.has_context] == 0)), 1e-9)
    strategies = sample.strategies
    saved_usd = np.zeros(_RANKS.size)
    for strategy in strategies:
        pool = option.can[stream, strategy][0]
        tokens = option.outcomes.saved_tokens(stream, strategy, _RANKS)
        saved_usd += tokens * _token_usd(option, pool, usd)[1] / len(strategies)
        better = option.outcomes.gained(stream, strategy, _RANKS)
        saved_usd += better * (option.scenario.workload[stream].usd_per_correct or 0.0) / len(strategies)
    return float(np.mean(questions * saved_usd >= sleep.min_saving * cost_usd))


def _job_usd(option: Option, stream: int, usd: list[Floats]) -> float:
    """What preparing a mean context costs; nothing where the time is paid for anyway and that counts."""
    sleep = option.scenario.sleep
    assert sleep is not None
    pool = sleep_pools(option.scenario)[0]
    own = option.scenario.fleet[pool]
    paid_anyway = not isinstance(own, ApiPool) and (isinstance(own.offer, Reserved) or own.autoscale is None)
    if sleep.cost == "marginal" and paid_anyway:
        return 0.0
    read_usd, write_usd = _token_usd(option, pool, usd)
    tokens, work = _context_tokens(option, stream), option.outcomes.sleep_work(stream)
    prompts = work.drafts if isinstance(own, ApiPool) else 1
    return prompts * tokens * read_usd + work.drafts * work.draft_tokens * write_usd


def _token_usd(option: Option, pool: int, usd: list[Floats]) -> tuple[float, float]:
    """US dollars of a token that is read, and of one that is written, in full batches."""
    batches = option.batches[pool]
    if batches is None:
        return float(usd[pool][0]), float(usd[pool][2])
    usd_per_s = float(usd[pool][0]) / 3600.0
    kv = max(option.kv_tokens[pool], 1.0)
    rows = batches.full_rows(kv)
    read_s = float(batches.whole_prompt_s(np.array([1024.0]))[0]) / 1024.0
    return usd_per_s * read_s, usd_per_s * float(batches.step_s(np.array(float(rows)), kv)) / rows


def _context_tokens(option: Option, stream: int) -> float:
    """Mean tokens of a context: what its later questions have in common."""
    known = option.samples[stream].prefix_tokens[option.samples[stream].asked_before > 0]
    return float(known.mean()) if known.size else 0.0


def deferrable_of(
    option: Option, prepared: Floats, usd: list[list[Floats]], rps: Floats, hours: Floats
) -> Deferrable | None:
    """The work of preparing as many contexts as meet their questions prepared; None where no replica does any."""
    scenario = option.scenario
    if scenario.sleep is None or not prepared.any():
        return None
    hours_of = np.full(option.shape[2], inf)
    for pool in sleep_pools(scenario):
        batches = option.batches[pool]
        if batches is not None:
            per_month = sum(
                _jobs(option, stream, prepared, rps, hours) * _job_s(option, stream, pool)
                for stream in range(len(prepared))
            )
            hours_of[pool] = per_month / 3600.0
    if not np.isfinite(hours_of).any():
        return None
    return Deferrable(hours_of, open_blocks(scenario, usd, hours) & (hours > 0.0))


def sleep_usd_per_request(option: Option, prepared: Floats, usd: list[list[Floats]], hours: Floats) -> Floats:
    """What preparing costs for each request of a stream, [S], where an API does it; 0 where replicas may."""
    found = np.zeros(len(prepared))
    scenario = option.scenario
    if scenario.sleep is None or any(option.batches[pool] is not None for pool in sleep_pools(scenario)):
        return found
    is_open = open_blocks(scenario, usd, hours)
    then = [block for block, may in zip(usd, is_open, strict=True) if may] or usd
    mean_usd = [np.mean([block[pool] for block in then], axis=0) for pool in range(option.shape[2])]
    for stream, sample in enumerate(option.samples):
        if prepared[stream] > 0.0:
            first = float(np.mean((sample.asked_before == 0) & sample.has_context))
            found[stream] = prepared[stream] * first * _job_usd(option, stream, mean_usd)
    return found


def _jobs(option: Option, stream: int, prepared: Floats, rps: Floats, hours: Floats) -> float:
    """Contexts prepared a month."""
    sample = option.samples[stream]
    first = float(np.mean((sample.asked_before == 0) & sample.has_context))
    return float(prepared[stream]) * first * float(rps[stream] @ hours) * 3600.0


def _job_s(option: Option, stream: int, pool: int) -> float:
    """Replica seconds of preparing a mean context, in full batches."""
    batches, work = option.batches[pool], option.outcomes.sleep_work(stream)
    assert batches is not None
    tokens = max(_context_tokens(option, stream), 1.0)
    kv = tokens + work.draft_tokens / 2.0
    rows = batches.full_rows(kv)
    step_s = float(batches.step_s(np.array(float(rows)), kv)) / rows
    return float(batches.whole_prompt_s(np.array([tokens]))[0]) + work.drafts * work.draft_tokens * step_s
