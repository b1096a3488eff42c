"""A budget is kept by the multiplier of costs: tick by tick, and over a whole day."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import exp, inf, log
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.control.clock import Clock
from sim.control.pacing import Pacer
from sim.engine.plane import DataPlane
from sim.engine.specs import Corpus, Options, RouteSpec, Scored, StrategySpec, StreamSpec, undecided
from sim.workload.blocks import RequestBlock
from tests.fake_plane import FakePlane
from tests.worlds import blocks, flat_law, pool_of

DAY_S = 86_400.0


@dataclass(frozen=True)
class Budget:
    usd_per_hour: float
    tick: float = 60.0
    step: float = 0.1
    mu_max: float = 100.0


def paced(budget: Budget, streams: list[int]) -> tuple[FakePlane, Pacer]:
    plane = FakePlane([1], streams=2)
    return plane, Pacer(cast(Any, plane), budget, streams)


def test_what_was_spent_since_the_last_tick_moves_the_multiplier() -> None:
    plane, pacer = paced(Budget(usd_per_hour=60.0), [0, 2])
    seen = []
    for tick, spent_usd in enumerate((3.0, 3.5, 4.0, 6.0), start=1):
        plane.routing.spent[0] = spent_usd
        plane.routing.spent[1] = 1000.0
        pacer.tick(60.0 * tick)
        seen.append(log(pacer.history[-1].mu))

    assert seen == pytest.approx([0.2, 0.15, 0.10, 0.20])
    assert [streams for _, streams in plane.routing.log] == [[0, 2]] * 5
    assert [mu for mu, _ in plane.routing.log] == [pace.mu for pace in pacer.history]
    assert pacer.history[-1][2:] == (6.0, 4.0)


def test_the_multiplier_stays_between_one_and_its_most() -> None:
    plane, pacer = paced(Budget(usd_per_hour=3600.0, tick=1.0, step=1.0, mu_max=4.0), [0])
    pacer.tick(1.0)
    assert pacer.history[-1].mu == 1.0
    plane.routing.spent[0] = 100.0
    pacer.tick(2.0)
    assert pacer.history[-1].mu == pytest.approx(4.0)
    plane.routing.spent[0] = 100.5
    pacer.tick(3.0)
    assert pacer.history[-1].mu == pytest.approx(4.0 * exp(-0.5))


# Over a day: strategies of which the longer one is better, by as much as each request has it.

SHORT, LONG = 20, 200
RPS = 1.0


def a_day(seed: int, usd_per_hour: float) -> tuple[Pacer, DataPlane]:
    """A stationary day of requests that gain something each from the long answer, and a pacer beside them."""
    random = np.random.default_rng(seed)
    requests = int(RPS * DAY_S * 1.05)
    arrival_s = np.cumsum(random.exponential(1.0 / RPS, requests))
    tokens = np.full(requests, LONG)
    gain = random.random((1000, 1, 1))
    estimates = np.concatenate([np.zeros((1000, 1, 1)), gain], axis=2)
    lengths = np.broadcast_to([float(SHORT), float(LONG)], (1000, 1, 2))
    shape = (1000, 2, 1, 1)
    real = np.broadcast_to(np.reshape([SHORT, LONG], (1, 2, 1, 1)), shape)
    chance = np.swapaxes(estimates, 1, 2)[..., np.newaxis]
    corpus = Corpus(estimates, lengths, lengths, np.zeros((1000, 1, 2)), real, chance, chance, np.zeros(shape, int))
    rows = iter(np.array_split(random.integers(0, 1000, requests), range(65_536, requests, 65_536)))

    def score(block: RequestBlock) -> Scored:
        return undecided(Options(corpus, next(rows)))

    plane = DataPlane(
        [pool_of(flat_law(64, 0.01, row_s=0.001), usd_per_replica_hour=3.6)],
        [StreamSpec()],
        [[[[0]], [[0]]]],
        strategies=[StrategySpec()] * 2,
        blocks=blocks(arrival_s, np.full(requests, 100), tokens),
        score=score,
        routes=[RouteSpec(value_usd=0.002, e2e_slo_s=inf)],
    )
    clock = Clock(plane)
    pacer = Pacer(plane, Budget(usd_per_hour), [0])
    clock.process(pacer.run(clock))
    clock.run_to(DAY_S)
    return pacer, plane


def spent_usd_per_hour(pacer: Pacer) -> float:
    return pacer.history[-1].spent_usd / pacer.history[-1].at_s * 3600.0


@cache
def bounds_usd_per_hour() -> tuple[float, float]:
    """What is spent where the budget binds as hard as it can, and where it does not at all."""
    return spent_usd_per_hour(a_day(0, 1e-3)[0]), spent_usd_per_hour(a_day(0, 1e9)[0])


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 0.9))
def test_a_binding_budget_is_spent_to_a_twentieth_over_a_day(seed: int, share: float) -> None:
    least, free = bounds_usd_per_hour()
    usd_per_hour = least + share * (free - least)
    pacer, _ = a_day(seed, usd_per_hour)
    assert spent_usd_per_hour(pacer) == pytest.approx(usd_per_hour, rel=0.05)
    assert pacer.history[-1].mu > 1.0


def test_a_loose_budget_changes_nothing() -> None:
    least, free = bounds_usd_per_hour()
    pacer, plane = a_day(1, 2.0 * free)
    assert {pace.mu for pace in pacer.history} == {1.0}
    bought = plane.routing.chosen()[0]["count"]
    tight = a_day(1, 0.5 * (free + least))[1].routing.chosen()[0]["count"]
    assert tight.sum() == bought.sum()
    assert tight[1] < bought[1]
