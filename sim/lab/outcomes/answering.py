"""Every way to answer the questions of a context: what the model is asked for, and what comes of it.

A strategy's answer is judged by what the model wrote: `direct` by its number; `think` by a chain of thought, `thinkB`
by one that is cut after B tokens and then has to answer; `voteK` by the answer that most of K sampled chains give, of
equals the one given first; `verifySxV` by the one of S sampled chains that V sampled checks find good most often, of
equals the first. Samples and checks are nested: `vote4` counts the first four of the samples of `vote16`. On a prepared
context notes are written once, by the likeliest tokens, and shared by all of its questions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum, nan
from typing import NamedTuple, get_args
from zlib import crc32

from sim.lab.language import (
    ANSWER,
    MAX_TOKENS,
    STOP_TOKENS,
    Effort,
    Mode,
    forced_answer_prompt,
    noted_section,
    prepare_prompt,
    question_prompt,
    read_answer,
    read_verdict,
    verify_prompt,
)
from sim.lab.language.contexts import Context, Question
from sim.lab.outcomes.completions import Ask, Work, together
from sim.lab.outcomes.text_rows import GREEDY, Draw, Written

__all__ = [
    "EFFORTS",
    "Answered",
    "Outcome",
    "QuestionScore",
    "Ways",
    "answer_context",
    "best_verified",
    "told_apart",
    "voted",
]

EFFORTS: tuple[Effort, ...] = get_args(Effort)


@dataclass(frozen=True)
class Ways:
    """Which ways to answer are tried."""

    budgets: tuple[int, ...] = (8, 16, 32, 64)
    """Tokens of thought after which an answer is forced."""
    votes: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Samples of a vote at temperature 1."""
    cool_votes: tuple[int, ...] = (1, 2, 4)
    """Samples of a vote at the lower temperature."""
    cool: float = 0.6
    """That temperature."""
    solutions: int = 4
    """Solutions to verify: the first samples of the vote."""
    checks: tuple[int, ...] = (1, 2, 4)
    """Checks of each solution, at temperature 1."""
    direct_samples: int = 1
    """Direct answers drawn at temperature 1, beside the likeliest one."""
    prepared_votes: tuple[int, ...] = (1, 2, 4)
    """Samples of a vote on a prepared context, at temperature 1 and each effort."""


class Outcome(NamedTuple):
    """What a strategy's answer to a question came to."""

    question: int
    """Its number within the context."""
    strategy: str
    effort: str
    """Of the notes; empty without."""
    temperature: float
    trial: int
    """Number among several answers of one strategy."""
    answer: int
    """-1 where none was given."""
    correct: bool
    tokens: int
    """Written by all branches."""
    path_tokens: int
    """Written one after the other: the longest branch of each stage."""
    prompt_tokens: int
    """Of the question's prompt, with context and notes."""
    confidence: float
    """Mean log-probability of a token of the first text."""
    agreement: float
    """Share of a vote's samples that give its answer; of verification, of the checks of the solution that was taken."""
    verifier_auc: float
    """Chance that a right solution has more good verdicts than a wrong one; NaN where none or all are right."""


class QuestionScore(NamedTuple):
    """How well a context, bare or prepared, foretells a question."""

    question: int
    effort: str
    logprob: float
    """Sum of the log-probabilities of the question's words."""
    words: int


class Answered(NamedTuple):
    """Of all questions of a context."""

    outcomes: list[Outcome]
    scores: list[QuestionScore]
    notes_tokens: dict[str, int]
    """Written to prepare the context, by effort."""


def answer_context(
    context: Context, questions: Sequence[Question], ways: Ways, stream: tuple[int, ...]
) -> Work[Answered]:
    """Answers all questions of a context in all ways; random numbers are named by `stream` and what they are for."""
    desks = [_Desk(context, place, question, ways, stream) for place, question in enumerate(questions)]
    parts = yield from together([_on_bare(desks), *(_on_prepared(desks, effort) for effort in EFFORTS)])
    return _together(parts)


def _on_bare(desks: Sequence[_Desk]) -> Work[Answered]:
    parts = yield from together([part for desk in desks for part in _parts(desk, verified=True)])
    return _together(parts)


def _on_prepared(desks: Sequence[_Desk], effort: Effort) -> Work[Answered]:
    asked = _ask(prepare_prompt(desks[0].context, effort), "prepare", (GREEDY,), keep=True)
    (reply,) = yield [asked]
    (written,) = reply.texts
    prepared = [replace(desk, effort=effort, notes=tuple(noted_section(effort, written.tokens))) for desk in desks]
    parts = yield from together([part for desk in prepared for part in _parts(desk, verified=False)])
    return _together([*parts, Answered([], [], {effort: len(written.tokens)})])


