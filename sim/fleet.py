"""From a scenario's pools, streams and strategies to what the engine runs on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from zoneinfo import ZoneInfo

from sim.engine import state as st
from sim.engine.specs import ApiSpec, PoolSpec, StrategySpec, StreamSpec
from sim.errors import CatalogueError, InputError
from sim.hardware import Catalogue, catalogue_for, kv_capacity_for
from sim.hardware.power import Draw, busy_w, idle_w
from sim.prices import token_prices
from sim.scenario import (
    ApiPool,
    DirectStrategy,
    GpuPool,
    Pool,
    Reserved,
    Scenario,
    Strategy,
    Stream,
    VerifyStrategy,
)
from sim.scenario.choices import strategies_at_work
from sim.scenario.reach import may_answer, may_verify, own_steps
from sim.steptime import StepTime, step_time_for
from sim.steptime.calibration import Trust
from sim.strategies import NO_PLURALITIES, Plurality, stages_of, strategy_specs

__all__ = ["DIRECT", "Fleet", "build_fleet"]

DIRECT = DirectStrategy(name="direct")
"""The strategy of a scenario that names none: a direct answer from any pool."""

_SCHEDULERS = {"chunked": st.CHUNKED, "prefill-first": st.PREFILL_FIRST}
_BILL_BY = {"arrival": st.BILL_ARRIVAL, "start": st.BILL_START, "completion": st.BILL_COMPLETION}


@dataclass(frozen=True)
class Fleet:
    """The engine's view of a scenario, but for the price of GPUs, which may differ from run to run."""

    pools: list[PoolSpec | ApiSpec]
    trust: dict[str, Trust]
    """How far to trust the step times of each pool of GPUs."""
    draws: list[Draw | None]
    """Electric power of a replica of each pool; None for an API."""
    streams: list[StreamSpec]
    strategies: list[Strategy]
    """Those of the scenario."""
    strategy_specs: list[StrategySpec]
    """The same as work, and behind them the hidden ones."""
    targets: list[list[list[list[int]]]]
    """Pools that may serve a stream by a strategy, stage by stage: targets[stream][strategy][stage]."""

    def with_hidden(self, stream: StreamSpec, specs: Sequence[StrategySpec], pools: Sequence[int]) -> Fleet:
        """This fleet with a stream and strategies that no scenario names, behind all others.

        Requests of the hidden stream run on hidden strategies only, on these pools; no other stream does.
        """
        closed: list[list[list[int]]] = [[[] for _ in spec.stages] for spec in self.strategy_specs]
        hidden = [[list(pools) for _ in spec.stages] for spec in specs]
        shut: list[list[list[int]]] = [[[] for _ in spec.stages] for spec in specs]
        return replace(
            self,
            streams=[*self.streams, stream],
            strategy_specs=[*self.strategy_specs, *specs],
            targets=[*([*by_strategy, *shut] for by_strategy in self.targets), [*closed, *hidden]],
        )


def build_fleet(scenario: Scenario, pluralities: Mapping[str, Plurality] = NO_PLURALITIES) -> Fleet:
    """The fleet of a scenario, with step times and KV capacity of every pool.

    `pluralities` has, by name of a vote, how its wrong answers spread.

    Raises:
        CatalogueError: for an unknown GPU or model, or a model that does not fit or cannot be split like that.
        InputError: for a step-time file that cannot be read, a tariff that is not known or not valid in the run, or a
            stream whose model no pool of a strategy serves.
    """
    catalogue = catalogue_for(scenario)
    strategies: list[Strategy] = scenario.strategies or [DIRECT]
    _check_models(scenario)
    gpu_pools = [pool for pool in scenario.fleet if isinstance(pool, GpuPool)]
    for pool in gpu_pools:
        _check_split(pool, catalogue)
        _check_experts(pool, catalogue)
    times = {pool.name: step_time_for(pool, catalogue) for pool in gpu_pools}
    return Fleet(
        pools=[
            _pool_spec(pool, times[pool.name].step_time, catalogue)
            if isinstance(pool, GpuPool)
            else _api_spec(pool, scenario)
            for pool in scenario.fleet
        ],
        trust={name: each.trust for name, each in times.items()},
        draws=[_draw(pool, catalogue) if isinstance(pool, GpuPool) else None for pool in scenario.fleet],
        streams=[_stream_spec(stream) for stream in scenario.workload],
        strategies=list(strategies),
        strategy_specs=strategy_specs(strategies, pluralities),
        targets=[
            [list(_stage_targets(stream, strategy, scenario)) for strategy in strategies]
            for stream in scenario.workload
        ],
    )


