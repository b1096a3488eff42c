"""A model's published shape, and the parameters it implies.

Counts follow the tensors of a decoder of today: gated feed-forward layers (three matrices), grouped-query or
latent attention, routed and shared experts, input and output embeddings. They agree with the declared totals
within 1 %.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any, Self

from sim.errors import CatalogueError, did_you_mean

__all__ = ["Shape"]

_BIASES = ("none", "qkv", "all")


@dataclass(frozen=True)
class Shape:
    """A model's shape, as in its published configuration; field names are the columns of `data/models.csv`.

    `attention` is GQA (which holds multi-head and multi-query attention) or MLA (latent attention, where
    `head_dim` is unused). `linear_layers` of the layers keep a recurrent state in place of a KV cache (gated
    delta nets), and `sliding_layers` of them see only `sliding_window` tokens back. `biases` are on no
    projection, on queries, keys and values (qkv), or on attention and experts (all). Declared parameters are
    the maker's, in billions; 0 is unknown.

    Raises:
        CatalogueError: for a shape that contradicts itself.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    vocab: int
    head_dim: int = 0
    ffn_intermediate: int = 0
    experts: int = 0
    experts_per_token: int = 0
    shared_experts: int = 0
    moe_intermediate: int = 0
    first_dense_layers: int = 0
    attention: str = "GQA"
    tied_embeddings: bool = False
    biases: str = "none"
    q_lora_rank: int = 0
    kv_lora_rank: int = 0
    qk_nope_head_dim: int = 0
    qk_rope_head_dim: int = 0
    v_head_dim: int = 0
    sliding_window: int = 0
    sliding_layers: int = 0
    linear_layers: int = 0
    linear_key_heads: int = 0
    linear_value_heads: int = 0
    linear_head_dim: int = 0
    attention_gate: bool = False
    max_position: int = 0
    params_b_declared: float = 0.0
    active_params_b_declared: float = 0.0

    def __post_init__(self) -> None:
        broken = next((rule for rule, holds in _rules(self).items() if not holds), None)
        if broken:
            raise CatalogueError(self.name, broken, "take the figures from the model's config.json")

    @classmethod
    def from_fields(cls, name: str, **values: Any) -> Self:
        """The model with these columns of `data/models.csv`; None or an absent column means its default.

        Raises:
            CatalogueError: for an unknown or missing column, or a shape that contradicts itself.
        """
        columns = {field.name: field.default for field in fields(cls) if field.name != "name"}
        unknown = next((key for key in values if key not in columns), None)
        if unknown:
            raise CatalogueError(unknown, f"is not a property of a model ({name})", did_you_mean(unknown, columns))
        given = {key: value for key, value in values.items() if value is not None}
        missing = [key for key, default in columns.items() if default is MISSING and key not in given]
        if missing:
            raise CatalogueError(name, f"lacks {', '.join(missing)}", "take them from the model's config.json")
        return cls(name=name, **given)

    @property
    def parameter_count(self) -> int:
        """All parameters, embeddings included."""
        routed = self.expert_layers * self.experts * self.expert_parameters
        return self.outer_parameters + self.dense_parameters + routed

    @property
    def active_parameter_count(self) -> int:
        """Parameters a token meets: everything dense, its experts, the shared ones, and both embeddings."""
        return self.outer_parameters + self.met_parameters

    @property
    def met_parameters(self) -> int:
        """Parameters a token meets between the embeddings: the active ones without embedding and head."""
        return self.dense_parameters + self.expert_layers * self.experts_per_token * self.expert_parameters

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the input embedding; the output head has as many."""
        return self.vocab * self.hidden

    @property
    def outer_parameters(self) -> int:
        """Parameters of input embedding and output head, which may be one matrix."""
        return self.embedding_parameters * (1 if self.tied_embeddings else 2)

    @property
    def dense_parameters(self) -> int:
        """Parameters every token meets between the embeddings: attention, dense layers, shared experts."""
        mixers = self.attention_layers * self._attention_parameters + self.linear_layers * self._delta_net_parameters
        feed_forward = (self.layers - self.expert_layers) * 3 * self.hidden * self.ffn_intermediate
        shared = self.expert_layers * self.shared_experts * self.expert_parameters
        return mixers + feed_forward + shared + self.small_parameters

    @property
    def small_parameters(self) -> int:
        """Parameters of norms and of the experts' routers, which checkpoints leave in 16 bits."""
        norms = (2 * self.layers + 1) * self.hidden
        return norms + self.expert_layers * self.experts * self.hidden

    @property
    def expert_parameters(self) -> int:
        """Parameters of one expert of one layer."""
        bias = 2 * self.moe_intermediate + self.hidden if self.biases == "all" else 0
        return 3 * self.hidden * self.moe_intermediate + bias

    @property
    def expert_layers(self) -> int:
        """Layers whose feed-forward part is routed to experts."""
        return self.layers - self.first_dense_layers if self.experts else 0

    @property
    def attention_layers(self) -> int:
        """Layers that keep keys and values (or a latent of them)."""
        return self.layers - self.linear_layers

    @property
    def _attention_parameters(self) -> int:
        if self.attention == "MLA":
            return self._latent_attention_parameters
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        projected = queries * (2 if self.attention_gate else 1) + 2 * keys
        bias = {"none": 0, "qkv": projected, "all": projected + self.hidden}[self.biases]
        return self.hidden * (projected + queries) + bias

    @property
    def _latent_attention_parameters(self) -> int:
        query_width = self.heads * (self.qk_nope_head_dim + self.qk_rope_head_dim)
        low_rank = (self.hidden + query_width) * self.q_lora_rank
        queries = low_rank if self.q_lora_rank else self.hidden * query_width
        down = self.hidden * (self.kv_lora_rank + self.qk_rope_head_dim)
        up = self.kv_lora_rank * self.heads * (self.qk_nope_head_dim + self.v_head_dim)
        return queries + down + up + self.heads * self.v_head_dim * self.hidden

    @property
    def _delta_net_parameters(self) -> int:
        keys = self.linear_key_heads * self.linear_head_dim
        values = self.linear_value_heads * self.linear_head_dim
        into = self.hidden * (2 * keys + 2 * values + 2 * self.linear_value_heads)
        convolution = 4 * (2 * keys + values)
        return into + convolution + values * self.hidden


