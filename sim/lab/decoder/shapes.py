"""Random weights in the shape of a public model, to time steps without downloading it.

What a step takes depends on the shapes of its products and not on their values, so random weights time as the real
ones do. All layers hold the same numbers, each in memory of its own once loaded: a layer's worth is made and written,
a few seconds and 1.5 GB of disk for an 8B model in 16 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.hardware import Model, load_catalogue
from sim.lab.decoder.weights import DecoderConfig, weight_shapes
from sim.streams import RandomStreams

__all__ = ["random_weights", "shape_of"]

_BLOCK = 1_000_003
"""Numbers drawn; larger arrays repeat them. A prime, so that no two rows of a matrix are the same."""

_SPREAD = 0.02
_LONGEST = 1 << 17


def shape_of(name: str, layers: int | None = None) -> DecoderConfig:
    """The shape of a model of the catalogue, with only its first `layers` layers where given.

    Biases of queries, keys and values are left out: they take no time that could be measured.

    Raises:
        CatalogueError: for an unknown model.
        InputError: for one that is not a plain dense decoder, and for more layers than it has.
    """
    model = load_catalogue().model(name)
    obstacle = next((rule for rule, holds in _obstacles(model).items() if holds), None)
    if obstacle:
        raise InputError(model.name, obstacle, "take a dense model with plain attention, such as Llama-3.1-8B")
    if layers is not None and not 0 < layers <= model.layers:
        raise InputError(layers, f"is not a number of layers of {model.name}", f"give 1 to {model.layers}")
    return DecoderConfig(
        vocab_size=model.vocab,
        width=model.hidden,
        layers=layers or model.layers,
        heads=model.heads,
        kv_heads=model.kv_heads,
        head_size=model.head_dim,
        mlp_width=model.ffn_intermediate,
        rope_theta=500_000.0,
        tied=model.tied_embeddings,
        max_positions=min(model.max_position or _LONGEST, _LONGEST),
    )


def random_weights(config: DecoderConfig, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Arrays by name as `Decoder.open` takes them, in float16; same-shaped parts of all layers are the same array."""
    block = RandomStreams(seed, 0).generator("lab/weights").standard_normal(_BLOCK, np.float32)
    numbers = (block * _SPREAD).astype(np.float16)
    made: dict[tuple[str, tuple[int, ...]], NDArray[Any]] = {}
    arrays: dict[str, NDArray[Any]] = {}
    for name, shape in weight_shapes(config).items():
        key = name.rsplit(".", 1)[-1].replace("head", "embed"), shape
        if key not in made:
            made[key] = np.ones(shape, np.float16) if len(shape) == 1 else np.resize(numbers, shape)
        arrays[name] = made[key]
    return arrays


def _obstacles(model: Model) -> dict[str, bool]:
    """Why a model's shape cannot be built, and whether that is so."""
    return {
        "routes tokens to experts, which the lab's decoder has not": bool(model.experts),
        "has latent attention, which the lab's decoder has not": model.attention != "GQA",
        "has layers without attention, which the lab's decoder has not": bool(model.linear_layers),
        "has sliding windows, which the lab's decoder has not": bool(model.sliding_layers),
    }
