"""A router file held against a scenario: whose columns its scores are, and what it says of the questions of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from router.errors import RouterError
from router.types import Scores
from sim.errors import InputError, did_you_mean
from sim.outcomes import Outcomes
from sim.outcomes.columns import number_columns, texts_of
from sim.outcomes.difficulty import shifted
from sim.routing.rows import can_choose
from sim.scenario import FileRouter, TableQuestions
from sim.workload.blocks import Integers

if TYPE_CHECKING:
    from router.learned import LearnedRouter

__all__ = ["Shifts", "columns_of", "drawn_scores", "open_router", "scores_of"]

Shifts = Sequence[float]


def open_router(router: FileRouter) -> LearnedRouter:
    """The file that a scenario's router names, opened.

    Raises:
        InputError: where it cannot be used.
    """
    from router.learned import LearnedRouter

    with _in_our_words():
        return LearnedRouter.load(router.model)


def columns_of(outcomes: Outcomes, opened: LearnedRouter, stream: int) -> Mapping[int, int]:
    """Which column of the scores belongs to each strategy that may be chosen for a stream.

    Raises:
        InputError: for a strategy that the file does not know.
    """
    router = outcomes.scenario.router
    assert isinstance(router, FileRouter)
    known = list(opened.strategies)
    found = {}
    for strategy in can_choose(outcomes, stream):
        name = outcomes.strategies[strategy].name
        label = router.labels.get(name, name)
        if label not in known:
            called = f"strategy '{name}'" if label == name else f"label '{label}' of strategy '{name}'"
            remedy = f"say by `labels` what the file calls it, or leave it out; {did_you_mean(label, known)}"
            raise InputError(called, f"is not known to {router.model.name}", remedy, where="router.labels")
        found[strategy] = known.index(label)
    return found


def scores_of(outcomes: Outcomes, opened: LearnedRouter, stream: int) -> Scores:
    """What the file expects of every question of a stream's table, in the order of the table.

    Raises:
        InputError: for a table without what the router looks at.
    """
    questions, table = outcomes.scenario.workload[stream].questions, outcomes.table(stream)
    assert isinstance(questions, TableQuestions)
    spec = opened.features.spec
    _note_trained_on(outcomes, opened, questions)
    numbers = number_columns(questions.path, table, spec.numbers)
    texts = texts_of(questions.path, table) if spec.text else None
    with _in_our_words():
        return opened.score(opened.features.of(texts, numbers))


def drawn_scores(scores: Scores, rows: Integers | None, shifts: Shifts) -> Scores:
    """The scores of these questions (of all for None), the log odds of right answers raised by strategy."""
    taken = slice(None) if rows is None else rows
    p = scores.p_correct[taken]
    return replace(
        scores,
        p_correct=shifted(p, np.asarray(shifts)) if len(shifts) else p,
        log_tokens=scores.log_tokens[taken],
        log_tokens_sd=scores.log_tokens_sd[taken],
        prepared=None if scores.prepared is None else drawn_scores(scores.prepared, rows, shifts),
        predictability=None if scores.predictability is None else scores.predictability[taken],
        expected_questions=None if scores.expected_questions is None else scores.expected_questions[taken],
    )


def _note_trained_on(outcomes: Outcomes, opened: LearnedRouter, questions: TableQuestions) -> None:
    """Warn where a router is asked about questions that it was trained on."""
    labels = opened.manifest.labels
    if labels.get("sha256") != sha256(questions.path.read_bytes()).hexdigest():
        return
    left_out = labels.get("held_out") or {}
    asked = questions.held_out
    share = left_out.get("share", 0.0)
    if asked is None or asked.seed != left_out.get("seed", 0) or asked.share > share:
        remedy = f"`held_out: {{share: {share:g}}}` asks others" if share else "train one on other questions"
        told = f"was trained on questions of {questions.path.name}, which it is asked here: it looks too good; {remedy}"
        router = outcomes.scenario.router
        assert isinstance(router, FileRouter)
        outcomes.warn(f"router {router.model.name} {told}")


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except RouterError as error:
        raise InputError(error.value, error.rule, error.remedy, where=error.where) from None
