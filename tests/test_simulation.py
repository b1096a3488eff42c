"""A whole simulation: the same bytes for the same seed, changes that change nothing, how it begins and ends."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.engine.serve import close_books, serve, settle
from sim.engine.warm import compile_engine
from sim.errors import InputError
from sim.results import Results
from sim.scenario import Scenario
from sim.simulation import Progress, simulate
from tests.small import chat, pool, rows, scenario

ROOT = Path(__file__).resolve().parents[1]
MIXED: dict[str, Any] = {
    "workload": [
        chat(),
        chat(name="clients", arrivals={"kind": "closed", "concurrency": 3, "think_time": "2s"}),
    ],
    "fleet": [pool(), pool(name="spare", schedule=[{"hours": "00:01-00:03", "replicas": 0}])],
    "strategies": [{"name": "here"}, {"name": "there"}],
    "router": {"policy": "random", "weights": {"here": 1, "there": 2}},
    "balancer": "power-of-two",
    "replications": 3,
    "warm_up": "10s",
}


def saved(results: Results, folder: Path) -> dict[str, bytes]:
    """The tables as they are on disk, byte by byte."""
    results.save(folder)
    return {file.name: file.read_bytes() for file in folder.glob("*.parquet")}


def without_speed(results: Results) -> dict[str, Any]:
    return {key: value for key, value in results.summary.items() if key != "speed"}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (simulate(scenario(**MIXED), keep_requests=True) for _ in range(2))

    assert without_speed(first) == without_speed(second)
    assert saved(first, tmp_path / "first") == saved(second, tmp_path / "second")


def test_the_number_of_threads_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, summaries = [], []
    for threads in (1, 3):
        monkeypatch.setattr("os.cpu_count", lambda threads=threads: threads)
        results = simulate(scenario(**MIXED), keep_requests=True)
        summaries.append(without_speed(results))
        files.append(saved(results, tmp_path / str(threads)))

    assert summaries[0] == summaries[1]
    assert files[0] == files[1]


def test_neither_rows_nor_progress_change_anything() -> None:
    seen: list[Progress] = []
    plain, watched = simulate(scenario(**MIXED)), simulate(scenario(**MIXED), keep_requests=True, progress=seen.append)

    assert without_speed(plain) == without_speed(watched)
    pd.testing.assert_frame_equal(plain.buckets, watched.buckets, check_exact=True)
    pd.testing.assert_frame_equal(plain.ledger, watched.ledger, check_exact=True)
    assert {step.replication for step in seen} == {0, 1, 2}


def test_another_seed_gives_other_requests() -> None:
    one, other = (rows(simulate(scenario(seed=seed), keep_requests=True)) for seed in (1, 2))

    assert one["arrival_s"].tolist()[:5] != other["arrival_s"].tolist()[:5]


def test_replications_differ_and_do_not_depend_on_how_many_there_are() -> None:
    three = rows(simulate(scenario(replications=3), keep_requests=True))
    one = rows(simulate(scenario(), keep_requests=True))
    first, second = (three[three["replication"] == n].reset_index(drop=True) for n in (0, 1))

    pd.testing.assert_frame_equal(first, one, check_exact=True)
    assert first["arrival_s"].tolist()[:5] != second["arrival_s"].tolist()[:5]


def test_renaming_a_pool_changes_nothing_but_the_name() -> None:
    renamed = [pool(name="new name"), *MIXED["fleet"][1:]]
    before, after = (
        simulate(scenario(**MIXED | {"fleet": fleet}), keep_requests=True) for fleet in (MIXED["fleet"], renamed)
    )

    for table in (lambda results: results.ledger, lambda results: results.buckets, rows):
        pd.testing.assert_frame_equal(table(before).replace("h100", "new name"), table(after), check_exact=True)
    text = str(without_speed(before)).replace("h100", "new name")
    assert text == str(without_speed(after))


@settings(max_examples=8, deadline=None)
@given(
    other=st.sampled_from([{"kind": "poisson", "rps": 5.0}, {"kind": "closed", "concurrency": 2}]),
    first=st.booleans(),
)
def test_another_stream_changes_neither_arrivals_nor_lengths(other: dict[str, Any], first: bool) -> None:
    added = chat(name="added", arrivals=other)
    both = [added, chat()] if first else [chat(), added]
    alone, beside = (rows(simulate(scenario(workload=streams), keep_requests=True)) for streams in ([chat()], both))
    columns = ["arrival_s", "prompt_tokens", "output_tokens"]
    mine = beside[beside["stream"] == "chat"]

    assert mine[columns].to_numpy().tolist() == alone[columns].to_numpy().tolist()


def test_policies_meet_the_same_requests() -> None:
    columns = ["arrival_s", "prompt_tokens", "output_tokens"]
    seen = [
        rows(simulate(scenario(balancer=balancer, fleet=[pool(replicas=n)]), keep_requests=True))[columns]
        for balancer, n in [("round-robin", 1), ("power-of-two", 3)]
    ]

    pd.testing.assert_frame_equal(*seen, check_exact=True)


def test_requests_and_tokens_that_go_in_come_out() -> None:
    results = simulate(scenario(**MIXED), keep_requests=True)
    frame, buckets = rows(results), results.buckets
    done = frame[frame["status"] == "completed"]

    assert buckets[["arrived", "completed"]].sum().tolist() == [len(frame), len(done)]
    assert buckets["output_tokens"].sum() == done["output_tokens"].sum()


def test_time_is_busy_or_idle() -> None:
    buckets = simulate(scenario(bucket="7s")).buckets

    assert (buckets["busy_s"] + buckets["idle_s"]).tolist() == pytest.approx(
        (2 * (buckets["end_s"] - buckets["begin_s"])).tolist()
    )


def test_mean_requests_in_flight_are_rate_times_stay() -> None:
    """Little's law, from empty to empty."""
    stream = chat(arrivals={"kind": "closed", "concurrency": 5, "requests": 200})
    results = simulate(scenario(horizon=None, workload=[stream]), keep_requests=True)
    frame, span_s = rows(results), results.summary["horizon_s"]
    edges = sorted([*((t, 1) for t in frame["arrival_s"]), *((t, -1) for t in frame["arrival_s"] + frame["e2e_s"])])
    times, changes = np.array(edges).T
    mean_in_flight = np.sum(np.cumsum(changes)[:-1] * np.diff(times)) / span_s

    assert mean_in_flight == pytest.approx(len(frame) / span_s * frame["e2e_s"].mean(), rel=1e-9)


