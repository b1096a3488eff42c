"""The KV cache that a model leaves room for on its GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.errors import CatalogueError
from sim.hardware.gpu import Gpu
from sim.hardware.model import Model
from sim.hardware.precision import Precision, pool_precision

if TYPE_CHECKING:
    from sim.hardware import Catalogue
    from sim.scenario import GpuPool

__all__ = ["kv_capacity_for", "kv_capacity_tokens"]

_BLOCK_TOKENS = 16
_DRIVER_BYTES = 0.5 * 2**30
_FRAMEWORK_BYTES = 0.5 * 2**30


def kv_capacity_for(pool: GpuPool, catalogue: Catalogue) -> int:
    """Tokens of KV cache of one rank of a pool: as the pool sets it, else what its GPUs leave room for.

    Raises:
        CatalogueError: for a GPU, model or precision the catalogue does not hold, or where no room is left.
    """
    engine = pool.engine
    if engine.kv_capacity_tokens is not None:
        return engine.kv_capacity_tokens
    return kv_capacity_tokens(
        catalogue.gpu(pool.gpu),
        catalogue.model(pool.model),
        pool.tensor_parallel,
        engine.memory_utilisation,
        pool_precision(pool),
        data_parallel=pool.data_parallel,
        max_num_seqs=engine.max_num_seqs,
        max_num_batched_tokens=engine.max_num_batched_tokens,
    )


def kv_capacity_tokens(
    gpu: Gpu,
    model: Model,
    tensor_parallel: int,
    memory_utilisation: float,
    precision: Precision,
    *,
    data_parallel: int = 1,
    max_num_seqs: int = 256,
    max_num_batched_tokens: int = 8192,
) -> int:
    """Tokens of KV cache that a replica holds, or each rank of a data-parallel one: a multiple of 16.

    On each GPU: `memory * utilisation - weights - activations - framework`, over the bytes a token keeps there.
    Weights are shared by `tensor_parallel` GPUs, and routed experts by all GPUs of all ranks. Memory is what the
    driver reports less 0.5 GiB that it keeps from programs; the framework's context, workspaces and communication
    buffers are taken as 0.5 GiB. Activations peak in the feed-forward part, at three inner widths and three
    residual widths in 16 bits per batched token: two peaks that vLLM printed for Llama-3.1-8B, 2.07 GiB at 20,000
    tokens and 2.99 GiB at 29,000, agree within 1 %. Models with recurrent state keep it for `max_num_seqs`.

    Raises:
        CatalogueError: where the weights leave no room.
    """
    usable = (gpu.memory_mib * 2**20 - _DRIVER_BYTES) * memory_utilisation
    weights = _weight_bytes_on_gpu(model, precision, tensor_parallel, data_parallel)
    states = model.state_bytes_per_row * max_num_seqs / tensor_parallel
    activations = _activation_bytes(model, tensor_parallel) * max_num_batched_tokens
    room = usable - weights - states - activations - _FRAMEWORK_BYTES
    blocks = int(room / model.kv_bytes_per_token_on_gpu(precision, tensor_parallel) / _BLOCK_TOKENS)
    if room <= 0 or blocks == 0:
        fit = f"{model.name} in {precision.weights} on {tensor_parallel * data_parallel} x {gpu.name}"
        held = f"leaves no KV cache ({weights / 2**30:.1f} of {usable / 2**30:.1f} GiB are weights)"
        raise CatalogueError(fit, held, "raise tensor_parallel or memory_utilisation, or take smaller weights")
    return blocks * _BLOCK_TOKENS


def _weight_bytes_on_gpu(model: Model, precision: Precision, tensor_parallel: int, data_parallel: int) -> float:
    experts = model.experts * model.expert_bytes(precision)
    return (model.weight_bytes(precision) - experts + experts / data_parallel) / tensor_parallel


def _activation_bytes(model: Model, tensor_parallel: int) -> float:
    routed = model.moe_intermediate * (model.experts_per_token + model.shared_experts)
    inner = max(model.ffn_intermediate if model.expert_layers < model.layers else 0, routed)
    return 6.0 * (inner / tensor_parallel + model.hidden)
