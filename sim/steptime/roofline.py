"""Step times from a GPU's data sheet and a model's shape: the roofline, softened and scaled by an efficiency.

For `t` tokens in a step on each of `n` tensor-parallel ranks the linear layers take

    memory  = weight bytes read(t) / n / (bandwidth * memory efficiency)
    compute = (linear FLOPs * t + head FLOPs * rows of logits) / n / (dense rate * compute efficiency)
    linear  = (memory^p + compute^p)^(1/p) + all-reduces + step overhead

with the expected distinct experts among the weights read, and two ring all-reduces a layer over the link,
each `2*(n-1)/n * t * hidden * 2 bytes` and a latency. A decode row adds its short windows and recurrent
state, and the engine's work for it; a resident KV token adds the bytes it holds (or, for latent attention,
its operations if those take longer); a prompt token adds the operations of each pair with a token it attends
to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.hardware.gpu import Efficiency, Gpu
from sim.hardware.model import Model
from sim.hardware.precision import Precision
from sim.steptime.table import StepTime

__all__ = ["roofline"]

Floats = NDArray[np.float64]

_ACTIVATION_BYTES = 2.0
_ALL_REDUCES_PER_LAYER = 2


def roofline(
    gpu: Gpu,
    model: Model,
    tensor_parallel: int,
    precision: Precision,
    max_num_seqs: int,
    max_num_batched_tokens: int,
    efficiency: Efficiency,
) -> StepTime:
    """Step times of a replica for up to `max_num_seqs` rows and `max_num_batched_tokens` tokens a step.

    A prefill computes one row of logits, a decode step one for each row. Pipeline, expert and data
    parallelism inside a replica are not modelled.
    """
    rank = _Rank(gpu, model, tensor_parallel, precision, efficiency)
    rows = np.arange(max_num_seqs + 1, dtype=np.float64)
    tokens = np.arange(max_num_batched_tokens + 1, dtype=np.float64)
    decode = rank.linear_s(rows, rows) + rank.row_s * rows
    linear = rank.linear_s(tokens, np.minimum(tokens, 1.0)) + rank.window_s * tokens
    per_kv_token = np.full_like(rows, rank.kv_token_s)
    decode[0] = linear[0] = per_kv_token[0] = 0.0
    return StepTime(
        decode_base_s=decode[np.newaxis],
        decode_kv_s=per_kv_token[np.newaxis],
        kv_edges=np.array([np.inf]),
        linear_s=linear,
        attention_s_per_pair=rank.pair_s,
    )


@dataclass(frozen=True)
class _Rank:
    """One tensor-parallel rank: its share of the work over the rates it attains."""

    gpu: Gpu
    model: Model
    tensor_parallel: int
    precision: Precision
    efficiency: Efficiency

    def linear_s(self, tokens: Floats, logit_rows: Floats) -> Floats:
        """Seconds of linear layers, all-reduces and overheads for `tokens` tokens and `logit_rows` logits."""
        memory = self.model.weight_bytes_read(tokens, self.precision) / self.tensor_parallel / self._bandwidth
        compute = tokens * self._token_s + logit_rows * self._logits_s
        power = self.efficiency.roofline_exponent
        longer, shorter = np.maximum(memory, compute), np.minimum(memory, compute)
        bound = longer * (1.0 + (shorter / longer) ** power) ** (1.0 / power)
        return np.asarray(bound + self._all_reduce_s(tokens) + self._overhead_s)

    @property
    def row_s(self) -> float:
        """Seconds a decode row adds whatever its context."""
        moved = self.model.row_bytes_on_gpu(self.precision, self.tensor_parallel) / self._kv_bandwidth
        return moved + self.efficiency.row_overhead_us * 1e-6

    @property
    def kv_token_s(self) -> float:
        """Seconds a resident KV token adds to a decode step."""
        read = self.model.kv_bytes_read_on_gpu(self.precision, self.tensor_parallel) / self._kv_bandwidth
        return max(read, self.model.decode_flops_per_kv_token / self._attention_flops)

    @property
    def pair_s(self) -> float:
        """Seconds a pair of prompt token and token it attends to adds to a step."""
        return self.model.attention_flops_per_pair / self._attention_flops

    @property
    def window_s(self) -> float:
        """Seconds a prompt token adds in the layers with a short window."""
        return self.model.window_flops_per_token / self._attention_flops

    @property
    def _overhead_s(self) -> float:
        layers = self.model.layers * self.efficiency.layer_overhead_us
        routed = self.model.expert_layers * self.efficiency.expert_layer_overhead_us
        return self.efficiency.step_overhead_ms * 1e-3 + (layers + routed) * 1e-6

    def _all_reduce_s(self, tokens: Floats) -> Floats:
        if self.tensor_parallel == 1:
            return np.zeros_like(tokens)
        ring = 2.0 * (self.tensor_parallel - 1) / self.tensor_parallel
        sent = ring * tokens * self.model.hidden * _ACTIVATION_BYTES
        link = self.gpu.link_gb_s_one_way * 1e9 * self.efficiency.link
        once = sent / link + self.efficiency.all_reduce_latency_us * 1e-6
        return np.asarray(_ALL_REDUCES_PER_LAYER * self.model.layers * once)

    @property
    def _token_s(self) -> float:
        rate = self.gpu.linear_tflops(self.precision.weights) * 1e12 * self.efficiency.compute
        return self.model.linear_flops_per_token / self.tensor_parallel / rate

    @property
    def _logits_s(self) -> float:
        rate = self.gpu.bf16_dense_tflops * 1e12 * self.efficiency.compute
        return self.model.head_flops_per_row / self.tensor_parallel / rate

    @property
    def _bandwidth(self) -> float:
        return self.gpu.bandwidth_gb_s * 1e9 * self.efficiency.memory

    @property
    def _kv_bandwidth(self) -> float:
        return self.gpu.bandwidth_gb_s * 1e9 * self.efficiency.kv_memory

    @property
    def _attention_flops(self) -> float:
        """Attention operations a second of all ranks together."""
        return self.gpu.bf16_dense_tflops * 1e12 * self.efficiency.attention_compute * self.tensor_parallel
