"""What a strategy is as work: stages of branches, and steps that come to an answer.

A branch is one sequence on a replica, or one call of an API. Lengths are multiples of the base tokens T of a step: the
mean output of one answer, solution or path, which `sim.outcomes` gives request by request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from scipy.special import betaincinv, ndtri

from sim.engine.specs import StageSpec, StepSpec, StrategySpec
from sim.engine.state import NO_LIMIT
from sim.scenario import CascadeStrategy, PlacedStrategy, Strategy, TreeStrategy, VerifyStrategy, VoteStrategy
from sim.scenario.reach import own_steps

__all__ = [
    "NO_PLURALITIES",
    "Plurality",
    "output_multiples",
    "path_multiples",
    "stages_of",
    "strategy_spec",
    "strategy_specs",
    "tree_stages",
    "verification_compute",
    "verify_stages",
    "vote_stage",
]


_NODES = 96
"""Of Gauss' rule, for means of order statistics."""


@dataclass(frozen=True)
class Plurality:
    """How the wrong answers of a class of questions spread; that is what a plurality has to win against."""

    wrong_answers: int = 1
    """Different wrong answers that samples may give."""
    skew: float = 1.0
    """How unevenly: the number of a wrong answer is floor(wrong_answers * v ** skew) with uniform v."""
    blank_share: float = 0.0
    """Share of the samples that are not right which give no answer at all."""


NO_PLURALITIES: Mapping[str, Plurality] = MappingProxyType({})
"""For strategies whose quality is not modelled: all wrong answers are the same."""


def strategy_specs(
    strategies: Sequence[Strategy], pluralities: Mapping[str, Plurality] = NO_PLURALITIES
) -> list[StrategySpec]:
    """What the engine runs for each strategy of a scenario, in their order.

    `pluralities` has, by name of a vote, how its wrong answers spread.
    """
    return [strategy_spec(strategy, strategies, pluralities) for strategy in strategies]


def strategy_spec(
    strategy: Strategy, strategies: Sequence[Strategy], pluralities: Mapping[str, Plurality] = NO_PLURALITIES
) -> StrategySpec:
    """The stages and steps of a strategy; those of a cascade are the ones of the strategies it names, in turn.

    After a vote a cascade goes on where the share of samples that agree is below `escalate_below`, which is how
    agreement stands for confidence (Wang et al. 2022, arXiv:2203.11171).
    """
    threshold = strategy.escalate_below if isinstance(strategy, CascadeStrategy) else 0.0
    steps = own_steps(strategy, strategies)
    return StrategySpec(
        stages=tuple(replace(stage, step=step) for step, each in enumerate(steps) for stage in stages_of(each)),
        steps=tuple(_step(each, threshold, pluralities.get(each.name, Plurality())) for each in steps),
    )


def stages_of(strategy: PlacedStrategy) -> list[StageSpec]:
    """The stages of a strategy that does work of its own; one branch for a direct answer and for thinking."""
    if isinstance(strategy, VoteStrategy):
        return [_vote_stage(strategy)]
    if isinstance(strategy, VerifyStrategy):
        return verify_stages(
            strategy.solutions,
            strategy.verifications,
            strategy.length_ratio,
            instruction_tokens=strategy.instruction_tokens,
            sigma=strategy.length_sigma,
            apart=strategy.own_prompt,
        )
    if isinstance(strategy, TreeStrategy):
        return tree_stages(strategy.width, strategy.branch, strategy.depth, sigma=strategy.length_sigma)
    return [StageSpec()]


def vote_stage(samples: int, *, sigma: float = 0.0, agree: int = 0, shortest: int = NO_LIMIT) -> StageSpec:
    """The stage of a vote: `samples` branches of one prompt, whose plurality is the answer.

    It ends with its slowest branch, with the first `shortest` ones, or once `agree` answers are the same.

    Source: self-consistency, Wang et al. 2022, arXiv:2203.11171; to stop with the shortest m of k, Hassid et al. 2025,
    arXiv:2505.17813.

    >>> vote_stage(8).branches
    8
    """
    return StageSpec(per_group=samples, sigma=sigma, wait_for=shortest, agree=agree)


