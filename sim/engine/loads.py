"""What a strategy costs now, and how busy the replicas behind it are, as far as a request's choice needs to know.

Looked at is the least loaded replica, of the first tier that takes the request, of those for the strategy's first
stage. With `ahead` branches there that are not done, and b = min(ahead + branches, places) of them side by side,

    tpot_s = decode step of b rows with the replica's mean KV tokens of a row
    wait_s = front end + max(ahead + branches - places, 0) * mean output tokens of a branch * tpot_s / places

where places are those in its batch, or as many such rows as its memory holds. A token costs the price of a replica's
second times the seconds that it takes in full batches, as in `throughput.py`; full batches are of branches like those
that the pool has ended so far. An API has its medians, and its rates.
"""

from __future__ import annotations

from math import floor

from sim.engine.balancer import BEFORE_SPILLING, TO_THE_LIMIT, UNTIL_OPEN, load_of, takes, target_of
from sim.engine.jit import inlined, kernel
from sim.engine.state import (
    BLOCK_TOKENS,
    CACHED_INPUT,
    DECODE,
    INPUT,
    NO_LIMIT,
    NONE,
    OUTPUT,
    Records,
    State,
)
from sim.engine.steps import law_segment, linear_s, steps_to_reach

__all__ = ["look_at_loads"]


@kernel
def look_at_loads(s: State, slot: int, now_s: float) -> None:
    """Fill in prices and load of all strategies that a request may get, and which of them are available.

    These are the ones that somebody takes now; where that is none, or load is not looked at, all it may get.
    """
    req = s.requests[slot]
    # What an answer takes of a rate limit is not known yet.
    req.output_tokens = 1
    found = 0
    if s.routes[req.stream].load:
        found = _look(s, req, now_s, 1)
    if found == 0:
        _look(s, req, now_s, 0)


@kernel
def _look(s: State, req: Records, now_s: float, only_takers: int) -> int:
    """Returns how many strategies are available."""
    found = 0
    for a in range(s.choices.size):
        option = s.choices[a]
        option.available = 0
        if s.allowed[req.stream, a] == 0:
            continue
        there = s.choices[s.like[req.stream, a]]
        if s.like[req.stream, a] == a:
            _survey(s, req, there, s.stage_first[a], now_s, only_takers)
        if there.replica != NONE:
            option.available = 1
            found += 1
            _go_on_from(s, option, there, s.ways[a])
    return found


@kernel
def _survey(s: State, req: Records, option: Records, stage: int, now_s: float, only_takers: int) -> None:
    """What holds for every strategy that begins on these replicas."""
    r = _least_loaded(s, req, stage, now_s) if only_takers else _first_of(s, req, stage)
    option.replica = r
    if r == NONE:
        return
    if s.pools[s.replicas[r].pool].is_api:
        _survey_api(s, req, option, s.replicas[r].pool)
    else:
        _survey_replica(s, req, option, r, now_s)


@kernel
def _least_loaded(s: State, req: Records, stage: int, now_s: float) -> int:
    """The least loaded replica that takes the request, of equals the first; NONE if none does."""
    run = s.run[0]
    r = _of_tiers(s, req, stage, now_s, BEFORE_SPILLING)
    if r == NONE and run.spills:
        r = _of_tiers(s, req, stage, now_s, TO_THE_LIMIT)
    if r == NONE and run.holds:
        r = _of_tiers(s, req, stage, now_s, UNTIL_OPEN)
    return r


@inlined
def _of_tiers(s: State, req: Records, stage: int, now_s: float, which: int) -> int:
    target = target_of(s, req, stage)
    best, least = NONE, NO_LIMIT
    for tier in range(s.tier_first[target], s.tier_first[target + 1]):
        for at in range(s.target_first[tier], s.target_first[tier + 1]):
            r = s.target_replica[at]
            load = load_of(s, r, req)
            if load < least and takes(s, r, req, req.prompt_tokens + 1, now_s, which):
                best, least = r, load
        if best != NONE:
            return best
    return best


@kernel
def _first_of(s: State, req: Records, stage: int) -> int:
    """The first replica of the first tier."""
    return s.target_replica[s.target_first[s.tier_first[target_of(s, req, stage)]]]