def _pool_spec(pool: GpuPool, step_time: StepTime, catalogue: Catalogue) -> PoolSpec:
    """To the engine each rank of a data-parallel server is a replica, with its share of the GPUs."""
    return PoolSpec(
        replicas=pool.ranks,
        step_time=step_time,
        kv_capacity_tokens=kv_capacity_for(pool, catalogue),
        usd_per_replica_hour=0.0,
        scheduler=_SCHEDULERS[pool.engine.scheduler],
        max_num_seqs=pool.engine.max_num_seqs,
        max_num_batched_tokens=pool.engine.max_num_batched_tokens,
        max_model_len=pool.engine.max_model_len or catalogue.model(pool.model).max_position or st.NO_LIMIT,
        always_paid=isinstance(pool.offer, Reserved),
        ranks=pool.data_parallel,
        tier=pool.tier,
        prefix_cache=pool.engine.prefix_cache,
        sleep_slowdown=pool.engine.sleep_slowdown,
        sleep_step_tokens=pool.engine.sleep_step_tokens,
        **_limits(pool),
    )


def _api_spec(pool: ApiPool, scenario: Scenario) -> ApiSpec:
    """An interactive API streams; a batch tier's time to first token is that to its whole answer."""
    prices = token_prices(pool.tariff, scenario.start, ZoneInfo(scenario.time_zone), horizon_s=scenario.horizon)
    limit, batch = pool.rate_limit, pool.batch
    return ApiSpec(
        rates_usd_per_token=prices.table,
        ttft_median_s=pool.latency.ttft_median if batch is None else batch.median,
        ttft_sigma=pool.latency.ttft_sigma if batch is None else batch.sigma,
        tokens_per_s_median=pool.latency.tokens_per_s_median,
        tokens_per_s_sigma=pool.latency.tokens_per_s_sigma,
        batch_window_s=0.0 if batch is None else batch.window,
        cached_share=pool.cached_share,
        bill_by=_BILL_BY[prices.bill_by],
        requests_per_minute=(limit and limit.requests_per_minute) or inf,
        tokens_per_minute=(limit and limit.tokens_per_minute) or inf,
        burst_s=60.0 if limit is None else limit.burst,
        waits=limit is not None and limit.when_full == "wait",
        max_model_len=pool.max_model_len or st.NO_LIMIT,
        tier=pool.tier,
        **_limits(pool),
    )


def _limits(pool: GpuPool | ApiPool) -> dict[str, int]:
    most = pool.admission.max_outstanding or st.NO_LIMIT
    spill_at = most if pool.admission.spill_at is None else pool.admission.spill_at
    return {"max_outstanding": most, "spill_at": spill_at}


def _draw(pool: GpuPool, catalogue: Catalogue) -> Draw:
    """Of a replica to the engine: a rank of a data-parallel server."""
    gpu, power = catalogue.gpu(pool.gpu), pool.power
    watts = (
        busy_w(gpu) if power.busy_w is None else power.busy_w,
        idle_w(gpu) if power.idle_w is None else power.idle_w,
    )
    return Draw(*(each * pool.tensor_parallel * power.pue for each in watts))


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
    client = stream.client
    limits = (stream.slo.ttft, stream.slo.tpot, stream.slo.e2e, client.timeout)
    ttft_s, tpot_s, e2e_s, timeout_s = (inf if limit_s is None else limit_s for limit_s in limits)
    return StreamSpec(
        ttft_slo_s=ttft_s,
        tpot_slo_s=tpot_s,
        e2e_slo_s=e2e_s,
        timeout_s=timeout_s,
        retries=client.retries,
        backoff_s=client.backoff,
        backoff_factor=client.backoff_factor,
        backoff_max_s=client.backoff_max,
        jitter=client.jitter,
        retry_rejected="rejected" in client.retry_on,
        retry_timed_out="timed_out" in client.retry_on,
        retry_failed="failed" in client.retry_on,
        resend_lost=client.on_loss == "resend",
    )


def _stage_targets(stream: Stream, strategy: Strategy, scenario: Scenario) -> Iterator[list[int]]:
    """Pools of each stage of a strategy; verifications may have others than solutions."""
    for placed in own_steps(strategy, scenario.strategies):
        answer = [index for index, pool in enumerate(scenario.fleet) if may_answer(stream, placed, pool)]
        yield answer
        for _ in stages_of(placed)[1:]:
            yield _verifiers(stream, placed, scenario.fleet) if isinstance(placed, VerifyStrategy) else answer


def _verifiers(stream: Stream, strategy: VerifyStrategy, pools: Sequence[Pool]) -> list[int]:
    return [index for index, pool in enumerate(pools) if may_verify(stream, strategy, pool)]


def _check_models(scenario: Scenario) -> None:
    """Refuse strategies that may be chosen for a stream whose model their pools do not serve."""
    for stream in scenario.workload:
        for strategy in strategies_at_work(scenario, stream) if scenario.strategies else ():
            remedy = "change or leave out the stream's `model` and `pools`, or the strategy's `pool` and `model`"
            if not any(may_answer(stream, strategy, pool) for pool in scenario.fleet):
                rule = f"cannot be answered by strategy '{strategy.name}', as none of its pools may serve the stream"
                raise InputError(f"stream '{stream.name}'", rule, remedy)
            if isinstance(strategy, VerifyStrategy) and not _verifiers(stream, strategy, scenario.fleet):
                rule = f"cannot be verified by strategy '{strategy.name}', as its verifiers may not serve the stream"
                raise InputError(f"stream '{stream.name}'", rule, remedy)