def _rules(shape: Shape) -> dict[str, bool]:
    """What a shape must obey, and whether it does."""
    latent = shape.kv_lora_rank and shape.qk_nope_head_dim and shape.qk_rope_head_dim and shape.v_head_dim
    routed = shape.moe_intermediate > 0 and 0 < shape.experts_per_token <= shape.experts
    all_routed = shape.experts > 0 and not shape.first_dense_layers
    special = max(shape.first_dense_layers, shape.sliding_layers + shape.linear_layers)
    grouped = shape.kv_heads < 1 or shape.heads % shape.kv_heads == 0
    return {
        "must have layers, hidden, heads, kv_heads and vocab above zero": min(_sizes(shape)) > 0,
        "must have an attention of GQA or MLA": shape.attention in ("GQA", "MLA"),
        f"must have biases of {', '.join(_BIASES)}": shape.biases in _BIASES,
        "must have a head_dim": shape.attention == "MLA" or shape.head_dim > 0,
        "must have kv_lora_rank and the MLA head dimensions": shape.attention != "MLA" or bool(latent),
        "must have heads divisible by kv_heads": grouped,
        "must have experts_per_token and moe_intermediate for its experts": not shape.experts or routed,
        "must have an ffn_intermediate for its dense layers": all_routed or shape.ffn_intermediate > 0,
        "must not have more special layers than layers": special <= shape.layers,
        "must have a layer that keeps keys and values": shape.linear_layers < shape.layers or shape.layers < 1,
    }


def _sizes(shape: Shape) -> tuple[int, ...]:
    return shape.layers, shape.hidden, shape.heads, shape.kv_heads, shape.vocab