def verify_stages(
    solutions: int,
    verifications: int,
    length_ratio: float,
    *,
    instruction_tokens: int = 0,
    sigma: float = 0.0,
    apart: bool = False,
) -> list[StageSpec]:
    """The two stages of S solutions, each verified V times by a text lambda times as long as a solution.

    Every verification reads the question, its solution and `instruction_tokens` more; `apart` from the solution's own
    text, if its prompt begins differently. Tokens written:
    S T + S V lambda T = S (1 + lambda V) T.

    Source: When To Solve, When To Verify, Singhi et al. 2025, arXiv:2504.01005.

    >>> [stage.branches for stage in verify_stages(4, 8, 2.0)]
    [4, 32]
    """
    return [
        StageSpec(per_group=solutions, sigma=sigma),
        StageSpec(
            groups=solutions,
            per_group=verifications,
            extends=True,
            apart=apart,
            prompt_tokens=instruction_tokens,
            tokens_factor=length_ratio,
            sigma=sigma,
        ),
    ]


def tree_stages(width: int, branch: int, depth: int, *, sigma: float = 0.0) -> list[StageSpec]:
    """The stages of a beam search, one a level: `width` paths, each of which goes on in `branch` ways.

    All width x branch paths begin at the question. After each level `width` of them are kept, and each of these is the
    prompt of `branch` branches of the next level. A path's tokens are shared equally among the levels, so that the
    tokens written are width x branch x T whatever the depth, while the depth adds prompts to read, and waiting for the
    slowest branch of each level. The reward model that picks the paths is not part of the work, and which ones it keeps
    makes no difference to it: they are alike in length.

    Source: Snell et al. 2024, arXiv:2408.03314 (beam search against a process reward model).

    >>> [(stage.groups, stage.per_group) for stage in tree_stages(4, 2, 3)]
    [(1, 8), (4, 2), (4, 2)]
    """
    level = StageSpec(per_group=width * branch, tokens_factor=1.0 / depth, sigma=sigma)
    deeper = replace(level, groups=width, per_group=branch, extends=True)
    return [level, *[deeper] * (depth - 1)]


def verification_compute(solutions: int, verifications: int, length_ratio: float) -> float:
    """Output tokens of S solutions and V verifications of each, in solutions: S (1 + lambda V).

    Source: When To Solve, When To Verify, Singhi et al. 2025, arXiv:2504.01005.

    >>> verification_compute(4, 8, 2.0)
    68.0
    """
    return solutions * (1.0 + length_ratio * verifications)


def output_multiples(spec: StrategySpec) -> list[float]:
    """Mean output tokens of each step as a multiple of its base tokens, if no branch is dropped.

    That is the sum over its stages of branches x tokens_factor; the spread of lengths leaves their mean as it is.

    >>> output_multiples(StrategySpec(stages=verify_stages(4, 8, 2.0)))
    [68.0]
    """
    return [
        sum(stage.branches * stage.tokens_factor for stage in spec.stages if stage.step == step)
        for step in range(len(spec.steps))
    ]


def path_multiples(spec: StrategySpec) -> list[float]:
    """Mean tokens that are written one after another in each step, as a multiple of its base tokens.

    That is the sum over its stages of the branch with which the stage ends: the longest one, or the m-th of n where a
    stage waits for m. Lengths are lognormal with mean 1: the m-th of n is the mean of their quantile at numbers of
    Beta(m, n - m + 1), taken by Gauss' rule. A stage that ends when branches agree is taken to wait for all.

    >>> path_multiples(StrategySpec(stages=[vote_stage(8)]))
    [1.0]
    """
    found = [0.0] * len(spec.steps)
    for stage in spec.stages:
        found[stage.step] += stage.tokens_factor * _last_branch(stage)
    return found


def _last_branch(stage: StageSpec) -> float:
    """Mean length of the branch with which a stage ends, as a multiple of the mean branch."""
    branches = stage.branches
    last = min(stage.wait_for, branches)
    if stage.sigma == 0.0:
        return 1.0
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    at = betaincinv(last, branches - last + 1, (nodes + 1.0) / 2.0)
    return float(weights @ np.exp(stage.sigma * ndtri(at) - stage.sigma**2 / 2.0) / 2.0)


def _vote_stage(vote: VoteStrategy) -> StageSpec:
    stop = vote.stop
    agree, shortest = (None, None) if stop is None else (stop.agree, stop.shortest)
    return vote_stage(vote.samples, sigma=vote.length_sigma, agree=agree or 0, shortest=shortest or NO_LIMIT)


def _step(strategy: PlacedStrategy, threshold: float, plurality: Plurality) -> StepSpec:
    if not isinstance(strategy, VoteStrategy):
        return StepSpec()
    return StepSpec(
        vote=True,
        wrong_answers=plurality.wrong_answers,
        skew=plurality.skew,
        blank_share=plurality.blank_share,
        agreement_below=threshold,
    )