def _together(parts: Sequence[Answered]) -> Answered:
    return Answered(
        [outcome for part in parts for outcome in part.outcomes],
        [score for part in parts for score in part.scores],
        {effort: tokens for part in parts for effort, tokens in part.notes_tokens.items()},
    )


@dataclass(frozen=True)
class _Desk:
    """One question on a bare context, or on one with notes."""

    context: Context
    place: int
    question: Question
    ways: Ways
    stream: tuple[int, ...]
    effort: str = ""
    notes: tuple[int, ...] = ()

    def prompt(self, mode: Mode) -> list[int]:
        """What the model reads."""
        return question_prompt(self.context, self.question, mode, self.notes)

    def draws(self, purpose: str, count: int, temperature: float = 1.0) -> list[Draw]:
        """So many draws, each with random numbers of its own."""
        name = (*self.stream, self.context.index, self.place, crc32(f"{self.effort}/{purpose}".encode()))
        return [Draw(temperature, (*name, number)) for number in range(count)]

    def outcome(
        self,
        strategy: str,
        answer: int | None,
        stages: Sequence[Sequence[Written]],
        *,
        temperature: float = 0.0,
        trial: int = 0,
        agreement: float = 1.0,
        verifier_auc: float = nan,
        forced: int = 0,
    ) -> Outcome:
        """Of an answer and all texts that led to it, stage by stage; `forced` tokens were put in by us."""
        lengths = [[len(text.tokens) for text in stage] or [0] for stage in stages]
        logprobs = stages[0][0].logprobs
        return Outcome(
            question=self.place,
            strategy=strategy,
            effort=self.effort,
            temperature=temperature,
            trial=trial,
            answer=-1 if answer is None else answer,
            correct=answer == self.question.answer,
            tokens=sum(map(sum, lengths)) + forced,
            path_tokens=sum(map(max, lengths)) + forced,
            prompt_tokens=len(self.prompt("direct")),
            confidence=fsum(logprobs) / len(logprobs),
            agreement=agreement,
            verifier_auc=verifier_auc,
        )


def _parts(desk: _Desk, *, verified: bool) -> list[Work[Answered]]:
    """All ways to answer a question, each for itself; the direct one first, as it reads and scores the question."""
    ways = desk.ways
    if not verified:
        return [_direct(desk), _think(desk), _vote(desk, ways.prepared_votes)]
    return [_direct(desk), _think(desk), _vote_and_verify(desk), _vote(desk, ways.cool_votes, "-cool", ways.cool)]


def _direct(desk: _Desk) -> Work[Answered]:
    prompt = desk.prompt("direct")
    words = len(desk.question.tokens)
    # The mark that begins a question is left out of its score: whether something is asked is not foretold.
    first = len(prompt) - 1 - words
    draws = [GREEDY, *desk.draws("direct", desk.ways.direct_samples)]
    (reply,) = yield [_ask(prompt, "direct", draws, score_from=first)]
    best, *drawn = reply.texts
    outcomes = [desk.outcome("direct", read_answer(best.tokens), [[best]])]
    outcomes += [
        desk.outcome("direct-drawn", read_answer(text.tokens), [[text]], temperature=1.0, trial=trial)
        for trial, text in enumerate(drawn)
    ]
    score = QuestionScore(desk.place, desk.effort, fsum(reply.prompt_logprobs[:words]), words)
    return Answered(outcomes, [score], {})


def _think(desk: _Desk) -> Work[Answered]:
    """The likeliest chain, as it is and cut at each budget: what is forced then goes on from the same tokens."""
    prompt = desk.prompt("think")
    (reply,) = yield [_ask(prompt, "think", (GREEDY,), keep=True)]
    (chain,) = reply.texts
    cuts = [budget for budget in desk.ways.budgets if _is_cut(chain, budget)]
    replies = yield [_ask(forced_answer_prompt(prompt, chain.tokens[:cut]), "direct", (GREEDY,)) for cut in cuts]
    forced = {cut: reply.texts[0] for cut, reply in zip(cuts, replies, strict=True)}
    outcomes = [desk.outcome("think", read_answer(chain.tokens), [[chain]])]
    for budget in desk.ways.budgets:
        if budget not in forced:
            outcomes.append(outcomes[0]._replace(strategy=f"think{budget}"))
            continue
        answer = read_answer(forced[budget].tokens)
        whole = _joined(chain, budget, forced[budget])
        outcomes.append(desk.outcome(f"think{budget}", answer, [[whole]], forced=1))
    return Answered(outcomes, [], {})


