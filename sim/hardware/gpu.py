"""What a GPU can do on paper, and what share of it an engine attains."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Efficiency", "Gpu"]


@dataclass(frozen=True)
class Gpu:
    """A GPU's published figures: dense rates (not the sparse ones), one-way link bandwidth.

    `memory_mib` is what the driver reports, `memory_gb` the size it is sold as. A rate of 0 means that the
    GPU has no such tensor cores; weights in that format are then unpacked and multiplied at the bf16 rate.
    """

    name: str
    vendor: str
    architecture: str
    memory_gb: float
    memory_mib: float
    bandwidth_gb_s: float
    bf16_dense_tflops: float
    tdp_w: float
    link: str
    link_gb_s_one_way: float
    fp8_dense_tflops: float = 0.0
    fp4_dense_tflops: float = 0.0

    def linear_tflops(self, weights: str) -> float:
        """Dense rate of the linear layers for weights of a format; int8 and int4 are unpacked to 16 bits."""
        rates = {"fp8": self.fp8_dense_tflops, "fp4": self.fp4_dense_tflops}
        return rates.get(weights, 0.0) or self.bf16_dense_tflops


@dataclass(frozen=True)
class Efficiency:
    """Shares of a GPU's published rates that an engine attains, and the time it adds, with their standing.

    A step's linear layers take `(memory^p + compute^p)^(1/p)` with `p = roofline_exponent`: the sharp
    roofline is its limit for large p. Prompt tokens attain `prefill_compute` of the compute rate, decode rows
    `compute`, and both `expert_compute` with routed experts, whose matrices are small. A request is seen
    `front_end_ms`, `front_end_layer_us` for each layer (a first step is launched kernel by kernel) and
    `front_end_steps` of its own decode steps later than the GPU is done with it. `status` is measured,
    calibrated or assumed.
    """

    compute: float
    memory: float
    kv_memory: float
    attention_compute: float
    link: float
    all_reduce_latency_us: float
    step_overhead_ms: float
    layer_overhead_us: float
    expert_layer_overhead_us: float
    row_overhead_us: float
    roofline_exponent: float
    prefill_compute: float
    expert_compute: float
    front_end_ms: float
    front_end_steps: float
    front_end_layer_us: float
    status: str
    source: str
