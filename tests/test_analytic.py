"""Formulas of queues against tables, identities, and the engine."""

from __future__ import annotations

from math import exp, factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from sim.analytic import (
    erlang_b,
    erlang_c,
    gg_c_wait_s,
    mg1_ps_sojourn_s,
    mg1_wait_s,
    mm_c_late,
    mm_c_wait_s,
    servers_for,
    shared_processor,
)
from sim.engine import state
from tests.worlds import blocks, flat_law, pool_of, run

STEP_S = 1e-4


@pytest.mark.parametrize(
    ("servers", "load", "blocked"), [(5, 2.22, 0.05), (10, 4.46, 0.01), (20, 13.2, 0.02), (100, 84.1, 0.01)]
)
def test_blocking_is_that_of_the_tables(servers: int, load: float, blocked: float) -> None:
    """Of traffic tables as they are printed everywhere, to their digits."""
    assert erlang_b(servers, load) == pytest.approx(blocked, rel=0.02)


@given(st.integers(1, 60), st.floats(0.1, 70.0))
def test_blocking_is_a_poisson_chance_given_that_there_is_room(servers: int, load: float) -> None:
    assert erlang_b(servers, load) == pytest.approx(poisson.pmf(servers, load) / poisson.cdf(servers, load), rel=1e-6)


@given(st.integers(1, 20), st.floats(0.05, 0.98))
def test_chance_to_wait_is_that_of_the_sum(servers: int, busy: float) -> None:
    load = servers * busy
    top = load**servers / factorial(servers) / (1.0 - busy)
    total = sum(load**k / factorial(k) for k in range(servers)) + top
    assert erlang_c(servers, load) == pytest.approx(top / total, rel=1e-9)


@given(st.integers(1, 8), st.floats(0.1, 0.9))
def test_shared_processors_with_so_many_servers_wait_as_they_do(servers: int, busy: float) -> None:
    """With min(n, c) ends a second the states are those of M/M/c: so is their mean, by Little's law."""
    states = np.arange(1.0, 2000.0)
    chances = shared_processor(np.array(servers * busy), np.minimum(states, servers))
    number = float(np.concatenate(([0.0], states)) @ chances)
    assert number / (servers * busy) - 1.0 == pytest.approx(
        mm_c_wait_s(servers, servers * busy, 1.0), rel=1e-6, abs=1e-9
    )


def test_waits_of_one_server_agree() -> None:
    assert mm_c_wait_s(1, 0.8, 1.0) == pytest.approx(mg1_wait_s(0.8, 1.0, 1.0))
    assert gg_c_wait_s(1, 0.8, 1.0, 1.0, 0.3) == pytest.approx(mg1_wait_s(0.8, 1.0, 0.3))
    assert mg1_ps_sojourn_s(0.8, 1.0) == pytest.approx(mm_c_wait_s(1, 0.8, 1.0) + 1.0)
    assert mm_c_late(1, 0.8, 1.0, 3.0) == pytest.approx(0.8 * exp(-0.6))


def test_too_much_load_never_ends() -> None:
    assert erlang_c(2, 2.0) == mm_c_late(2, 2.5, 1.0, 9.0) == 1.0
    assert mm_c_wait_s(2, 2.0, 1.0) == mg1_wait_s(1.0, 1.0, 0.0) == mg1_ps_sojourn_s(1.5, 1.0) == float("inf")


@given(st.floats(0.1, 400.0), st.floats(0.01, 0.9))
def test_servers_are_as_few_as_will_do(load: float, waiting: float) -> None:
    servers = servers_for(load, waiting)
    assert erlang_c(servers, load) <= waiting
    assert servers - 1 <= load or erlang_c(servers - 1, load) > waiting


def test_clumps_spread_the_states() -> None:
    """Without a limit on servers states are Poisson; with clumps of z the variance is z times as large."""
    states = np.arange(1.0, 400.0)
    plain, clumped = (shared_processor(np.array(60.0), states, clump) for clump in (1.0, 3.0))
    at = np.concatenate(([0.0], states))

    def mean_and_variance(chances: np.ndarray) -> tuple[float, float]:
        mean = float(at @ chances)
        return mean, float((at - mean) ** 2 @ chances)

    assert mean_and_variance(plain) == pytest.approx((60.0, 60.0), rel=1e-3)
    assert mean_and_variance(clumped) == pytest.approx((60.0, 180.0), rel=0.03)


@pytest.mark.parametrize("load", [0.5, 0.85])
def test_a_batch_that_slows_with_its_rows_is_as_long_as_the_engine_finds(load: float) -> None:
    """Steps of n rows take 1 + n / 20 units: whatever the law of the lengths, which is lognormal here."""
    rows, steps = np.arange(1.0, 61.0), 400
    step_s = STEP_S * (1.0 + rows / 20.0)
    ends_rps = rows / step_s / steps
    rps = load * float(ends_rps[-1])
    states = np.arange(1.0, 600.0)
    chances = shared_processor(np.array(rps), np.interp(states, rows, ends_rps))
    expected_s = float(np.arange(600.0) @ chances) / rps

    found_s = []
    for seed in range(6):
        rng = np.random.default_rng((seed, 5))
        count = 30_000
        arrival_s = np.cumsum(rng.standard_exponential(count) / rps)
        lengths = np.maximum(np.rint(rng.lognormal(-0.18, 0.6, count) * steps), 1).astype(np.int64)
        plane = run(
            [pool_of(flat_law(60, STEP_S, row_s=STEP_S / 20.0))],
            blocks(arrival_s, np.ones(count, np.int64), lengths + 1),
            warm_up_s=0.1 * count / rps,
        )
        found_s.append(float(plane.state.latency_sum_s[0, state.E2E] / plane.state.latency_count[0, state.E2E]))
    assert np.mean(found_s) == pytest.approx(expected_s, rel=0.04)
