"""What requests of a sample take by a strategy, stage by stage: prompts to read, rows, tokens to write."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.engine.specs import StageSpec, StrategySpec
from sim.planning.needs.sampling import Sample
from sim.planning.purchase.instance import Floats

__all__ = ["StageWork", "stages_of_sample"]

_LENGTHS = 512
"""Draws of branch lengths where a stage does not wait for all of them."""


@dataclass(frozen=True)
class StageWork:
    """One stage of J requests; every column is [J]."""

    taken: Floats
    """Whether the stage is reached."""
    prompt_tokens: Floats
    """Tokens of each of its prompts."""
    prefix_tokens: Floats
    """First of them that an earlier request on the context has brought."""
    own_tokens: Floats
    """First of them that the same request has brought a stage before, and that its replica still has."""
    prompts: int
    """Prompts that are read."""
    branches: int
    output_tokens: Floats
    """Of one branch, mean."""
    least_share: float
    """Share of the output tokens that is written at least, where the stage does not wait for all branches."""
    most_share: float
    """The same at most."""
    path_factor: float
    """Length of the branch with which it ends over the mean one."""


def stages_of_sample(
    sample: Sample, strategy: int, variant: int, spec: StrategySpec, notes_tokens: int
) -> list[StageWork]:
    """The stages of a strategy for a sample; `notes_tokens` stand before the question on a prepared context."""
    extra: Floats = (notes_tokens if variant else 0) * sample.has_context.astype(np.float64)
    question: Floats = sample.prompt_tokens + extra
    prefix = np.where(sample.prefix_tokens > 0, sample.prefix_tokens + extra, 0.0)
    if variant:
        # What has been prepared has been read, and is kept as other contexts are.
        prefix = np.maximum(prefix, extra)
    found: list[StageWork] = []
    for stage in spec.stages:
        before = found[-1] if stage.extends else None
        prompt: Floats = question if before is None else before.prompt_tokens + before.output_tokens
        known: Floats = np.zeros_like(prompt) if before is None or stage.apart else prompt - 1.0
        tokens = sample.output_tokens[:, strategy, variant, stage.step] * stage.tokens_factor
        least, most, path = _shares(stage)
        found.append(
            StageWork(
                taken=sample.taken[:, strategy, variant, stage.step],
                prompt_tokens=prompt + stage.prompt_tokens,
                prefix_tokens=np.zeros_like(prompt) if stage.apart else prefix,
                own_tokens=known,
                prompts=stage.groups,
                branches=stage.branches,
                output_tokens=np.maximum(tokens, 1.0),
                least_share=least,
                most_share=most,
                path_factor=path,
            )
        )
    return found


def _shares(stage: StageSpec) -> tuple[float, float, float]:
    """Least and most share of the tokens that are written, and the last branch over the mean one.

    With m of n branches waited for, all are cut at the length of the m-th shortest. Branches that stop once so many
    agree do so after these many at the earliest, and at the latest when all are done.
    """
    branches = stage.branches
    last = min(stage.wait_for, branches)
    if stage.sigma == 0.0:
        return 1.0, 1.0, 1.0
    lengths = np.sort(_lengths(branches, stage.sigma), axis=1)
    wait, agree = (_cut(lengths, at) for at in (last, min(stage.agree or branches, last)))
    return agree, wait, float(lengths[:, last - 1].mean())


def _lengths(branches: int, sigma: float) -> Floats:
    drawn = np.exp(sigma * np.random.default_rng(0).standard_normal((_LENGTHS, branches)) - sigma**2 / 2.0)
    found: Floats = drawn / drawn.mean()
    return found


def _cut(lengths: Floats, last: int) -> float:
    """Share of all tokens that is written until the branch of this rank ends."""
    return float(np.minimum(lengths, lengths[:, last - 1 : last]).sum() / lengths.sum())
