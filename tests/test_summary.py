"""The summary: the keys of the contract, what they add up to, and their intervals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.simulation import simulate
from tests.small import chat, pool, scenario

SUMMARY = {
    "scenario": None,
    "seed": None,
    "replications": None,
    "horizon_s": None,
    "requests": ["offered", "completed", "rejected", "timed_out", "unfinished"],
    "latency": ["ttft_s", "tpot_s", "e2e_s"],
    "slo": ["attainment", "goodput_rps"],
    "quality": ["accuracy"],
    "cost": [
        "total_usd",
        "usd_per_hour",
        "usd_per_1k_requests",
        "usd_per_1m_output_tokens",
        "usd_per_correct",
        "by_line",
        "by_strategy",
        "by_window",
    ],
    "strategies": ["direct"],
    "sleep": ["prepared", "hit_rate", "wasted_share"],
    "fleet": ["gpu_hours", "busy_share", "peak_replicas"],
    "intervals": [],
    "speed": ["requests_per_s", "wall_s"],
}
HEADLINES = [
    *(f"latency.{metric}.{name}" for metric in ("ttft_s", "tpot_s", "e2e_s") for name in ("mean", "p50", "p99")),
    "slo.attainment",
    "slo.goodput_rps",
    "cost.total_usd",
    "cost.usd_per_hour",
    "cost.usd_per_1k_requests",
    "cost.usd_per_1m_output_tokens",
    "fleet.busy_share",
    "fleet.gpu_hours",
]
OVERLOADED = {"fleet": [pool(replicas=1, engine={"kv_capacity_tokens": 1200, "max_num_seqs": 4})], "horizon": "1m"}
TWO_WORLDS = pytest.mark.parametrize("replications", [1, 3])


def summary_of(**changes: Any) -> dict[str, Any]:
    return simulate(scenario(**changes)).summary


def at(summary: dict[str, Any], name: str) -> Any:
    for key in name.split("."):
        summary = summary[key]
    return summary


def numbers(tree: Any) -> Iterator[float]:
    if isinstance(tree, dict):
        for value in tree.values():
            yield from numbers(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from numbers(value)
    elif tree is not None and not isinstance(tree, str):
        yield tree


@TWO_WORLDS
def test_a_summary_has_the_keys_of_the_contract(replications: int) -> None:
    summary = summary_of(replications=replications)

    assert [key for key in SUMMARY if key not in summary] == []
    assert [(key, name) for key, names in SUMMARY.items() for name in names or () if name not in summary[key]] == []
    assert all(list(values) == ["mean", "p50", "p90", "p95", "p99"] for values in summary["latency"].values())


@settings(max_examples=15, deadline=None)
@given(
    rps=st.sampled_from([0.01, 1.0, 40.0]),
    capacity=st.sampled_from([300, 1200, 10**6]),
    replications=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**31 - 1),
)
def test_every_request_ends_in_one_way(rps: float, capacity: int, replications: int, seed: int) -> None:
    tight = pool(replicas=1, engine={"kv_capacity_tokens": capacity, "max_num_seqs": 16})
    stream = chat(arrivals={"kind": "poisson", "rps": rps})
    summary = summary_of(workload=[stream], fleet=[tight], horizon="1m", replications=replications, seed=seed)
    found = summary["requests"]

    assert found["offered"] == sum(found[key] for key in ("completed", "rejected", "timed_out", "unfinished"))
    assert found["rejected"] == pytest.approx(sum(found["rejected_by"].values()))
    assert all(np.isfinite(list(numbers(summary))))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


@TWO_WORLDS
def test_every_headline_figure_has_an_interval_around_it(replications: int) -> None:
    summary = summary_of(replications=replications, horizon="20m")
    around = {name: summary["intervals"][name] for name in HEADLINES}

    assert [name for name, (low, high) in around.items() if not low <= at(summary, name) <= high] == []


def test_completed_requests_have_an_interval_over_replications() -> None:
    summary = summary_of(replications=3)
    low, high = summary["intervals"]["requests.completed"]

    assert low < summary["requests"]["completed"] < high


@TWO_WORLDS
def test_what_does_not_depend_on_chance_has_an_interval_without_width(replications: int) -> None:
    summary = summary_of(replications=replications)
    certain = ("cost.total_usd", "cost.usd_per_hour", "fleet.gpu_hours")

    assert [summary["intervals"][name] for name in certain] == [[at(summary, name)] * 2 for name in certain]


def test_a_run_too_short_for_parts_has_no_intervals() -> None:
    assert set(summary_of(horizon="500ms")["intervals"].values()) == {None}


def test_intervals_of_shares_stay_within_nothing_and_all() -> None:
    low, high = summary_of(replications=2, **OVERLOADED)["intervals"]["slo.attainment"]

    assert 0.0 <= low <= high <= 1.0


def test_the_attainment_of_parts_does_not_depend_on_requests_that_cross_their_edges() -> None:
    # Every objective is met, but for requests in flight at the end.
    low, high = summary_of(horizon="10m", workload=[chat(slo={"e2e": "1h"})])["intervals"]["slo.attainment"]

    assert high - low < 1e-9


def test_intervals_over_replications_hold_the_truth_as_often_as_they_say() -> None:
    """The truth here is the mean of all runs together."""
    runs = [summary_of(horizon="100s", replications=4, seed=seed) for seed in range(40)]
    held = {
        name: [run["intervals"][name][0] <= truth <= run["intervals"][name][1] for run in runs]
        for name in ("latency.e2e_s.mean", "requests.completed", "cost.usd_per_1k_requests")
        for truth in [np.mean([at(run, name) for run in runs])]
    }

    assert all(np.mean(hits) >= 0.85 for hits in held.values())


def test_unfinished_and_rejected_requests_count_as_misses() -> None:
    generous = chat(slo={"e2e": "100h"}, arrivals={"kind": "poisson", "rps": 40.0})
    found = summary_of(**OVERLOADED | {"workload": [generous]})
    requests = found["requests"]

    assert requests["unfinished"] > 100
    assert requests["preemptions"] > 0
    assert found["slo"]["attainment"] == requests["completed"] / requests["offered"]


def test_the_warm_up_is_left_out_of_latencies_but_not_of_the_bill() -> None:
    whole, later = summary_of(), summary_of(warm_up="2m")

    assert whole["requests"] == later["requests"]
    assert whole["cost"]["total_usd"] == later["cost"]["total_usd"]
    assert whole["latency"] != later["latency"]
    assert whole["slo"]["goodput_rps"] == pytest.approx(later["slo"]["goodput_rps"], rel=0.1)


def test_busy_share_and_gpu_hours_count_gpus_not_replicas() -> None:
    fleet = [pool(replicas=1), pool(name="wide", replicas=1, tensor_parallel=8)]
    wide_only = {"strategies": [{"name": "wide", "pool": "wide"}], "fleet": fleet}
    summary = summary_of(**wide_only)
    busy_usd = summary["cost"]["by_line"]["busy"]

    assert summary["fleet"]["gpu_hours"] == pytest.approx(9 / 12)
    assert summary["fleet"]["busy_share"] == pytest.approx(busy_usd / summary["cost"]["total_usd"])


def test_streams_and_strategies_split_what_there_is() -> None:
    mix = {"strategies": [{"name": "a"}, {"name": "b"}], "router": {"policy": "round-robin"}}
    summary = summary_of(workload=[chat(), chat(name="other")], **mix)

    assert sum(stream["offered"] for stream in summary["streams"].values()) == summary["requests"]["offered"]
    assert sum(way["share"] for way in summary["strategies"].values()) == pytest.approx(1.0)


def test_nothing_to_measure_is_told_as_none() -> None:
    summary = summary_of(workload=[chat(arrivals={"kind": "poisson", "rps": 1e-9})])

    assert (summary["latency"]["ttft_s"]["p99"], summary["slo"]["attainment"]) == (None, None)
    assert (summary["cost"]["usd_per_1k_requests"], summary["strategies"]["direct"]["share"]) == (None, None)


def test_a_run_of_many_days_has_an_interval_for_what_follows_the_clock() -> None:
    """Nights are half price: the days tell how far the bill may be off, their hours do not."""
    night = {"kind": "windows", "usd_per_gpu_hour": 2.0, "windows": [{"hours": "00:00-12:00", "usd_per_gpu_hour": 1.0}]}
    offer = {"kind": "on-demand", "tariff": night}
    scaling = {"kind": "queue", "min": 1, "max": 3, "target_outstanding": 3, "tick": "5m"}
    fleet = [pool(offer=offer, replicas=1, autoscale=scaling)]
    demand = [chat(arrivals={"kind": "gamma", "rps": 0.5, "cv": 4.0})]
    short, long = (
        simulate(scenario(horizon=horizon, workload=demand, fleet=fleet)).summary for horizon in ("4d", "8d")
    )

    for name in ("total_usd", "usd_per_hour"):
        low, high = long["intervals"][f"cost.{name}"]
        assert low < long["cost"][name] < high < 1.2 * low
        assert short["intervals"][f"cost.{name}"] is None
    low, high = long["intervals"]["fleet.gpu_hours"]
    assert low < long["fleet"]["gpu_hours"] < high
