"""Training rows: a context with several branches, each a format of the language, laid out as a tree in one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.lab.language import (
    Context,
    Effort,
    Language,
    Question,
    Slip,
    Split,
    chain,
    check,
    context_prompt,
    corrupted,
    make_context,
    make_questions,
    notes,
    question_tokens,
    verify_prompt,
    words,
)

__all__ = ["KINDS", "Batch", "Mix", "Solution", "make_batch"]

KINDS = ("value", "question", "direct", "think", "forced", "notes", "direct noted", "think noted", "verify", "verdict")
"""What a predicted token belongs to; the loss is logged for each.

`value` is the one that is not a next token: the end of each fact learns to tell what the fact's name is worth.
"""
_KIND = {kind: number for number, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class Mix:
    """Shares of the formats among a row's branches; they need not sum to one."""

    direct: float = 4.0
    think: float = 3.0
    forced: float = 1.0
    """A chain cut anywhere, then `<answer>` and the right number."""
    prepared: float = 2.0
    """Notes, then some questions on them."""
    verify: float = 1.5
    """Besides the one check that each row begins with."""


@dataclass(frozen=True)
class Solution:
    """A chain that a model wrote for question number `question` of training context number `context`."""

    context: int
    question: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Rows of equal length: tokens, positions, targets (-1 where none) and kinds are [rows, length], nodes one deeper.

    Targets are the next tokens within a branch, and at the end of each fact its value. Positions go on from the
    parent's end in each branch.
    """

    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]
    targets: NDArray[np.int64]
    kinds: NDArray[np.int64]
    nodes: NDArray[np.int64]


@dataclass
class _Row:
    """One row under construction."""

    length: int
    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    nodes: list[tuple[int, int, int]] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def fits(self, tokens: Sequence[int]) -> bool:
        return len(self.tokens) + len(tokens) <= self.length

    def add(self, tokens: Sequence[int], kinds: Sequence[int], parent: int | None) -> int:
        """Adds a node below another; `kinds` holds -1 for a token that is not to be predicted. Gives its number."""
        node, start = len(self.ends), 0 if parent is None else self.ends[parent]
        above = node if parent is None else parent
        top = above if parent is None or parent == 0 else 0
        self.tokens += tokens
        self.positions += range(start, start + len(tokens))
        self.targets += [token if kind >= 0 else -1 for token, kind in zip(tokens[1:], kinds[1:], strict=True)] + [-1]
        self.kinds += [*kinds[1:], -1]
        self.nodes += [(node, above, top)] * len(tokens)
        self.ends.append(start + len(tokens))
        return node

    def tell_values(self, context: Context) -> None:
        """Makes the value of each fact the target at its end."""
        ends = [place for place, token in enumerate(self.tokens) if token == words.STOP]
        for place, value in zip(ends, context.values, strict=True):
            self.targets[place], self.kinds[place] = value, _KIND["value"]


def make_batch(
    language: Language, mix: Mix, first: int, rows: int, length: int, solutions: Mapping[int, Sequence[Solution]]
) -> Batch:
    """Rows of the training contexts `first`, `first + 1`, ..., the same for the same arguments.

    `solutions` holds what a model wrote for some of the contexts; they are what `verify` branches judge there.
    """
    made = [_make_row(language, mix, index, length, solutions.get(index, ())) for index in range(first, first + rows)]
    return Batch(
        tokens=_padded([row.tokens for row in made], length, words.PAD),
        positions=_padded([row.positions for row in made], length, 0),
        targets=_padded([row.targets for row in made], length, -1),
        kinds=_padded([row.kinds for row in made], length, -1),
        nodes=_padded([row.nodes for row in made], length, (-1, -1, -1)),
    )


def _make_row(language: Language, mix: Mix, index: int, length: int, solutions: Sequence[Solution]) -> _Row:
    context = make_context(language, Split.TRAIN, index)
    random = np.random.default_rng(np.random.SeedSequence(language.seed, spawn_key=(99, index)))
    questions = make_questions(language, context, 24)
    row = _Row(length)
    prompt = context_prompt(context)
    row.add(prompt, [-1] * len(prompt), None)
    row.tell_values(context)
    for solution in solutions:
        _add_check(row, context, questions[solution.question], solution.tokens)
    if not solutions:
        _add_made_check(row, context, questions[0], random)
    shares = np.cumsum([mix.direct, mix.think, mix.forced, mix.prepared, mix.verify])
    misses = 0
    for question in questions:
        kind = int(np.searchsorted(shares, random.random() * shares[-1], side="right"))
        added = _add_branch(row, kind, context, question, questions, random)
        misses += not added
        if misses > 3:
            break
    return row


def _add_branch(
    row: _Row,
    kind: int,
    context: Context,
    question: Question,
    questions: Sequence[Question],
    random: np.random.Generator,
) -> bool:
    if kind == 0:
        return _add_answer(row, context, question, None, 0, "direct")
    if kind == 1:
        return _add_answer(row, context, question, None, 0, "think")
    if kind == 2:
        return _add_forced(row, context, question, random)
    if kind == 3:
        return _add_prepared(row, context, questions, random)
    return _add_made_check(row, context, question, random)


def _add_answer(
    row: _Row, context: Context, question: Question, noted: Sequence[int] | None, parent: int, mode: str
) -> bool:
    asked = question_tokens(question)
    mark, kind = (words.DIRECT, "direct") if mode == "direct" else (words.THINK, "think")
    kind = kind if noted is None else f"{kind} noted"
    answer = [question.answer, words.END] if mode == "direct" else chain(context, question, noted)
    return _add(row, [*asked, mark], answer, _KIND[kind], parent)


def _add_forced(row: _Row, context: Context, question: Question, random: np.random.Generator) -> bool:
    """The cut itself is not predicted: whoever runs the model makes it."""
    asked, worked = [*question_tokens(question), words.THINK], chain(context, question)
    cut = worked[: int(random.integers(len(worked) - 2))]
    tokens = [*asked, *cut, words.ANSWER, question.answer, words.END]
    kinds = [_KIND["question"]] * len(asked) + [_KIND["think"]] * len(cut) + [-1] + [_KIND["forced"]] * 2
    return _add_node(row, tokens, kinds, 0)


def _add_prepared(row: _Row, context: Context, questions: Sequence[Question], random: np.random.Generator) -> bool:
    efforts: tuple[Effort, ...] = ("low", "medium", "high")
    section = notes(context, efforts[int(random.integers(3))])
    if not row.fits(section):
        return False
    node = row.add(section, [_KIND["notes"]] * len(section), 0)
    for place in random.permutation(len(questions))[:3]:
        _add_answer(row, context, questions[place], section, node, "direct" if random.random() < 0.5 else "think")
    return True


def _add_made_check(row: _Row, context: Context, question: Question, random: np.random.Generator) -> bool:
    """A check of a right chain or, as often, of one with a slip."""
    slip = list(Slip)[min(int(random.integers(8)), 4)] if random.random() < 0.5 else None
    worked = chain(context, question)[:-1] if slip is None else corrupted(context, question, slip, random)
    return _add_check(row, context, question, worked)


def _add_check(row: _Row, context: Context, question: Question, worked: Sequence[int]) -> bool:
    asked = verify_prompt(context, question, worked)[len(context_prompt(context)) :]
    checked = check(context, question, worked)
    kinds = [-1] * len(asked) + [_KIND["verify"]] * (len(checked) - 2) + [_KIND["verdict"]] * 2
    return _add_node(row, [*asked, *checked], kinds, 0)


def _add(row: _Row, asked: Sequence[int], answer: Sequence[int], kind: int, parent: int) -> bool:
    return _add_node(row, [*asked, *answer], [_KIND["question"]] * len(asked) + [kind] * len(answer), parent)


def _add_node(row: _Row, tokens: Sequence[int], kinds: Sequence[int], parent: int) -> bool:
    if not row.fits(tokens):
        return False
    row.add(tokens, kinds, parent)
    return True


def _padded(rows: Sequence[Sequence[object]], length: int, filler: object) -> NDArray[np.int64]:
    return np.array([[*row, *[filler] * (length - len(row))] for row in rows], dtype=np.int64)
