"""Step times: the laws, the roofline against public measurements, and the files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import InputError
from sim.hardware import Precision, kv_capacity_for, load_catalogue
from sim.hardware.gpu import Efficiency
from sim.scenario import GpuPool
from sim.steptime import StepTime, load_step_time, roofline, save_step_time, step_time_for
from sim.steptime.ideal import Layout

CATALOGUE = load_catalogue()
BF16 = Precision()
SHORT_FORM: dict[str, Any] = {
    "prefill": {"a_s": 0.004, "b_s_per_token": 2e-5, "c_s_per_token_pair": 1e-9},
    "decode": {"rows": [1, 3, 5], "base_s": [0.010, 0.012, 0.020], "kv_s": [1e-7, 3e-7, 5e-7]},
}
PLAIN_SPEED = Efficiency(1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 40, 1, 1, 0, 0, 0, "assumed", "a test")


def bent() -> StepTime:
    """Two segments: beyond 100 KV tokens a token costs more."""
    return StepTime(
        decode_base_s=np.array([[0, 1.0, 2.0], [0, 0.5, 1.5]]),
        decode_kv_s=np.array([[0, 0.01, 0.02], [0, 0.015, 0.025]]),
        kv_edges=np.array([100.0, np.inf]),
        linear_s=np.array([0, 0.5, 0.75, 1.0]),
        attention_s_per_pair=0.001,
    )


def predicted(gpu: str, model: str, ranks: int = 1, precision: Precision = BF16) -> StepTime:
    card = CATALOGUE.gpu(gpu)
    return roofline(card, CATALOGUE.model(model), Layout(ranks), precision, 256, 8192, CATALOGUE.efficiency(card))


def pool(**changes: object) -> GpuPool:
    plain = {"name": "a", "gpu": "H100-SXM", "model": "Llama-3.1-8B", "replicas": 1}
    offer = {"offer": {"kind": "reserved", "usd_per_gpu_hour": 2}}
    return GpuPool.model_validate({**plain, **offer, **changes})


def table(path: Path) -> list[dict[str, float]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def within(errors: list[float], *, worst: float, median: float) -> bool:
    return bool(np.max(np.abs(errors)) <= worst and np.median(np.abs(errors)) <= median)


def test_the_laws_by_hand() -> None:
    step_time = bent()
    assert step_time.decode_step_s(2, 100) == pytest.approx(2 + 0.02 * 100)
    assert step_time.decode_step_s(2, 101) == pytest.approx(1.5 + 0.025 * 101)
    assert step_time.mixed_step_s(1, 50, 2, 3) == pytest.approx(1 + 0.01 * 50 + (1.0 - 0.5) + 0.003)
    assert step_time.mixed_step_s(0, 0, 3, 6) == pytest.approx(1.0 + 0.006)


def test_each_slice_of_a_prompt_takes_its_time() -> None:
    plain, sliced = bent(), replace(bent(), slice_s=0.25)

    assert sliced.mixed_step_s(1, 50, 2, 3, 2) == pytest.approx(plain.mixed_step_s(1, 50, 2, 3) + 0.5)
    assert sliced.mixed_step_s(0, 0, 3, 6) == pytest.approx(plain.mixed_step_s(0, 0, 3, 6) + 0.25)
    assert sliced.mixed_step_s(1, 50, 0, 0) == plain.mixed_step_s(1, 50, 0, 0)


def test_linear_time_goes_on_with_its_last_slope() -> None:
    assert bent().linear(10) == pytest.approx(1.0 + 7 * 0.25)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"decode_base_s": np.array([[0, 1.0, np.nan], [0, 1, 1]])}, "finite and not negative"),
        ({"attention_s_per_pair": -1.0}, "finite and not negative"),
        ({"decode_kv_s": np.zeros((1, 3))}, "one shape"),
        ({"kv_edges": np.array([100.0, 200.0])}, "the last infinite"),
        ({"kv_edges": np.array([np.inf, np.inf])}, "rising"),
        ({"linear_s": np.array([0.0])}, "from 0 tokens to at least 1"),
        ({"linear_s": np.array([0.0, 2.0, 1.0])}, "do not fall"),
        ({"linear_s": np.array([0.5, 0.6])}, "no time for no rows"),
        ({"decode_base_s": np.zeros((2, 3)), "decode_kv_s": np.zeros((2, 3))}, "some time for a row"),
    ],
)
def test_unsound_tables_are_refused(changes: dict[str, Any], problem: str) -> None:
    good = bent()
    fields = ("decode_base_s", "decode_kv_s", "kv_edges", "linear_s", "attention_s_per_pair")
    with pytest.raises(InputError, match=problem):
        StepTime(**{**{name: getattr(good, name) for name in fields}, **changes})


def test_roofline_without_losses_is_bytes_over_bandwidth_and_operations_over_rate() -> None:
    gpu, model = CATALOGUE.gpu("H100"), CATALOGUE.model("Llama-3.1-8B")
    step_time = roofline(gpu, model, Layout(), BF16, 8, 8192, PLAIN_SPEED)
    weights = 2 * (model.parameter_count - model.embedding_parameters)
    assert step_time.decode_step_s(1, 1000) == pytest.approx((weights + 131_072 * 1000) / 3.35e12, rel=1e-6)
    flops = model.linear_flops_per_token * 8192 + model.head_flops_per_row
    assert step_time.linear(8192) == pytest.approx(flops / 989e12, rel=1e-6)
    assert step_time.attention_s_per_pair == pytest.approx(4 * 32 * 32 * 128 / 989e12)


def test_a_small_batch_reads_few_experts_and_a_large_one_all() -> None:
    gpu, model = CATALOGUE.gpu("H200"), CATALOGUE.model("Qwen3-30B-A3B")
    step_time = roofline(gpu, model, Layout(), BF16, 256, 8192, PLAIN_SPEED)
    assert step_time.decode_step_s(1, 0) * 4.8e12 == pytest.approx(2 * model.met_parameters, rel=0.2)
    assert step_time.decode_step_s(256, 0) * 4.8e12 == pytest.approx(2 * model.parameter_count, rel=0.02)


def test_ranks_share_the_work_and_pay_for_the_link() -> None:
    gpu, model = CATALOGUE.gpu("H100"), CATALOGUE.model("Llama-3.1-70B")
    one, two = (roofline(gpu, model, Layout(ranks), BF16, 8, 8192, PLAIN_SPEED) for ranks in (1, 2))
    sent = 2 * 80 * (2 * 1 / 2) * 8 * 8192 * 2 / 450e9
    assert two.decode_step_s(8, 0) == pytest.approx(one.decode_step_s(8, 0) / 2 + sent, rel=1e-6)


def test_fp8_weights_compute_at_the_bf16_rate_where_there_are_no_fp8_cores() -> None:
    narrow, wide = Precision("fp8"), BF16
    ampere = [predicted("A100", "Llama-3.1-8B", precision=precision).linear(8192) for precision in (narrow, wide)]
    hopper = [predicted("H100", "Llama-3.1-8B", precision=precision).linear(8192) for precision in (narrow, wide)]
    assert ampere[0] / ampere[1] == pytest.approx(1, abs=0.02)
    assert hopper[0] / hopper[1] == pytest.approx(0.5, abs=0.05)


def test_latent_attention_decodes_at_the_slower_of_bytes_and_operations() -> None:
    gpu, model = CATALOGUE.gpu("H200"), CATALOGUE.model("DeepSeek-V3")
    step_time = roofline(gpu, model, Layout(), Precision("fp8", "fp8"), 8, 64, PLAIN_SPEED)
    operations = 2 * 61 * 128 * (2 * 512 + 64) / 989e12
    assert step_time.decode_kv_s[0, 1] == pytest.approx(operations)


@given(
    st.sampled_from(sorted(CATALOGUE.gpus)),
    st.sampled_from(sorted(CATALOGUE.models)),
    st.sampled_from([1, 2, 8]),
)
def test_every_pair_has_sound_step_times_that_grow_with_the_work(gpu: str, model: str, ranks: int) -> None:
    step_time = predicted(gpu, model, ranks)
    assert step_time.decode_base_s.shape == (1, 257)
    assert len(step_time.linear_s) == 8193
    assert (np.diff(step_time.decode_base_s[0]) > 0).all()


@pytest.mark.parametrize(
    ("tag", "model", "ranks", "worst", "median"),
    [("8b_a100_tp1", "Llama-3-8B", 1, 0.15, 0.03), ("70b_a100_tp2", "Llama-2-70B", 2, 0.25, 0.20)],
)
def test_decode_steps_against_public_step_tables(
    shared: Path, tag: str, model: str, ranks: int, worst: float, median: float
) -> None:
    step_time = predicted("A100", model, ranks)
    measured = table(shared / "measurements" / "a100-step-times" / f"decode_step_{tag}.csv")
    errors = [
        step_time.decode_step_s(int(row["batch_size"]), row["total_kv_tokens"]) * 1e3 / row["step_ms"] - 1
        for row in measured
    ]
    assert within(errors, worst=worst, median=median)


@pytest.mark.parametrize(
    ("tag", "model", "ranks"), [("8b_a100_tp1", "Llama-3-8B", 1), ("70b_a100_tp2", "Llama-2-70B", 2)]
)
def test_prefill_and_mixed_steps_against_public_step_tables(shared: Path, tag: str, model: str, ranks: int) -> None:
    step_time, folder = predicted("A100", model, ranks), shared / "measurements" / "a100-step-times"
    errors = []
    for row in table(folder / f"prefill_step_{tag}.csv"):
        tokens, already = int(row["prompt_tokens_in_step"]), row["cached_kv_tokens"]
        step_s = step_time.mixed_step_s(0, 0, tokens, tokens * (already + (tokens + 1) / 2))
        errors.append(step_s * 1e3 / row["step_ms"] - 1)
    for row in table(folder / f"mixed_step_{tag}.csv"):
        tokens, batch = int(row["prefill_chunk_tokens"]), int(row["decode_batch"])
        step_s = step_time.mixed_step_s(batch, batch * row["kv_tokens_per_seq"], tokens, tokens * (tokens + 1) / 2)
        errors.append(step_s * 1e3 / row["step_ms"] - 1)
    assert within(errors, worst=0.30, median=0.10)


def test_time_per_token_against_closed_loop_runs_of_an_8b_model_on_h100(shared: Path) -> None:
    """Few in flight: a step decodes them all, and a token waits for its share of the others' prompts too."""
    with (shared / "measurements" / "closed-loop-serving.csv").open(encoding="utf-8", newline="") as file:
        runs = [row for row in csv.DictReader(file) if row["model"] == "meta-llama/Llama-3.1-8B-Instruct"]
    errors = []
    for run in (run for run in runs if float(run["concurrency"]) <= 16):
        step_time = predicted(run["system"], "Llama-3.1-8B", int(float(run["tp_size"])))
        batch, prompt, output = int(float(run["concurrency"])), int(float(run["isl"])), float(run["osl"])
        decode_s = step_time.decode_step_s(batch, batch * (prompt + output / 2))
        prompts_s = (batch - 1) / output * step_time.mixed_step_s(0, 0, prompt, prompt * (prompt + 1) / 2)
        errors.append((decode_s + prompts_s) * 1e3 / float(run["tpot_ms"]) - 1)
    assert len(errors) >= 20
    assert within(errors, worst=0.35, median=0.12)


