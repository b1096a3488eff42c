"""Batched sampling from the lab's model in torch, and the log-probability that it gives to tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sim.lab.language import PAD, STOP_TOKENS
from sim.lab.training.model import Cache, Decoder, causal_mask

__all__ = ["generate", "log_probabilities"]

_ROWS_AT_ONCE = 384


@torch.no_grad()
def generate(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    temperature: float = 0.0,
    samples: int = 1,
    seed: int = 0,
) -> list[list[list[int]]]:
    """What the model writes after each prompt, `samples` times, a stop token included where it came in time.

    Temperature 0 takes the likeliest token. Prompts of like length are done together, so the numbers drawn depend on
    all of the prompts; the same call gives the same texts.
    """
    random = torch.Generator().manual_seed(seed)
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    size = max(1, _ROWS_AT_ONCE // samples)
    written: list[list[list[int]]] = [[] for _ in prompts]
    for start in range(0, len(order), size):
        places = order[start : start + size]
        rows = _continued(model, [prompts[place] for place in places], max_tokens, temperature, samples, random)
        for number, place in enumerate(places):
            written[place] = rows[number * samples : (number + 1) * samples]
    return written


@torch.no_grad()
def log_probabilities(model: Decoder, prompts: Sequence[Sequence[int]], ends: Sequence[Sequence[int]]) -> list[float]:
    """Natural log-probability of each end after its prompt, summed over its tokens."""
    found = [0.0] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]) + len(ends[place]))
    for start in range(0, len(order), _ROWS_AT_ONCE):
        places = order[start : start + _ROWS_AT_ONCE]
        rows = [[*prompts[place], *ends[place]] for place in places]
        tokens, positions, mask = _left_padded(rows)
        logs = model(tokens, positions, mask).log_softmax(-1)
        told = logs[:, :-1].gather(2, tokens[:, 1:, None])[..., 0]
        for row, place in enumerate(places):
            found[place] = float(told[row, told.shape[1] - len(ends[place]) :].sum())
    return found


def _continued(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    temperature: float,
    samples: int,
    random: torch.Generator,
) -> list[list[int]]:
    tokens, positions, mask = _left_padded(prompts)
    rows, width = tokens.shape
    cache = Cache(model.config, rows, width + max_tokens)
    logits = model(tokens, positions, mask, cache)[:, -1]
    alive = torch.arange(rows).repeat_interleave(samples)
    logits, real, position = logits[alive], mask[alive, -1], positions[alive, -1]
    cache = cache.picked(alive) if samples > 1 else cache
    alive = torch.arange(rows * samples)
    written: list[list[int]] = [[] for _ in range(rows * samples)]
    for step in range(max_tokens):
        chosen = _chosen(logits, temperature, random)
        for row, token in zip(alive.tolist(), chosen.tolist(), strict=True):
            written[row].append(token)
        going = torch.tensor([token not in STOP_TOKENS for token in chosen.tolist()])
        if step + 1 == max_tokens or not going.any():
            break
        if going.sum() < 0.7 * len(going):
            keep = going.nonzero()[:, 0]
            alive, chosen, real, position = alive[keep], chosen[keep], real[keep], position[keep]
            cache, going = cache.picked(keep), going[keep]
        real = torch.cat([real, torch.ones(len(real), 1, dtype=torch.bool)], 1)
        position = position + 1
        logits = model(chosen[:, None], position[:, None], real[:, None], cache)[:, -1]
    return [_until_stop(row) for row in written]


def _chosen(logits: Tensor, temperature: float, random: torch.Generator) -> Tensor:
    if temperature == 0.0:
        return logits.argmax(-1)
    return torch.multinomial((logits / temperature).softmax(-1), 1, generator=random)[:, 0]


def _until_stop(tokens: list[int]) -> list[int]:
    """A row that has ended runs on until its batch is thinned out; what it says then is not its own."""
    end = next((place for place, token in enumerate(tokens) if token in STOP_TOKENS), len(tokens))
    return tokens[: end + 1]


def _left_padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, positions and mask of rows that end at the right edge."""
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    tokens = torch.tensor([[PAD] * (width - len(row)) + list(row) for row in rows])
    positions = (torch.arange(width)[None] - (width - lengths[:, None])).clamp(min=0)
    return tokens, positions, causal_mask(lengths, width)
