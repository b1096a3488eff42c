"""What a step asks of each GPU, as seconds at the GPU's published rates: the part of a step time that needs no fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from sim.hardware import Catalogue
from sim.hardware.gpu import Gpu
from sim.hardware.model import Model
from sim.hardware.precision import Precision
from sim.hardware.setup import Setup

__all__ = ["Ideal", "Layout", "ideal_for", "ideal_of", "stacked"]

_ACTIVATION_BYTES = 2.0
_ALL_REDUCES_PER_LAYER = 2


@dataclass(frozen=True)
class Layout:
    """How a server spreads a model over its GPUs."""

    tensor_parallel: int = 1
    """Ranks that share the attention of each layer."""
    data_parallel: int = 1
    """Attention replicas that share their experts; each schedules its own requests."""

    @property
    def gpus(self) -> int:
        """GPUs of the server."""
        return self.tensor_parallel * self.data_parallel


@dataclass(frozen=True, eq=False)
class Ideal:
    """Seconds of one GPU at its published rates; numbers, or arrays of one shape for many setups at once.

    Dense weights are shared by the tensor-parallel ranks, experts by all GPUs of the server, whose tokens all
    meet them.
    """

    dense_read_s: Any
    """Reading all weights but the routed experts, once."""
    expert_read_s: Any
    """Reading one expert of every routed layer."""
    experts: Any
    experts_per_token: Any
    data_parallel: Any
    token_compute_s: Any
    """Matrix products of one token, those of its routed experts apart."""
    expert_compute_s: Any
    """Matrix products of one token with its routed experts."""
    logits_compute_s: Any
    """The output head for one row."""
    kv_read_s: Any
    """Reading one resident KV token."""
    kv_compute_s: Any
    """Attention of a decoding row to one KV token."""
    pair_compute_s: Any
    """Attention of a prompt token to one token."""
    window_compute_s: Any
    """Attention of a prompt token in layers of a short window."""
    row_read_s: Any
    """Short windows and recurrent state of one decoding row."""
    token_send_s: Any
    """All ring all-reduces of one token: `2*(n-1)/n * hidden * 2 bytes` each."""
    all_reduces: Any
    """All-reduces of a step; 0 on one GPU."""
    layers: Any
    expert_layers: Any


def ideal_of(gpu: Gpu, model: Model, layout: Layout, precision: Precision) -> Ideal:
    """The ideal seconds of a model on one GPU of a server."""
    ranks, gpus = layout.tensor_parallel, layout.gpus
    bandwidth, bf16 = gpu.bandwidth_gb_s * 1e9, gpu.bf16_dense_tflops * 1e12
    linear = gpu.linear_tflops(precision.weights) * 1e12
    reduces = _ALL_REDUCES_PER_LAYER * model.layers if gpus > 1 else 0
    ring = 2.0 * (gpus - 1) / gpus * model.hidden * _ACTIVATION_BYTES
    return Ideal(
        dense_read_s=model.dense_bytes_read(precision) / ranks / bandwidth,
        expert_read_s=model.expert_bytes(precision) / gpus / bandwidth,
        experts=float(model.experts),
        experts_per_token=float(model.experts_per_token),
        data_parallel=float(layout.data_parallel),
        token_compute_s=(model.linear_flops_per_token - model.expert_flops_per_token) / ranks / linear,
        expert_compute_s=model.expert_flops_per_token / ranks / linear,
        logits_compute_s=model.head_flops_per_row / ranks / bf16,
        kv_read_s=model.kv_bytes_read_on_gpu(precision, ranks) / bandwidth,
        kv_compute_s=model.decode_flops_per_kv_token / ranks / bf16,
        pair_compute_s=model.attention_flops_per_pair / ranks / bf16,
        window_compute_s=model.window_flops_per_token / ranks / bf16,
        row_read_s=model.row_bytes_on_gpu(precision, ranks) / bandwidth,
        token_send_s=reduces * ring / (gpu.link_gb_s_one_way * 1e9) if reduces else 0.0,
        all_reduces=float(reduces),
        layers=float(model.layers),
        expert_layers=float(model.expert_layers),
    )


def ideal_for(setup: Setup, catalogue: Catalogue) -> Ideal:
    """The ideal seconds of a setup on one of its GPUs.

    Raises:
        CatalogueError: for a GPU or model that the catalogue does not hold.
    """
    gpu, model = catalogue.gpu(str(setup.gpu)), catalogue.model(str(setup.model))
    return ideal_of(gpu, model, Layout(setup.tensor_parallel, setup.data_parallel), setup.precision)


def stacked(ideals: Sequence[Ideal]) -> Ideal:
    """Many setups as one, each field an array [n]."""
    return Ideal(**{field.name: np.array([getattr(one, field.name) for one in ideals]) for field in fields(Ideal)})
