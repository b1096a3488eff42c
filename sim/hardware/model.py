"""What serving a model moves and computes: bytes of weights and cache, operations per token.

Weights and operations are those of the whole model; a tensor-parallel rank holds an even share of them. Of
the KV cache a rank holds its share of the KV heads, which are replicated once ranks outnumber them; a latent
always is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.hardware.precision import Precision
from sim.hardware.shape import Shape

__all__ = ["SHORT_WINDOW_TOKENS", "Model", "distinct_experts"]

Floats = NDArray[np.float64]

SHORT_WINDOW_TOKENS = 1024
"""Longest sliding window whose layers cost a constant per row; with a longer one they attend in full."""

_UNQUANTISED_BYTES = 2.0
_STATE_BYTES = 4.0


@dataclass(frozen=True)
class Model(Shape):
    """A model with what serving it takes.

    Sliding windows: every attention layer counts in full in `kv_bytes_per_token` (an upper bound on memory
    for long contexts). In step times, layers with a window of at most `SHORT_WINDOW_TOKENS` cost a constant
    per row, the window taken as full; layers with a longer window count as full attention (an upper bound
    beyond the window).
    """

    def weight_bytes(self, precision: Precision) -> float:
        """Bytes of all weights; embedding, head, norms and routers stay in 16 bits, as in checkpoints."""
        kept = self.outer_parameters + self.small_parameters
        return kept * _UNQUANTISED_BYTES + (self.parameter_count - kept) * precision.weight_bytes

    def weight_bytes_read(self, tokens: Floats, precision: Precision) -> Floats:
        """Bytes of weights that a step over `tokens` tokens reads, on all ranks; shaped like `tokens`.

        Everything dense and the head once, and the expected distinct experts; the input embedding is not
        read.
        """
        return self.dense_bytes_read(precision) + self.expert_bytes(precision) * self.expected_experts(tokens)

    def dense_bytes_read(self, precision: Precision) -> float:
        """Bytes of the weights that every step reads: all but the input embedding and the routed experts."""
        kept = (self.embedding_parameters + self.small_parameters) * _UNQUANTISED_BYTES
        return kept + (self.dense_parameters - self.small_parameters) * precision.weight_bytes

    def expert_bytes(self, precision: Precision) -> float:
        """Bytes of one routed expert of every layer that has them."""
        return self.expert_layers * self.expert_parameters * precision.weight_bytes

    def expected_experts(self, tokens: Floats) -> Floats:
        """Expected distinct experts of one layer that `tokens` tokens visit, `E*(1 - (1 - k/E)^tokens)`.

        Holds where each token picks its k of E experts evenly and independently of the others.
        """
        return np.asarray(distinct_experts(self.experts, self.experts_per_token, tokens))

    @property
    def linear_flops_per_token(self) -> float:
        """Operations of all matrix products of one token, without attention scores and output head."""
        return 2.0 * self.met_parameters

    @property
    def expert_flops_per_token(self) -> float:
        """Those of them with the routed experts of the token."""
        return 2.0 * self.expert_layers * self.experts_per_token * self.expert_parameters

    @property
    def head_flops_per_row(self) -> float:
        """Operations of the output head for one row of logits."""
        return 2.0 * self.embedding_parameters

    @property
    def attention_flops_per_pair(self) -> float:
        """Operations per (query token, key token) pair of a prefill, in the layers that attend in full."""
        if self.attention == "MLA":
            per_head = self.qk_nope_head_dim + self.qk_rope_head_dim + self.v_head_dim
            return 2.0 * self._full_layers * self.heads * per_head
        return 4.0 * self._full_layers * self.heads * self.head_dim

    @property
    def decode_flops_per_kv_token(self) -> float:
        """Operations of a decoding row per resident KV token; latent attention works on the latent itself."""
        if self.attention == "MLA":
            return 2.0 * self._full_layers * self.heads * (2 * self.kv_lora_rank + self.qk_rope_head_dim)
        return self.attention_flops_per_pair

    @property
    def window_flops_per_token(self) -> float:
        """Operations of a prompt token in the layers with a short window, the window taken as full."""
        return 4.0 * self._windowed_layers * self.heads * self.head_dim * self.sliding_window

    def kv_bytes_per_token(self, precision: Precision) -> float:
        """Bytes a token keeps in one copy of the cache, every attention layer counted in full."""
        return self.attention_layers * self._kv_elements(self.kv_heads) * precision.kv_bytes

    def kv_bytes_per_token_on_gpu(self, precision: Precision, tensor_parallel: int) -> float:
        """Bytes a token keeps on each rank, every attention layer counted in full."""
        return self.attention_layers * self._kv_elements(self._kv_heads_on_gpu(tensor_parallel)) * precision.kv_bytes

    def kv_bytes_read_on_gpu(self, precision: Precision, tensor_parallel: int) -> float:
        """Bytes a decode step reads on each rank per resident token, in the layers that attend in full."""
        return self._full_layers * self._kv_elements(self._kv_heads_on_gpu(tensor_parallel)) * precision.kv_bytes

    def row_bytes_on_gpu(self, precision: Precision, tensor_parallel: int) -> float:
        """Bytes a row moves on each rank whatever its context: short windows, and its state twice."""
        window = self._kv_elements(self._kv_heads_on_gpu(tensor_parallel)) * self.sliding_window
        state = 2.0 * self.state_bytes_per_row / tensor_parallel
        return self._windowed_layers * window * precision.kv_bytes + state

    @property
    def state_bytes_per_row(self) -> float:
        """Bytes of recurrent state a sequence keeps, of all ranks together (32-bit, as engines hold it)."""
        return self.linear_layers * self.linear_value_heads * self.linear_head_dim**2 * _STATE_BYTES

    @property
    def _windowed_layers(self) -> int:
        return self.sliding_layers if self.sliding_window <= SHORT_WINDOW_TOKENS else 0

    @property
    def _full_layers(self) -> int:
        return self.attention_layers - self._windowed_layers

    def _kv_elements(self, kv_heads: int) -> int:
        if self.attention == "MLA":
            return self.kv_lora_rank + self.qk_rope_head_dim
        return 2 * kv_heads * self.head_dim

    def _kv_heads_on_gpu(self, tensor_parallel: int) -> int:
        return -(-self.kv_heads // tensor_parallel)


def distinct_experts(experts: Any, experts_per_token: Any, tokens: Any) -> Any:
    """Expected distinct experts of a layer that tokens visit, `E*(1 - (1 - k/E)^tokens)`; 0 of none. Broadcasts."""
    return experts * (1.0 - (1.0 - experts_per_token / np.maximum(experts, 1)) ** tokens)
