"""The lab's language from the outside: what to ask a model, what it may answer, and how to read it.

A sequence is `context [notes] <question> question <mode> continuation <end>`, the context first, so that everything
asked of it shares that prefix. The continuation is a number (`<direct>`), a chain and `<answer>` with a number
(`<think>`), or after a worked solution and `<check>` a check and `<yes>` or `<no>` (`<verify>`). Notes follow
the context and an effort's mark, and end with `<noted>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sim.lab.language.chains import Slip, chain, check, corrupted, noted_values, notes
from sim.lab.language.contexts import Context, Fact, Language, Question, Split, make_context, make_questions
from sim.lab.language.words import (
    ANSWER,
    BEGIN,
    CHECK,
    DIRECT,
    EFFORTS,
    END,
    NO,
    NOTED,
    PAD,
    QUESTION,
    THINK,
    VERIFY,
    VOCABULARY,
    VOCABULARY_SIZE,
    YES,
    decode,
    encode,
    is_value,
)

__all__ = [
    "ANSWER",
    "EFFORTS",
    "END",
    "MAX_POSITIONS",
    "MAX_TOKENS",
    "NOTED",
    "PAD",
    "STOP_TOKENS",
    "VOCABULARY",
    "VOCABULARY_SIZE",
    "Context",
    "Effort",
    "Fact",
    "Language",
    "Mode",
    "Question",
    "Slip",
    "Split",
    "chain",
    "check",
    "context_prompt",
    "corrupted",
    "decode",
    "encode",
    "forced_answer_prompt",
    "make_context",
    "make_questions",
    "noted_section",
    "noted_values",
    "notes",
    "prepare_prompt",
    "question_prompt",
    "question_tokens",
    "read_answer",
    "read_verdict",
    "verify_prompt",
]

Effort = Literal["low", "medium", "high"]
Mode = Literal["direct", "think"]

STOP_TOKENS: frozenset[int] = frozenset({END, NOTED})
"""Tokens after which nothing more is generated, in any mode."""

MAX_TOKENS = {"direct": 2, "think": 96, "prepare": 96, "verify": 100}
"""The most tokens a right continuation has, by mode, with room to spare; a server stops there."""
MAX_POSITIONS = 384
"""No prompt with its continuation is longer, whatever the model writes within MAX_TOKENS."""


def context_prompt(context: Context) -> list[int]:
    """The prefix that everything asked of a context shares."""
    return [BEGIN, *context.tokens]


def prepare_prompt(context: Context, effort: Effort) -> list[int]:
    """Asks for notes; what is generated ends with `<noted>`."""
    return [*context_prompt(context), EFFORTS[effort]]


def noted_section(effort: Effort, generated: Sequence[int]) -> list[int]:
    """Notes as prompts take them: the effort's mark, what was generated, and `<noted>`, added where it is missing."""
    body = [token for token in generated if token not in STOP_TOKENS]
    return [EFFORTS[effort], *body, NOTED]


def question_tokens(question: Question) -> list[int]:
    """The question as the model reads it, and as it is scored by log p(question | context)."""
    return [QUESTION, *question.tokens]


def question_prompt(context: Context, question: Question, mode: Mode, notes: Sequence[int] | None = None) -> list[int]:
    """Asks a question of a context, or of one prepared by notes (`noted_section`)."""
    mark = DIRECT if mode == "direct" else THINK
    return [*context_prompt(context), *(notes or ()), *question_tokens(question), mark]


def forced_answer_prompt(prompt: Sequence[int], generated: Sequence[int]) -> list[int]:
    """Ends a chain of thought at the tokens generated so far: the next token is the answer."""
    return [*prompt, *generated, ANSWER]


def verify_prompt(context: Context, question: Question, solution: Sequence[int]) -> list[int]:
    """Asks for a check of a worked solution (what `<think>` generated); its `<end>` is left out."""
    worked = [token for token in solution if token != END]
    return [*context_prompt(context), *question_tokens(question), VERIFY, *worked, CHECK]


def read_answer(generated: Sequence[int]) -> int | None:
    """The number after the last `<answer>`, or a number that comes first (direct and forced answers); else None.

    >>> read_answer(encode("d a : d a 4 *7 2 <answer> 2 <end>")), read_answer(encode("5 <end>"))
    (2, 5)
    """
    for place in range(len(generated) - 1, 0, -1):
        if generated[place - 1] == ANSWER:
            return generated[place] if is_value(generated[place : place + 1]) else None
    return generated[0] if generated and is_value(generated[:1]) else None


def read_verdict(generated: Sequence[int]) -> bool | None:
    """Whether a check ends in `<yes>`; None where it does not come to a verdict."""
    verdicts = [token == YES for token in generated if token in (YES, NO)]
    return verdicts[-1] if verdicts else None
