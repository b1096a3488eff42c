"""A model described in the scenario itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sim.errors import CatalogueError
from sim.scenario.part import Part, refuse
from sim.scenario.quantities import Amount, Count, Whole

__all__ = ["InlineModel"]


class InlineModel(Part):
    """A model that the catalogue does not hold, by the figures of its published configuration."""

    name: str = Field(min_length=1)
    """Name by which pools refer to the model."""
    layers: Count
    """Transformer layers."""
    hidden: Count
    """Width of the residual stream."""
    heads: Count
    """Query heads."""
    kv_heads: Count
    """Key and value heads; fewer than `heads` for grouped queries."""
    vocab: Count
    """Tokens in the vocabulary."""
    head_dim: Whole = 0
    """Width of one head; unused with latent attention."""
    ffn_intermediate: Whole = 0
    """Inner width of a dense feed-forward layer."""
    experts: Whole = 0
    """Routed experts of a mixture-of-experts layer; 0 for a dense model."""
    experts_per_token: Whole = 0
    """Routed experts that each token visits."""
    shared_experts: Whole = 0
    """Experts that every token visits."""
    moe_intermediate: Whole = 0
    """Inner width of one expert."""
    first_dense_layers: Whole = 0
    """Leading layers that are dense in a mixture-of-experts model."""
    attention: Literal["GQA", "MLA"] = "GQA"
    """Grouped-query attention (multi-head and multi-query are cases of it), or latent attention."""
    tied_embeddings: bool = False
    """Whether input and output embeddings are one matrix."""
    biases: Literal["none", "qkv", "all"] = "none"
    """Projections with a bias: none, queries with keys and values, or all of attention and experts."""
    q_lora_rank: Whole = 0
    """Latent attention: rank of the queries."""
    kv_lora_rank: Whole = 0
    """Latent attention: rank of keys and values."""
    qk_nope_head_dim: Whole = 0
    """Latent attention: width of a head's part without position."""
    qk_rope_head_dim: Whole = 0
    """Latent attention: width of a head's part with position."""
    v_head_dim: Whole = 0
    """Latent attention: width of a head's values."""
    sliding_window: Whole = 0
    """Tokens that a layer with a sliding window looks back."""
    sliding_layers: Whole = 0
    """Layers with a sliding window."""
    linear_layers: Whole = 0
    """Layers with a recurrent state in place of a KV cache."""
    linear_key_heads: Whole = 0
    """Key heads of those layers."""
    linear_value_heads: Whole = 0
    """Value heads of those layers."""
    linear_head_dim: Whole = 0
    """Width of a head of those layers."""
    attention_gate: bool = False
    """Whether the output of attention is gated."""
    max_position: Whole = 0
    """Longest context the model is made for, tokens; 0 if not known."""
    params_b_declared: Amount = 0.0
    """Parameters the maker declares, billions; 0 if not known."""
    active_params_b_declared: Amount = 0.0
    """Active parameters the maker declares, billions; 0 if not known."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> InlineModel:
        from sim.hardware.shape import Shape

        try:
            Shape.from_fields(**self.model_dump())
        except CatalogueError as error:
            raise refuse(error.value, error.rule, error.remedy) from None
        return self
