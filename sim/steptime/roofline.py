"""Step times from ideal seconds and the efficiency an engine attains: the roofline, softened.

For `t` tokens in a step the linear layers take

    memory  = (dense weights + expected distinct experts(t)) read / memory efficiency
    compute = (matrix products of t tokens + head for the rows of logits) / compute efficiency
    linear  = (memory^p + compute^p)^(1/p) + all-reduces + overhead of step and layers

with two ring all-reduces a layer over the link and a latency for each. A decode row adds its short windows and
recurrent state, and the engine's work for it; a resident KV token adds its bytes (or, for latent attention, its
operations if those take longer); a prompt token adds the operations of each pair with a token it attends to.
Prompt tokens reach another share of the compute rate than decode rows do: their matrices are larger. Routed experts
reach a share of their own: each meets but a few of the tokens.

Every function takes numbers or arrays that broadcast, so the same formulas compile a table of one setup and
predict all measurements of a fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.hardware.gpu import Efficiency, Gpu
from sim.hardware.model import Model, distinct_experts
from sim.hardware.precision import Precision
from sim.steptime.ideal import Ideal, Layout, ideal_of
from sim.steptime.table import StepTime

__all__ = ["compiled", "decode_base_s", "front_end_s", "kv_token_s", "pair_s", "prompt_linear_s", "roofline"]

Floats = NDArray[np.float64]


def roofline(
    gpu: Gpu,
    model: Model,
    layout: Layout,
    precision: Precision,
    max_num_seqs: int,
    max_num_batched_tokens: int,
    efficiency: Efficiency,
) -> StepTime:
    """Step times of a rank for up to `max_num_seqs` rows and `max_num_batched_tokens` tokens a step.

    A prefill computes one row of logits, a decode step one for each row. Pipelines inside a server are not
    modelled. Ranks of one server (data parallel) are taken to be equally busy.
    """
    return compiled(ideal_of(gpu, model, layout, precision), efficiency, max_num_seqs, max_num_batched_tokens)


def compiled(ideal: Ideal, efficiency: Efficiency, max_num_seqs: int, max_num_batched_tokens: int) -> StepTime:
    """The tables the engine runs on, from the ideal seconds of one setup."""
    rows = np.arange(max_num_seqs + 1, dtype=np.float64)
    tokens = np.arange(max_num_batched_tokens + 1, dtype=np.float64)
    decode = np.asarray(decode_base_s(ideal, efficiency, rows))
    linear = np.maximum.accumulate(np.asarray(prompt_linear_s(ideal, efficiency, tokens)))
    per_kv_token = np.full_like(rows, kv_token_s(ideal, efficiency))
    decode[0] = linear[0] = per_kv_token[0] = 0.0
    return StepTime(
        decode_base_s=decode[np.newaxis],
        decode_kv_s=per_kv_token[np.newaxis],
        kv_edges=np.array([np.inf]),
        linear_s=linear,
        attention_s_per_pair=float(pair_s(ideal, efficiency)),
        front_end_s=float(front_end_s(ideal, efficiency)),
        front_end_steps=efficiency.front_end_steps,
    )


def decode_base_s(ideal: Ideal, efficiency: Efficiency, rows: Any) -> Any:
    """Seconds of a decode step of `rows` rows, without their resident KV tokens."""
    moved = ideal.row_read_s / efficiency.kv_memory + efficiency.row_overhead_us * 1e-6
    return _linear_s(ideal, efficiency, rows, rows, efficiency.compute) + rows * moved


def prompt_linear_s(ideal: Ideal, efficiency: Efficiency, tokens: Any) -> Any:
    """Seconds of the linear layers for `tokens` tokens of a prompt, with its short windows."""
    windows = tokens * ideal.window_compute_s / efficiency.attention_compute
    return _linear_s(ideal, efficiency, tokens, np.minimum(tokens, 1.0), efficiency.prefill_compute) + windows


def kv_token_s(ideal: Ideal, efficiency: Efficiency) -> Any:
    """Seconds a resident KV token adds to a decode step."""
    read, compute = ideal.kv_read_s / efficiency.kv_memory, ideal.kv_compute_s / efficiency.attention_compute
    return np.maximum(read, compute)


def pair_s(ideal: Ideal, efficiency: Efficiency) -> Any:
    """Seconds a pair of prompt token and token it attends to adds to a step."""
    return ideal.pair_compute_s / efficiency.attention_compute


def front_end_s(ideal: Ideal, efficiency: Efficiency) -> Any:
    """Seconds a request is seen later than the GPU is done with it, but for its share of decode steps."""
    return efficiency.front_end_ms * 1e-3 + ideal.layers * efficiency.front_end_layer_us * 1e-6


def _linear_s(ideal: Ideal, efficiency: Efficiency, tokens: Any, logit_rows: Any, compute_share: Any) -> Any:
    visited = distinct_experts(ideal.experts, ideal.experts_per_token, tokens * ideal.data_parallel)
    memory = (ideal.dense_read_s + ideal.expert_read_s * visited) / efficiency.memory
    dense = (tokens * ideal.token_compute_s + logit_rows * ideal.logits_compute_s) / compute_share
    compute = dense + tokens * ideal.expert_compute_s / efficiency.expert_compute
    return _soft_maximum(memory, compute, efficiency.roofline_exponent) + _fixed_s(ideal, efficiency, tokens)


def _soft_maximum(first: Any, second: Any, power: Any) -> Any:
    longer, shorter = np.maximum(first, second), np.minimum(first, second)
    return longer * (1.0 + (shorter / longer) ** power) ** (1.0 / power)


def _fixed_s(ideal: Ideal, efficiency: Efficiency, tokens: Any) -> Any:
    latency = ideal.all_reduces * efficiency.all_reduce_latency_us * 1e-6
    layers = ideal.layers * efficiency.layer_overhead_us + ideal.expert_layers * efficiency.expert_layer_overhead_us
    sent = tokens * ideal.token_send_s / efficiency.link
    return latency + sent + layers * 1e-6 + efficiency.step_overhead_ms * 1e-3