def replay(folder: Path, *lines: str, **changes: Any) -> Scenario:
    trace = folder / "trace.csv"
    trace.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *lines]) + "\n", encoding="utf-8")
    arrivals = {"kind": "trace", "path": str(trace), "format": "nightshift"}
    return scenario(horizon=None, workload=[chat(arrivals=arrivals, lengths=None)], **changes)


def test_without_a_horizon_a_run_ends_with_its_last_answer(tmp_path: Path) -> None:
    results = simulate(replay(tmp_path, "0,100,10", "1000,100,10"), keep_requests=True)
    last = rows(results).iloc[-1]

    assert results.summary["horizon_s"] == pytest.approx(last["arrival_s"] + last["e2e_s"], rel=1e-12)
    assert results.buckets["end_s"].max() == results.summary["horizon_s"]


def test_or_with_its_last_refusal(tmp_path: Path) -> None:
    assert simulate(replay(tmp_path, "0,100,10", "1234.5,999999999,10")).summary["horizon_s"] == 1234.5


def test_a_trace_is_read_in_the_same_way_by_every_replication(tmp_path: Path) -> None:
    frame = rows(simulate(replay(tmp_path, "0,100,10", "7,200,20", replications=3), keep_requests=True))

    assert frame.groupby("replication")["prompt_tokens"].apply(list).tolist() == [[100, 200]] * 3


def test_skipped_rows_are_counted_once(tmp_path: Path) -> None:
    given = replay(tmp_path, "0,100,10", "1,0,10", "2,100,10", replications=2)
    arrivals = given.workload[0].arrivals.model_copy(update={"on_bad_row": "skip"})
    stream = given.workload[0].model_copy(update={"arrivals": arrivals})

    requests = simulate(given.model_copy(update={"workload": [stream]})).summary["requests"]
    assert (requests["offered"], requests["skipped_rows"]) == (2, 1)


def test_a_failed_replication_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others would take minutes."""
    from sim.control.recorder import Buckets

    close = Buckets.close

    def fail_once(self: Buckets, now_s: float) -> None:
        monkeypatch.setattr(Buckets, "close", close)
        raise InputError("x", "is wrong", "mend it")

    monkeypatch.setattr(Buckets, "close", fail_once)
    begun_s = time.perf_counter()
    with pytest.raises(InputError):
        simulate(scenario(horizon="20000d", replications=2, bucket="1h"))
    assert time.perf_counter() - begun_s < 10


INTERRUPTED = """
import os, signal, sys
from sim.cli import run
from sim.control.clock import Clock

step, steps = Clock.step, iter(range(10**9))

def interrupted_step(self):
    if next(steps) == 100:
        os.kill(os.getpid(), signal.SIGINT)
    step(self)

