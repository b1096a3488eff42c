"""Small scenarios of published figures without an engine: scored, and their answers drawn one by one in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from router.policies import Always
from sim.outcomes import Outcomes
from sim.outcomes.luck import ANSWER, uniforms
from sim.scenario import Scenario
from sim.scoring import Scorer
from sim.strategies import output_multiples, strategy_spec
from sim.streams import RandomStreams
from sim.validation.papers.worlds import Found, scenario_of, world_of_contexts, world_of_questions
from sim.workload.blocks import RequestBlock, plain_block
from sim.workload.keys import Keys
from tests.drawn_answers import answers, plurality_is_right

_CONTEXT_REQUESTS = 3_600


def ask(class_name: str, strategy: dict[str, Any], requests: int) -> Found:
    """As `sim.validation.papers.worlds.ask` would find it."""
    return _found(scenario_of(class_name, strategy, *world_of_questions(requests)), requests, 0)


def ask_contexts(class_name: str, strategy: dict[str, Any], *, questions: int = 1, **given: Any) -> Found:
    """As `sim.validation.papers.worlds.ask_contexts` would find it."""
    described = scenario_of(class_name, strategy, *world_of_contexts(questions=questions, **given))
    return _found(described, _CONTEXT_REQUESTS, questions)


def _found(described: Scenario, requests: int, questions: int) -> Found:
    """`questions` a context, all prepared; 0 without contexts."""
    streams, outcomes = RandomStreams(described.seed, 0), Outcomes(described)
    scored = Scorer(outcomes, Always(0), streams).score(_block(streams, requests, questions))
    variant = int(questions > 0)
    p, chance = scored.p_sample[:, variant, 0], scored.p_correct[:, variant, 0]
    strategy = outcomes.strategies[0]
    multiple = output_multiples(strategy_spec(strategy, outcomes.strategies))[0]
    tokens = multiple * float(scored.output_tokens[:, variant, 0].mean())
    work = outcomes.sleep_work(0)
    ahead = 0.1 * work.draft_tokens * work.drafts / questions if questions else 0.0
    key, samples = _keys(streams, requests), getattr(strategy, "samples", 0)
    if samples:
        law = outcomes.pluralities[strategy.name]
        right = plurality_is_right(answers(key, p, samples, law), law)
    else:
        right = (uniforms(key, ANSWER) < p).astype(np.int64)
    return Found(float(right.mean()), float(chance.mean()), tokens, tokens + ahead, 1.0)


def _keys(streams: RandomStreams, requests: int) -> Any:
    return Keys(streams, "questions").draw(requests)


def _block(streams: RandomStreams, requests: int, questions: int) -> RequestBlock:
    key = _keys(streams, requests)
    block = plain_block(np.arange(requests) * 1.0, np.full(requests, 100), np.full(requests, 100), key=key)
    return block._replace(context_id=np.arange(requests) // questions) if questions else block
