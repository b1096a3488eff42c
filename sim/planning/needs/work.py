"""What requests take of every pool by every strategy, and which strategies they get."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from sim.planning.needs.policy import Option
from sim.planning.needs.stages import StageWork
from sim.planning.purchase.instance import Floats
from sim.scenario.choices import is_routed, strategy_shares

__all__ = ["Work", "work_at"]


@dataclass(frozen=True)
class Work:
    """S streams, A strategies, P pools, H blocks of hours."""

    share: Floats
    """Share of each stream's requests that get a strategy, [S, A, H]."""
    p_correct: Floats
    """Chance of a right answer of those that do, [S, A]; NaN where it is not known."""
    work_s: Floats
    """Replica seconds in full batches, [S, A, P]; infinite where it cannot be served, 0 of APIs that can."""
    prompt_tokens: Floats
    """Prompt tokens that are paid at an API, over all calls, [S, A]."""
    output_tokens: Floats
    """Output tokens over all branches, [S, A]."""


def work_at(
    option: Option,
    usd: Sequence[Sequence[Floats]],
    busy_rows: float,
    *,
    least_without: Floats | None = None,
) -> Work:
    """Work at the prices of each block, with so much of the replicas' places taken.

    `usd` has for each block and pool its prices, as `Option.picks` wants them. With `least_without`, [S], work is the
    least that it can take, without this share of each stream's requests, those that take most; and quality is that of
    the better of prepared and unprepared contexts.
    """
    streams, strategies, pools = option.shape
    blocks = len(usd)
    share = np.zeros((streams, strategies, blocks))
    p_correct = np.full((streams, strategies), np.nan)
    work_s = np.full((streams, strategies, pools), inf)
    prompt, output = np.zeros((streams, strategies)), np.zeros((streams, strategies))
    for stream in range(streams):
        weights = _weights(option, stream, usd, busy_rows)
        left_out = None if least_without is None else float(least_without[stream])
        share[stream] = weights.mean(axis=3).sum(axis=2)
        for strategy in option.samples[stream].strategies:
            mine = weights[strategy].sum(axis=0)
            each = mine / mine.sum() if mine.sum() > 0 else np.full(mine.shape, 1.0 / mine.size)
            p_correct[stream, strategy] = _quality(
                option.samples[stream].p_correct[:, strategy], each, better=left_out is not None
            )
            for pool in option.can[stream, strategy]:
                work_s[stream, strategy, pool] = _mean_work(option, stream, strategy, pool, each, left_out)
            prompt[stream, strategy], output[stream, strategy] = _billed(option, stream, strategy, each, left_out)
    return Work(share, p_correct, work_s, prompt, output)


def _weights(option: Option, stream: int, usd: Sequence[Sequence[Floats]], busy_rows: float) -> Floats:
    """How often a strategy goes to a request of the sample, on a plain or a prepared context, [A, H, V, J]."""
    sample, scenario = option.samples[stream], option.scenario
    rows, blocks = sample.prompt_tokens.size, len(usd)
    prepared = option.prepared[stream] * sample.has_context
    odds = np.stack([1.0 - prepared, prepared][: option.variants])
    found = np.zeros((option.shape[1], blocks, option.variants, rows))
    if not is_routed(scenario, scenario.workload[stream]):
        shares = np.array(strategy_shares(scenario, scenario.workload[stream]))
        found[:] = shares[:, np.newaxis, np.newaxis, np.newaxis] * odds
        return found
    known: dict[bytes, Floats] = {}
    for block in range(blocks):
        key = b"".join(np.asarray(each).tobytes() for each in usd[block])
        if key not in known:
            known[key] = np.array(list(_picked(option, stream, usd[block], busy_rows, odds)))
        found[:, block] = known[key].transpose(1, 0, 2)
    return found


def _picked(option: Option, stream: int, usd: Sequence[Floats], busy_rows: float, odds: Floats) -> Iterator[Floats]:
    """The same of a router, [A, J] for each variant."""
    for variant in range(option.variants):
        picks = option.picks(stream, usd, busy_rows, variant)
        yield (picks == np.arange(option.shape[1])[:, np.newaxis]) * odds[variant]


def _quality(p_correct: Floats, weight: Floats, *, better: bool) -> float:
    """Mean chance of a right answer, [J, V] and weights [V, J]; of the better variant of each if that is wanted."""
    p = p_correct.T
    if better:
        return float((p.max(axis=0) * weight.sum(axis=0)).sum())
    return float((p * weight).sum())


def _mean_work(option: Option, stream: int, strategy: int, pool: int, weight: Floats, without: float | None) -> float:
    if option.batches[pool] is None:
        return 0.0
    if without is not None:
        return _lower_mean(option.least_s(stream, strategy, pool), weight.sum(axis=0), without)
    return sum(
        float((option.full_batch_s(stream, strategy, pool, variant) * weight[variant]).sum())
        for variant in range(option.variants)
    )


def _lower_mean(values: Floats, weights: Floats, without: float) -> float:
    """Mean of the values but for a share of them, the greatest; the smallest where that is all."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    kept = np.diff(np.minimum(total, (1.0 - without) * total[-1]), prepend=0.0)
    return float(kept @ values[order] / kept.sum()) if kept.sum() > 0 else float(values.min())


def _billed(option: Option, stream: int, strategy: int, weight: Floats, without: float | None) -> tuple[float, float]:
    """Prompt tokens of all calls, and output tokens of all branches, that an API bills."""
    every = [_tokens(option.stages(stream, strategy, v), least=without is not None) for v in range(option.variants)]
    prompts, outputs = (np.array(each) for each in zip(*every, strict=True))
    if without is None:
        return float((prompts * weight).sum()), float((outputs * weight).sum())
    total = weight.sum(axis=0)
    return _lower_mean(prompts.min(axis=0), total, without), _lower_mean(outputs.min(axis=0), total, without)


def _tokens(stages: Sequence[StageWork], *, least: bool) -> tuple[Floats, Floats]:
    """Tokens read and written by requests, [J] each."""
    prompt, output = np.zeros((2, stages[0].taken.size))
    for stage in stages:
        prompt += stage.taken * stage.branches * stage.prompt_tokens
        share = stage.least_share if least else stage.most_share
        output += stage.taken * stage.branches * stage.output_tokens * share
    return prompt, output
