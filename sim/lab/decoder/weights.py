"""Weights of a Llama-shaped decoder in a folder: `config.json` and `weights.npz`, read and written with numpy alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError

__all__ = ["DecoderConfig", "read_weights", "weight_shapes", "write_weights"]

CONFIG_FILE, WEIGHTS_FILE = "config.json", "weights.npz"


@dataclass(frozen=True)
class DecoderConfig:
    """The shape of a decoder: RMSNorm before each part, rotary positions, gated MLP, no bias anywhere.

    Rotary positions turn half-split pairs: dimension i goes with i + head_size / 2.
    """

    vocab_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    mlp_width: int
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5
    tied: bool = True
    """The head is the embedding."""
    max_positions: int = 512

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(int(np.prod(shape)) for shape in weight_shapes(self).values())


def weight_shapes(config: DecoderConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array, [out, in] for matrices.

    >>> weight_shapes(DecoderConfig(10, 8, 1, 2, 1, 4, 16))["layers.0.wk"]
    (4, 8)
    """
    width, queries, pairs = config.width, config.heads * config.head_size, config.kv_heads * config.head_size
    shapes: dict[str, tuple[int, ...]] = {"embed": (config.vocab_size, width)}
    for layer in range(config.layers):
        parts: dict[str, tuple[int, ...]] = {
            "attn_norm": (width,),
            "wq": (queries, width),
            "wk": (pairs, width),
            "wv": (pairs, width),
            "wo": (width, queries),
            "mlp_norm": (width,),
            "w_gate": (config.mlp_width, width),
            "w_up": (config.mlp_width, width),
            "w_down": (width, config.mlp_width),
        }
        shapes |= {f"layers.{layer}.{part}": shape for part, shape in parts.items()}
    shapes["final_norm"] = (width,)
    return shapes if config.tied else shapes | {"head": (config.vocab_size, width)}


def write_weights(folder: Path, config: DecoderConfig, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes `config.json` and `weights.npz` into `folder`, which is made where it is missing.

    The arrays keep their type (float16 or float32). Raises InputError where a name or shape is not the configuration's.
    """
    _check(config, arrays, str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(json.dumps(asdict(config), indent=2) + "\n", encoding="utf-8")
    np.savez_compressed(folder / WEIGHTS_FILE, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})


def read_weights(folder: Path) -> tuple[DecoderConfig, dict[str, NDArray[np.float32]]]:
    """The configuration and the float32 arrays that `write_weights` put into `folder`.

    Raises InputError where a file is missing or unreadable, or an array is not the configuration's.
    """
    where = str(folder)
    try:
        known = {field.name for field in fields(DecoderConfig)}
        given = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        config = DecoderConfig(**{key: value for key, value in given.items() if key in known})
        with np.load(folder / WEIGHTS_FILE, allow_pickle=False) as stored:
            arrays = {name: stored[name].astype(np.float32) for name in stored.files}
    except (OSError, ValueError, TypeError, AttributeError, BadZipFile) as error:
        raise InputError(
            where, f"holds no readable decoder ({error})", f"give a folder with {CONFIG_FILE} and {WEIGHTS_FILE}"
        ) from error
    _check(config, arrays, where)
    return config, arrays


def _check(config: DecoderConfig, arrays: Mapping[str, NDArray[Any]], where: str) -> None:
    shapes = weight_shapes(config)
    wrong = sorted(set(shapes) ^ set(arrays)) or [name for name in shapes if arrays[name].shape != shapes[name]]
    if wrong:
        rule = "is missing, unknown or of another shape than the configuration's"
        raise InputError(wrong[0], rule, "keep the configuration and its weights together", where=where)
