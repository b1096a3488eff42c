"""Which steps are measured: decode rows by KV, prompts by what was read before, and both together.

On our engine each prompt of a step is a call of its own, with a fixed time: steps with the prompts of several requests
tell it from what the tokens take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from sim.lab.measuring.settings import Limits

__all__ = ["Point", "grid_of", "reference_point"]

_KV_SHARES = (0.12, 0.3, 0.5, 0.7, 0.93)
"""KV tokens of a row, as shares of what it can hold."""
_MIXED_KV_SHARES = (0.25, 0.6)
_PROMPT_SHARES = (0.06, 0.12, 0.25, 0.375, 0.5, 0.75, 1.0)
"""Prompt tokens, as shares of the most in a step."""
_MIXED_SHARES = (0.1, 0.2, 0.4, 0.6, 0.87)
_CACHED_SHARES = (0.0, 0.5, 1.0)
"""Tokens of a prompt read in an earlier step, as shares of the most in a step."""


@dataclass(frozen=True, order=True)
class Point:
    """A step: `rows` that decode, with `kv_per_row` tokens each; `slices` prompts, of which each reads `prompt` tokens
    after `cached` tokens that it has already."""

    rows: int
    kv_per_row: int
    prompt: int = 0
    cached: int = 0
    slices: int = 1

    @property
    def prompt_tokens(self) -> int:
        """Of all slices together."""
        return self.prompt * self.slices if self.prompt else 0


def grid_of(limits: Limits, *, quick: bool = False) -> list[Point]:
    """Every point once, in a fixed order."""
    points = [*_decodes(limits, quick), *_prompts(limits, quick), *_mixed(limits, quick), *_several(limits, quick)]
    return sorted(set(points))


def reference_point(limits: Limits) -> Point:
    """The step that is measured again and again, to see whether the machine drifts."""
    return Point(max(limits.max_num_seqs // 4, 1), max(limits.capacity // 4, 1))


def _decodes(limits: Limits, quick: bool) -> Iterator[Point]:
    shares = _KV_SHARES[1::2] if quick else _KV_SHARES
    for rows, share in product(_batches(limits.max_num_seqs, quick), shares):
        yield Point(rows, max(int(share * limits.capacity), 2))


def _batches(most: int, quick: bool) -> list[int]:
    """Batch sizes, closer where they are small.

    >>> _batches(32, False)
    [1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 28, 32]
    """
    eighths = {most * share // 8 for share in ((2, 8) if quick else range(1, 9))}
    few = {1} if quick else {1, 2, 3, 4, 6, 8, 12, 16}
    return sorted(rows for rows in few | eighths if 1 <= rows <= most)


def _prompts(limits: Limits, quick: bool) -> Iterator[Point]:
    most = limits.max_num_batched_tokens
    sizes = {max(int(share * most), 2) for share in _PROMPT_SHARES[:: 2 if quick else 1]} | {most}
    for prompt, share in product(sorted(sizes), _CACHED_SHARES[:2] if quick else _CACHED_SHARES):
        cached = int(share * most)
        if prompt + cached < limits.capacity and (cached == 0 or prompt <= cached):
            yield Point(0, 0, prompt, cached)


def _mixed(limits: Limits, quick: bool) -> Iterator[Point]:
    most = limits.max_num_batched_tokens
    for rows, share, kv_share in product(_beside(limits, quick), _MIXED_SHARES, _MIXED_KV_SHARES):
        prompt = min(max(int(share * most), 2), most - rows)
        kv = max(int(kv_share * limits.capacity), 2)
        if prompt > 1:
            yield Point(rows, kv, prompt)


def _several(limits: Limits, quick: bool) -> Iterator[Point]:
    """Steps with the prompts of two requests and of three, to tell what each slice takes beyond its tokens."""
    for rows, share, slices in product(_beside(limits, quick)[1:-1:2], _MIXED_SHARES[1:], () if quick else (2, 3)):
        prompt = int(share * limits.max_num_batched_tokens) // slices
        if prompt > 1 and rows + slices <= limits.max_num_seqs:
            yield Point(rows, max(int(_MIXED_KV_SHARES[0] * limits.capacity), 2), prompt, 0, slices)


def _beside(limits: Limits, quick: bool) -> list[int]:
    """Decode rows of mixed steps; at most all but one, so that a prompt has a place.

    >>> _beside(Limits(32, 256, 512), False)
    [1, 4, 8, 16, 24, 31]
    """
    most = limits.max_num_seqs - 1
    shares = (0.5,) if quick else (0.03, 0.125, 0.25, 0.5, 0.75, 1.0)
    return sorted({min(max(round(share * limits.max_num_seqs), 1), most) for share in shares if most >= 1})
