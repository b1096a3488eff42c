"""Judging the lab's model: questions with their contexts, right answers counted, quick looks while it trains."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sim.lab.language import (
    MAX_TOKENS,
    Context,
    Effort,
    Language,
    Mode,
    Question,
    Split,
    make_context,
    make_questions,
    noted_section,
    notes,
    prepare_prompt,
    question_prompt,
    read_answer,
)
from sim.lab.training.branches import Solution
from sim.lab.training.model import Decoder
from sim.lab.training.sampling import generate

__all__ = [
    "Asked",
    "Runs",
    "answered",
    "asked",
    "majority",
    "own_solutions",
    "prepared",
    "quick_accuracies",
    "right_share",
    "within_question_auc",
]

_log = logging.getLogger(__name__)

Runs = list[list[list[int]]]
"""What was generated: for each question, for each sample, tokens."""


@dataclass(frozen=True)
class Asked:
    """A question with its context."""

    context: Context
    question: Question

    def right(self, generated: Sequence[int]) -> bool:
        """Whether generated tokens give the right answer."""
        return read_answer(generated) == self.question.answer


def asked(language: Language, split: Split, contexts: int, questions: int, first: int = 0) -> list[Asked]:
    """`questions` questions of each of `contexts` contexts of a split."""
    made = (make_context(language, split, index) for index in range(first, first + contexts))
    return [Asked(context, question) for context in made for question in make_questions(language, context, questions)]


def answered(
    model: Decoder,
    items: Sequence[Asked],
    mode: Mode,
    noted: Mapping[int, Sequence[int]] | None = None,
    temperature: float = 0.0,
    samples: int = 1,
    seed: int = 0,
) -> Runs:
    """What the model writes to each question, on notes by context number where there are some."""
    prompts = [
        question_prompt(item.context, item.question, mode, None if noted is None else noted[item.context.index])
        for item in items
    ]
    return generate(model, prompts, MAX_TOKENS[mode], temperature, samples, seed)


def prepared(model: Decoder, items: Sequence[Asked], effort: Effort) -> dict[int, list[int]]:
    """The notes that the model writes, greedily, for each context, by its number."""
    contexts = {item.context.index: item.context for item in items}
    prompts = [prepare_prompt(context, effort) for context in contexts.values()]
    written = generate(model, prompts, MAX_TOKENS["prepare"])
    return {index: noted_section(effort, rows[0]) for index, rows in zip(contexts, written, strict=True)}


def right_share(items: Sequence[Asked], runs: Runs) -> float:
    """Share of right answers among all samples."""
    return float(np.mean([item.right(row) for item, rows in zip(items, runs, strict=True) for row in rows]))


def majority(answers: Sequence[int | None]) -> int | None:
    """The commonest number; of equals, the one that came first.

    >>> majority([4, None, 7, 7, 4]), majority([None])
    (4, None)
    """
    counts = Counter(answer for answer in answers if answer is not None)
    return counts.most_common(1)[0][0] if counts else None


def within_question_auc(scores: Iterable[tuple[Sequence[float], Sequence[float]]]) -> float:
    """Chance that a right solution scores above a wrong one of the same question, a tie counting half.

    Each item holds the scores of a question's right and wrong solutions; every question weighs alike.

    >>> within_question_auc([([1.0], [0.0, 1.0]), ([0.5], [0.5])])
    0.625
    """
    shares = []
    for right, wrong in scores:
        gap = np.subtract.outer(np.asarray(right), np.asarray(wrong))
        shares.append(float(np.mean((gap > 0) + 0.5 * (gap == 0))))
    return float(np.mean(shares)) if shares else float("nan")


def quick_accuracies(model: Decoder, language: Language, count: int = 256) -> dict[str, float]:
    """Accuracies of dev questions, for a training log: greedy, one sample at temperature 1, and on right notes."""
    items = asked(language, Split.DEV, count, 1)
    sections = {item.context.index: notes(item.context, "low") for item in items}
    runs = {
        "direct": answered(model, items, "direct"),
        "think": answered(model, items, "think"),
        "think sampled": answered(model, items, "think", temperature=1.0),
        "direct noted": answered(model, items, "direct", sections),
    }
    return {name: round(right_share(items, run), 4) for name, run in runs.items()}


def own_solutions(model: Decoder, language: Language, contexts: Sequence[int]) -> dict[int, list[Solution]]:
    """Chains that the model samples at temperature 1 for the first question of training contexts.

    All the wrong ones, and as many right ones.
    """
    items = [made for index in contexts for made in asked(language, Split.TRAIN, 1, 1, index)]
    chains = [rows[0] for rows in answered(model, items, "think", temperature=1.0)]
    right = [item.right(chain) for item, chain in zip(items, chains, strict=True)]
    room = len(right) - sum(right)
    kept: dict[int, list[Solution]] = {}
    for item, chain, good in zip(items, chains, right, strict=True):
        room -= good
        if not good or room >= 0:
            kept[item.context.index] = [Solution(item.context.index, item.question.index, tuple(chain[:-1]))]
    _log.info("own chains: %d right and %d wrong, %d kept", sum(right), len(right) - sum(right), len(kept))
    return kept
