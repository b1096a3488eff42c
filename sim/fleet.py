"""From a scenario's pools, streams and strategies to what the engine runs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from sim.engine import state as st
from sim.engine.plane import PoolSpec, StreamSpec
from sim.errors import CatalogueError, InputError
from sim.hardware import Catalogue, catalogue_for, kv_capacity_for
from sim.scenario import AlwaysRouter, DirectStrategy, GpuPool, OnDemand, RandomRouter, Scenario, Stream
from sim.steptime import StepTime, step_time_for
from sim.steptime.calibration import Trust

__all__ = ["DIRECT", "Fleet", "build_fleet"]

DIRECT = DirectStrategy(name="direct")
"""The strategy of a scenario that names none: a direct answer from any pool."""

_SCHEDULERS = {"chunked": st.CHUNKED, "prefill-first": st.PREFILL_FIRST}


@dataclass(frozen=True)
class Fleet:
    """The engine's view of a scenario."""

    pools: list[PoolSpec]
    trust: list[Trust]
    """How far to trust the step times of each pool."""
    streams: list[StreamSpec]
    strategies: list[DirectStrategy]
    targets: list[list[list[int]]]
    """Pools that may serve a stream by a strategy: targets[stream][strategy]."""


def build_fleet(scenario: Scenario) -> Fleet:
    """The fleet of a scenario, with step times and KV capacity of every pool.

    Raises:
        CatalogueError: for an unknown GPU or model, or a model that does not fit or cannot be split like that.
        InputError: for a step-time file that cannot be read, or a stream whose model no pool of a strategy serves.
    """
    catalogue = catalogue_for(scenario)
    strategies = scenario.strategies or [DIRECT]
    _check_models(scenario)
    for pool in scenario.fleet:
        _check_split(pool, catalogue)
        _check_experts(pool, catalogue)
    times = [step_time_for(pool, catalogue) for pool in scenario.fleet]
    return Fleet(
        pools=[_pool_spec(pool, each.step_time, catalogue) for pool, each in zip(scenario.fleet, times, strict=True)],
        trust=[each.trust for each in times],
        streams=[_stream_spec(stream) for stream in scenario.workload],
        strategies=list(strategies),
        targets=[
            [_pools_for(stream, strategy, scenario.fleet) for strategy in strategies] for stream in scenario.workload
        ],
    )


def _pool_spec(pool: GpuPool, step_time: StepTime, catalogue: Catalogue) -> PoolSpec:
    """To the engine each rank of a data-parallel server is a replica, with its share of the GPUs."""
    return PoolSpec(
        replicas=pool.ranks,
        step_time=step_time,
        kv_capacity_tokens=kv_capacity_for(pool, catalogue),
        usd_per_replica_hour=(pool.offer.usd_per_gpu_hour or 0.0) * pool.tensor_parallel,
        scheduler=_SCHEDULERS[pool.engine.scheduler],
        max_num_seqs=pool.engine.max_num_seqs,
        max_num_batched_tokens=pool.engine.max_num_batched_tokens,
        max_model_len=pool.engine.max_model_len or catalogue.model(pool.model).max_position or 1 << 62,
        always_paid=not isinstance(pool.offer, OnDemand),
    )


def _check_split(pool: GpuPool, catalogue: Catalogue) -> None:
    """Servers split a model by its attention heads."""
    heads = catalogue.model(pool.model).heads
    if heads % pool.tensor_parallel:
        rule = f"as tensor_parallel of pool '{pool.name}' does not divide the {heads} attention heads of {pool.model}"
        raise CatalogueError(pool.tensor_parallel, rule, "use a power of two up to the GPUs of one server")


def _check_experts(pool: GpuPool, catalogue: Catalogue) -> None:
    """Ranks share nothing but experts, each of which lies on one GPU at least."""
    experts = catalogue.model(pool.model).experts
    if pool.data_parallel > 1 and not experts:
        rule = f"as data_parallel of pool '{pool.name}' needs a model with experts to share, and {pool.model} has none"
        raise CatalogueError(pool.data_parallel, rule, f"use replicas: {pool.ranks}")
    if (pool.expert_parallel or 1) > max(experts, 1):
        rule = f"as expert_parallel of pool '{pool.name}' is more than the {experts} experts of {pool.model}"
        raise CatalogueError(pool.expert_parallel, rule, "lower it, or leave it out")


def _stream_spec(stream: Stream) -> StreamSpec:
    objectives = (stream.slo.ttft, stream.slo.tpot, stream.slo.e2e)
    return StreamSpec(*(inf if limit_s is None else limit_s for limit_s in objectives))


def _pools_for(stream: Stream, strategy: DirectStrategy, pools: Sequence[GpuPool]) -> list[int]:
    return [
        index
        for index, pool in enumerate(pools)
        if strategy.pool in (None, pool.name) and stream.model in (None, pool.model)
    ]


def _check_models(scenario: Scenario) -> None:
    """Refuse strategies that may be chosen for a stream whose model their pool does not serve."""
    for strategy in _in_use(scenario):
        for stream in scenario.workload:
            if not _pools_for(stream, strategy, scenario.fleet):
                rule = f"cannot be answered by strategy '{strategy.name}', whose pool does not serve {stream.model}"
                remedy = "leave out the stream's `model`, or the strategy's `pool`"
                raise InputError(f"stream '{stream.name}'", rule, remedy)


def _in_use(scenario: Scenario) -> Sequence[DirectStrategy]:
    """The strategies that requests can get."""
    router, strategies = scenario.router, scenario.strategies
    if router is None:
        return strategies[:1]
    if isinstance(router, AlwaysRouter):
        return [strategy for strategy in strategies if strategy.name == router.strategy]
    if isinstance(router, RandomRouter):
        return [strategy for strategy in strategies if router.weights.get(strategy.name)]
    return strategies
