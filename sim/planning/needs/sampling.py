"""A sample of the requests that a scenario's own streams make, and what comes of each by every strategy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.outcomes import Outcomes
from sim.outcomes.asked import Asked, Luck
from sim.outcomes.luck import ANSWER, uniforms
from sim.planning.purchase.instance import Floats, Integers
from sim.routing.corpora import Corpora, Routed
from sim.routing.estimates import Estimates, fate
from sim.routing.rows import Reals, asked_reals, can_choose
from sim.scenario import CurveQuestions, Scenario
from sim.streams import RandomStreams
from sim.workload.blocks import NOTHING, RequestBlock, plain_block
from sim.workload.predictability import Ranks
from sim.workload.workload import build_workload

__all__ = ["Sample", "samples_of"]

_LOOKED_AT = 65_536
_ROWS = 8_192


@dataclass(frozen=True)
class Sample:
    """J requests of one stream; A strategies of K steps at most, V is 2 where contexts may be prepared."""

    prompt_tokens: Integers
    """[J]"""
    prefix_tokens: Integers
    """First tokens of the prompt that an earlier request on the same context has brought, [J]; 0 for the first one."""
    asked_before: Integers
    """Requests on the same context that came before, [J]."""
    since_s: Floats
    """Time since the request before it on the same context, [J]; infinite for the first one."""
    keep_tokens: Integers
    """First tokens that later requests on its context may share, [J]."""
    has_context: NDArray[np.bool_]
    """[J]"""
    output_tokens: Integers
    """Base tokens of each step, [J, A, V, K]."""
    taken: Floats
    """1 where a step is taken, [J, A, V, K]."""
    p_correct: Floats
    """Chance that the answer at which a strategy ends is right, [J, A, V]; NaN where it is not known."""
    strategies: tuple[int, ...]
    """Those that its requests can get."""
    expected: Estimates | None = None
    """What a router expects, [J, V, A]; None where none looks at the stream."""


def samples_of(scenario: Scenario, outcomes: Outcomes, corpora: Corpora | None, variants: int) -> list[Sample]:
    """A sample of each stream: its first requests in the first replication, thinned out evenly where they are many."""
    streams = RandomStreams(scenario.seed, 0)
    return [_sample(index, scenario, outcomes, corpora, variants, streams) for index in range(len(scenario.workload))]


def _sample(
    index: int, scenario: Scenario, outcomes: Outcomes, corpora: Corpora | None, variants: int, streams: RandomStreams
) -> Sample:
    block = _first_requests(index, scenario, streams)
    before, since_s = _asked_before(block)
    every = max(block.key.size // _ROWS, 1)
    kept = slice(None, None, every)
    asked = _asked(index, scenario, streams, RequestBlock._make(column[kept] for column in block))
    strategies = tuple(can_choose(outcomes, index))
    expected: Estimates | None = None
    if corpora is not None and index in corpora.streams:
        options = corpora.options(asked.key.size, [Routed(index, slice(None), asked)])
        assert options is not None
        count = len(outcomes.strategies)
        corpus, row = options
        columns = (corpus.p, corpus.tokens, corpus.path_tokens, corpus.sd)
        expected = Estimates(*(column[row][:, :, :count] for column in columns))
        real = (corpus.output_tokens, corpus.p_sample, corpus.p_correct, corpus.escalates)
        reals = Reals._make(column[row][:, :count] for column in real)
    else:
        reals = asked_reals(outcomes, index, asked, variants)
    taken, p_correct = _ends(outcomes, asked, strategies, reals)
    return Sample(
        prompt_tokens=block.prompt_tokens[kept],
        prefix_tokens=np.where(before > 0, block.prefix_tokens, 0)[kept],
        asked_before=before[kept],
        since_s=since_s[kept],
        keep_tokens=block.keep_tokens[kept],
        has_context=(block.context_id != NOTHING)[kept],
        output_tokens=reals.output_tokens,
        taken=taken,
        p_correct=p_correct,
        strategies=strategies,
        expected=expected,
    )


def _first_requests(index: int, scenario: Scenario, streams: RandomStreams) -> RequestBlock:
    """The first requests of one stream; one that none stands for where it has none."""
    alone = scenario.model_copy(update={"workload": [scenario.workload[index]]})
    workload = build_workload(alone, streams)
    for closed in workload.closed:
        prompt_tokens, output_tokens = closed.draw(_ROWS)
        keys = closed.draw_keys(_ROWS)
        return plain_block(np.zeros(_ROWS), prompt_tokens, output_tokens, key=keys)
    blocks = list(_up_to(workload.blocks()))
    if not blocks:
        one = np.ones(1, np.int64)
        return plain_block(np.zeros(1), one, one)
    return RequestBlock._make(np.concatenate(columns) for columns in zip(*blocks, strict=True))


def _up_to(blocks: Iterator[RequestBlock]) -> Iterator[RequestBlock]:
    rows = 0
    for block in blocks:
        yield block
        rows += block.key.size
        if rows >= _LOOKED_AT:
            return


def _asked_before(block: RequestBlock) -> tuple[Integers, Floats]:
    """Earlier requests on the same version of the same context, and the time since the last of them, [n] each."""
    found, since_s = np.zeros(block.key.size, np.int64), np.full(block.key.size, np.inf)
    has = np.flatnonzero(block.context_id != NOTHING)
    if has.size:
        pairs = np.stack((block.context_id[has], block.version[has]))
        group = np.unique(pairs, axis=1, return_inverse=True)[1].ravel()
        order = np.argsort(group, kind="stable")
        ordered, times_s = group[order], block.arrival_s[has[order]]
        found[has[order]] = np.arange(has.size) - np.searchsorted(ordered, ordered)
        same = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
        since_s[has[order[same]]] = times_s[same] - times_s[same - 1]
    return found, since_s


def _asked(index: int, scenario: Scenario, streams: RandomStreams, block: RequestBlock) -> Asked:
    stream = scenario.workload[index]
    luck = Luck(
        word=streams.word(f"{stream.name}/questions"),
        predictability=Ranks.of(stream, streams).of_numbers,
        stratified=isinstance(stream.questions, CurveQuestions) and stream.questions.stratified,
    )
    return luck.asked(block.key, block.output_tokens, block.context_id, block.question_id)


def _ends(outcomes: Outcomes, asked: Asked, strategies: tuple[int, ...], reals: Reals) -> tuple[Floats, Floats]:
    """Which steps are taken, [J, A, V, K], and the chance that the last of them is right, [J, A, V]."""
    taken = np.zeros(reals.p_correct.shape)
    p_correct = np.full(reals.p_correct.shape[:3], np.nan)
    least = uniforms(asked.key, ANSWER)
    rows = np.arange(asked.key.size)
    for strategy in strategies:
        for variant in range(reals.p_correct.shape[2]):
            place = (slice(None), strategy, variant)
            if len(outcomes.steps[strategy]) == 1:
                taken[place][:, 0] = 1.0
                p_correct[place] = reals.p_correct[place][:, 0]
                continue
            _, steps = fate(outcomes, strategy, asked.key, least, reals.p_sample[place], reals.escalates[place])
            taken[place] = steps
            last = np.maximum(steps.sum(axis=1).astype(np.int64) - 1, 0)
            p_correct[place] = reals.p_correct[place][rows, last]
    return taken, p_correct
