"""Measurements of every kind are read as what they mean, whatever their units and layout columns."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sim.hardware import Catalogue, load_catalogue
from sim.measurements import Assumed, Measurements, Setup, read_measurements
from sim.measurements.layout import Layout, Recorded, copies, mend
from sim.measurements.names import backend_name, kv_format, weights_named
from sim.measurements.words import Spoken, in_words

OWN = Path(__file__).parent / "data" / "measurements"
HEADER = "model,gpu,isl,osl,concurrency,ttft_ms,tpot_ms"

Read = Callable[..., Measurements]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="module")
def own(catalogue: Catalogue) -> Measurements:
    """All of our own small files, read as one folder."""
    return read_measurements([OWN], catalogue)


@pytest.fixture
def read(tmp_path: Path, catalogue: Catalogue) -> Read:
    """Reads a file with this text."""

    def one(text: str, name: str = "runs.csv", **assumed: object) -> Measurements:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return read_measurements([tmp_path / name], catalogue, assume=Assumed(**assumed))

    return one


def test_a_folder_is_read_whole_with_notes_on_what_is_left_out(own: Measurements) -> None:
    steps = ", ".join(f"{kind}_steps_8b_a100_tp2.csv" for kind in ("decode", "mixed", "prefill"))

    assert own.notes == (
        f"{OWN.name}: passed over README.md",
        "closed-loop.csv: 1 row left out with the layers in a pipeline",
        "closed-loop.csv: 1 row left out on more than 16 GPUs, which serve prefill and decode apart",
        "closed-loop.csv: 1 row left out, recording a run again",
        "prompt-and-token-ms.csv: 1 row left out without a decode step",
        "prompt-and-token-ms.csv: 1 row ended before token_size; counted with the tokens there was time for",
        f"{steps}: the model of these steps is not known",
    )


def test_closed_loops_give_concurrency_and_times_in_seconds_of_one_deployment(own: Measurements) -> None:
    rows = own.closed_loop.rows
    clients = rows[rows["pattern"] == "clients"]

    assert clients["concurrency"].tolist() == [1, 16, 16, 64, 128, 8]
    np.testing.assert_allclose(clients["ttft_s"], [0.03, 0.08, 0.09, 0.2, 0.3, 0.06])
    np.testing.assert_allclose(clients["tpot_s"], [0.0071, 0.0084, 0.0094, 0.011, 0.014, 0.006])
    assert clients["line"].tolist() == [2, 3, 4, 6, 7, 10]


def test_setups_are_named_as_in_the_catalogue_and_stand_once(own: Measurements) -> None:
    llama, flat, replicated, oss, *_ = own.closed_loop.setups

    assert llama == Setup(model="Llama-3.1-8B", gpu="H100-SXM", backend="vllm", backend_version="0.11.0")
    deepseek = {"model": "DeepSeek-R1", "gpu": "B200-SXM", "weights": "fp4", "kv": "fp8"}
    trt = {"backend": "tensorrt-llm", "backend_version": "1.2.0"}
    assert flat == Setup(**deepseek, **trt, tensor_parallel=8, expert_parallel=8)
    assert replicated == Setup(**deepseek, **trt, data_parallel=8, expert_parallel=8)
    assert (oss.weights, oss.kv, oss.gpus, oss.data_parallel) == ("fp4", "bf16", 2, 2)
    assert len(set(own.closed_loop.setups)) == len(own.closed_loop.setups)


def test_prompt_and_token_times_find_their_unit_and_meaning(own: Measurements) -> None:
    rows = own.closed_loop.rows
    batches = rows[rows["pattern"] == "batch"]

    assert batches["tpot_s"].tolist() == pytest.approx([0.041, 0.04, 0.03, 0.009, 0.01])
    assert batches["ttft_s"].tolist() == pytest.approx([0.131, 0.13, 0.3, 0.025, 0.05])
    assert batches["output_tokens"].tolist() == [101, 401, 101, 101, 101]
    assert batches["repeats"].tolist() == [3, 1, 1, 1, 1]


def test_step_files_that_belong_together_are_one_table(own: Measurements) -> None:
    together, single = own.step_tables

    assert together.setup == Setup(model=None, gpu="A100-80GB-SXM", tensor_parallel=2)
    assert together.rows["decode_rows"].tolist() == [1, 4, 0, 2, 0, 0]
    assert together.rows["kv_tokens"].tolist() == [100, 400, 0, 200, 0, 0]
    assert together.rows["pairs"].tolist() == [0, 0, 64 * 32.5, 64 * 32.5, 64 * 32.5, 64 * 132.5]
    assert together.rows["step_s"].tolist() == pytest.approx([0.0101, 0.0104, 0.0125, 0.0129, 0.0125, 0.0126])
    assert single.setup == Setup(model="Llama-3.1-8B", gpu="H100-SXM")
    assert single.rows["pairs"].tolist() == [0, 128 * (256 + 64.5)]


def test_an_open_loop_run_is_in_order_of_arrival(own: Measurements) -> None:
    (run,) = own.open_loop

    assert run.requests["arrival_s"].tolist() == [0, 1.5, 2]
    assert run.requests["prompt_tokens"].tolist() == [200, 300, 100]
    assert run.requests["ttft_s"].tolist() == [0.5, 0.5, 0.25]
    np.testing.assert_equal(run.requests["tpot_s"].to_numpy(), [0.25, np.nan, 0.25])
    np.testing.assert_equal(run.requests["waited_s"].to_numpy(), [np.nan, 0.25, 0])
    assert run.requests["e2e_s"].tolist() == [3, 0.5, 1.25]


def test_an_open_loop_run_has_its_servers_settings(own: Measurements) -> None:
    (run,) = own.open_loop

    spread = {"data_parallel": 2, "expert_parallel": 2}
    vllm = {"backend": "vllm", "backend_version": "0.11.0"}
    assert run.setup == Setup(model="Qwen3-30B-A3B", gpu="RTX-PRO-6000-Server", **spread, **vllm)
    limits = (run.max_num_seqs, run.max_num_batched_tokens, run.max_model_len, run.kv_capacity_tokens)
    assert limits == (64, 2048, 8192, 90000)


def test_a_path_named_twice_is_read_once(own: Measurements, catalogue: Catalogue) -> None:
    again = read_measurements([OWN, OWN / "closed-loop.csv", OWN / "chat-run" / "requests.jsonl"], catalogue)

    assert len(again.closed_loop.rows) == len(own.closed_loop.rows)
    assert len(again.open_loop) == 1


def test_nothing_to_read_is_nothing_read(catalogue: Catalogue) -> None:
    nothing = read_measurements([], catalogue)

    assert (len(nothing.closed_loop.rows), nothing.closed_loop.setups, nothing.step_tables) == (0, (), ())


@pytest.mark.parametrize(
    ("recorded", "layout"),
    [
        (Recorded(tensor=4), Layout(4, 1, 1)),
        (Recorded(tensor=4, expert_tensor=4), Layout(4, 1, 1)),
        (Recorded(tensor=4, experts=4), Layout(4, 1, 4)),
        (Recorded(tensor=8, expert_tensor=2, experts=4), Layout(8, 1, 4)),
        (Recorded(data=8, experts=8), Layout(1, 8, 8)),
        (Recorded(data=4, expert_tensor=4), Layout(1, 4, 1)),
        (Recorded(tensor=4, data=4, experts=4), Layout(1, 4, 4)),
        (Recorded(tensor=64, expert_tensor=8, experts=8), Layout(8, 1, 8)),
        (Recorded(tensor=4, expert_tensor=2, experts=2), Layout(2, 1, 2)),
        (Recorded(data=64, expert_tensor=8, experts=8), Layout(1, 8, 8)),
        (Recorded("vllm", tensor=2, data=2, experts=4), Layout(1, 2, 2)),
        (Recorded(tensor=2, data=4, experts=8), Layout(2, 4, 8)),
        (Recorded(expert_tensor=2), Layout(1, 2, 1)),
        (Recorded(tensor=2, expert_tensor=4), Layout(2, 2, 1)),
    ],
)
def test_layout_columns_are_mended(recorded: Recorded, layout: Layout) -> None:
    assert mend(recorded) == layout


def test_a_product_is_no_product_where_its_root_could_not_hold_the_model() -> None:
    assert mend(Recorded(tensor=4, expert_tensor=2, experts=2), least_gpus=3) == Layout(4, 1, 2)


@pytest.mark.parametrize(
    ("concurrency", "batch", "recorded", "count"),
    [(64, 64, Recorded(), 1), (64, 8, Recorded(tensor=8), 8), (64, 8, Recorded(data=8), 1), (80, 64, Recorded(), 1)],
)
def test_requests_in_flight_are_shared_by_copies(
    concurrency: float, batch: float, recorded: Recorded, count: int
) -> None:
    assert copies(concurrency, batch, recorded, mend(recorded)) == count


def test_requests_of_ranks_recorded_as_a_product_are_of_one_deployment() -> None:
    recorded = Recorded(data=64, expert_tensor=8, experts=8)

    assert [copies(256, batch, recorded, mend(recorded)) for batch in (4, 32)] == [1, 1]


def test_what_a_file_does_not_say_is_assumed(read: Read) -> None:
    text = "isl,osl,concurrency,ttft_s,tpot_s\n1000,100,1,0.03,0.004\n1000,100,8,0.05,0.005\n"
    given = {"gpu": "h100_sxm", "tensor_parallel": 2, "backend": "vllm"}

    (setup,) = read(text, model="nvidia/Llama-3.1-8B-Instruct-FP8", **given).closed_loop.setups

    served = {"weights": "fp8", "kv": "bf16", "tensor_parallel": 2, "backend": "vllm"}
    assert setup == Setup(model="Llama-3.1-8B", gpu="H100-SXM", **served)


def test_what_a_file_says_is_not_overruled(read: Read) -> None:
    rows = "Qwen3-32B-FP8,H200,1000,100,1,30,9\nQwen3-32B-FP8,H200,1000,100,2,31,9.5\n"

    (setup,) = read(f"{HEADER}\n{rows}", model="Llama-3.1-8B", gpu="A100", weights="int4", kv="fp8").closed_loop.setups

    assert setup == Setup(model="Qwen3-32B", gpu="H200-SXM", weights="fp8", kv="fp8")


def test_blank_lines_byte_order_marks_and_letter_case_do_not_matter(read: Read) -> None:
    rows = 'Llama-3.1-8B,H100,1000,100,1,30,7\n\n"llama-3.1-8b" , H100,1000,100,2,31,7.5\n\n'

    runs = read(f"\ufeff{HEADER.upper()}\n{rows}").closed_loop

    assert (runs.rows["line"].tolist(), len(runs.setups)) == ([2, 4], 1)


def test_setups_have_an_order_also_without_a_model() -> None:
    unknown, known = Setup(model=None, gpu=None), Setup(model="Llama-3.1-8B", gpu="A100-80GB-SXM")

    assert sorted([known, unknown], key=lambda setup: setup.key) == [unknown, known]


def test_steps_of_one_file_are_a_table_for_each_setup(read: Read) -> None:
    rows = "".join(f"Llama-3.1-8B,A100,{ranks},{rows},{rows * 90},12\n" for ranks in (1, 2) for rows in (1, 2))

    tables = read(f"model,gpu,tensor_parallel,batch_size,total_kv_tokens,step_ms\n{rows}").step_tables

    assert [(table.setup.tensor_parallel, len(table.rows)) for table in tables] == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("decode_step_8b_a100_tp2.csv", Spoken(None, "A100-80GB-SXM", 2)),
        ("steps-llama-3.1-8b-h100-pcie.csv", Spoken("Llama-3.1-8B", "H100-PCIe", None)),
        ("a100_versus_h200_tp1_tp2.csv", Spoken(None, None, None)),
        ("RTXPRO6000-Llama-3.1-8B", Spoken("Llama-3.1-8B", "RTX-PRO-6000", None)),
    ],
)
def test_a_name_says_what_is_unambiguous(name: str, said: Spoken, catalogue: Catalogue) -> None:
    assert in_words(Path(name), catalogue) == said


def test_formats_and_backends_go_by_several_names() -> None:
    assert [weights_named(text) for text in ("NVFP4", "mxfp4", "awq", "bfloat16", "fp8")] == [
        "fp4",
        "fp4",
        "int4",
        "bf16",
        "fp8",
    ]
    assert [backend_name(text) for text in ("trtllm", "TRT-LLM", "vLLM", "")] == [*["tensorrt-llm"] * 2, "vllm", ""]
    served = [("tensorrt-llm", "fp4"), ("tensorrt-llm", "bf16"), ("vllm", "fp8")]
    assert [kv_format(*of, "Hopper") for of in served] == ["fp8", "bf16", "bf16"]
    assert [kv_format(*of, "Blackwell") for of in served] == ["fp8", "bf16", "fp8"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"num_gpu_blocks": 100, "kv_capacity_tokens": None}, (1600, "bf16", "bf16")),
        ({"engine_kwargs": {"kv_cache_dtype": "fp8_e5m2", "quantization": "awq"}}, (90000, "int4", "fp8")),
    ],
)
def test_settings_say_memory_and_formats(
    settings: dict[str, object], expected: tuple[int, str, str], tmp_path: Path, catalogue: Catalogue
) -> None:
    run = _with_settings(tmp_path, settings, catalogue)

    assert (run.kv_capacity_tokens, run.setup.weights, run.setup.kv) == expected


@pytest.mark.parametrize(
    ("change", "gpu"),
    [
        ({"gpu": "h200"}, "H200-SXM"),
        ({"config": '{"hardware": "RTXPRO6000", "npu_mem": {"mem_bw": 1790}}'}, "RTX-PRO-6000"),
        ({"config": '{"hardware": "H100"}'}, "H100-SXM"),
        ({"config": None}, "B200-SXM"),
        ({"config": "{}"}, "B200-SXM"),
    ],
)
def test_the_gpu_of_a_run_is_found_in_its_files_before_its_folders_name(
    change: dict[str, str | None], gpu: str, tmp_path: Path, catalogue: Catalogue
) -> None:
    assert _with_settings(tmp_path, change, catalogue).setup.gpu == gpu


def _with_settings(tmp_path: Path, change: dict[str, object], catalogue: Catalogue):
    """Our own run in a folder named `b200-chat`, with settings changed."""
    folder = tmp_path / "b200-chat"
    shutil.copytree(OWN / "chat-run", folder)
    meta = json.loads((folder / "meta.json").read_text())
    engine = meta["engine_kwargs"] | change.get("engine_kwargs", {})
    rest = {name: value for name, value in change.items() if name not in ("engine_kwargs", "config")}
    (folder / "meta.json").write_text(json.dumps({**meta, **rest, "engine_kwargs": engine}))
    if "config" in change:
        (folder / "config.json").unlink()
        if change["config"]:
            (folder / "config.json").write_text(str(change["config"]))
    (run,) = read_measurements([folder], catalogue).open_loop
    return run


def test_the_public_measurements_are_read_whole(shared: Path, catalogue: Catalogue) -> None:
    public = read_measurements([shared / "measurements"], catalogue)

    runs = public.closed_loop.rows.groupby("source").agg(rows=("line", "size"), repeats=("repeats", "sum"))
    assert runs.loc["closed-loop-serving.csv", "rows"] == 1701
    assert runs.loc["prompt-and-token-times-llama2-70b.csv"].tolist() == [107, 420]
    assert runs.loc["prompt-and-token-times-llama3.1-8b-tp2.csv"].tolist() == [18, 100]
    assert [len(table.rows) for table in public.step_tables] == [741, 741]
    assert [table.setup.tensor_parallel for table in public.step_tables] == [2, 1]
    assert [len(run.requests) for run in public.open_loop] == [300, 300]


def test_public_runs_recorded_under_two_layouts_are_one(shared: Path, catalogue: Catalogue) -> None:
    runs = read_measurements([shared / "measurements" / "closed-loop-serving.csv"], catalogue).closed_loop

    assert {1129, 1745} & set(runs.rows["line"]) == {1129}
    assert all(setup.gpus <= 16 and setup.gpus % setup.expert_parallel == 0 for setup in runs.setups)


def test_a_few_rows_of_models_that_nobody_knows_are_left_out_and_told(tmp_path: Path) -> None:
    known = [f"Llama-3.1-8B,H100-SXM,1024,128,{clients},50.0,8.0" for clients in range(1, 20)]
    rows = ["model,gpu,isl,osl,concurrency,ttft_ms,tpot_ms", *known, "Sphinx-900B,H100-SXM,1024,128,4,50.0,8.0"]
    file = tmp_path / "runs.csv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    read = read_measurements([file], load_catalogue())
    assert len(read.closed_loop.rows) == 19
    assert any("1 of 20 rows left out: Sphinx-900B is not a model of the catalogue" in note for note in read.notes)
