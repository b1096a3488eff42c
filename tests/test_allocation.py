"""Who pays for what nobody used: the bill shared out among streams, strategies, classes and kinds of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim.results import Results
from sim.simulation import simulate
from tests.small import chat, pool, scenario, steady_step_times
from tests.test_bills import BASE, api, asking, empty


def costs(*streams: dict[str, Any], **changes: Any) -> dict[str, Any]:
    results: Results = simulate(scenario(workload=list(streams), **changes))
    cost: dict[str, Any] = results.summary["cost"]
    return cost


def test_idle_time_is_shared_out_by_what_was_used(tmp_path: Path) -> None:
    """One stream uses a server twice as long as the other; most of the hour nobody does."""
    law = steady_step_times(tmp_path, 1.0)
    fleet = [pool(replicas=1, step_time=law, offer={"kind": "reserved", "usd_per_gpu_hour": 3600.0})]
    late = {"kind": "closed", "concurrency": 1, "requests": 4}
    long, short = asking(2, output=40, name="long"), asking(4, output=10, name="short", arrivals=late)
    cost = costs(long, short, fleet=fleet, horizon="1h")

    used, allocated = cost["by_stream"], cost["allocated"]["by_stream"]
    share = used["long"] / (used["long"] + used["short"])
    assert used["long"] + used["short"] == pytest.approx(80.0, abs=5.0)
    assert 0.5 < share < 0.9
    assert allocated == pytest.approx({"long": 3600.0 * share, "short": 3600.0 * (1.0 - share)})


def test_what_free_gpus_cost_besides_is_shared_out_by_answers() -> None:
    """GPUs of one's own at nothing by the hour, whose electricity is paid."""
    electricity = {"kind": "windows", "usd_per_kwh": 0.20}
    own = pool(replicas=1, offer={"kind": "reserved", "usd_per_gpu_hour": 0.0}, electricity=electricity)
    results = simulate(scenario(workload=[chat(), chat(name="other")], fleet=[own], horizon="1h"))
    cost, busy = results.summary["cost"], results.ledger.query("line == 'busy'")

    kinds = ("input", "generated")
    tokens = (results.summary["requests"]["prompt_tokens"], results.summary["requests"]["output_tokens"])
    by_kind = [cost[f"usd_per_1m_{kind}_tokens"] * count / 1e6 for kind, count in zip(kinds, tokens, strict=True)]
    assert cost["by_line"]["electricity"] == cost["total_usd"] > 0.0
    assert sum(cost["allocated"]["by_stream"].values()) == pytest.approx(cost["total_usd"])
    assert min(cost["allocated"]["by_stream"].values()) > 0.4 * cost["total_usd"]
    assert sum(by_kind) == pytest.approx(cost["total_usd"])
    assert (busy["usd"].sum(), busy["hours"].sum()) == (0.0, pytest.approx(0.76, abs=0.1))


def test_a_pool_is_paid_by_those_who_use_it() -> None:
    """An API for one stream, a server for the other: neither bears the other's bill."""
    fleet = [pool(name="own", replicas=1, model="Llama-3.1-8B"), api(model="hosted")]
    here, there = chat(name="here", model="Llama-3.1-8B"), asking(4, name="there", model="hosted")
    cost = costs(here, there, fleet=fleet, horizon="30m")

    calls = 4 * (1000 * BASE["input_usd_per_1m"] + 51 * BASE["output_usd_per_1m"]) / 1e6
    assert cost["allocated"]["by_stream"] == pytest.approx({"here": 1.0, "there": calls})


def test_a_pool_that_nobody_uses_is_borne_by_all() -> None:
    spare = pool(name="spare", replicas=1, model="Llama-3.1-70B", tensor_parallel=4)
    fleet = [pool(name="own", replicas=1), spare]
    stream = chat(model="Llama-3.1-8B")
    cost = costs(stream, fleet=fleet, horizon="30m")

    assert cost["by_pool"] == pytest.approx({"own": 1.0, "spare": 4.0})
    assert cost["allocated"]["by_stream"] == pytest.approx({"chat": 5.0})


def test_classes_and_strategies_are_shared_out_alike() -> None:
    streams = [chat(), chat(name="later", priority="batch")]
    ways = {"strategies": [{"name": "a"}, {"name": "b"}], "router": {"policy": "round-robin"}}
    cost = costs(*streams, **ways, horizon="30m")

    used, allocated = cost, cost["allocated"]
    for split, names in (("by_class", {"interactive", "batch"}), ("by_strategy", {"a", "b"})):
        factor = cost["total_usd"] / sum(used[split].values())
        assert set(allocated[split]) == names
        assert allocated[split] == pytest.approx({name: usd * factor for name, usd in used[split].items()})


def test_where_nothing_was_used_nothing_is_shared_out() -> None:
    cost = empty(horizon="1h").summary["cost"]

    assert cost["total_usd"] == pytest.approx(4.0)
    assert cost["allocated"]["by_stream"] == {"chat": 0.0}


def test_prices_of_tokens_hold_the_whole_bill() -> None:
    """Idle time is in the price of tokens as well: tokens x prices are all dollars."""
    fleet = [pool(replicas=1, admission={"spill_at": 1}), api(cached_share=0.5)]
    results = simulate(scenario(horizon="30m", fleet=fleet))
    cost, requests = results.summary["cost"], results.summary["requests"]
    cached = results.replications[0].cached_tokens

    tokens = {
        "input": requests["prompt_tokens"] - cached,
        "cached": cached,
        "generated": int(results.replications[0].charges.answered_tokens.sum()),
    }
    assert min(tokens.values()) > 0
    dollars = sum(cost[f"usd_per_1m_{kind}_tokens"] * count / 1e6 for kind, count in tokens.items())
    assert dollars == pytest.approx(cost["total_usd"], rel=1e-9)
