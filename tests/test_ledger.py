"""Every dollar once: the lines of the bill, their sum, and what prices do to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import EngineError
from sim.invoice import check_books
from sim.ledger import COLUMNS, Charges
from sim.load import load_scenario
from sim.results import Results
from sim.simulation import simulate
from tests.small import chat, pool, rows, scenario

STREAMS = [chat(), chat(name="batch", priority="batch", arrivals={"kind": "poisson", "rps": 1.0})]
WAYS = [{"name": "quick"}, {"name": "other"}]


def priced(usd: float, **changes: Any) -> Results:
    """Two pools and streams, two ways to answer; the last requests are still in flight at the end."""
    fleet = [
        pool(offer={"kind": "reserved", "usd_per_gpu_hour": usd}),
        pool(
            name="a100",
            gpu="A100-80GB-SXM",
            tensor_parallel=2,
            offer={"kind": "on-demand", "usd_per_gpu_hour": 0.6 * usd},
        ),
    ]
    given = {
        "workload": STREAMS,
        "fleet": fleet,
        "strategies": WAYS,
        "router": {"policy": "round-robin"},
        "replications": 2,
    }
    return simulate(scenario(**(given | changes)), keep_requests=True)


@pytest.fixture(scope="module")
def results() -> Results:
    return priced(2.0)


def test_the_bill_is_the_sum_of_its_lines(results: Results) -> None:
    bills = results.ledger.groupby("replication")["usd"].sum()
    # Two H100s at $2, and two replicas of two A100s at $1.20, for five minutes.
    assert bills.tolist() == pytest.approx([(2 * 2.0 + 4 * 1.2) / 12] * 2, rel=1e-9)


def test_the_summary_tells_the_same_bill_by_line_and_pool(results: Results) -> None:
    cost, ledger = results.summary["cost"], results.ledger

    def mean_by(column: str) -> dict[str, float]:
        return (ledger.groupby(column)["usd"].sum() / 2).to_dict()

    assert cost["by_line"] | {"electricity": 0.0} == pytest.approx(mean_by("line"))
    assert cost["by_pool"] == pytest.approx(mean_by("pool"))
    assert cost["by_stream"] == pytest.approx(mean_by("stream"))
    assert cost["by_strategy"] == pytest.approx(mean_by("strategy"))
    assert cost["by_window"] == pytest.approx({k: usd for k, usd in mean_by("window").items() if usd})
    assert sum(cost["by_line"].values()) == pytest.approx(cost["total_usd"], rel=1e-9)
    assert sum(cost["by_pool"].values()) == pytest.approx(cost["total_usd"], rel=1e-9)


def test_busy_dollars_are_those_of_the_requests(results: Results) -> None:
    keys = ["replication", "pool", "stream", "strategy", "priority"]
    by_request = rows(results).groupby(keys, observed=True)["cost_usd"].sum().to_dict()
    busy = results.ledger.query("line == 'busy'").set_index(keys)["usd"].to_dict()

    assert busy == pytest.approx(by_request, rel=1e-9)
    assert len(busy) == 2 * 2 * 2 * 2


def test_idle_dollars_are_one_line_of_each_pool(results: Results) -> None:
    idle = results.ledger.query("line == 'idle'")

    assert idle[["replication", "pool"]].to_numpy().tolist() == [[n, name] for n in (0, 1) for name in ("h100", "a100")]
    assert idle[["stream", "strategy", "priority"]].isna().all(axis=None)


def test_buckets_add_up_to_the_ledger(results: Results) -> None:
    buckets = results.buckets.groupby(["replication", "pool"])[["busy_usd", "idle_usd", "kwh"]].sum()
    by_line = results.ledger.groupby(["replication", "pool", "line"])
    ledger = by_line["usd"].sum().unstack()[["busy", "idle"]].assign(kwh=by_line["kwh"].sum().unstack()["electricity"])

    assert buckets.to_numpy() == pytest.approx(ledger.to_numpy(), rel=1e-9)


def test_a_ledger_has_the_columns_of_the_contract(results: Results) -> None:
    assert tuple(results.ledger.columns) == COLUMNS


@settings(max_examples=5, deadline=None)
@given(usd=st.floats(1e-6, 1e6))
def test_doubling_all_prices_doubles_every_line(usd: float) -> None:
    once, twice = priced(usd, horizon="30s").ledger, priced(2 * usd, horizon="30s").ledger

    pd.testing.assert_frame_equal(once.assign(usd=2 * once["usd"]), twice, check_exact=True)


def test_what_is_free_costs_nothing() -> None:
    free = priced(0.0).summary["cost"]

    assert (free["total_usd"], free["usd_per_1k_requests"]) == (0.0, 0.0)


def test_a_fleet_without_requests_is_all_idle() -> None:
    none = simulate(scenario(workload=[chat(arrivals={"kind": "poisson", "rps": 1e-9})]))

    assert none.ledger.groupby("line")["usd"].sum().to_dict() == {
        "idle": pytest.approx(2 * 2.0 / 12),
        "electricity": 0.0,
    }


def test_a_bill_that_is_not_the_invoice_is_our_fault() -> None:
    unused_usd, none = np.array([[[0.0, 0.0, 2.0, 0.0, 0.0]]]), np.zeros((1, 1, 3))
    used_usd = np.full((1, 1, 1, 3, 1, 1), 1.0) * [1.0, 0.0, 0.0]
    work = np.ones((1, 1))
    tokens = np.zeros((1, 1, 1, 3), np.int64)
    fair = Charges(used_usd, work, work, unused_usd, unused_usd, tokens, none.astype(np.int64), none, [])
    check_books(fair, np.array([5.0]), np.array([[3.0]]))

    with pytest.raises(EngineError, match="not the invoice"):
        check_books(fair, np.array([5.0 * (1 + 1e-8)]), np.array([[3.0]]))
    with pytest.raises(EngineError, match="what requests were charged"):
        check_books(fair, np.array([5.0]), np.array([[3.0 * (1 + 1e-8)]]))


@pytest.mark.long
def test_a_hundred_million_equal_costs_still_add_up(tmp_path: Path) -> None:
    """Equal amounts round alike: summed in one go they are off by more than 1e-9, and the run would be refused."""
    file = tmp_path / "equal.yaml"
    file.write_text(
        "name: equal\n"
        "horizon: 438h\n"
        "workload:\n"
        "  - name: one\n"
        "    arrivals: {kind: closed, concurrency: 1}\n"
        "    lengths: {kind: constant, prompt_tokens: 100, output_tokens: 2}\n"
        "fleet:\n"
        "  - {name: h100, gpu: H100-SXM, model: Llama-3.1-8B, replicas: 1,"
        " offer: {kind: reserved, usd_per_gpu_hour: 2.0}}\n",
        encoding="utf-8",
    )
    charges = simulate(load_scenario(file)).replications[0].charges
    assert charges.total_usd == pytest.approx(876.0, rel=1e-11)
