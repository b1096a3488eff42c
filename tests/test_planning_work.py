"""What requests take, by the estimate and by the engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim.load import load_scenario
from sim.planning.needs.work import work_at
from sim.planning.service.estimate import Estimator
from sim.replication import Replication
from sim.runs import run_scenario
from sim.scenario import Scenario
from sim.simulation import simulate
from sim.tally import COUNTS
from tests.small import chat, pool, scenario

THINK_AND_VOTE = [
    {"name": "direct", "kind": "direct"},
    {"name": "think", "kind": "think", "budget_tokens": 300},
    {"name": "vote", "kind": "vote", "samples": 4, "length_sigma": 0.3},
    {"name": "verify", "kind": "verify", "solutions": 2, "verifications": 2},
    {"name": "either", "kind": "cascade", "steps": ["direct", "vote"], "escalate_below": 0.5},
]
ARITHMETIC = {"kind": "curves", "class": "arithmetic"}
API = {
    "name": "api",
    "kind": "api",
    "model": "Llama-3.1-8B",
    "tariff": {"kind": "windows", "base": {"input_usd_per_1m": 0.2, "output_usd_per_1m": 0.9}},
    "cached_share": 0.5,
}


def world(**changes: Any) -> Scenario:
    return scenario(**({"horizon": "20m", "replications": 2} | changes))


def means(world: Scenario) -> dict[str, float]:
    outcome = run_scenario(world)
    assert outcome.refused is None
    return {name: float(np.mean(values)) for name, values in outcome.figures.items()}


def completed_in(run: Replication) -> float:
    return float(run.tally.streams[:, COUNTS.index("completed")].sum())


@pytest.mark.parametrize("way", ["direct", "think", "vote", "verify", "either"])
def test_full_batch_work_is_what_the_engine_counts(way: str) -> None:
    """The same requests, by two roads: request by request, and from the sums of what a pool has answered."""
    lengths = chat()["lengths"] | {"prompt_median": 1000}
    one = world(
        workload=[chat(questions=ARITHMETIC, lengths=lengths)],
        strategies=THINK_AND_VOTE,
        router={"policy": "always", "strategy": way},
        horizon="10m",
    )
    estimate = Estimator(one)
    instance = estimate.instance(one)
    (run, *_) = simulate(one).replications

    strategy = [each["name"] for each in THINK_AND_VOTE].index(way)
    completed = completed_in(run)
    assert instance.work_s[0, strategy, 0] == pytest.approx(run.full_batch_s[0] / completed, rel=0.12)
    assert np.isinf(np.delete(instance.work_s[0, :, 0], strategy)).all()


@pytest.mark.parametrize("way", ["direct", "vote", "verify"])
def test_an_api_is_billed_as_expected(way: str) -> None:
    one = world(
        workload=[chat(questions=ARITHMETIC)],
        fleet=[API],
        strategies=THINK_AND_VOTE,
        router={"policy": "always", "strategy": way},
    )
    found = means(one)
    outlook = Estimator(one).forecast(one, np.ones((1, 1), np.int64))

    assert outlook.usd_per_month == pytest.approx(found["cost.usd_per_hour"] * 730.5, rel=0.06)
    assert outlook.accuracy == pytest.approx(found["quality.accuracy"], abs=0.03)
    assert outlook.e2e_p99_s == pytest.approx(found["latency.e2e_s.p99"], rel=0.35)


def test_no_replica_does_more_than_the_least_work() -> None:
    """However full its batches are: far too much is asked of one replica, which works all the time."""
    lengths = {
        "kind": "lognormal",
        "prompt_median": 400,
        "prompt_sigma": 0.6,
        "output_median": 150,
        "output_sigma": 0.5,
    }
    one = world(
        workload=[chat(arrivals={"kind": "poisson", "rps": 300.0}, lengths=lengths)],
        fleet=[pool(replicas=1)],
        horizon="4m",
        replications=1,
    )
    estimate = Estimator(one)
    least = work_at(estimate.option(one), [[np.array([2.0])]], 0.0, least_without=np.zeros(1)).work_s[0, 0, 0]
    (run,) = simulate(one).replications
    completed = completed_in(run)

    # What is in the batch at the end has been worked on too; and what ends first is shorter than the others.
    assert 240.0 / completed >= 0.9 * least
    assert 240.0 / completed <= 1.6 * least


def test_a_router_shares_requests_as_it_does_in_a_run() -> None:
    stream = chat(
        questions=ARITHMETIC, usd_per_correct=0.002, slo={"e2e": "20s"}, arrivals={"kind": "poisson", "rps": 4.0}
    )
    one = world(
        workload=[stream],
        strategies=THINK_AND_VOTE[:3],
        router={"policy": "oracle"},
        fleet=[pool(replicas=2)],
    )
    estimate = Estimator(one)
    shares = estimate.instance(one).shares
    assert shares is not None
    summary = simulate(one).summary["strategies"]
    found = [summary[each["name"]]["share"] if each["name"] in summary else 0.0 for each in THINK_AND_VOTE[:3]]
    assert shares[0, :, 0] == pytest.approx(found, abs=0.08)


def test_what_a_context_has_brought_is_not_read_again() -> None:
    contexts = {"queries": 6, "think_time": "20s", "tokens": 4000, "lead": "1m"}
    cached, fresh = (
        world(
            workload=[chat(contexts=contexts, arrivals={"kind": "poisson", "rps": 4.0})],
            fleet=[pool(replicas=1, engine={"prefix_cache": keeps})],
        )
        for keeps in (True, False)
    )
    work_s = [float(Estimator(each).instance(each).work_s[0, 0, 0]) for each in (cached, fresh)]
    assert work_s[0] < 0.6 * work_s[1]
    for each, own in zip((cached, fresh), work_s, strict=True):
        run = simulate(each).replications[0]
        completed = completed_in(run)
        assert own == pytest.approx(run.full_batch_s[0] / completed, rel=0.15)


def test_contexts_prepared_by_an_api_are_counted_and_paid() -> None:
    """As in the scenario of the paper on sleep-time compute: all are prepared, at a tenth of the price."""
    one = load_scenario("sleep-time-paper", ["horizon=2h", "replications=2"])
    estimate = Estimator(one)
    found = means(one)
    outlook = estimate.forecast(one, np.ones((2, estimate.blocks.count), np.int64))

    assert outlook.usd_per_month == pytest.approx(found["cost.usd_per_hour"] * 730.5, rel=0.06)
    assert outlook.accuracy == pytest.approx(found["quality.accuracy"], abs=0.03)
    assert outlook.usd_by_pool[1] > 0.1 * outlook.usd_by_pool[0]


def test_a_budget_of_sleep_limits_what_is_prepared() -> None:
    """Nothing is prepared for nothing; half of what all of it costs prepares half as much."""

    def of_budget(usd: float | None) -> tuple[float, float]:
        changes = ["horizon=2h", "replications=1", f"sleep.budget_usd_per_day={'null' if usd is None else usd}"]
        one = load_scenario("sleep-time-paper", changes)
        estimate = Estimator(one)
        outlook = estimate.forecast(one, np.ones((2, estimate.blocks.count), np.int64))
        return float(outlook.usd_by_pool[1]), float(outlook.accuracy)

    all_usd, prepared = of_budget(None)
    half_usd, half = of_budget(all_usd / 730.5 * 24.0 / 2.0)
    none_usd, plain = of_budget(0.0)

    assert none_usd == 0.0
    assert half_usd == pytest.approx(all_usd / 2.0, rel=0.01)
    assert plain != pytest.approx(prepared, abs=1e-3)
    assert half == pytest.approx((plain + prepared) / 2.0, abs=1e-3)
