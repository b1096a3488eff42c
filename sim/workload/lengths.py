"""Prompt and output lengths: whole tokens, one at least."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sim.scenario import ConstantLengths, Lengths, LognormalLengths, QuantileLengths
from sim.streams import RandomStreams
from sim.workload.blocks import BLOCK_ROWS, Floats, Integers

__all__ = ["LONGEST_TOKENS", "LengthSampler", "lognormal_tokens", "mean_tokens", "whole_tokens"]

LONGEST_TOKENS = 2**31 - 1
"""Longest prompt or output; draws beyond it are cut to it."""

_Draw = Callable[[int], Integers]


class LengthSampler:
    """Draws the lengths of a stream's requests in order; n and then m are the same as n + m at once."""

    def __init__(self, lengths: Lengths, streams: RandomStreams, stream_name: str) -> None:
        """Prompts and outputs have random streams of their own, `NAME/prompts` and `NAME/outputs`."""
        prompts, outputs = (streams.generator(f"{stream_name}/{part}") for part in ("prompts", "outputs"))
        self._prompts, self._outputs = _draws(lengths, prompts, outputs)

    def draw(self, rows: int) -> tuple[Integers, Integers]:
        """Prompt tokens [rows] and output tokens [rows] of the next requests."""
        return self._prompts(rows), self._outputs(rows)


def mean_tokens(lengths: Lengths) -> tuple[float, float]:
    """Mean prompt and output tokens of the law, rounding to whole tokens aside; caps are counted.

    For a lognormal law that is median * exp(sigma^2 / 2) where nothing is cut, else its limited expected
    value.

    >>> mean_tokens(QuantileLengths(prompt_tokens=[100, 200, 600], output_tokens=[10, 20]))
    (275.0, 15.0)
    """
    if isinstance(lengths, ConstantLengths):
        return float(lengths.prompt_tokens), float(lengths.output_tokens)
    if isinstance(lengths, QuantileLengths):
        return _mean_of_quantiles(lengths.prompt_tokens), _mean_of_quantiles(lengths.output_tokens)
    return (
        _mean_of_lognormal(lengths.prompt_median, lengths.prompt_sigma, lengths.prompt_max),
        _mean_of_lognormal(lengths.output_median, lengths.output_sigma, lengths.output_max),
    )


def _draws(lengths: Lengths, prompts: np.random.Generator, outputs: np.random.Generator) -> tuple[_Draw, _Draw]:
    if isinstance(lengths, ConstantLengths):
        return _constant(lengths.prompt_tokens), _constant(lengths.output_tokens)
    if isinstance(lengths, QuantileLengths):
        return _quantiles(lengths.prompt_tokens, prompts), _quantiles(lengths.output_tokens, outputs)
    return _lognormals(lengths, prompts, outputs)


def _lognormals(
    lengths: LognormalLengths, prompts: np.random.Generator, outputs: np.random.Generator
) -> tuple[_Draw, _Draw]:
    return (
        lognormal_tokens(lengths.prompt_median, lengths.prompt_sigma, lengths.prompt_max, prompts),
        lognormal_tokens(lengths.output_median, lengths.output_sigma, lengths.output_max, outputs),
    )


def _constant(tokens: int) -> _Draw:
    return lambda rows: np.full(rows, tokens, np.int64)


def lognormal_tokens(median: float, sigma: float, longest: int | None, random: np.random.Generator) -> _Draw:
    """What draws so many lognormal lengths in order, none longer than `longest`."""
    log_median, cap = math.log(median), float(longest or LONGEST_TOKENS)
    scratch = np.empty(BLOCK_ROWS)

    def draw(rows: int) -> Integers:
        tokens = scratch[:rows] if rows <= BLOCK_ROWS else np.empty(rows)
        random.standard_normal(out=tokens)
        tokens *= sigma
        tokens += log_median
        np.exp(tokens, out=tokens)
        return whole_tokens(tokens, cap)

    return draw


def _quantiles(values: list[float], random: np.random.Generator) -> _Draw:
    heights = np.asarray(values, np.float64)
    probabilities = np.linspace(0.0, 1.0, heights.size)
    return lambda rows: whole_tokens(np.interp(random.random(rows), probabilities, heights), float(LONGEST_TOKENS))


def whole_tokens(tokens: Floats, cap: float = LONGEST_TOKENS) -> Integers:
    """Lengths as whole tokens from 1 to `cap`; `tokens` is overwritten."""
    np.clip(tokens, 1.0, cap, out=tokens)
    np.rint(tokens, out=tokens)
    return tokens.astype(np.int64)


def _mean_of_quantiles(values: list[float]) -> float:
    heights = np.asarray(values, np.float64)
    return float(np.mean((heights[1:] + heights[:-1]) / 2))


def _mean_of_lognormal(median: float, sigma: float, longest: int | None) -> float:
    """E[min(X, m)] = exp(mu + s^2/2) F(z - s) + m (1 - F(z)), z = (ln m - mu) / s, F the normal law."""
    if longest is None or sigma == 0.0:
        return min(median * math.exp(sigma**2 / 2), float(longest or LONGEST_TOKENS))
    z = (math.log(longest) - math.log(median)) / sigma
    return median * math.exp(sigma**2 / 2) * _normal(z - sigma) + longest * (1.0 - _normal(z))


def _normal(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))
