"""How full replicas may be, what a fleet comes to, and what none can cost less than: beside the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sim.planning.purchase.mix import bound
from sim.planning.service.capacity import busy_spread
from sim.planning.service.estimate import Estimator
from sim.runs import run_scenario
from sim.scenario import Scenario
from tests.small import chat, pool, scenario

LENGTHS = {"kind": "lognormal", "prompt_median": 900, "prompt_sigma": 0.9, "output_median": 150, "output_sigma": 0.7}
API = {
    "name": "api",
    "kind": "api",
    "model": "Llama-3.1-8B",
    "tier": 1,
    "tariff": {"kind": "windows", "base": {"input_usd_per_1m": 0.2, "output_usd_per_1m": 0.6}},
}


def busy_chat(rps: float, *, cv: float = 1.0, **changes: Any) -> dict[str, Any]:
    return chat(arrivals={"kind": "gamma", "rps": float(rps), "cv": cv}, lengths=LENGTHS, **changes)


def served(*streams: dict[str, Any], **changes: Any) -> Scenario:
    return scenario(
        workload=list(streams), **({"horizon": "40m", "warm_up": "5m", "replications": 2, "seed": 4} | changes)
    )


def means(world: Scenario) -> dict[str, float]:
    outcome = run_scenario(world)
    assert outcome.refused is None
    return {name: float(np.mean(values)) for name, values in outcome.figures.items()}


def ceiling_of(world: Scenario) -> tuple[float, float]:
    """The ceiling of the only pool, and the time a request takes of a replica in full batches."""
    instance = Estimator(world).instance(world)
    (supply,) = instance.supplies
    assert supply.ceiling is not None
    return float(supply.ceiling[0]), float(instance.work_s[0, 0, 0])


@pytest.mark.parametrize(
    ("slo", "cv"),
    [({"ttft": "1s", "e2e": "30s"}, 1.0), ({"tpot": "22ms", "ttft": "2s"}, 1.0), ({"ttft": "400ms"}, 1.5)],
)
def test_at_its_ceiling_a_replica_keeps_the_promise_and_far_above_it_does_not(slo: dict[str, str], cv: float) -> None:
    replicas = 3
    # As much as about three replicas can do: the ceiling is that of as many as the load needs.
    _, work_s = ceiling_of(served(busy_chat(1.0, cv=cv, slo=slo)))
    ceiling, _ = ceiling_of(served(busy_chat(2.0 / work_s, cv=cv, slo=slo)))

    def attainment(busy: float) -> float:
        stream = busy_chat(busy * replicas / work_s, cv=cv, slo=slo)
        return means(served(stream, fleet=[pool(replicas=replicas)]))["slo.attainment"]

    assert attainment(ceiling) >= 0.95
    assert attainment(1.4 * ceiling) < 0.95


def test_ceilings_grow_with_the_load_and_fall_with_the_promise() -> None:
    small, large = (ceiling_of(served(busy_chat(rps, cv=2.0, slo={"ttft": "300ms"})))[0] for rps in (2.0, 200.0))
    strict = ceiling_of(served(busy_chat(2.0, cv=2.0, slo={"ttft": "200ms"})))[0]
    assert strict < small < large <= 1.0


def test_what_comes_in_peaks_needs_more_room() -> None:
    week = {
        "horizon": "24h",
        "start": "2026-03-02T00:00:00",
        "plan": {"blocks": [{"name": "all", "hours": "00:00-24:00"}]},
    }
    swing = {"kind": "daily", "mean_rps": 30.0, "amplitude": 0.8}
    slo = {"ttft": "1s", "e2e": "30s"}
    steady = ceiling_of(served(busy_chat(30.0, slo=slo), **week))[0]
    swinging = ceiling_of(served(chat(arrivals=swing, lengths=LENGTHS, slo=slo), **week))[0]
    assert swinging < 0.75 * steady


def test_spread_of_a_load_keeps_its_mean() -> None:
    load, seconds = np.array([1.0, 5.0, 3.0, 3.0]), np.array([900.0, 900.0, 900.0, 450.0])
    factors, shares = busy_spread(load, seconds)
    assert shares.sum() == pytest.approx(1.0)
    assert 1.0 / (shares / factors).sum() == pytest.approx(1.0)


def overflowing() -> Iterator[tuple[Scenario, list[int]]]:
    """Worlds whose own replicas leave something to others."""
    spill = pool(replicas=1, admission={"spill_at": 16, "max_outstanding": 64})
    yield served(busy_chat(16.0, cv=1.5), fleet=[spill, API]), [1, 1]
    extra = pool(
        name="extra",
        tier=1,
        replicas=1,
        offer={"kind": "on-demand", "usd_per_gpu_hour": 3.0},
        autoscale={"kind": "queue", "min": 1, "max": 4, "target_outstanding": 24, "start_up": "10s", "cool_down": "1m"},
    )
    yield served(busy_chat(34.0), fleet=[spill, extra], horizon="2h"), [1, 4]
    slow = pool(
        name="slow", gpu="A10G", offer={"kind": "on-demand", "usd_per_gpu_hour": 1.0}, engine={"max_num_seqs": 64}
    )
    other = busy_chat(2.0, name="other", slo={"e2e": "5m"}, priority="batch")
    yield served(busy_chat(20.0), other, fleet=[pool(replicas=2), slow | {"tier": 1}]), [2, 2]


@pytest.mark.parametrize(("world", "bought"), list(overflowing()))
def test_a_fleet_comes_to_about_what_is_expected(world: Scenario, bought: list[int]) -> None:
    found = means(world)
    estimate = Estimator(world)
    expected = estimate.forecast(world, np.tile(np.array(bought)[:, np.newaxis], (1, estimate.blocks.count)))

    assert expected.usd_per_month == pytest.approx(found["cost.usd_per_hour"] * 730.5, rel=0.15)
    assert expected.attainment == pytest.approx(found["slo.attainment"], abs=0.04)
    assert expected.e2e_p99_s == pytest.approx(found["latency.e2e_s.p99"], rel=0.35)
    assert expected.attainment_of.shape == (len(world.workload),)


def test_more_than_a_fleet_can_do_is_told() -> None:
    world = served(busy_chat(40.0), fleet=[pool(replicas=1)])
    estimate = Estimator(world)
    expected = estimate.forecast(world, np.ones((1, estimate.blocks.count), np.int64))
    assert expected.attainment < 0.2
    assert estimate.instance(world).supplies[0].most >= 3


def small_fleets() -> Iterator[Scenario]:
    """Worlds by chance, small enough that a few are simulated in a moment."""
    rng = np.random.default_rng(11)
    for _ in range(8):
        streams = [_any_stream(rng, name) for name in ("one", "two")[: rng.integers(1, 3)]]
        fleet = [
            pool(name="own", replicas=int(rng.integers(1, 3)), admission={"spill_at": int(rng.integers(8, 60))}),
            *_any_pools(rng),
        ]
        ways: dict[str, Any] = {}
        if rng.random() < 0.4:
            ways["strategies"] = [{"name": "direct", "kind": "direct"}, {"name": "vote", "kind": "vote", "samples": 3}]
            ways["router"] = {"policy": "random", "weights": {"direct": 2, "vote": 1}}
        yield served(*streams, fleet=fleet, horizon="15m", warm_up="2m", seed=int(rng.integers(99)), **ways)


def _any_stream(rng: np.random.Generator, name: str) -> dict[str, Any]:
    stream = busy_chat(float(rng.uniform(2.0, 14.0)), cv=float(rng.uniform(0.8, 1.6)), name=name)
    if rng.random() < 0.4:
        stream["contexts"] = {"queries": 4, "think_time": "10s", "tokens": 2000}
    if rng.random() < 0.4:
        stream["client"] = {"timeout": "20s", "retries": 1}
    return stream


def _any_pools(rng: np.random.Generator) -> list[dict[str, Any]]:
    if rng.random() < 0.5:
        return [API]
    offer = {"kind": "on-demand", "usd_per_gpu_hour": 3.0}
    scaling = {"kind": "queue", "min": 0, "max": 3, "target_outstanding": 20, "start_up": "10s", "cool_down": "1m"}
    return [pool(name="more", tier=1, replicas=0, offer=offer, autoscale=scaling)]


def test_the_bound_is_near_where_everything_is_paid_by_the_request() -> None:
    """It leaves out the dearest twentieth of the requests and the eighth of the time that is warm-up."""
    world = served(busy_chat(4.0), fleet=[API])
    usd = means(world)["cost.usd_per_hour"] * 730.5
    assert 0.6 * usd <= bound(Estimator(world).instance(world, optimistic=True)) <= 0.95 * 0.875 * usd


@pytest.mark.parametrize("world", list(small_fleets()))
def test_no_fleet_that_keeps_its_promise_costs_less_than_the_bound(world: Scenario) -> None:
    found = means(world)
    least_usd = bound(Estimator(world).instance(world, optimistic=True))
    assert least_usd > 0.0
    if found["slo.attainment"] >= 0.95:
        assert found["cost.usd_per_hour"] * 730.5 >= least_usd
