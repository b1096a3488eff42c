"""Whole runs of random fleets: no request vanishes or is served twice, memory holds, and the bill adds up."""

from __future__ import annotations

import pytest

from sim.simulation import simulate
from tests.random_fleets import random_scenario
from tests.small import rows

ENDS = ("completed", "rejected", "timed_out", "failed", "unfinished")


def check(seed: int) -> None:
    """One run; that its bill is its invoice is checked in the run itself."""
    results = simulate(random_scenario(seed), keep_requests=True)
    requests, cost = results.summary["requests"], results.summary["cost"]

    assert requests["offered"] == sum(requests[end] for end in ENDS)
    assert rows(results)["request_id"].tolist() == list(range(requests["offered"]))
    assert results.buckets["kv_used_share"].max() <= 1.0
    assert sum(cost["by_line"].values()) == pytest.approx(cost["total_usd"], rel=1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_nothing_vanishes_and_the_bill_adds_up(seed: int) -> None:
    check(seed)


@pytest.mark.long
def test_nothing_vanishes_and_the_bill_adds_up_in_a_thousand_runs() -> None:
    for seed in range(30, 1030):
        check(seed)
