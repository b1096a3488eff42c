"""What requests take of every pool by every strategy, and which strategies they get."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np

from sim.engine.specs import ApiSpec, PoolSpec, RouteSpec
from sim.fleet import Fleet, build_fleet
from sim.outcomes import Outcomes
from sim.planning.batches import Batches, Taken
from sim.planning.choosing import Offered, at_api, at_replica, chosen
from sim.planning.instance import Floats, Integers
from sim.planning.sampling import Sample, samples_of
from sim.planning.stages import StageWork, stages_of_sample
from sim.routing.corpora import Corpora
from sim.routing.routes import routes_of
from sim.scenario import ApiPool, LookingRouter, Scenario
from sim.scenario.choices import is_routed, strategy_shares
from sim.scoring import variants_of

__all__ = ["Option", "Work", "work_at"]

PREPARED = 0.6
"""Share of requests on contexts that meet a prepared one, where a scenario sleeps: assumed until it is simulated."""


@dataclass(frozen=True)
class Work:
    """S streams, A strategies, P pools, H blocks of hours."""

    share: Floats
    """Share of each stream's requests that get a strategy, [S, A, H]."""
    p_correct: Floats
    """Chance of a right answer of those that do, [S, A]; NaN where it is not known."""
    work_s: Floats
    """Replica seconds in full batches, [S, A, P]; infinite where it cannot be served, 0 of APIs that can."""
    prompt_tokens: Floats
    """Prompt tokens that are paid at an API, over all calls, [S, A]."""
    output_tokens: Floats
    """Output tokens over all branches, [S, A]."""