def test_the_short_form_is_interpolated(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    path.write_text(json.dumps(SHORT_FORM), encoding="utf-8")
    step_time = load_step_time(path)
    assert step_time.decode_base_s[0].tolist() == pytest.approx([0, 0.010, 0.011, 0.012, 0.016, 0.020])
    assert step_time.decode_kv_s[0].tolist() == pytest.approx([0, 1e-7, 2e-7, 3e-7, 4e-7, 5e-7])
    assert step_time.mixed_step_s(0, 0, 1000, 500_500) == pytest.approx(0.004 + 2e-5 * 1000 + 1e-9 * 500_500)


@pytest.mark.parametrize(
    "made",
    [bent(), replace(bent(), slice_s=0.125), predicted("H100", "Llama-3.1-8B")],
    ids=["bent", "sliced", "roofline"],
)
def test_what_is_saved_is_loaded(tmp_path: Path, made: StepTime) -> None:
    path = tmp_path / "times.json"
    save_step_time(made, path)
    loaded = load_step_time(path)
    for name in ("decode_base_s", "decode_kv_s", "kv_edges", "linear_s"):
        assert np.array_equal(getattr(loaded, name), getattr(made, name))
    assert (loaded.attention_s_per_pair, loaded.slice_s) == (made.attention_s_per_pair, made.slice_s)
    assert [file.name for file in tmp_path.iterdir()] == ["times.json"]


@pytest.mark.parametrize(
    ("part", "change", "problem"),
    [
        ("decode", {"rows": [3, 1, 5]}, "rising whole numbers"),
        ("decode", {"rows": [0, 1, 5]}, "rising whole numbers"),
        ("decode", {"rows": [1, 2.5, 5]}, "rising whole numbers"),
        ("decode", {"rows": []}, "rising whole numbers"),
        ("decode", {"kv_s": [1e-7]}, "not one length"),
        ("decode", {"base_s": [0.01, -0.01, 0.02]}, "finite and not negative"),
        ("decode", {"base_s": [0.01, "fast", 0.02]}, "only numbers"),
        ("decode", {"base_s": 0.01}, "list of 1 level"),
        ("decode", {"milliseconds": 3}, "unknown milliseconds"),
        ("prefill", {"a_s": "4ms"}, "4ms is not a time"),
        ("prefill", {"a_s": float("nan")}, "nan is not a time"),
        ("prefill", {"b_s_per_token": -1}, "-1 is not a time"),
    ],
)
def test_a_wrong_short_form_is_refused_by_name(tmp_path: Path, part: str, change: Any, problem: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(json.dumps({**SHORT_FORM, part: {**SHORT_FORM[part], **change}}), encoding="utf-8")
    with pytest.raises(InputError, match=problem) as caught:
        load_step_time(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not a JSON file"),
        ("[]", "must be a JSON object"),
        ("{}", "lacks decode_base_s"),
        ('{"prefill": {}}', "lacks decode"),
        ('{"prefill": 3, "decode": {}}', "prefill must be a JSON object"),
    ],
)
def test_a_file_that_is_not_step_times_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=problem):
        load_step_time(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json cannot be read"):
        load_step_time(tmp_path / "none.json")


def test_a_pool_with_a_file_takes_it_and_goes_on_with_its_last_slope(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    path.write_text(json.dumps(SHORT_FORM), encoding="utf-8")
    step_time = step_time_for(pool(step_time={"path": str(path)}, engine={"max_num_seqs": 8}), CATALOGUE).step_time
    assert step_time.decode_base_s[0, 5:].tolist() == pytest.approx([0.020, 0.024, 0.028, 0.032])
    assert step_time.decode_kv_s[0, 5:].tolist() == pytest.approx([5e-7] * 4)


def test_a_pool_without_a_file_takes_the_roofline_at_its_precision() -> None:
    narrow = step_time_for(pool(precision={"weights": "fp8"}), CATALOGUE).step_time
    assert narrow.decode_step_s(1, 0) < step_time_for(pool(), CATALOGUE).step_time.decode_step_s(1, 0) * 0.75
    assert (narrow.max_rows, len(narrow.linear_s)) == (256, 8193)


def test_a_pool_s_kv_capacity_is_its_own_or_what_its_gpus_leave() -> None:
    assert kv_capacity_for(pool(engine={"kv_capacity_tokens": 1000}), CATALOGUE) == 1000
    assert kv_capacity_for(pool(engine={"memory_utilisation": 0.5}), CATALOGUE) < kv_capacity_for(pool(), CATALOGUE)
