"""The requests of a load: lengths, tokens and arrivals, drawn from named streams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.lab.engine.jobs import Job
from sim.lab.measuring.settings import Limits
from sim.streams import RandomStreams

__all__ = [
    "CLOSED_SPREAD",
    "Lengths",
    "closed_lengths",
    "jobs_of",
    "keeps_logprobs",
    "mean_output",
    "open_lengths",
    "poisson_arrivals",
    "stated_lengths",
    "temperature_for",
]

Integers = NDArray[np.int64]

CLOSED_SPREAD = 0.8
"""Lengths of a closed loop are drawn evenly from this share of the stated one up to all of it."""

_OUTPUT_SIGMA = 0.6
_LARGE_VOCABULARY = 4096


class Lengths(NamedTuple):
    """Tokens of requests, [n] each."""

    prompt: Integers
    output: Integers


def open_lengths(limits: Limits, count: int, seed: int, name: str) -> Lengths:
    """Prompts of any length between the limits', lognormal outputs."""
    draws = RandomStreams(seed, 0).generator(f"lab/measure/{name}/lengths")
    low, high = limits.prompt_range
    prompt = draws.integers(low, high, count, endpoint=True)
    output = np.rint(limits.output_median * draws.lognormal(0.0, _OUTPUT_SIGMA, count))
    return Lengths(prompt, np.clip(output, *limits.output_range).astype(np.int64))


def mean_output(limits: Limits) -> float:
    """Mean tokens of the outputs of an open loop, but for those that the limits cut."""
    return limits.output_median * float(np.exp(_OUTPUT_SIGMA**2 / 2))


def closed_lengths(limits: Limits, count: int, seed: int, name: str) -> Lengths:
    """Lengths between four fifths of the stated ones and all of them."""
    draws = RandomStreams(seed, 0).generator(f"lab/measure/{name}/lengths")
    stated = stated_lengths(limits)
    prompt, output = (draws.integers(int(most * CLOSED_SPREAD), most, count, endpoint=True) for most in stated)
    return Lengths(np.maximum(prompt, 1), np.maximum(output, 1))


def stated_lengths(limits: Limits) -> tuple[int, int]:
    """Prompt and output tokens by which a closed loop is named."""
    low, high = limits.prompt_range
    return (low + high) // 2, round(limits.output_median * 1.2)


def poisson_arrivals(count: int, per_s: float, seed: int, name: str) -> Sequence[float]:
    """Seconds at which requests arrive, so many a second on average."""
    draws = RandomStreams(seed, 0).generator(f"lab/measure/{name}/arrivals")
    arrivals: list[float] = (draws.standard_exponential(count).cumsum() / per_s).tolist()
    return arrivals


def temperature_for(vocab_size: int) -> float:
    """1: tokens are drawn, as the lab's answers are; 0 for vocabularies too large to fetch, of which the device gives
    the likeliest token."""
    return 1.0 if vocab_size < _LARGE_VOCABULARY else 0.0


def keeps_logprobs(vocab_size: int) -> bool:
    """Whether a server keeps the log-probability of each token, as the lab does for its answers."""
    return temperature_for(vocab_size) > 0.0


def jobs_of(lengths: Lengths, vocab_size: int, seed: int, name: str) -> Iterator[Job]:
    """Jobs of these lengths: random tokens in, exactly so many out."""
    draws = RandomStreams(seed, 0).generator(f"lab/measure/{name}/tokens")
    numbers = count()
    for prompt, output in zip(lengths.prompt.tolist(), lengths.output.tolist(), strict=True):
        tokens = tuple(draws.integers(0, vocab_size, prompt).tolist())
        number, temperature = next(numbers), temperature_for(vocab_size)
        yield Job(number, tokens, max_tokens=output, fixed_tokens=output, temperature=temperature, seed=number)
