"""Predicted beside measured, for every kind of measurement; and what is told where nothing can be predicted."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pandas import DataFrame

from sim.hardware import load_catalogue
from sim.hardware.setup import Setup
from sim.measurements import Measurements, read_measurements
from sim.steptime.calibration import Calibration, Evidence, MeasuredTable
from sim.validation.comparison import COLUMNS, Comparison
from sim.validation.loops import loop_of, room_of, serve_loop
from sim.validation.predict import compare, configuration_of
from sim.validation.replay import replay_open_loop
from sim.validation.steps import predicted_steps_s
from tests.served_worlds import TRUTH, csv_of, measured, runs
from tests.step_tables import made_up_law

CATALOGUE = load_catalogue()
OWN = Path(__file__).parent / "data" / "measurements"
LLAMA = Setup(model="Llama-3.1-8B", gpu="H100-SXM", backend="vllm")
THREE = (("A100", 1), ("A100", 2), ("H100", 1))
HEADER = "model,gpu,backend,isl,osl,concurrency,ttft_ms,tpot_ms"


def table(**changes: Any) -> MeasuredTable:
    """Of the steps in our own files, which do not name their model."""
    setup = Setup(**({"model": None, "gpu": "A100-80GB-SXM", "tensor_parallel": 2} | changes))
    errors = {"mean_abs_error": 0.0, "held_out_error": 0.0}
    return MeasuredTable(setup=setup, step_time=made_up_law(), source="steps.csv", points=9, **errors)


KNOWN = replace(TRUTH, tables=(table(),), evidence=(Evidence(setup=LLAMA, runs=3, sources=("closed-loop.csv",)),))


@pytest.fixture(scope="module")
def own() -> Measurements:
    return read_measurements([OWN], CATALOGUE)


@pytest.fixture(scope="module")
def compared(own: Measurements) -> Comparison:
    """Our own small files of every kind beside what a made-up calibration predicts."""
    return compare(own, KNOWN, CATALOGUE)


def of_kind(compared: Comparison, kind: str, **wanted: Any) -> DataFrame:
    rows = compared.rows[compared.rows["kind"] == kind]
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows


def only(rows: DataFrame, column: str) -> float:
    (value,) = rows[column]
    return float(value)


def own_log(folder: Path, requests: int = 0, **changes: Any) -> Measurements:
    """Our own log with other settings (None takes one away), or with so many requests that arrive at once."""
    run = folder / "chat-run"
    shutil.copytree(OWN / "chat-run", run)
    meta = json.loads((run / "meta.json").read_text(encoding="utf-8")) | changes
    kept = {name: value for name, value in meta.items() if value is not None}
    (run / "meta.json").write_text(json.dumps(kept), encoding="utf-8")
    if requests:
        times = {"queued_ts": 1.0, "first_token_ts": 1.5, "last_token_ts": 3.5}
        lines = [{"request_id": str(name), "input_toks": 1500, "output_toks": 20, **times} for name in range(requests)]
        (run / "requests.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return read_measurements([run], CATALOGUE)


class TestEveryKind:
    def test_every_measurement_has_its_rows(self, compared: Comparison) -> None:
        assert compared.rows.columns.tolist() == list(COLUMNS)
        assert compared.rows["kind"].value_counts().to_dict() == {
            "closed-loop": 6 * 3,
            "batch": 5 * 3,
            "open-loop": 3 * 4,
            "step-table": 6,
            "poisson": 2 * 3 * 4,
        }
        assert compared.rows["predicted"].notna().all()
        assert (compared.rows["predicted"] > 0).all()

    def test_a_closed_loop_is_served_as_its_clients_would_be(self, own: Measurements, compared: Comparison) -> None:
        run = {str(name): value for name, value in own.closed_loop.rows.iloc[1].items()}
        setup = own.closed_loop.setups[0]
        loop = loop_of(setup, run)
        times = serve_loop(loop, KNOWN.step_time(setup, CATALOGUE, 16, 8192), room_of(setup, loop, CATALOGUE))

        mine = of_kind(compared, "closed-loop", line=3)
        assert only(mine[mine["metric"] == "ttft_ms"], "predicted") == pytest.approx(times.ttft_s * 1e3)
        assert only(mine[mine["metric"] == "tpot_ms"], "predicted") == pytest.approx(times.tpot_s * 1e3)
        assert mine["measured"].tolist() == pytest.approx([80.0, 8.4, 80.0 + 199 * 8.4])
        assert set(mine["configuration"]) == {"vllm H100-SXM Llama-3.1-8B bf16 TP1"}

    @pytest.mark.parametrize("kind", ["closed-loop", "batch"])
    def test_end_to_end_is_the_first_token_and_all_that_follow(self, kind: str, compared: Comparison) -> None:
        for _, mine in of_kind(compared, kind).groupby(["source", "line"]):
            later = mine["output_tokens"].iat[0] - 1
            for column in ("measured", "predicted"):
                ttft, tpot, e2e = mine[column]
                assert e2e == pytest.approx(ttft + later * tpot)

    def test_a_log_is_replayed_rank_by_rank(self, tmp_path: Path) -> None:
        """Eight at once: alone on the server, four of them would wait for the prompts of the others."""
        measurements = own_log(tmp_path, requests=8)
        (log,) = measurements.open_loop
        law = KNOWN.step_time(log.setup, CATALOGUE, 64, 2048)
        limits = {"kv_capacity_tokens": 90_000, "max_num_seqs": 64, "max_num_batched_tokens": 2048}
        together, apart = (replay_open_loop(log.requests, law, replicas=ranks, **limits) for ranks in (1, 2))

        means = of_kind(compare(measurements, KNOWN, CATALOGUE), "open-loop", statistic="mean").set_index("metric")
        assert means["predicted"]["ttft_ms"] == pytest.approx(apart["ttft_s"].mean() * 1e3)
        assert means["predicted"]["e2e_ms"] == pytest.approx(apart["e2e_s"].mean() * 1e3)
        assert together["ttft_s"].mean() > 1.2 * apart["ttft_s"].mean()

    def test_a_log_has_means_and_quantiles(self, compared: Comparison) -> None:
        found = of_kind(compared, "open-loop")

        assert found["statistic"].tolist() == ["mean", "p50", "p90", "p99"] * 3
        assert found["measured"].tolist()[:2] == pytest.approx([1250 / 3, 500])

    def test_steps_are_looked_up_in_the_table_of_their_setup(self, own: Measurements, compared: Comparison) -> None:
        steps = next(table for table in own.step_tables if table.setup.gpu == "A100-80GB-SXM")
        found = of_kind(compared, "step-table")

        assert (found["predicted"] / 1e3).tolist() == pytest.approx(
            predicted_steps_s(made_up_law(), steps.rows).tolist()
        )
        assert set(found["configuration"]) == {"A100-80GB-SXM unknown model bf16 TP2"}

    def test_a_table_is_replayed_under_two_loads(self, compared: Comparison) -> None:
        named = set(of_kind(compared, "poisson")["configuration"])

        assert {name.rsplit(", ", 1)[1] for name in named} == {"Poisson at 50% load", "Poisson at 80% load"}

    def test_seen_are_pairs_that_the_fit_used(self, compared: Comparison) -> None:
        serving = compared.rows[compared.rows["kind"].isin(["closed-loop", "batch", "open-loop"])]
        pairs = set(serving[serving["seen"]][["gpu", "model"]].itertuples(index=False, name=None))

        assert pairs == {("H100-SXM", "Llama-3.1-8B")}
        assert of_kind(compared, "step-table")["seen"].all()

    def test_a_prediction_of_the_truth_is_exact(self, tmp_path: Path) -> None:
        lines = csv_of(runs(gpus=["H100-SXM"], models=["Qwen3-30B-A3B"], batches=(1, 8)), CATALOGUE)
        rows = compare(measured(lines, tmp_path, CATALOGUE), TRUTH, CATALOGUE).rows

        assert len(rows) == 3 * 8
        assert rows["predicted"].tolist() == pytest.approx(rows["measured"].tolist(), rel=1e-6)


class TestMemory:
    def test_a_gpu_with_little_room_lets_requests_wait(self, tmp_path: Path) -> None:
        """On a GPU of 24 GB the weights of 16 GB leave room for some twenty of the sixty-four."""
        lines = [HEADER, *(f"Llama-3.1-8B,{gpu},vllm,1000,200,64,500,20" for gpu in ("RTX-3090", "RTX-A6000"))]
        runs_read = measured(lines, tmp_path, CATALOGUE)
        small, large = runs_read.closed_loop.setups
        row = {str(name): value for name, value in runs_read.closed_loop.rows.iloc[0].items()}
        found = of_kind(compare(runs_read, KNOWN, CATALOGUE), "closed-loop", metric="ttft_ms").set_index("line")

        def ttft_ms(setup: Setup, room: int | None) -> float:
            return serve_loop(loop_of(setup, row), KNOWN.step_time(setup, CATALOGUE, 64, 8192), room).ttft_s * 1e3

        room = room_of(small, loop_of(small, row), CATALOGUE)
        assert found["predicted"][2] == pytest.approx(ttft_ms(small, room))
        assert found["predicted"][2] > 3 * ttft_ms(small, None)
        assert found["predicted"][3] == pytest.approx(ttft_ms(large, None))

    def test_a_model_too_large_for_its_gpus_is_served_all_the_same_with_a_note(self, tmp_path: Path) -> None:
        lines = [HEADER, *(f"Llama-3.1-70B,H100-SXM,vllm,1000,200,{clients},500,20" for clients in (1, 2))]
        found = compare(measured(lines, tmp_path, CATALOGUE), KNOWN, CATALOGUE)

        assert len(found.rows) == 6
        assert found.notes == (
            "vllm H100-SXM Llama-3.1-70B bf16 TP1: by its memory it holds no such request; "
            "served with room for all (2 runs)",
        )


class TestLogs:
    def test_a_capacity_that_the_engine_printed_is_used(self, tmp_path: Path) -> None:
        """Its longest request has 301 tokens."""
        found = compare(own_log(tmp_path, kv_capacity_tokens=256), KNOWN, CATALOGUE)

        assert found.rows.empty
        assert found.notes == (
            "chat-run: not predicted: a request of 301 tokens is longer than a replica's KV cache of 256 tokens; "
            "give the KV capacity that the server printed",
        )

    def test_one_that_is_not_known_is_what_memory_leaves_and_is_told(self, tmp_path: Path) -> None:
        found = compare(own_log(tmp_path, kv_capacity_tokens=None), KNOWN, CATALOGUE)

        assert len(found.rows) == 12
        assert len(found.notes) == 1
        assert "chat-run: the engine's KV capacity is not known; " in found.notes[0]
        assert found.notes[0].endswith(" tokens from the GPU's memory")

    def test_a_capacity_that_is_known_needs_no_note(self, compared: Comparison) -> None:
        assert not [note for note in compared.notes if "chat-run" in note]


class TestNotes:
    def test_notes_of_the_reading_come_first(self, own: Measurements, compared: Comparison) -> None:
        assert compared.notes[: len(own.notes)] == own.notes

    def test_steps_of_a_setup_without_a_table_are_told(self, compared: Comparison) -> None:
        assert compared.notes[-1] == (
            "own_llama-3.1-8b_h100.csv: not predicted: the calibration has no table for H100-SXM Llama-3.1-8B bf16 TP1"
        )

    def test_a_table_that_lacks_a_kind_of_step_is_not_replayed(self, tmp_path: Path) -> None:
        file = tmp_path / "decode_a100_tp2.csv"
        file.write_text("batch_size,kv_tokens_per_seq,step_ms\n1,100,8.0\n2,200,9.0\n", encoding="utf-8")
        found = compare(read_measurements([file], CATALOGUE), KNOWN, CATALOGUE)

        assert set(found.rows["kind"]) == {"step-table"}
        assert "decode_a100_tp2.csv: no Poisson replay: " in found.notes[-1]

    def test_runs_of_two_fitting_tables_are_left_out_and_counted(self, tmp_path: Path) -> None:
        lines = [HEADER, *(f"Llama-3.1-8B,{gpu},vllm,1000,200,{clients},500,20" for gpu, clients in THREE)]
        twice = replace(KNOWN, tables=(table(tensor_parallel=1),) * 2)
        found = compare(measured(lines, tmp_path, CATALOGUE), twice, CATALOGUE)

        assert set(found.rows["gpu"]) == {"H100-SXM"}
        assert len(found.notes) == 1
        assert found.notes[0].startswith("vllm A100-80GB-SXM Llama-3.1-8B bf16 TP1: not predicted: the truth holds 2")
        assert found.notes[0].endswith("(2 runs)")

    def test_a_calibration_of_tables_alone_falls_back_on_the_catalogue(self, own: Measurements) -> None:
        bare = Calibration(name="tables", tables=(table(),))
        rows = compare(replace(own, step_tables=(), open_loop=()), bare, CATALOGUE).rows

        assert len(rows) == 33
        assert not rows["seen"].any()


def test_configurations_in_words() -> None:
    spread = replace(LLAMA, weights="fp8", tensor_parallel=2, data_parallel=4, expert_parallel=8)

    assert configuration_of(spread) == "vllm H100-SXM Llama-3.1-8B fp8 TP2 DP4 EP8"
    assert configuration_of(Setup(model=None, gpu=None)) == "unknown GPU unknown model bf16 TP1"
