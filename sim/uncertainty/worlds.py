"""The world of each replication: as the scenario says, or as it may be instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp
from zoneinfo import ZoneInfo

import numpy as np

from sim.engine.specs import ApiSpec, PoolSpec
from sim.fleet import Fleet
from sim.hardware import catalogue_for
from sim.outcomes import Outcomes
from sim.outcomes.laws import Table
from sim.outcomes.tables import OutcomeTable
from sim.prices import token_prices
from sim.routing.corpora import Corpora
from sim.scenario import ApiPool, GpuPool, Scenario
from sim.scoring import variants_of
from sim.steptime import StepTime
from sim.streams import RandomStreams
from sim.uncertainty.doubts import Doubt, setup_name
from sim.uncertainty.scenarios import with_loads, with_prices
from sim.workload.workload import Workload

__all__ = ["World", "Worlds"]


@dataclass(frozen=True)
class World:
    """What a replication runs in."""

    outcomes: Outcomes
    corpora: Corpora | None
    fleet: Fleet
    workload: Workload


class Worlds:
    """The worlds of the replications of a scenario, and what was drawn for them.

    The same seed and replication meet the same draws, whatever is routed how: they come from streams of their own.
    """

    def __init__(self, base: World, doubts: Sequence[Doubt]) -> None:
        self.doubts = doubts
        self._base, self._scenario = base, base.outcomes.scenario
        catalogue = catalogue_for(self._scenario)
        self._setups = [
            setup_name(pool, catalogue) if doubts and isinstance(pool, GpuPool) else None
            for pool in self._scenario.fleet
        ]

    def of(self, index: int) -> World:
        """The world of a replication."""
        streams = RandomStreams(self._scenario.seed, index)
        if not self.doubts:
            return replace(self._base, workload=self._base.workload.replicated(streams)) if index else self._base
        scenario = self._varied_scenario(streams)
        outcomes = self._base.outcomes.varied(scenario, self._tables(streams), self._amounts("outcomes", streams))
        return World(
            outcomes,
            self._corpora(outcomes, streams),
            self._fleet(scenario, self._factors("step_time", streams)),
            self._base.workload.varied(scenario, streams),
        )

    def drawn(self, index: int) -> list[float]:
        """What a replication drew, one number for each doubt: standard normal, of a table what its accuracy became."""
        streams = RandomStreams(self._scenario.seed, index)
        tables = {place[0].name: (place, table) for place, table in self._base.outcomes.tables.items()}
        found = []
        for doubt in self.doubts:
            if doubt.kind == "outcomes" and doubt.name in tables:
                place, table = tables[doubt.name]
                gained = _mean_accuracy(self._tables(streams)[place]) - _mean_accuracy(table)
                found.append(gained / doubt.sd)
            else:
                found.append(_normal(doubt, streams))
        return found

    def _varied_scenario(self, streams: RandomStreams) -> Scenario:
        busier = with_loads(self._scenario, self._factors("load", streams))
        return with_prices(busier, self._factors("prices", streams))

    def _amounts(self, kind: str, streams: RandomStreams) -> dict[str, float]:
        """What is added to a logarithm or to log odds, by name."""
        return {doubt.name: doubt.sd * _normal(doubt, streams) for doubt in self.doubts if doubt.kind == kind}

    def _factors(self, kind: str, streams: RandomStreams) -> dict[str, float]:
        """Lognormal factors of mean 1, by name."""
        return {
            doubt.name: exp(doubt.sd * _normal(doubt, streams) - doubt.sd**2 / 2.0)
            for doubt in self.doubts
            if doubt.kind == kind
        }

    def _tables(self, streams: RandomStreams) -> dict[Table, OutcomeTable]:
        """The tables of outcomes with contexts drawn with replacement."""
        by_name = {doubt.name: doubt for doubt in self.doubts if doubt.kind == "outcomes"}
        found = {}
        for place, table in self._base.outcomes.tables.items():
            if place[0].name in by_name:
                contexts = table.first.size - 1
                random = by_name[place[0].name].generator(streams)
                found[place] = table.drawn(random.integers(contexts, size=contexts))
        return found

    def _corpora(self, outcomes: Outcomes, streams: RandomStreams) -> Corpora | None:
        base = self._base.corpora
        if base is None:
            return None
        amounts = self._amounts("router", streams)
        strategies = () if base.opened is None or not amounts else base.opened.strategies
        shifts = [amounts.get(name, 0.0) for name in strategies]
        return Corpora(outcomes, variants_of(outcomes.scenario), base, shifts)

    def _fleet(self, scenario: Scenario, factors: Mapping[str, float]) -> Fleet:
        """The fleet with other step times, and APIs at other prices."""
        dearer = {doubt.name for doubt in self.doubts if doubt.kind == "prices"}
        specs = list(self._base.fleet.pools)
        for index, (pool, setup) in enumerate(zip(scenario.fleet, self._setups, strict=True)):
            spec = specs[index]
            if isinstance(spec, PoolSpec) and setup is not None and setup in factors:
                specs[index] = replace(spec, step_time=_slower(spec.step_time, factors[setup]))
            elif isinstance(spec, ApiSpec) and isinstance(pool, ApiPool) and pool.name in dearer:
                zone = ZoneInfo(scenario.time_zone)
                prices = token_prices(pool.tariff, scenario.start, zone, horizon_s=scenario.horizon)
                specs[index] = replace(spec, rates_usd_per_token=prices.table)
        return replace(self._base.fleet, pools=specs)


def _normal(doubt: Doubt, streams: RandomStreams) -> float:
    return float(doubt.generator(streams).standard_normal())


def _slower(law: StepTime, factor: float) -> StepTime:
    """Step times, and the time that a server takes outside its steps, so many times as long."""
    return replace(
        law,
        decode_base_s=law.decode_base_s * factor,
        decode_kv_s=law.decode_kv_s * factor,
        linear_s=law.linear_s * factor,
        attention_s_per_pair=law.attention_s_per_pair * factor,
        slice_s=law.slice_s * factor,
        front_end_s=law.front_end_s * factor,
    )


def _mean_accuracy(table: OutcomeTable) -> float:
    """Over all questions and strategies, without preparation."""
    return float(np.mean([p[0].mean() for p in table.correct.values()]))
