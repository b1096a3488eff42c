"""Effects: what adds up for a setup, what stays out, and which setups share a group."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from typing import Any

import numpy as np
import pytest

from sim.calibration import design
from sim.calibration.fit import START
from sim.hardware import load_catalogue
from sim.hardware.gpu import Efficiency
from sim.hardware.setup import Setup
from sim.steptime.effects import FRONT, GPU_PARTS, LEVELS, PARTS, TIME, Effects, attained, groups_of
from sim.steptime.ideal import Layout
from sim.steptime.roofline import roofline

CATALOGUE = load_catalogue()
LLAMA = Setup(model="Llama-3.1-8B", gpu="H100-SXM", backend="vllm")
SHARES = ("compute", "prefill_compute", "expert_compute", "memory", "kv_memory", "attention_compute", "link")


def efficiency(by_level: dict[str, Any], setup: Setup = LLAMA) -> Efficiency:
    return Effects(START, by_level).efficiency(setup, CATALOGUE)


def groups(**changes: Any) -> dict[str, str]:
    return groups_of(replace(LLAMA, **changes), CATALOGUE)


def test_effects_of_all_levels_add_up_in_logs() -> None:
    found = efficiency(
        {
            "all": {"all": {"memory": 0.1, "compute": -0.2}},
            "generation": {"Hopper": {"memory": 0.02}},
            "backend+model+weights": {"vllm Llama-3-8B bf16": {"memory": -0.3, "front_end_ms": 0.5}},
        }
    )

    assert found.memory == pytest.approx(START.memory * exp(0.1 + 0.02 - 0.3))
    assert found.compute == pytest.approx(START.compute * exp(-0.2))
    assert found.front_end_ms == pytest.approx(START.front_end_ms * exp(0.5))
    assert (found.link, found.roofline_exponent) == (START.link, START.roofline_exponent)


def test_groups_that_nobody_measured_have_no_effect() -> None:
    elsewhere = {"generation": {"Blackwell": {TIME: 1.0}}, "backend": {"sglang": {TIME: 1.0}}, "gpu": {}}

    assert efficiency(elsewhere) == efficiency({}) == START


def test_what_is_known_is_what_was_measured() -> None:
    effects = Effects(START, {"gpu": {"H100-SXM": {}}})

    asked = [("gpu", "H100-SXM"), ("gpu", "L4"), ("model", "Llama-3-8B")]
    assert [effects.knows(level, group) for level, group in asked] == [True, False, False]


def test_time_divides_shares_and_multiplies_overheads_and_leaves_the_front_end() -> None:
    found = efficiency({"gpu": {"H100-SXM": {TIME: log(2.0)}}})

    ratios = {part: getattr(found, part) / getattr(START, part) for part in (*GPU_PARTS, *FRONT)}
    expected = {part: 0.5 if part in SHARES else 1.0 if part in FRONT else 2.0 for part in ratios}
    assert ratios == pytest.approx(expected)


@pytest.mark.parametrize(("model", "layout"), [("Llama-3.1-8B", Layout(2)), ("Qwen3-30B-A3B", Layout(1, 2))])
def test_twice_the_time_is_every_step_twice_as_long(model: str, layout: Layout) -> None:
    gpu, shape = CATALOGUE.gpu("H100-SXM"), CATALOGUE.model(model)
    once, twice = (
        roofline(gpu, shape, layout, LLAMA.precision, 16, 256, efficiency({"all": {"all": {TIME: time}}}))
        for time in (0.0, log(2.0))
    )

    np.testing.assert_allclose(twice.decode_base_s, 2 * once.decode_base_s)
    np.testing.assert_allclose(twice.decode_kv_s, 2 * once.decode_kv_s)
    np.testing.assert_allclose(twice.linear_s, 2 * once.linear_s)
    assert twice.attention_s_per_pair == pytest.approx(2 * once.attention_s_per_pair)
    assert (twice.front_end_s, twice.front_end_steps) == (once.front_end_s, once.front_end_steps)


def test_many_setups_move_at_once() -> None:
    logs = {part: np.zeros(3) for part in PARTS} | {"memory": np.array([0.0, 0.1, 0.2])}

    assert attained(START, logs).memory.tolist() == pytest.approx([START.memory * exp(x) for x in (0.0, 0.1, 0.2)])


@pytest.mark.parametrize(
    ("one", "other"), [("DeepSeek-R1", "DeepSeek-V3"), ("Llama-3-8B", "Llama-3.1-8B"), ("Llama-3.1-70B", "Llama-3-70B")]
)
def test_models_of_one_shape_share_their_groups(one: str, other: str) -> None:
    assert groups(model=one) == groups(model=other)


def test_models_of_another_shape_do_not() -> None:
    differs = {level for level, group in groups(model="Qwen3-8B").items() if group != groups()[level]}

    assert differs == {"model", "backend+model+weights", "pair", "setup"}


@pytest.mark.parametrize(
    ("changes", "levels"),
    [
        ({"backend_version": "0.11.0"}, set()),
        ({"kv": "fp8"}, set()),
        ({"weights": "fp8"}, {"backend+weights", "backend+model+weights", "setup"}),
        ({"tensor_parallel": 2}, {"backend+gpus", "setup"}),
        ({"data_parallel": 2}, {"backend+gpus", "backend+ranks", "setup"}),
        ({"expert_parallel": 2}, {"setup"}),
        ({"gpu": "H200-SXM"}, {"gpu", "gpu+backend", "pair", "setup"}),
        (
            {"backend": "sglang"},
            {level for level in LEVELS if "backend" in level} | {"setup"},
        ),
    ],
)
def test_a_change_moves_a_setup_to_other_groups_at_these_levels(changes: dict[str, Any], levels: set[str]) -> None:
    before = groups()

    assert {level for level, group in groups(**changes).items() if group != before[level]} == levels


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("Llama-3.1-8B", "dense"),
        ("Qwen3-30B-A3B", "experts"),
        ("DeepSeek-R1", "latent attention"),
        ("Qwen3.5-397B-A17B", "recurrent layers"),
    ],
)
def test_kinds_of_model(model: str, kind: str) -> None:
    assert groups(model=model)["kind"] == kind


def test_a_server_that_is_not_named_is_an_unknown_one() -> None:
    assert groups(backend="")["backend"] == "unknown"


def test_every_level_of_a_fit_is_one_of_a_setup() -> None:
    assert tuple(groups()) == LEVELS
    assert set(design.LEVELS) <= set(LEVELS)