Clock.step = interrupted_step
sys.exit(run(sys.argv[1:]))
"""


def test_an_interrupted_run_ends_soon_and_leaves_nothing(tmp_path: Path, small_scenario: str) -> None:
    """It would take an hour."""
    (tmp_path / "a.yaml").write_text(small_scenario, encoding="utf-8")
    (tmp_path / "spool").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "spool")}
    command = [sys.executable, "-c", INTERRUPTED, "simulate", "a.yaml", "--requests", "--out", "results", "--json"]
    changes = ["--set", "horizon=20000d", "--set", "bucket=1m", "--replications", "3"]
    done = subprocess.run(
        command + changes, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stdout) == (130, "")
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.yaml", "spool"]


def test_rows_in_waiting_leave_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    results = simulate(scenario(), keep_requests=True)

    assert (len(rows(results)) > 0, list(tmp_path.iterdir())) == (True, [])


KINDS = [
    {"kind": "poisson", "rps": 2.0},
    {"kind": "gamma", "rps": 2.0, "cv": 3.0},
    {"kind": "daily", "mean_rps": 2.0},
    {"kind": "closed", "concurrency": 2},
]


def test_every_scenario_runs_on_the_same_machine_code(tmp_path: Path) -> None:
    """Another type anywhere in the state would have the whole engine compiled again."""
    for arrivals in KINDS:
        simulate(scenario(**MIXED | {"workload": [chat(), chat(name="more", arrivals=arrivals)]}), keep_requests=True)
    simulate(replay(tmp_path, "0,100,10", "7,200,20"))

    assert [len(getattr(entry, "signatures", [()])) for entry in (serve, settle, close_books)] == [1, 1, 1]


def test_nothing_is_announced_once_the_engine_is_compiled(caplog: pytest.LogCaptureFixture) -> None:
    compile_engine(lambda: None)
    with caplog.at_level(logging.WARNING):
        simulate(scenario())

    assert caplog.records == []


@pytest.mark.long
def test_the_first_compile_is_announced_and_no_other(tmp_path: Path, small_scenario: str) -> None:
    (tmp_path / "a.yaml").write_text(small_scenario, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NIGHTSHIFT_CACHE": str(tmp_path / "cache")}
    environment |= {"NUMBA_DISABLE_JIT": "0"}
    command = [sys.executable, "-m", "sim.cli", "simulate", "a.yaml", "--json", "--replications", "2"]
    first, second = (
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    )

    assert (first.stderr, second.stderr) == ("compiling the engine, once: about a minute\n", "")
    assert [set(json.loads(done.stdout)) > {"requests", "cost"} for done in (first, second)] == [True, True]


TWO_FUNCTIONS = """
import numba
from numba.core import event
from sim.engine.warm import _First

@numba.njit
def inner(x):
    return x + 1

@numba.njit
def outer(x):
    return inner(x) * 2

said = []
with event.install_listener("numba:compile", _First(lambda: said.append(len(outer.signatures)))):
    outer(1)
    outer(1.5)
print(said)
"""


def test_a_compile_is_announced_once_and_before_it_starts(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": "0"}
    command = [sys.executable, "-c", TWO_FUNCTIONS]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[0]"


def test_it_runs_without_the_compiler_and_finds_the_same(tmp_path: Path, small_scenario: str) -> None:
    """Same figures but for the last digits, which fused multiplications may change; and nothing to announce."""
    (tmp_path / "a.yaml").write_text(small_scenario, encoding="utf-8")
    command = [sys.executable, "-m", "sim.cli", "simulate", "a.yaml", "--set", "horizon=1m", "--json"]
    found = []
    for disabled in ("0", "1"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": disabled}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
        assert "compiling" not in done.stderr if disabled == "1" else True
    compiled, plain = found

    assert plain["requests"] == compiled["requests"]
    assert plain["latency"]["e2e_s"] == pytest.approx(compiled["latency"]["e2e_s"], rel=1e-9)
    assert plain["cost"]["by_line"] == pytest.approx(compiled["cost"]["by_line"], rel=1e-9)


def test_a_request_longer_than_its_model_reads_is_rejected(tmp_path: Path) -> None:
    """Llama-2-7B reads 4,096 tokens, prompt and output together."""
    given = replay(tmp_path, "0,4000,96", "1,4000,97")
    pool = given.fleet[0].model_copy(update={"model": "Llama-2-7B"})

    requests = simulate(given.model_copy(update={"fleet": [pool]})).summary["requests"]
    assert (requests["completed"], requests["rejected_by"]["too_long"]) == (1, 1)


def test_a_warm_up_longer_than_a_run_that_ends_by_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="warm_up is not shorter than the run"):
        simulate(replay(tmp_path, "0,100,10", "7,200,20", warm_up="2h"))


def test_a_model_is_split_by_its_heads() -> None:
    given = scenario()
    pool = given.fleet[0].model_copy(update={"tensor_parallel": 3})
    with pytest.raises(InputError, match="does not divide the 32 attention heads"):
        simulate(given.model_copy(update={"fleet": [pool]}))
