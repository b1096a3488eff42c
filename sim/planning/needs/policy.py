"""A scenario with one policy, seen as work: what its requests take of each pool, and what its router would choose."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from sim.engine.specs import ApiSpec, PoolSpec, RouteSpec
from sim.fleet import Fleet, build_fleet
from sim.outcomes import Outcomes
from sim.planning.needs.batches import Batches, Taken
from sim.planning.needs.choosing import NOBODY, Offered, at_api, at_replica, chosen
from sim.planning.needs.sampling import Sample, samples_of
from sim.planning.needs.stages import StageWork, stages_of_sample
from sim.planning.purchase.instance import Floats, Integers
from sim.routing.corpora import Corpora
from sim.routing.routes import routes_of
from sim.scenario import ApiPool, LookingRouter, Scenario
from sim.scenario.choices import strategy_shares
from sim.scoring import variants_of

__all__ = ["Option"]

_KEPT = 0.7
"""Share of a replica's KV cache that holds what requests have left, the rows having the rest: assumed."""


class Option:
    """A scenario with one policy, seen as work: its fleet's laws, its requests' sample, its router.

    Raises:
        InputError: as `sim.simulation.simulate` does, for what the scenario names and cannot be used.
    """

    def __init__(self, scenario: Scenario, rps: Floats) -> None:
        """`rps` are the mean requests a second of each stream, [S]."""
        self.scenario = scenario
        self.outcomes = outcomes = Outcomes(scenario)
        self.variants = variants_of(scenario)
        corpora = Corpora(outcomes, self.variants) if isinstance(scenario.router, LookingRouter) else None
        self.fleet: Fleet = build_fleet(scenario, outcomes.pluralities)
        self.samples: list[Sample] = samples_of(scenario, outcomes, corpora, self.variants)
        self._rps = rps
        self.batches = [Batches(pool) if isinstance(pool, PoolSpec) else None for pool in self.fleet.pools]
        self.routes: list[RouteSpec] = routes_of(scenario)
        self.prepared: Floats = np.zeros(len(scenario.workload))
        """Share of each stream's requests on contexts that meet a prepared one, [S]."""

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

    def hit(self, stream: int, pool: int) -> Floats:
        """Chance that the replica of a request holds what earlier ones on its context have brought, [J].

        With a balancer that does not look for it the request meets one replica of many by chance. What is kept is the
        latest: as much as fits beside the rows, so what came before that has gone.
        """
        own, sample = self.fleet.pools[pool], self.samples[stream]
        if isinstance(own, ApiSpec):
            return np.zeros(sample.since_s.size)
        chance = 1.0 if self.scenario.balancer == "prefix-affinity" else 1.0 / max(own.replicas, 1)
        tokens_per_s = sum(
            float(rps) * float(each.keep_tokens.mean()) for rps, each in zip(self._rps, self.samples, strict=True)
        )
        kept_s = own.replicas * own.kv_capacity_tokens * _KEPT / max(tokens_per_s, 1e-9)
        found: Floats = np.where(sample.since_s < kept_s, chance, 0.0)
        return found

    def taken(self, stream: int, strategy: int, pool: int) -> list[Taken]:
        """What the sample of a stream takes of a replica, by variant."""
        key = stream, strategy, pool
        if key not in self._taken:
            batches = self.batches[pool]
            assert batches is not None
            hit = self.hit(stream, pool)
            self._taken[key] = [
                batches.taken(self.stages(stream, strategy, variant), hit) for variant in range(self.variants)
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
                share = self._share(stream, strategy)
                taken = self.taken(stream, strategy, pool)[0]
                kv += share * float((taken.tokens * taken.kv_tokens).mean())
                tokens += share * float(taken.tokens.mean())
        return kv / tokens if tokens else 1.0

    @cached_property
    def thinned(self) -> dict[tuple[int, int, int], tuple[Taken, Floats]]:
        """Few requests that stand for a stream's by a strategy at a pool, and for how many each; filled when needed."""
        return {}

    def _share(self, stream: int, strategy: int) -> float:
        """How often requests of a stream by a strategy come, as far as known before a router looks."""
        share = strategy_shares(self.scenario, self.scenario.workload[stream])[strategy]
        return share * max(float(self._rps[stream]), 1e-9)

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
                    share = self._share(stream, strategy)
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
            self._offered(stream, strategy, usd, busy_rows) if strategy in sample.strategies else NOBODY
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