def _is_cut(chain: Written, budget: int) -> bool:
    """Whether a chain has more tokens than the budget, and has not begun to answer within it."""
    return len(chain.tokens) > budget and ANSWER not in chain.tokens[:budget]


def _joined(chain: Written, budget: int, end: Written) -> Written:
    """What was thought within the budget, and the answer after it."""
    return Written(chain.tokens[:budget] + end.tokens, chain.logprobs[:budget] + end.logprobs, end.stopped)


def _vote(desk: _Desk, sizes: Sequence[int], mark: str = "", temperature: float = 1.0) -> Work[Answered]:
    if not sizes:
        return Answered([], [], {})
    draws = desk.draws(f"vote{mark}", max(sizes), temperature)
    (reply,) = yield [_ask(desk.prompt("think"), "think", draws)]
    return Answered(_votes(desk, sizes, reply.texts, mark, temperature), [], {})


def _votes(
    desk: _Desk, sizes: Sequence[int], texts: Sequence[Written], mark: str = "", temperature: float = 1.0
) -> list[Outcome]:
    """Each vote counts the first of the texts."""
    answers = [read_answer(text.tokens) for text in texts]
    found = []
    for size in sizes:
        answer, agreement = voted(answers[:size])
        stages, strategy = [texts[:size]], f"vote{size}{mark}"
        found.append(desk.outcome(strategy, answer, stages, temperature=temperature, agreement=agreement))
    return found


def voted(answers: Sequence[int | None]) -> tuple[int | None, float]:
    """The answer given most often, of equals the one given first, and its share; samples without one do not vote.

    >>> voted([4, 7, None, 7])
    (7, 0.5)
    """
    counts = Counter(answer for answer in answers if answer is not None)
    if not counts:
        return None, 0.0
    ((answer, count),) = counts.most_common(1)
    return answer, count / len(answers)


def _vote_and_verify(desk: _Desk) -> Work[Answered]:
    """Votes, and checks of the first samples: of each that has an answer."""
    ways = desk.ways
    samples = max((*ways.votes, ways.solutions))
    (reply,) = yield [_ask(desk.prompt("think"), "think", desk.draws("vote", samples))]
    outcomes = _votes(desk, ways.votes, reply.texts)
    solutions = reply.texts[: ways.solutions]
    checked = [place for place, text in enumerate(solutions) if read_answer(text.tokens) is not None]
    replies = yield [_check(desk, place, solutions[place]) for place in checked]
    checks = {place: reply.texts for place, reply in zip(checked, replies, strict=True)}
    outcomes += [_verified(desk, solutions, checks, count) for count in ways.checks]
    return Answered(outcomes, [], {})


def _check(desk: _Desk, place: int, solution: Written) -> Ask:
    draws = desk.draws(f"check{place}", max(desk.ways.checks))
    return _ask(verify_prompt(desk.context, desk.question, solution.tokens), "verify", draws)


def _verified(
    desk: _Desk, solutions: Sequence[Written], checks: Mapping[int, Sequence[Written]], count: int
) -> Outcome:
    """By the first `count` checks of each solution."""
    verdicts = {
        place: sum(read_verdict(text.tokens) is True for text in texts[:count]) for place, texts in checks.items()
    }
    answers = {place: read_answer(solutions[place].tokens) for place in verdicts}
    best = best_verified(verdicts)
    return desk.outcome(
        f"verify{len(solutions)}x{count}",
        None if best is None else answers[best],
        [solutions, [text for texts in checks.values() for text in texts[:count]]],
        temperature=1.0,
        agreement=0.0 if best is None else verdicts[best] / count,
        verifier_auc=told_apart(
            [verdicts[place] for place, answer in answers.items() if answer == desk.question.answer],
            [verdicts[place] for place, answer in answers.items() if answer != desk.question.answer],
        ),
    )


def best_verified(verdicts: Mapping[int, int]) -> int | None:
    """The solution with most good verdicts, of equals the first; None of none.

    >>> best_verified({0: 1, 2: 3, 3: 3})
    2
    """
    return max(verdicts, key=lambda place: (verdicts[place], -place), default=None)


def told_apart(right: Sequence[int], wrong: Sequence[int]) -> float:
    """Chance that one of the first is above one of the others, equals counting half; NaN without pairs.

    >>> told_apart([4, 2], [2])
    0.75
    """
    pairs = [(high > low) + 0.5 * (high == low) for high in right for low in wrong]
    return sum(pairs) / len(pairs) if pairs else nan


def _ask(
    prompt: Sequence[int], mode: str, draws: Sequence[Draw], *, keep: bool = False, score_from: int | None = None
) -> Ask:
    return Ask(tuple(prompt), MAX_TOKENS[mode], STOP_TOKENS, draws, keep, score_from)