class Option:
    """A scenario with one policy, seen as work: its fleet's laws, its requests' sample, its router.

    Raises:
        InputError: as `sim.simulation.simulate` does, for what the scenario names and cannot be used.
    """

    def __init__(self, scenario: Scenario, samples: list[Sample] | None = None) -> None:
        self.scenario = scenario
        self.outcomes = outcomes = Outcomes(scenario)
        self.variants = variants_of(scenario)
        corpora = Corpora(outcomes, self.variants) if isinstance(scenario.router, LookingRouter) else None
        self.fleet: Fleet = build_fleet(scenario, outcomes.pluralities)
        self.samples = samples_of(scenario, outcomes, corpora, self.variants) if samples is None else samples
        self.batches = [Batches(pool) if isinstance(pool, PoolSpec) else None for pool in self.fleet.pools]
        self.routes: list[RouteSpec] = routes_of(scenario)

    @property
    def shape(self) -> tuple[int, int, int]:
        """S, A, P."""
        return len(self.scenario.workload), len(self.fleet.strategies), len(self.fleet.pools)

    @cached_property
    def can(self) -> dict[tuple[int, int], list[int]]:
        """Pools that answer a stream by a strategy, lower tiers first; only for strategies that the stream can get.

        Those that can do all its stages, where there are such; what others verify is counted to the one that answers.
        """
        found = {}
        for stream, sample in enumerate(self.samples):
            for strategy in sample.strategies:
                stages = self.fleet.targets[stream][strategy]
                whole = [pool for pool in stages[0] if all(pool in others for others in stages)]
                found[stream, strategy] = sorted(whole or stages[0], key=lambda pool: self.fleet.pools[pool].tier)
        return found

    def stages(self, stream: int, strategy: int, variant: int) -> list[StageWork]:
        """The stages of a strategy for the sample of a stream."""
        key = stream, strategy, variant
        if key not in self._stages:
            notes = self.outcomes.sleep_work(stream).notes_tokens if variant else 0
            spec = self.fleet.strategy_specs[strategy]
            self._stages[key] = stages_of_sample(self.samples[stream], strategy, variant, spec, notes)
        return self._stages[key]

    @cached_property
    def _stages(self) -> dict[tuple[int, int, int], list[StageWork]]:
        return {}

    def hit(self, pool: int) -> float:
        """Chance that the replica of a request holds what earlier requests on its context have brought.

        With a balancer that does not look for it the request meets one replica of many by chance.
        """
        if self.scenario.balancer == "prefix-affinity":
            return 1.0
        own = self.fleet.pools[pool]
        return 1.0 / max(own.replicas, 1) if isinstance(own, PoolSpec) else 0.0

    def taken(self, stream: int, strategy: int, pool: int) -> list[Taken]:
        """What the sample of a stream takes of a replica, by variant."""
        key = stream, strategy, pool
        if key not in self._taken:
            batches = self.batches[pool]
            assert batches is not None
            self._taken[key] = [
                batches.taken(self.stages(stream, strategy, variant), self.hit(pool))
                for variant in range(self.variants)
            ]
        return self._taken[key]

    @cached_property
    def _taken(self) -> dict[tuple[int, int, int], list[Taken]]:
        return {}

    @cached_property
    def kv_tokens(self) -> list[float]:
        """Mean KV tokens of a row of each pool, over all its requests as far as known before; 0 of APIs."""
        return [self._kv(pool) if self.batches[pool] is not None else 0.0 for pool in range(self.shape[2])]

    def _kv(self, pool: int) -> float:
        kv, tokens = 0.0, 0.0
        for (stream, strategy), pools in self.can.items():
            if pool in pools:
                share = strategy_shares(self.scenario, self.scenario.workload[stream])[strategy]
                taken = self.taken(stream, strategy, pool)[0]
                kv += share * float((taken.tokens * taken.kv_tokens).mean())
                tokens += share * float(taken.tokens.mean())
        return kv / tokens if tokens else 1.0

    @cached_property
    def thinned(self) -> dict[tuple[int, int, int], tuple[Taken, Floats]]:
        """Few requests that stand for a stream's by a strategy at a pool, and for how many each; filled as asked for."""
        return {}

    def full_batch_s(self, stream: int, strategy: int, pool: int, variant: int) -> Floats:
        """Replica seconds in full batches of the requests of a sample, [J]."""
        batches, taken = self.batches[pool], self.taken(stream, strategy, pool)[variant]
        assert batches is not None
        rows = float(batches.full_rows(self.kv_tokens[pool]))
        step_s = float(batches.step_s(np.array(rows), self.kv_tokens[pool]))
        return taken.prompt_s + taken.tokens * step_s / rows

    def least_s(self, stream: int, strategy: int, pool: int) -> Floats:
        """Least replica seconds of the requests of a sample, prepared or not, [J]."""
        batches = self.batches[pool]
        assert batches is not None
        every = [self.stages(stream, strategy, variant) for variant in range(self.variants)]
        found: Floats = np.min([batches.least_s(stages, self._least_times_s(pool)) for stages in every], axis=0)
        return found

    def _least_times_s(self, pool: int) -> tuple[float, float]:
        if pool not in self._times:
            batches = self.batches[pool]
            assert batches is not None
            tokens = np.zeros(2)
            for (stream, strategy), pools in self.can.items():
                if pool in pools:
                    share = strategy_shares(self.scenario, self.scenario.workload[stream])[strategy]
                    tokens += share * np.array(batches.least_tokens(self.stages(stream, strategy, 0)))
            self._times[pool] = batches.least_times_s(float(tokens[1] / max(tokens[0], 1e-9)))
        return self._times[pool]

    @cached_property
    def _times(self) -> dict[int, tuple[float, float]]:
        return {}

    def picks(self, stream: int, usd: Sequence[Floats], busy_rows: float, variant: int) -> Integers:
        """Strategies that the router takes for a sample, [J], at prices of each pool and a share of rows that are busy.

        `usd` has of each pool the price of a replica's hour, [1], or those of tokens, [3].
        """
        strategies = range(self.shape[1])
        sample = self.samples[stream]
        counter = [
            self._offered(stream, strategy, usd, busy_rows) if strategy in sample.strategies else _NOBODY
            for strategy in strategies
        ]
        slo_s = self.fleet.streams[stream].e2e_slo_s
        return chosen(sample, self.routes[stream], counter, variant, slo_s)

    def _offered(self, stream: int, strategy: int, usd: Sequence[Floats], busy_rows: float) -> Offered:
        pool = self.can[stream, strategy][0]
        spec, stages = self.fleet.pools[pool], self.fleet.strategy_specs[strategy].stages
        if isinstance(spec, ApiSpec):
            calls = sum(stage.branches for stage in stages if stage.step == 0)
            own = self.scenario.fleet[pool]
            assert isinstance(own, ApiPool)
            tpot_s = 0.0 if spec.batch_window_s > 0 else 1.0 / spec.tokens_per_s_median
            return at_api(usd[pool], spec.cached_share, calls, spec.ttft_median_s, tpot_s)
        batches = self.batches[pool]
        assert batches is not None
        prompts = self.samples[stream].prompt_tokens
        usd_per_s = float(usd[pool][0]) / 3600.0
        return at_replica(batches, prompts, usd_per_s, self.kv_tokens[pool], busy_rows, stages[0].branches)


_NOBODY = at_api(np.zeros(3), 0.0, 1, 0.0, 0.0)