@kernel
def _survey_api(s: State, req: Records, option: Records, p: int) -> None:
    pool = s.pools[p]
    rates = s.rates_usd[p, pool.window] if s.routes[req.stream].price else s.mean_rates_usd[p]
    option.read_usd = (1.0 - pool.cached_share) * rates[INPUT] + pool.cached_share * rates[CACHED_INPUT]
    option.write_usd = rates[OUTPUT]
    option.read_s = 0.0


@kernel
def _survey_replica(s: State, req: Records, option: Records, r: int, now_s: float) -> None:
    rep = s.replicas[r]
    p = rep.pool
    pool = s.pools[p]
    prompt = req.prompt_tokens
    usd_per_s = rep.usd_per_s if s.routes[req.stream].price else s.mean_usd_per_s[p]
    fresh = 1.0
    if req.context_id != NONE and pool.prompt_tokens > 0:
        fresh -= pool.cached_tokens / pool.prompt_tokens
    whole = pool.max_num_batched_tokens
    pair_s = pool.attention_s_per_pair
    option.read_usd = usd_per_s * fresh * (linear_s(s, p, whole) / whole + pair_s * 0.5 * prompt)
    option.write_usd = usd_per_s * _full_batch_s(s, pool, p, prompt)
    alone_s = linear_s(s, p, prompt) + pair_s * (0.5 * prompt * (prompt + 1)) + pool.slice_s
    option.read_s = fresh * (alone_s / prompt)
    option.mean_tokens = pool.output_tokens / max(pool.branches, 1)
    option.ahead = load_of(s, r, req)
    option.row_kv = _row_kv(rep, prompt, now_s)
    held = floor(pool.capacity_blocks * BLOCK_TOKENS / option.row_kv)
    option.places = max(min(pool.max_num_seqs, held), 1)


@kernel
def _full_batch_s(s: State, pool: Records, p: int, prompt: int) -> float:
    """Seconds of an output token in a full batch of branches as the pool has ended so far; of this prompt if none."""
    mean_prompt, mean_output, each = float(prompt), 0.0, float(prompt)
    if pool.branches > 0:
        mean_prompt = pool.attended_tokens / pool.branches
        mean_output = pool.output_tokens / pool.branches
        each = max((pool.prompt_tokens + 0.5 * pool.output_tokens) / pool.branches, 1.0)
    rows = int(max(min(pool.max_num_seqs, floor(pool.capacity_blocks * BLOCK_TOKENS / each)), 1))
    return _decode_s(s, p, rows, max(mean_prompt + 0.5 * mean_output, 1.0)) / rows


@inlined
def _decode_s(s: State, p: int, rows: int, row_kv: float) -> float:
    """Seconds of a decode step of rows with so many KV tokens each."""
    kv = rows * row_kv
    segment = law_segment(s.kv_edge, p, kv)
    return s.base_s[p, segment, rows] + s.per_kv_s[p, segment, rows] * kv


@inlined
def _row_kv(rep: Records, prompt: int, now_s: float) -> float:
    """Mean KV tokens of the rows there now; where there are none those of the prompt to come."""
    if rep.rows == 0:
        return float(prompt)
    kv = rep.kv_tokens
    if rep.mode == DECODE:
        seen = kv + rep.rows
        n = steps_to_reach(rep.span_start_s, now_s, rep.base_s, rep.per_kv_s, seen, rep.rows, rep.span_steps)
        kv += rep.rows * (n - 1)
    return kv / rep.rows


@inlined
def _go_on_from(s: State, option: Records, there: Records, way: Records) -> None:
    """What depends on the strategy itself, besides what holds `there`: its branches, how often the prompt is read."""
    p = s.replicas[there.replica].pool
    pool = s.pools[p]
    option.usd_per_output_token = there.write_usd
    option.prompt_s_per_token = there.read_s
    if pool.is_api:
        option.usd_per_prompt_token = there.read_usd * way.calls
        option.wait_s = pool.ttft_median_s
        option.tpot_s = 0.0 if pool.batch_window_s > 0.0 else 1.0 / pool.tokens_per_s
        return
    option.usd_per_prompt_token = there.read_usd * way.prompts
    branches = there.ahead + way.branches
    option.tpot_s = _decode_s(s, p, int(min(branches, there.places)), there.row_kv)
    option.wait_s = pool.front_end_s + pool.front_end_steps * option.tpot_s
    if branches > there.places:
        option.wait_s += (branches - there.places) * there.mean_tokens * option.tpot_s / there.places
