"""A decoder that holds tokens in place of KV and writes what a script says, and a script that knows all answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.lab.language import chain, context_prompt, notes, read_answer
from sim.lab.language.contexts import Context, Question
from sim.lab.language.words import (
    ANSWER,
    CHECK,
    DIRECT,
    EFFORTS,
    END,
    NAMES,
    NO,
    NOTED,
    PLUS_VAR,
    QUESTION,
    THINK,
    VERIFY,
    VOCABULARY_SIZE,
    YES,
)

Tokens = tuple[int, ...]
Chances = Mapping[int, float]
MARKS = dict(zip(EFFORTS.values(), EFFORTS, strict=True))


@dataclass
class ScriptedDecoder:
    """Reads a token where it is told to; what lay there and behind is of no account any more."""

    script: Callable[[Tokens], Chances]
    """Chances of the next token after all tokens so far."""
    slots: int = 24
    capacity: int = 384
    calls: int = 0
    rows: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = [[] for _ in range(self.slots)]

    def decode(self, tokens: NDArray[np.int32], lengths: NDArray[np.int32]) -> NDArray[np.float32]:
        self.calls += 1
        pairs = enumerate(zip(tokens.tolist(), lengths.tolist(), strict=True))
        return np.stack([self._read(slot, token, length) for slot, (token, length) in pairs])

    def prefill(
        self, slot: int, tokens: NDArray[np.int32], start: int, *, every_token: bool = False
    ) -> NDArray[np.float32]:
        logits = np.stack([self._read(slot, token, start + place) for place, token in enumerate(tokens.tolist())])
        return logits if every_token else logits[-1]

    def copy(self, source: int, target: int, tokens: int) -> None:
        assert tokens <= len(self.rows[source])
        self.rows[target] = self.rows[source][:tokens]

    def _read(self, slot: int, token: int, length: int) -> NDArray[np.float32]:
        assert length <= len(self.rows[slot]) < self.capacity, "a row reads beyond what it holds"
        self.rows[slot] = [*self.rows[slot][:length], token]
        logits = np.full(VOCABULARY_SIZE, -40.0, np.float32)
        for chosen, chance in self.script(tuple(self.rows[slot])).items():
            logits[chosen] = np.log(chance) if chance else -40.0
        return logits


@dataclass
class Pupil:
    """Right by chance where it answers at once or after a thought, never where it was cut short.

    Its notes are right, its chains too but for the last number; a prepared context makes it sure. Any name may be
    asked about, with equal chances.
    """

    direct: float = 0.3
    thought: float = 0.7
    finds_right_good: float = 0.9
    finds_wrong_good: float = 0.2
    known: dict[Tokens, Context] = field(default_factory=dict)

    def learn(self, context: Context) -> None:
        self.known[tuple(context_prompt(context))] = context

    def __call__(self, tokens: Tokens) -> Chances:
        for prompt, context in self.known.items():
            if tokens[: len(prompt)] == prompt:
                return self.after_context(context, tokens[len(prompt) :])
        return {0: 1.0}

    def after_context(self, context: Context, tokens: Tokens) -> Chances:
        if QUESTION in tokens:
            place = tokens.index(QUESTION)
            return self.after_question(context, tokens[:place], tokens[place + 1 :])
        if not tokens or NOTED in tokens:
            return {QUESTION: 1.0}
        return {notes(context, MARKS[tokens[0]])[len(tokens)]: 1.0}

    def after_question(self, context: Context, noted: Tokens, tokens: Tokens) -> Chances:
        place = next((n for n, token in enumerate(tokens) if token in (DIRECT, THINK, VERIFY)), None)
        if place is None:
            return dict.fromkeys(NAMES, 1 / len(NAMES)) if not tokens else {DIRECT: 0.5, THINK: 0.5}
        question = asked(context, tokens[:place])
        mode, written = tokens[place], tokens[place + 1 :]
        if mode == VERIFY:
            return self.verdict(question, written)
        if mode == DIRECT:
            return self.number(question, 1.0 if noted else self.direct) if not written else {END: 1.0}
        return self.thinks(chain(context, question, noted), question, written, sure=bool(noted))

    def thinks(self, right: list[int], question: Question, written: Tokens, *, sure: bool) -> Chances:
        if written and written[-1] == ANSWER:
            is_whole = list(written) == right[: len(written)]
            return self.number(question, (1.0 if sure else self.thought) if is_whole else 0.0)
        return {END if ANSWER in written else right[len(written)]: 1.0}

    def number(self, question: Question, chance: float) -> Chances:
        return {question.answer: chance, (question.answer + 1) % 13: 1.0 - chance}

    def verdict(self, question: Question, written: Tokens) -> Chances:
        if not written or written[-1] != CHECK:
            return {END: 1.0}
        solution = written[:-1]
        good = self.finds_right_good if read_answer(solution) == question.answer else self.finds_wrong_good
        return {YES: good, NO: 1.0 - good}


def asked(context: Context, words: Sequence[int]) -> Question:
    """The question of these words, with its right answer."""
    values = {fact.name: value for fact, value in zip(context.facts, context.values, strict=True)}
    answer = values[words[0]]
    for sign, name in zip(words[1::2], words[2::2], strict=True):
        answer += values[name] if sign == PLUS_VAR else -values[name]
    return Question(context.index, 0, True, 1, tuple(words), answer % context.modulus)
