"""The compiled engine gives every request the same times and cost as the step-by-step oracle."""

from __future__ import annotations

import os
import subprocess
import sys
from math import inf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from sim.engine import state
from tests.oracle import Job
from tests.random_worlds import World, serve_fast, serve_slow, worlds

STATUS = {
    "completed": state.COMPLETED,
    "too_long": state.TOO_LONG,
    "no_replica": state.NO_REPLICA,
    "unfinished": state.UNFINISHED,
}
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}


@settings(max_examples=400, **QUIET)
@given(worlds())
def test_engine_and_oracle_agree_on_every_request(world: World) -> None:
    _, rows = serve_fast(world)
    assert_same(rows, serve_slow(world), cost=world.until_s == inf)


@pytest.mark.long
@settings(max_examples=20_000, **QUIET)
@given(worlds())
def test_engine_and_oracle_agree_on_many_worlds(world: World) -> None:
    _, rows = serve_fast(world)
    assert_same(rows, serve_slow(world), cost=world.until_s == inf)


def test_the_engine_runs_uncompiled_for_debugging() -> None:
    """The same worlds in plain Python: what a debugger steps through is what runs."""
    script = (
        "from hypothesis import given, seed, settings\n"
        "from tests.test_exactness import QUIET, assert_same\n"
        "from tests.random_worlds import serve_fast, serve_slow, worlds\n"
        "from sim.engine.serve import serve\n"
        "assert not hasattr(serve, 'signatures')\n"
        "@seed(5)\n"
        "@settings(max_examples=15, database=None, **QUIET)\n"
        "@given(worlds())\n"
        "def check(world):\n"
        "    assert_same(serve_fast(world)[1], serve_slow(world), cost=world.until_s == float('inf'))\n"
        "check()\n"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    folder = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def assert_same(rows: state.Records, jobs: list[Job], cost: bool) -> None:
    """Same fate, place and times for every request; the same cost where the run went on to the end."""
    ttft_s = [np.nan if job.first_token_s is None else job.first_token_s - job.arrival_s for job in jobs]
    e2e_s = [job.finish_s - job.arrival_s for job in jobs if job.finish_s is not None]
    done = rows["status"] == state.COMPLETED
    assert rows["status"].tolist() == [STATUS[job.status] for job in jobs]
    assert rows["replica"].tolist() == [state.NONE if job.replica is None else job.replica for job in jobs]
    assert rows["preemptions"].tolist() == [job.preemptions for job in jobs]
    np.testing.assert_allclose(rows["first_token_s"] - rows["arrival_s"], ttft_s, rtol=1e-9, atol=0)
    np.testing.assert_allclose((rows["finish_s"] - rows["arrival_s"])[done], e2e_s, rtol=1e-9, atol=0)
    if cost:
        np.testing.assert_allclose(rows["cost_usd"], [job.cost for job in jobs], rtol=1e-9, atol=1e-12)
