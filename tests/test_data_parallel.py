"""Data-parallel servers: ranks that schedule for themselves and share their experts, counted and paid as GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sim.errors import CatalogueError
from sim.fleet import build_fleet
from sim.hardware import Precision, kv_capacity_tokens, load_catalogue
from sim.results import Results
from sim.scenario import GpuPool, Scenario
from sim.simulation import simulate
from tests.small import pool, rows, scenario, steady_step_times

CATALOGUE = load_catalogue()
MODEL = "Qwen3-30B-A3B"


def moe(**changes: Any) -> dict[str, Any]:
    """One server of four ranks of two GPUs each."""
    return pool(**{"model": MODEL, "replicas": 1, "tensor_parallel": 2, "data_parallel": 4, **changes})


def on_steady_steps(folder: Path, **changes: Any) -> Scenario:
    """The same step times and memory whatever the layout."""
    fixed = {"step_time": steady_step_times(folder, 0.01), "engine": {"kv_capacity_tokens": 100_000}}
    times = changes.pop("schedule", [])
    return scenario(fleet=[moe(**fixed, schedule=times, **changes)], bucket="30m", horizon="2h")


def complaint(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        GpuPool.model_validate(moe(**changes))
    return str(caught.value)


def test_each_rank_is_a_replica_to_the_engine_with_its_own_gpus() -> None:
    (found,) = build_fleet(scenario(fleet=[moe(replicas=3)])).pools

    assert (found.replicas, found.ranks) == (12, 4)


def test_ranks_serve_as_so_many_replicas_would(tmp_path: Path) -> None:
    def outcome(**layout: int) -> Results:
        return simulate(on_steady_steps(tmp_path, **layout), keep_requests=True)

    ranks, replicas = outcome(), outcome(data_parallel=1, replicas=4)
    assert rows(ranks).equals(rows(replicas))
    assert set(rows(ranks)["replica"]) == {0, 1, 2, 3}
    assert ranks.summary["cost"] == replicas.summary["cost"]
    assert ranks.summary["fleet"] == replicas.summary["fleet"] | {"peak_replicas": 1}
    assert ranks.summary["fleet"]["gpu_hours"] == pytest.approx(8 * 2)


def test_a_schedule_switches_whole_servers(tmp_path: Path) -> None:
    off = [{"hours": "00:30-01:00", "replicas": 1}, {"hours": "01:00-01:30", "replicas": 0}]
    offer = {"kind": "on-demand", "usd_per_gpu_hour": 2.0}
    results = simulate(on_steady_steps(tmp_path, replicas=2, offer=offer, schedule=off))

    assert results.buckets["accepting_replicas"].tolist() == [2, 1, 0, 2]
    assert results.summary["fleet"]["peak_replicas"] == 2
    assert results.summary["fleet"]["gpu_hours"] == pytest.approx(8 * (2 + 1 + 0 + 2) / 2, rel=1e-3)


def test_ranks_hold_the_dense_weights_each_and_the_experts_together() -> None:
    gpu, model, precision = CATALOGUE.gpu("H200-SXM"), CATALOGUE.model(MODEL), Precision()

    def held_bytes(tensor_parallel: int, data_parallel: int) -> float:
        tokens = kv_capacity_tokens(gpu, model, tensor_parallel, 0.9, precision, data_parallel=data_parallel)
        return tokens * model.kv_bytes_per_token_on_gpu(precision, tensor_parallel)

    experts = 2.0 * model.expert_layers * model.experts * model.expert_parameters
    block = 16 * model.kv_bytes_per_token(precision)
    assert held_bytes(1, 4) - held_bytes(1, 1) == pytest.approx(experts * 3 / 4, abs=block)
    assert held_bytes(2, 4) - held_bytes(2, 1) == pytest.approx(experts * 3 / 8, abs=block)


def test_a_pool_takes_its_ranks_into_account() -> None:
    alone, shared = (build_fleet(scenario(fleet=[moe(data_parallel=ranks)])).pools[0] for ranks in (1, 4))

    assert shared.kv_capacity_tokens > alone.kv_capacity_tokens


def test_too_large_a_model_is_told_with_all_its_gpus() -> None:
    with pytest.raises(CatalogueError, match="DeepSeek-V3 in bf16 on 4 x H100-SXM"):
        build_fleet(scenario(fleet=[moe(model="DeepSeek-V3", tensor_parallel=2, data_parallel=2)]))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data_parallel": 0}, "greater than or equal to 1"),
        ({"expert_parallel": 0}, "greater than or equal to 1"),
        ({"expert_parallel": 3}, "expert_parallel: 3 must divide the 8 GPUs of a replica"),
        ({"expert_parallel": 16}, "expert_parallel: 16 must divide the 8 GPUs of a replica"),
        ({"data_parallel": 2, "replicas": 50_001}, "data_parallel: 2 makes 100002 ranks of 50001 replicas"),
        ({"engine": {"backend": "vllm-omni"}}, "'vllm', 'sglang' or 'tensorrt-llm'"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(changes: dict[str, Any], told: str) -> None:
    assert told in complaint(**changes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": "Llama-3.1-8B"}, "needs a model with experts to share, and Llama-3.1-8B has none; use replicas: 4"),
        ({"model": "Llama-3.1-8B", "data_parallel": 1, "expert_parallel": 2}, "more than the 0 experts of Llama"),
        ({"data_parallel": 128, "expert_parallel": 256}, "more than the 128 experts of Qwen3-30B-A3B"),
    ],
)
def test_a_model_without_enough_experts_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(CatalogueError, match=told):
        build_fleet(scenario(fleet=[moe(**changes)]))


@pytest.mark.parametrize("spread", [None, 1, 4, 8])
def test_experts_are_spread_over_some_or_all_gpus(spread: int | None) -> None:
    assert GpuPool.model_validate(moe(expert_parallel=spread)).expert_parallel == spread


@pytest.mark.parametrize("backend", ["vllm", "sglang", "tensorrt-llm"])
def test_the_backend_leaves_the_scheduler_alone(backend: str) -> None:
    engine = GpuPool.model_validate(moe(engine={"backend": backend})).engine

    assert (engine.backend, engine.scheduler) == (backend, "chunked")