def work_at(
    option: Option,
    usd: Sequence[Sequence[Floats]],
    busy_rows: float,
    *,
    least: bool = False,
    trimmed: Floats | None = None,
) -> Work:
    """Work at the prices of each block, with so much of the replicas' places taken.

    `usd` has for each block and pool its prices, as `Option.picks` wants them. With `least` work is the least that it
    can take, and quality that of the better of prepared and unprepared contexts; of each stream's requests the share
    `trimmed`, [S], that takes most is left out.
    """
    streams, strategies, pools = option.shape
    blocks = len(usd)
    share = np.zeros((streams, strategies, blocks))
    p_correct = np.full((streams, strategies), np.nan)
    work_s = np.full((streams, strategies, pools), inf)
    prompt, output = np.zeros((streams, strategies)), np.zeros((streams, strategies))
    for stream in range(streams):
        weights = _weights(option, stream, usd, busy_rows)
        share[stream] = weights.mean(axis=3).sum(axis=2)
        for strategy in option.samples[stream].strategies:
            mine = weights[strategy].sum(axis=0)
            each = mine / mine.sum() if mine.sum() > 0 else np.full(mine.shape, 1.0 / mine.size)
            p_correct[stream, strategy] = _quality(option.samples[stream].p_correct[:, strategy], each, least=least)
            for pool in option.can[stream, strategy]:
                work_s[stream, strategy, pool] = _mean_work(
                    option, stream, strategy, pool, each, None if trimmed is None else trimmed[stream]
                )
            prompt[stream, strategy], output[stream, strategy] = _billed(option, stream, strategy, each, least=least)
    return Work(share, p_correct, work_s, prompt, output)


def _weights(option: Option, stream: int, usd: Sequence[Sequence[Floats]], busy_rows: float) -> Floats:
    """How often a strategy goes to a request of the sample, on a plain or a prepared context, [A, H, V, J]."""
    sample, scenario = option.samples[stream], option.scenario
    rows, blocks = sample.prompt_tokens.size, len(usd)
    prepared = np.zeros(rows) if option.variants == 1 else PREPARED * sample.has_context
    odds = np.stack([1.0 - prepared, prepared][: option.variants])
    found = np.zeros((option.shape[1], blocks, option.variants, rows))
    if not is_routed(scenario, scenario.workload[stream]):
        shares = np.array(strategy_shares(scenario, scenario.workload[stream]))
        found[:] = shares[:, np.newaxis, np.newaxis, np.newaxis] * odds
        return found
    known: dict[bytes, Floats] = {}
    for block in range(blocks):
        key = b"".join(np.asarray(each).tobytes() for each in usd[block])
        if key not in known:
            known[key] = np.array(list(_picked(option, stream, usd[block], busy_rows, odds)))
        found[:, block] = known[key].transpose(1, 0, 2)
    return found


def _picked(option: Option, stream: int, usd: Sequence[Floats], busy_rows: float, odds: Floats) -> Iterator[Floats]:
    """The same of a router, [A, J] for each variant."""
    for variant in range(option.variants):
        picks = option.picks(stream, usd, busy_rows, variant)
        yield (picks == np.arange(option.shape[1])[:, np.newaxis]) * odds[variant]


def _quality(p_correct: Floats, weight: Floats, *, least: bool) -> float:
    """Mean chance of a right answer, [J, V] and weights [V, J]; the better variant's where the least is wanted."""
    p = p_correct.T
    if least:
        return float((p.max(axis=0) * weight.sum(axis=0)).sum())
    return float((p * weight).sum())


def _mean_work(option: Option, stream: int, strategy: int, pool: int, weight: Floats, trimmed: float | None) -> float:
    if option.batches[pool] is None:
        return 0.0
    if trimmed is not None:
        return _lower_mean(option.least_s(stream, strategy, pool), weight.sum(axis=0), trimmed)
    return sum(
        float((option.full_batch_s(stream, strategy, pool, variant) * weight[variant]).sum())
        for variant in range(option.variants)
    )


def _lower_mean(values: Floats, weights: Floats, without: float) -> float:
    """Mean of the values but for a share of them, the greatest; the smallest where that is all."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    kept = np.diff(np.minimum(total, (1.0 - without) * total[-1]), prepend=0.0)
    return float(kept @ values[order] / kept.sum()) if kept.sum() > 0 else float(values.min())


def _billed(option: Option, stream: int, strategy: int, weight: Floats, *, least: bool) -> tuple[float, float]:
    """Prompt tokens of all calls, and output tokens of all branches, that an API bills."""
    prompts, outputs = [], []
    for variant in range(option.variants):
        stages = option.stages(stream, strategy, variant)
        prompts.append(sum(stage.taken * stage.branches * stage.prompt_tokens for stage in stages))
        shares = [stage.least_share if least else stage.most_share for stage in stages]
        outputs.append(
            sum(
                stage.taken * stage.branches * stage.output_tokens * share
                for stage, share in zip(stages, shares, strict=True)
            )
        )
    if least:
        total = weight.sum(axis=0)
        return tuple(float((np.min(each, axis=0) * total).sum()) for each in (prompts, outputs))  # type: ignore[return-value]
    return tuple(float((np.array(each) * weight).sum()) for each in (prompts, outputs))  # type: ignore[return-value]
