"""Ideal seconds and the roofline, by hand: tiny models on a GPU of a byte and an operation a second."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from sim.hardware import Precision
from sim.hardware.gpu import Efficiency, Gpu
from sim.hardware.model import Model
from sim.steptime import StepTime, roofline
from sim.steptime.ideal import Ideal, Layout, ideal_of, stacked
from sim.steptime.roofline import decode_base_s, kv_token_s, pair_s, prompt_linear_s

BF16 = Precision()
SLOW = Gpu(
    name="Abacus",
    vendor="Made-up",
    architecture="Beads",
    memory_gb=1.0,
    memory_mib=954.0,
    bandwidth_gb_s=1e-9,
    bf16_dense_tflops=1e-12,
    tdp_w=1.0,
    link="rope",
    link_gb_s_one_way=1e-9,
)
BYTES_ONLY = replace(SLOW, bf16_dense_tflops=1e6, link_gb_s_one_way=1e9)
OPERATIONS_ONLY = replace(SLOW, bandwidth_gb_s=1e9, link_gb_s_one_way=1e9)
LOSSLESS = Efficiency(
    **dict.fromkeys(("compute", "memory", "kv_memory", "attention_compute", "link"), 1.0),
    **dict.fromkeys(("prefill_compute", "expert_compute"), 1.0),
    **dict.fromkeys(("all_reduce_latency_us", "step_overhead_ms", "layer_overhead_us"), 0.0),
    **dict.fromkeys(("expert_layer_overhead_us", "row_overhead_us", "front_end_ms", "front_end_steps"), 0.0),
    front_end_layer_us=0.0,
    roofline_exponent=40.0,
    status="assumed",
    source="a test",
)
OUTER = {"layers": 2, "hidden": 8, "heads": 4, "kv_heads": 2, "head_dim": 2, "vocab": 16}
DENSE = Model.from_fields("tiny", **OUTER, ffn_intermediate=10)
MOE = Model.from_fields("tiny-experts", **OUTER, experts=4, experts_per_token=2, moe_intermediate=3)

HEAD = 16 * 8
ATTENTION = 2 * (8 * (4 + 2 * 2) * 2 + 8 * 4 * 2)
NORMS = (2 * 2 + 1) * 8
FEED_FORWARD = 2 * 3 * 8 * 10
ROUTERS = 2 * 4 * 8
EXPERT = 3 * 8 * 3
"""Parameters: of the head, of both layers' attention, norms, feed-forward parts and routers, and of one expert."""


def ideal(model: Model, layout: Layout, gpu: Gpu = SLOW) -> Ideal:
    return ideal_of(gpu, model, layout, BF16)


def law(model: Model, layout: Layout, gpu: Gpu = SLOW, **changes: float) -> StepTime:
    return roofline(gpu, model, layout, BF16, 64, 64, replace(LOSSLESS, **changes))


def test_a_dense_model_on_one_gpu_reads_everything_but_the_input_embedding() -> None:
    found = ideal(DENSE, Layout())

    assert found.dense_read_s == 2 * (HEAD + ATTENTION + NORMS + FEED_FORWARD)
    assert found.token_compute_s == 2 * (ATTENTION + NORMS + FEED_FORWARD)
    assert (found.logits_compute_s, found.expert_read_s, found.all_reduces, found.token_send_s) == (2 * HEAD, 0, 0, 0)
    assert (found.kv_read_s, found.kv_compute_s, found.pair_compute_s) == (2 * 2 * 2 * 2 * 2, 4 * 2 * 8, 4 * 2 * 8)


@pytest.mark.parametrize("ranks", [2, 4])
def test_tensor_parallel_ranks_share_all_but_kv_heads_that_are_too_few(ranks: int) -> None:
    alone, shared = ideal(DENSE, Layout()), ideal(DENSE, Layout(ranks))

    for name in ("dense_read_s", "token_compute_s", "logits_compute_s", "kv_compute_s", "pair_compute_s"):
        assert getattr(shared, name) == getattr(alone, name) / ranks
    assert shared.kv_read_s == alone.kv_read_s / 2


@pytest.mark.parametrize("layout", [Layout(2), Layout(4), Layout(1, 2), Layout(2, 2)])
def test_two_ring_all_reduces_a_layer_send_what_passes_each_gpu_but_its_own_share(layout: Layout) -> None:
    found = ideal(MOE, layout)

    assert found.all_reduces == 2 * 2
    assert found.token_send_s == 2 * 2 * (2 * (layout.gpus - 1) / layout.gpus) * 8 * 2


@pytest.mark.parametrize("layout", [Layout(), Layout(2), Layout(1, 2), Layout(2, 2), Layout(1, 4)])
def test_a_rank_reads_its_share_of_the_experts_and_all_of_its_own_attention(layout: Layout) -> None:
    found = ideal(MOE, layout)

    assert found.expert_read_s == 2 * 2 * EXPERT / layout.gpus
    assert found.dense_read_s == 2 * (HEAD + ATTENTION + NORMS + ROUTERS) / layout.tensor_parallel
    assert found.token_compute_s == 2 * (ATTENTION + NORMS + ROUTERS) / layout.tensor_parallel
    assert found.expert_compute_s == 2 * (2 * 2 * EXPERT) / layout.tensor_parallel
    assert found.kv_read_s == ideal(DENSE, Layout(layout.tensor_parallel)).kv_read_s


