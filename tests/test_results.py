"""The results folder: its tables, their columns and types, and that it is whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim.errors import InputError
from sim.load import load_scenario
from sim.results import Results
from sim.rows import RowSpool
from sim.saved import load_results
from sim.simulation import simulate
from tests.small import chat, pool, rows, scenario, steady_step_times

CONTRACT = """replication, request_id, stream, context_id, arrival_s, strategy, pool, replica, status, prompt_tokens,
cached_tokens, output_tokens, ttft_s, tpot_s, e2e_s, correct, p_correct, prepared, cost_usd, priority"""

TEXT, WHOLE, NUMBER, TRUTH = "string", "int64", "double", "bool"
REQUESTS = [WHOLE, WHOLE, TEXT, WHOLE, NUMBER, TEXT, TEXT, WHOLE, TEXT, WHOLE, WHOLE, WHOLE, *[NUMBER] * 3]
REQUESTS += [TRUTH, NUMBER, TRUTH, NUMBER, TEXT, WHOLE, WHOLE, WHOLE]
LEDGER = [WHOLE, *[TEXT] * 6, *[NUMBER] * 4]


def types_of(file: Path) -> list[str]:
    return [str(kind).removeprefix("large_") for kind in pq.read_schema(file).types]


def rejected_at_once(folder: Path, **changes: object) -> Results:
    """A run with one request, at time zero, that fits nowhere."""
    trace = folder / "one.csv"
    trace.write_text("arrival_s,prompt_tokens,output_tokens\n0,999999999,1\n", encoding="utf-8")
    stream = chat(arrivals={"kind": "trace", "path": str(trace), "format": "nightshift"}, lengths=None)
    return simulate(scenario(horizon=None, workload=[stream], **changes), keep_requests=True)


@pytest.fixture(scope="module")
def results() -> Results:
    return simulate(scenario(replications=2), keep_requests=True)


@pytest.fixture(scope="module")
def folder(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("results") / "run"
    results.save(target)
    return target


def test_a_folder_holds_the_files_of_the_contract(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "buckets.parquet",
        "latency.parquet",
        "ledger.parquet",
        "report.html",
        "requests.parquet",
        "scenario.yaml",
        "streams.parquet",
        "summary.json",
    ]


def test_requests_have_the_columns_of_the_contract_and_more_after_them(folder: Path) -> None:
    assert pq.read_schema(folder / "requests.parquet").names == [
        *CONTRACT.replace("\n", " ").split(", "),
        "preemptions",
        "attempts",
        "steps",
    ]


def test_tables_are_typed(folder: Path) -> None:
    assert types_of(folder / "requests.parquet") == REQUESTS
    assert types_of(folder / "ledger.parquet") == LEDGER
    assert types_of(folder / "buckets.parquet")[:4] == [WHOLE, TEXT, NUMBER, NUMBER]


def test_a_run_of_one_refused_request_has_tables_of_the_same_types(tmp_path: Path, folder: Path) -> None:
    rejected_at_once(tmp_path).save(tmp_path / "run")
    files = [f"{name}.parquet" for name in ("requests", "buckets", "ledger", "streams", "latency")]

    assert [types_of(tmp_path / "run" / name) for name in files] == [types_of(folder / name) for name in files]
    assert [len(pd.read_parquet(tmp_path / "run" / name)) for name in files] == [1, 1, 0, 1, 0]


def test_a_refused_request_has_no_replica_no_times_and_no_cost(tmp_path: Path) -> None:
    row = rows(rejected_at_once(tmp_path)).iloc[0]

    assert (row["status"], row["cost_usd"]) == ("rejected_too_long", 0.0)
    assert row[["pool", "replica", "ttft_s", "tpot_s", "e2e_s"]].isna().all()


def test_the_saved_scenario_is_the_one_that_ran(results: Results, folder: Path) -> None:
    assert load_scenario(folder / "scenario.yaml") == results.scenario


def test_what_is_saved_is_what_was_found(results: Results, folder: Path) -> None:
    saved = load_results(folder)
    ledger = saved.table("ledger")

    assert saved.summary == results.summary
    pd.testing.assert_frame_equal(ledger, results.ledger)
    pd.testing.assert_frame_equal(saved.table("buckets"), results.buckets)
    assert len(saved.table("requests")) == results.summary["requests"]["offered"] * 2


def test_rows_agree_with_the_summary(results: Results) -> None:
    frame, summary = rows(results), results.summary
    done = frame[frame["status"] == "completed"]
    met = (done["ttft_s"] <= 1.0) & (done["e2e_s"] <= 30.0)

    assert len(done) / 2 == summary["requests"]["completed"]
    assert done["output_tokens"].sum() / 2 == summary["requests"]["output_tokens"]
    assert done["prompt_tokens"].sum() / 2 == summary["requests"]["prompt_tokens"]
    assert met.sum() / len(frame) == pytest.approx(summary["slo"]["attainment"], rel=1e-3)
    for metric in ("ttft_s", "tpot_s", "e2e_s"):
        of = summary["latency"][metric]
        by_run = done.groupby("replication")[metric]
        assert by_run.mean().mean() == pytest.approx(of["mean"], rel=1e-9)
        assert by_run.quantile(0.5).mean() == pytest.approx(of["p50"], rel=0.006)
        assert by_run.quantile(0.9).mean() == pytest.approx(of["p90"], rel=0.02)


def test_buckets_agree_with_the_rows(results: Results) -> None:
    frame, buckets = rows(results), results.buckets
    done = frame[frame["status"] == "completed"]

    assert buckets["arrived"].sum() == len(frame)
    assert buckets["completed"].sum() == len(done)
    assert buckets["output_tokens"].sum() == done["output_tokens"].sum()


def test_buckets_cover_the_run_without_gaps() -> None:
    buckets = simulate(scenario(bucket="700ms", horizon="100s")).buckets

    assert buckets["begin_s"].tolist()[1:] == buckets["end_s"].tolist()[:-1]
    assert buckets["end_s"].tolist() == pytest.approx([*(0.7 * np.arange(1, 143)), 100.0])


def test_time_per_output_token_leaves_out_the_first(tmp_path: Path) -> None:
    stream = chat(lengths={"kind": "constant", "prompt_tokens": 1, "output_tokens": 5})
    one = pool(step_time=steady_step_times(tmp_path, 0.01))
    stream |= {"arrivals": {"kind": "closed", "concurrency": 1, "requests": 3}}
    frame = rows(simulate(scenario(workload=[stream], fleet=[one], horizon=None), keep_requests=True))

    assert frame[["ttft_s", "tpot_s", "e2e_s"]].to_numpy() == pytest.approx(np.array([[0.01, 0.01, 0.05]] * 3))


def test_one_token_has_no_time_per_output_token() -> None:
    stream = chat(lengths={"kind": "constant", "prompt_tokens": 10, "output_tokens": 1})
    results = simulate(scenario(workload=[stream]), keep_requests=True)

    assert rows(results)["tpot_s"].isna().all()
    assert results.summary["latency"]["tpot_s"]["mean"] is None


def test_without_rows_the_folder_has_none(tmp_path: Path) -> None:
    results = simulate(scenario())
    results.save(tmp_path / "run")

    assert list(results.requests()) == []
    with pytest.raises(InputError, match="--requests"):
        load_results(tmp_path / "run").table("requests")


def test_summary_json_holds_no_nan(folder: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((folder / "summary.json").read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.mark.parametrize("text", [None, "{", ""])
def test_what_is_no_results_folder_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "summary.json").write_text(text, encoding="utf-8")

    with pytest.raises(InputError, match="is not a results folder"):
        load_results(tmp_path)


def test_rows_come_back_by_replication_in_their_order() -> None:
    from sim.engine import state

    def part(*numbers: int) -> state.Records:
        made = state.records(state.ROW, len(numbers))
        made["request_id"] = numbers
        return made

    spool = RowSpool()
    for replication, numbers in [(1, (7,)), (0, (1, 2)), (1, (8, 9)), (0, (3,))]:
        spool.add(replication, part(*numbers))
    found = [(replication, chunk["request_id"].tolist()) for replication, chunk in spool.chunks()]

    assert found == [(0, [1, 2]), (0, [3]), (1, [7]), (1, [8, 9])]


def test_parquet_files_hold_no_pickles(folder: Path) -> None:
    for name in ("requests", "buckets", "ledger"):
        assert not any(pa.types.is_binary(kind) for kind in pq.read_schema(folder / f"{name}.parquet").types)
