"""The decoder said plainly in numpy, one sequence at a time and without a cache: what `sim.lab.decoder` must give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.lab.decoder.weights import DecoderConfig, weight_shapes

Array = NDArray[np.float64]


def logits(config: DecoderConfig, arrays: Mapping[str, NDArray[Any]], tokens: NDArray[np.int32]) -> Array:
    """Logits [q, vocab_size] after each token of one sequence."""
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    stream = wide["embed"][tokens]
    for layer in range(config.layers):
        own = {name.split(".", 2)[2]: array for name, array in wide.items() if name.startswith(f"layers.{layer}.")}
        stream = stream + _attention(config, own, _norm(config, stream, own["attn_norm"]))
        stream = stream + _mlp(own, _norm(config, stream, own["mlp_norm"]))
    return _norm(config, stream, wide["final_norm"]) @ wide["embed" if config.tied else "head"].T


def random_weights(config: DecoderConfig, seed: int) -> dict[str, NDArray[np.float32]]:
    """Weights that make logits of a few units, every one of which matters."""
    random = np.random.default_rng(seed)
    means = {name: float(len(shape) == 1) for name, shape in weight_shapes(config).items()}
    return {
        name: random.normal(means[name], 0.15, shape).astype(np.float32)
        for name, shape in weight_shapes(config).items()
    }


def _norm(config: DecoderConfig, values: Array, scale: Array) -> Array:
    return values / np.sqrt((values**2).mean(-1, keepdims=True) + config.norm_eps) * scale


def _mlp(own: Mapping[str, Array], values: Array) -> Array:
    gate = values @ own["w_gate"].T
    return (gate / (1 + np.exp(-gate)) * (values @ own["w_up"].T)) @ own["w_down"].T


def _attention(config: DecoderConfig, own: Mapping[str, Array], values: Array) -> Array:
    queries = _rotated(config, _heads(config, values @ own["wq"].T))
    keys, held = _rotated(config, _heads(config, values @ own["wk"].T)), _heads(config, values @ own["wv"].T)
    sharing = config.heads // config.kv_heads
    mixed = [_attend(query, keys[h // sharing], held[h // sharing]) for h, query in enumerate(queries)]
    return np.concatenate(mixed, axis=-1) @ own["wo"].T


def _heads(config: DecoderConfig, values: Array) -> Array:
    """[heads, q, head_size] of [q, heads * head_size]."""
    return values.reshape(len(values), -1, config.head_size).swapaxes(0, 1)


def _rotated(config: DecoderConfig, heads: Array) -> Array:
    half = config.head_size // 2
    angles = np.outer(np.arange(heads.shape[1]), config.rope_theta ** -(np.arange(half) / half))
    left, right = heads[..., :half], heads[..., half:]
    turned = [left * np.cos(angles) - right * np.sin(angles), right * np.cos(angles) + left * np.sin(angles)]
    return np.concatenate(turned, axis=-1)


def _attend(queries: Array, keys: Array, values: Array) -> Array:
    scores = queries @ keys.T / np.sqrt(queries.shape[1])
    scores[np.triu_indices(len(queries), 1)] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ values