@pytest.mark.parametrize(("ranks", "rows", "experts"), [(1, 1, 2), (1, 2, 3), (2, 1, 3), (2, 2, 3.75), (4, 1, 3.75)])
def test_tokens_of_all_ranks_meet_the_experts(ranks: int, rows: int, experts: float) -> None:
    step_s = law(MOE, Layout(1, ranks), BYTES_ONLY).decode_step_s(rows, 0)

    dense = 2 * (HEAD + ATTENTION + NORMS + ROUTERS)
    assert step_s == pytest.approx(dense + 2 * 2 * EXPERT / ranks * experts)


def test_many_tokens_read_every_expert_once_however_many_ranks_there_are() -> None:
    for layout in (Layout(), Layout(1, 2), Layout(1, 4)):
        found = ideal(MOE, layout, BYTES_ONLY)
        read_s = law(MOE, layout, BYTES_ONLY).decode_step_s(64, 0) - found.dense_read_s
        assert read_s * layout.gpus == pytest.approx(4 * 2 * 2 * EXPERT)


def test_operations_grow_with_the_tokens_and_a_prompt_computes_one_row_of_logits() -> None:
    step_time = law(DENSE, Layout(), OPERATIONS_ONLY)
    token_s, logits_s = 2 * (ATTENTION + NORMS + FEED_FORWARD), 2 * HEAD

    assert step_time.decode_step_s(5, 0) == pytest.approx(5 * (token_s + logits_s))
    assert step_time.linear(5) == pytest.approx(5 * token_s + logits_s)
    assert step_time.attention_s_per_pair == 4 * 2 * 8


@pytest.mark.parametrize(("power", "together"), [(1.0, 7.0), (2.0, 5.0), (40.0, 4.0)])
def test_the_exponent_says_how_far_memory_and_compute_overlap(power: float, together: float) -> None:
    """3 seconds of reading and 4 of computing."""
    model = ideal(DENSE, Layout())
    gpu = replace(SLOW, bandwidth_gb_s=model.dense_read_s / 3e9)
    rate = (model.token_compute_s + model.logits_compute_s) / 4
    step_time = law(DENSE, Layout(), replace(gpu, bf16_dense_tflops=rate * 1e-12), roofline_exponent=power)

    assert step_time.decode_step_s(1, 0) == pytest.approx(together, rel=1e-6)


@pytest.mark.parametrize(
    ("share", "gpu", "decodes", "reads"),
    [
        ("memory", BYTES_ONLY, 2.0, 2.0),
        ("compute", OPERATIONS_ONLY, 2.0, 1.0),
        ("prefill_compute", OPERATIONS_ONLY, 1.0, 2.0),
    ],
)
def test_half_a_rate_takes_twice_as_long(share: str, gpu: Gpu, decodes: float, reads: float) -> None:
    full, half = law(DENSE, Layout(), gpu), law(DENSE, Layout(), gpu, **{share: 0.5})

    assert half.decode_step_s(4, 0) / full.decode_step_s(4, 0) == pytest.approx(decodes)
    assert half.linear(4) / full.linear(4) == pytest.approx(reads)


def test_overheads_add_up() -> None:
    added = {
        "step_overhead_ms": 1e3,
        "layer_overhead_us": 10e6,
        "expert_layer_overhead_us": 100e6,
        "all_reduce_latency_us": 1000e6,
        "row_overhead_us": 1e6,
    }
    bare, slow = law(MOE, Layout(2)), law(MOE, Layout(2), **added)

    fixed_s = 1 + 2 * 10 + 2 * 100 + 2 * 2 * 1000
    assert slow.decode_step_s(3, 0) - bare.decode_step_s(3, 0) == pytest.approx(fixed_s + 3 * 1)
    assert slow.linear(3) - bare.linear(3) == pytest.approx(fixed_s)


def test_a_kv_token_takes_the_longer_of_its_bytes_and_its_operations() -> None:
    found = ideal(DENSE, Layout())

    assert kv_token_s(found, LOSSLESS) == found.kv_compute_s == 64
    assert kv_token_s(found, replace(LOSSLESS, kv_memory=0.1)) == pytest.approx(found.kv_read_s / 0.1)
    assert pair_s(found, replace(LOSSLESS, attention_compute=0.5)) == 2 * found.pair_compute_s


def test_a_short_window_costs_each_row_and_prompt_token_the_same_whatever_came_before() -> None:
    windowed = Model.from_fields("tiny-window", **OUTER, ffn_intermediate=10, sliding_window=4, sliding_layers=1)
    found, whole = ideal(windowed, Layout()), ideal(DENSE, Layout())

    assert found.kv_read_s == whole.kv_read_s / 2
    assert found.row_read_s == 4 * found.kv_read_s
    assert found.window_compute_s == 4 * found.pair_compute_s == 4 * 4 * 8


def test_the_front_end_goes_with_the_step_times() -> None:
    step_time = law(DENSE, Layout(), front_end_ms=20.0, front_end_steps=1.5)

    assert (step_time.front_end_s, step_time.front_end_steps) == (0.02, 1.5)


def test_many_setups_at_once_take_what_each_takes_alone() -> None:
    of = [ideal(DENSE, Layout()), ideal(DENSE, Layout(2)), ideal(MOE, Layout(2, 2))]
    together, tokens = stacked(of), np.array([1.0, 8.0, 3.0])
    formulas: list[Any] = [decode_base_s, prompt_linear_s]

    assert all(getattr(together, field.name).shape == (3,) for field in fields(Ideal))
    for formula in formulas:
        alone = [float(formula(one, LOSSLESS, count)) for one, count in zip(of, tokens, strict=True)]
        assert formula(together, LOSSLESS, tokens).tolist() == pytest.approx(alone)
