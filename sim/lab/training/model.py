"""The lab's decoder in torch: for training, and as the reference that other ways to run its weights are held to."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sim.lab.decoder.weights import DecoderConfig, read_weights, write_weights

__all__ = ["Cache", "Decoder", "causal_mask", "load_decoder", "rotate", "save_weights", "tree_mask"]


class Cache:
    """Keys and values of the tokens seen so far, in room set aside for `length` tokens a row."""

    def __init__(self, config: DecoderConfig, rows: int, length: int) -> None:
        self.config, self.length, self.seen = config, length, 0
        shape = (rows, config.kv_heads, length, config.head_size)
        self.keys = [torch.zeros(shape) for _ in range(config.layers)]
        self.values = [torch.zeros(shape) for _ in range(config.layers)]

    def grown(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Adds a layer's new keys and values [rows, kv_heads, new, head_size]; gives back all of that layer's."""
        until = self.seen + key.shape[2]
        self.keys[layer][:, :, self.seen : until] = key
        self.values[layer][:, :, self.seen : until] = value
        if layer == self.config.layers - 1:
            self.seen = until
        return self.keys[layer][:, :, :until], self.values[layer][:, :, :until]

    def picked(self, rows: Tensor) -> Cache:
        """The cache of some rows, each as often as it is named."""
        new = Cache(self.config, 0, self.length)
        new.seen, new.keys, new.values = self.seen, [k[rows] for k in self.keys], [v[rows] for v in self.values]
        return new


class Decoder(nn.Module):
    """A Llama-shaped decoder: see DecoderConfig; the names of its parameters are those of `weight_shapes`."""

    def __init__(self, config: DecoderConfig) -> None:
        """Random weights from torch's generator; the matrices that end a block begin at zero."""
        super().__init__()
        self.config = config
        self.embed = nn.Parameter(torch.randn(config.vocab_size, config.width) * 0.02)
        self.layers = nn.ModuleList(_Layer(config, place) for place in range(config.layers))
        self.final_norm = nn.Parameter(torch.ones(config.width))
        self.head = None if config.tied else nn.Parameter(torch.randn(config.vocab_size, config.width) * 0.02)

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor, cache: Cache | None = None) -> Tensor:
        """Logits [rows, new, vocabulary] of tokens and positions [rows, new], both whole numbers.

        `mask` [rows, new, seen] is true where a new token sees another; with a cache, the tokens in it come first
        among the seen ones, and the new ones are added to it.
        """
        hidden = F.embedding(tokens, self.embed)
        angles = self._angles(positions)
        for layer in self.layers:
            hidden = layer(hidden, angles, mask[:, None], cache)
        hidden = F.rms_norm(hidden, (self.config.width,), self.final_norm, self.config.norm_eps)
        return F.linear(hidden, self.embed if self.head is None else self.head)

    def _angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        half = self.config.head_size // 2
        rates = self.config.rope_theta ** (-torch.arange(half, device=positions.device) / half)
        angles = (positions[..., None] * rates)[:, None]
        return angles.cos(), angles.sin()


class _Layer(nn.Module):
    """Attention and gated MLP, each added to what comes in."""

    def __init__(self, config: DecoderConfig, place: int) -> None:
        super().__init__()
        self.config, self.place = config, place
        width, mlp_width = config.width, config.mlp_width
        self.attn_norm, self.mlp_norm = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        self.wq = _matrix(config.heads * config.head_size, width)
        self.wk, self.wv = (_matrix(config.kv_heads * config.head_size, width) for _ in range(2))
        self.wo = nn.Parameter(torch.zeros(width, config.heads * config.head_size))
        self.w_gate, self.w_up = _matrix(mlp_width, width), _matrix(mlp_width, width)
        self.w_down = nn.Parameter(torch.zeros(width, mlp_width))

    def forward(self, hidden: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor, cache: Cache | None) -> Tensor:
        config = self.config
        normed = F.rms_norm(hidden, (config.width,), self.attn_norm, config.norm_eps)
        query, key, value = (self._heads(F.linear(normed, weight)) for weight in (self.wq, self.wk, self.wv))
        query, key = rotate(query, *angles), rotate(key, *angles)
        if cache is not None:
            key, value = cache.grown(self.place, key, value)
        grouped = config.kv_heads != config.heads
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=grouped)
        hidden = hidden + F.linear(mixed.transpose(1, 2).flatten(2), self.wo)
        normed = F.rms_norm(hidden, (config.width,), self.mlp_norm, config.norm_eps)
        gated = F.silu(F.linear(normed, self.w_gate)) * F.linear(normed, self.w_up)
        return hidden + F.linear(gated, self.w_down)

    def _heads(self, flat: Tensor) -> Tensor:
        return flat.unflatten(2, (-1, self.config.head_size)).transpose(1, 2)


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on half-split pairs: `heads` [rows, heads, tokens, size], `cos` and `sin` half as wide."""
    first, second = heads.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1).to(heads.dtype)


def causal_mask(lengths: Tensor, width: int) -> Tensor:
    """Mask [rows, width, width] of rows that end at the right edge, with lengths [rows]: the left is padding.

    A padding token sees itself, so that no row of the mask is empty.
    """
    place = torch.arange(width)
    real = place[None] >= width - lengths[:, None]
    causal = place[:, None] >= place[None]
    return (causal[None] & real[:, None, :]) | torch.eye(width, dtype=torch.bool)


def tree_mask(nodes: Tensor) -> Tensor:
    """Mask [rows, tokens, tokens] of rows that hold trees of branches.

    `nodes` [rows, tokens, 3] names the node of each token, then its parent and its parent's parent, each the node's
    own number where there is none. A token sees the earlier tokens of those nodes.
    """
    own = nodes[:, None, :, 0]
    seen = (own == nodes[:, :, None, 0]) | (own == nodes[:, :, None, 1]) | (own == nodes[:, :, None, 2])
    return seen & torch.ones(nodes.shape[1], nodes.shape[1], dtype=torch.bool, device=nodes.device).tril()


def save_weights(folder: Path, model: Decoder) -> None:
    """Writes the weights of a model, rounded to float16, with their configuration (`write_weights`)."""
    arrays = {name: weight.detach().half().cpu().numpy() for name, weight in model.named_parameters()}
    write_weights(folder, model.config, arrays)


def load_decoder(folder: Path) -> Decoder:
    """The model whose weights lie in a folder. Raises InputError as `read_weights` does."""
    config, arrays = read_weights(folder)
    model = Decoder(config)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return model.eval()


def _matrix(rows: int, columns: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, columns) * columns**-0.5)
