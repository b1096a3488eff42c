"""The catalogue: its names, and what model shapes imply, against declared and printed figures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import CatalogueError
from sim.hardware import (
    Catalogue,
    Model,
    Precision,
    kv_capacity_tokens,
    load_catalogue,
    normalised,
    split_precision,
)
from sim.paths import data_path

CATALOGUE = load_catalogue()
BF16 = Precision()
MODELS = sorted(CATALOGUE.models.values(), key=lambda model: model.name)
ROUTED = [model for model in MODELS if model.experts]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def plain(**changes: object) -> Model:
    shape = dict(layers=2, hidden=8, heads=4, kv_heads=2, head_dim=2, ffn_intermediate=16, vocab=10)
    return Model.from_fields("plain", **{**shape, **changes})


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_parameters_agree_with_the_declared_total(model: Model) -> None:
    assert model.parameter_count == pytest.approx(model.params_b_declared * 1e9, rel=0.01)


@pytest.mark.parametrize("model", ROUTED, ids=lambda model: model.name)
def test_declared_active_parameters_lie_between_ours_without_and_with_embeddings(model: Model) -> None:
    declared = model.active_params_b_declared * 1e9
    assert model.met_parameters * 0.99 <= declared <= model.active_parameter_count * 1.01


def test_active_parameters_agree_with_the_shared_count(shared: Path) -> None:
    published = rows(shared / "hardware" / "models.csv")
    ours = [CATALOGUE.model(row["model"]).active_parameter_count / 1e9 for row in published]
    theirs = [float(row["active_params_b_computed_incl_embeddings"]) for row in published]
    assert ours == pytest.approx(theirs, rel=0.005)


def test_kv_bytes_agree_with_the_shared_count(shared: Path) -> None:
    published = rows(shared / "hardware" / "models.csv")
    ours = {row["model"]: CATALOGUE.model(row["model"]).kv_bytes_per_token(BF16) for row in published}
    assert ours == {row["model"]: float(row["kv_bytes_per_token_bf16"]) for row in published}


def test_gpu_rows_agree_with_the_shared_table(shared: Path) -> None:
    published = rows(shared / "hardware" / "gpus.csv")
    ours = [CATALOGUE.gpu(row["gpu"]) for row in published]
    assert [(gpu.bandwidth_gb_s / 1000, gpu.bf16_dense_tflops, gpu.fp8_dense_tflops) for gpu in ours] == [
        (
            float(row["hbm_bandwidth_tb_s"]),
            float(row["bf16_dense_tflops"]),
            float(row["fp8_dense_tflops"] or 0),
        )
        for row in published
    ]


@pytest.mark.parametrize(
    ("name", "kv_bytes"),
    [
        ("Llama-3.1-8B", 32 * 8 * 128 * 2 * 2),
        ("Llama-2-7B", 32 * 32 * 128 * 2 * 2),
        ("DeepSeek-V3", 61 * (512 + 64) * 2),
        ("Qwen3-30B-A3B", 48 * 4 * 128 * 2 * 2),
        ("Qwen3.5-397B-A17B", 15 * 2 * 256 * 2 * 2),
        ("gpt-oss-120b", 36 * 8 * 64 * 2 * 2),
    ],
)
def test_kv_bytes_per_token_by_hand(name: str, kv_bytes: int) -> None:
    assert CATALOGUE.model(name).kv_bytes_per_token(BF16) == kv_bytes


def test_a_small_model_counted_by_hand() -> None:
    attention, feed_forward, norms = 8 * (8 + 4 + 4 + 8), 3 * 8 * 16, 2 * 8
    assert plain().parameter_count == 2 * 10 * 8 + 2 * (attention + feed_forward + norms) + 8


def test_experts_count_in_full_and_by_the_ones_a_token_visits() -> None:
    model = plain(experts=4, experts_per_token=1, shared_experts=1, moe_intermediate=5, first_dense_layers=1)
    assert model.parameter_count - model.active_parameter_count == 3 * (3 * 8 * 5)


def test_tied_embeddings_count_once() -> None:
    assert plain().parameter_count - plain(tied_embeddings=True).parameter_count == 10 * 8


@given(st.integers(1, 64), st.data(), st.integers(1, 3000))
def test_expected_experts_start_at_k_rise_and_never_pass_all(experts: int, data: st.DataObject, most: int) -> None:
    visited = data.draw(st.integers(1, experts))
    model = plain(experts=experts, experts_per_token=visited, moe_intermediate=5)
    expected = model.expected_experts(np.arange(most + 1, dtype=np.float64))
    assert expected[0] == 0
    assert expected[1] == pytest.approx(visited)
    assert (np.diff(expected) >= 0).all()
    assert expected[-1] <= experts


def test_expected_experts_agree_with_draws() -> None:
    model, draw = plain(experts=16, experts_per_token=2, moe_intermediate=5), np.random.default_rng(1)
    seen = [len({e for _ in range(7) for e in draw.choice(16, 2, replace=False)}) for _ in range(4000)]
    assert model.expected_experts(np.array([7.0]))[0] == pytest.approx(np.mean(seen), rel=0.01)


def test_a_large_batch_reads_every_weight_but_the_embedding() -> None:
    model = CATALOGUE.model("Qwen3-30B-A3B")
    read = model.weight_bytes_read(np.array([1e5]), BF16)[0]
    assert read == pytest.approx(model.weight_bytes(BF16) - 2 * model.embedding_parameters)


def test_quantised_weights_leave_embeddings_in_16_bits() -> None:
    model = CATALOGUE.model("Llama-3.1-8B")
    expected = 4 * model.embedding_parameters + (model.parameter_count - 2 * model.embedding_parameters)
    assert model.weight_bytes(Precision("fp8")) == pytest.approx(expected, rel=1e-3)


def test_kv_heads_split_over_ranks_then_replicate_and_a_latent_always_replicates() -> None:
    grouped, latent = CATALOGUE.model("Qwen3-235B-A22B"), CATALOGUE.model("DeepSeek-V3")
    shares = [
        grouped.kv_bytes_per_token_on_gpu(BF16, ranks) / grouped.kv_bytes_per_token(BF16) for ranks in (1, 2, 4, 8)
    ]
    assert shares == [1, 1 / 2, 1 / 4, 1 / 4]
    assert latent.kv_bytes_per_token_on_gpu(BF16, 8) == latent.kv_bytes_per_token(BF16)


def test_a_short_window_is_read_as_a_constant_and_a_long_one_in_full() -> None:
    short, long = CATALOGUE.model("gpt-oss-20b"), CATALOGUE.model("Mistral-7B-v0.1")
    assert short.kv_bytes_read_on_gpu(BF16, 1) == short.kv_bytes_per_token(BF16) / 2
    assert short.row_bytes_on_gpu(BF16, 1) == 128 * short.kv_bytes_per_token(BF16) / 2
    assert long.kv_bytes_read_on_gpu(BF16, 1) == long.kv_bytes_per_token(BF16)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "Llama-3.1-8B"),
        ("llama-3.1-8b", "Llama-3.1-8B"),
        ("meta-llama/Llama-2-70b-chat-hf", "Llama-2-70B"),
        ("llama2-70b", "Llama-2-70B"),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "Qwen3-30B-A3B"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "Mixtral-8x7B"),
        ("zhipuai/GLM-5", "GLM-5"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
    ],
)
def test_model_aliases(alias: str, name: str) -> None:
    assert CATALOGUE.model(alias).name == name


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("H100", "H100-SXM"),
        ("h100_sxm", "H100-SXM"),
        ("NVIDIA H100 80GB HBM3", "H100-SXM"),
        ("A100-80GB", "A100-80GB-SXM"),
        ("a100-80gb", "A100-80GB-SXM"),
        ("NVIDIA A100-SXM4-80GB", "A100-80GB-SXM"),
        ("NVIDIA GeForce RTX 4090", "RTX-4090"),
        ("RTXPRO6000", "RTX-PRO-6000"),
        ("gb200", "GB200"),
    ],
)
def test_gpu_aliases(alias: str, name: str) -> None:
    assert CATALOGUE.gpu(alias).name == name


@pytest.mark.parametrize(("file", "column"), [("gpus.csv", "gpu"), ("models.csv", "model")])
def test_no_two_rows_answer_to_one_name(file: str, column: str) -> None:
    table = rows(data_path(file))
    keys = [{normalised(name) for name in (row[column], *row["aliases"].split(";")) if name} for row in table]
    assert len(set().union(*keys)) == sum(map(len, keys))


def test_every_row_names_a_source_and_every_gpu_has_an_efficiency() -> None:
    tables = [rows(data_path(file)) for file in ("gpus.csv", "models.csv", "efficiencies.csv")]
    assert all(row["source"] for table in tables for row in table)
    assert CATALOGUE.efficiencies.keys() == CATALOGUE.gpus.keys()


def test_every_measured_model_and_gpu_is_in_the_catalogue(shared: Path) -> None:
    measured = rows(shared / "measurements" / "closed-loop-serving.csv")
    models = {CATALOGUE.model(split_precision(row["model"])[0]).name for row in measured}
    gpus = {CATALOGUE.gpu(row["system"]).name for row in measured}
    assert (len(models), len(gpus)) == (11, 5)


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(CatalogueError, match=r"H100-SXN is not a GPU of the catalogue, did you mean 'H100-SXM'\?"):
        CATALOGUE.gpu("H100-SXN")
    with pytest.raises(CatalogueError, match=r"did you mean 'Llama-3\.1-8B'"):
        CATALOGUE.model("Llama-3.1-8C")


def test_a_precision_in_a_name_is_refused_with_the_way_to_say_it() -> None:
    with pytest.raises(CatalogueError, match=r"name the model Qwen3-32B and set .* \{weights: fp4\}"):
        CATALOGUE.model("Qwen3-32B-NVFP4")


def test_a_model_of_one_s_own_is_found_and_hides_no_gpu() -> None:
    own = Model.from_fields("H100", layers=2, hidden=8, heads=4, kv_heads=2, head_dim=2, ffn_intermediate=16, vocab=10)
    catalogue: Catalogue = CATALOGUE.with_models([own])
    assert (catalogue.model("h100"), catalogue.gpu("H100").name) == (own, "H100-SXM")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"layer": 3}, "layer is not a property of a model"),
        ({"hidden": None}, "plain lacks hidden"),
        ({"layers": 0}, "above zero"),
        ({"kv_heads": 3}, "divisible by kv_heads"),
        ({"head_dim": 0}, "must have a head_dim"),
        ({"attention": "MLA"}, "kv_lora_rank"),
        ({"attention": "linear"}, "GQA or MLA"),
        ({"biases": "some"}, "biases of none, qkv, all"),
        ({"experts": 4}, "experts_per_token"),
        ({"ffn_intermediate": 0}, "ffn_intermediate"),
        ({"sliding_layers": 3}, "more special layers"),
    ],
)
def test_a_shape_that_contradicts_itself_is_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(CatalogueError, match=problem):
        plain(**changes)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(CatalogueError, match="fp7 is not a weight format; use one of: bf16"):
        Precision("fp7")
    with pytest.raises(CatalogueError, match="int4 is not a KV cache format"):
        Precision(kv="int4")


@pytest.mark.parametrize(("batched_tokens", "printed"), [(20_000, 1952 * 16), (29_000, 1478 * 16)])
def test_kv_capacity_agrees_with_what_vllm_printed(batched_tokens: int, printed: int) -> None:
    """Llama-3.1-8B on an RTX 3090 at 0.90: "GPU blocks: 1952" and "1478" (vllm-project/vllm issue 10517)."""
    gpu, model = CATALOGUE.gpu("RTX-3090"), CATALOGUE.model("Llama-3.1-8B")
    tokens = kv_capacity_tokens(gpu, model, 1, 0.9, BF16, max_num_batched_tokens=batched_tokens)
    assert tokens == pytest.approx(printed, rel=0.08)


def test_kv_capacity_of_an_8b_model_on_an_h100_is_what_engines_print() -> None:
    gpu, model = CATALOGUE.gpu("H100"), CATALOGUE.model("Llama-3.1-8B")
    tokens = kv_capacity_tokens(gpu, model, 1, 0.9, BF16)
    assert 430_000 <= tokens <= 450_000
    assert tokens % 16 == 0


def test_fp8_cache_holds_twice_the_tokens() -> None:
    gpu, model = CATALOGUE.gpu("H100"), CATALOGUE.model("Llama-3.1-70B")
    wide, narrow = (kv_capacity_tokens(gpu, model, 4, 0.9, Precision(kv=kv)) for kv in ("bf16", "fp8"))
    assert narrow == pytest.approx(2 * wide, abs=32)


def test_weights_that_leave_no_room_are_refused() -> None:
    with pytest.raises(CatalogueError, match=r"Llama-3.1-70B in bf16 on 1 x H100-SXM leaves no KV cache"):
        kv_capacity_tokens(CATALOGUE.gpu("H100"), CATALOGUE.model("Llama-3.1-70B"), 1, 0.9, BF16)
