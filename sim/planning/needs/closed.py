"""How fast clients ask that wait for their answers: their number over think time and time until the answer."""

from __future__ import annotations

import numpy as np

from sim.engine.specs import ApiSpec
from sim.planning.needs.demand import Demand
from sim.planning.needs.policy import Option
from sim.scenario import Closed
from sim.scenario.choices import strategy_shares

__all__ = ["with_closed"]

_ROUNDS = 30


def with_closed(demand: Demand, option: Option) -> Demand:
    """The demand with a steady rate for closed arrivals, as the scenario's own replicas would answer them.

    Little's law over the clients' circle: rps = clients / (think time + time until the answer), where the answer takes
    the longer the more of them wait at once; found by going round. More or fewer replicas have them ask at another
    rate, which only a simulation knows.
    """
    for index, stream in enumerate(option.scenario.workload):
        if isinstance(stream.arrivals, Closed):
            demand = demand.with_rps(index, _rps(option, index, stream.arrivals))
    return demand


def _rps(option: Option, stream: int, arrivals: Closed) -> float:
    rps = 0.0
    for _ in range(_ROUNDS):
        asked = arrivals.concurrency / max(arrivals.think_time + _answer_s(option, stream, rps), 1e-9)
        rps = (rps + asked) / 2.0
    return rps


def _answer_s(option: Option, stream: int, rps: float) -> float:
    """Mean time until the answer where requests come at this rate, over the strategies they get."""
    shares = strategy_shares(option.scenario, option.scenario.workload[stream])
    strategies = [strategy for strategy, share in enumerate(shares) if share]
    return sum(shares[strategy] * _answer_by_s(option, stream, strategy, rps) for strategy in strategies)


def _answer_by_s(option: Option, stream: int, strategy: int, rps: float) -> float:
    pool = option.can[stream, strategy][0]
    spec, batches = option.fleet.pools[pool], option.batches[pool]
    if isinstance(spec, ApiSpec) or batches is None:
        path = sum(float((each.taken * each.output_tokens).mean()) for each in option.stages(stream, strategy, 0))
        assert isinstance(spec, ApiSpec)
        return spec.ttft_median_s + (0.0 if spec.batch_window_s else path / spec.tokens_per_s_median)
    taken, replicas = option.taken(stream, strategy, pool)[0], max(spec.replicas, 1)
    prompt_s, path = float(taken.prompt_s.mean()), float(taken.path_tokens.mean())
    left = 1.0 - min(rps * prompt_s / replicas, 0.95)
    step_s = float(batches.step_s(np.array(1.0), option.kv_tokens[pool]))
    for _ in range(_ROUNDS):
        rows = rps * float(taken.tokens.mean()) * step_s / left / replicas
        step_s = float(batches.step_s(np.array(max(rows, 1.0)), option.kv_tokens[pool]))
    places = batches.full_rows(option.kv_tokens[pool])
    return prompt_s + path * step_s / left * max(rows / places, 1.0)
