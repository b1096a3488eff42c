"""Worked solutions of the lab's language: chains of thought, notes ahead of questions, checks, and corrupted chains.

Every token is a copy of an earlier one or one operation of arithmetic. A question `g` is worked out so: a plan,
which walks back from the name to one whose value is known (`g d a :`), then for each planned name, the last first,
its name, what it is made of, the value of that, the operation and the result (`d a 4 *7 2 g d 2 +1 3`), then
`<answer> 3 <end>`. A question with several names does this for each that is not yet known, and then joins them:
`g 3 k 5 + 8`, and for a third name `h 2 - 6` more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil

import numpy as np

from sim.lab.language import words
from sim.lab.language.contexts import Context, Question

__all__ = ["Slip", "chain", "check", "corrupted", "noted_values", "notes"]

_SHARE_NOTED = {"low": 0.0, "medium": 2 / 3, "high": 1.0}


class Slip(StrEnum):
    """A way in which a corrupted solution goes wrong, once; what follows builds on it."""

    RESULT = "result"
    """Wrong arithmetic."""
    VALUE = "value"
    """A wrong value is read for what a name is made of."""
    OPERATION = "operation"
    """The operation of another fact."""
    NAME = "name"
    """Another quantity is worked out."""
    ANSWER = "answer"
    """An answer that is not the result."""


@dataclass
class _Writer:
    """Writes a chain unit by unit (a plan, a step, a joint, the answer); `known` grows on the way."""

    context: Context
    known: dict[int, int]
    slip: Slip | None = None
    slip_at: int = 0
    random: np.random.Generator | None = None
    units: list[list[int]] = field(default_factory=list)
    steps_done: int = 0

    def work_out(self, name: int) -> None:
        """Plan and steps for one name; nothing where its value is known."""
        facts = {fact.name: fact for fact in self.context.facts}
        path = [name]
        while path[-1] not in self.known:
            path.append(facts[path[-1]].operand)
        self.units.append([*path, words.COLON])
        for key in path[-2::-1]:
            fact = facts[key]
            assert fact.operation is not None
            value, operation = self.known[fact.operand], fact.operation
            if self._slips(Slip.VALUE):
                value = self._other_value(value)
            if self._slips(Slip.OPERATION):
                operation = self._other_operation(operation)
            result = words.apply(operation, value, self.context.modulus)
            self.known[key] = self._result(result)
            self.units.append([key, fact.operand, value, operation, self.known[key]])

    def join(self, tokens: Sequence[int]) -> int:
        """The joints of a question's tokens, and the answer."""
        answer = self.known[tokens[0]]
        unit = [tokens[0], answer]
        for sign, name in zip(tokens[1::2], tokens[2::2], strict=True):
            value = self.known[name]
            answer = (answer + value if sign == words.PLUS_VAR else answer - value) % self.context.modulus
            answer = self._result(answer)
            self.units.append([*unit, name, value, sign, answer])
            unit = []
        return answer

    def answer(self, value: int) -> None:
        """The last unit."""
        self.units.append([words.ANSWER, self._other_value(value) if self.slip is Slip.ANSWER else value])

    def _result(self, value: int) -> int:
        value = self._other_value(value) if self._slips(Slip.RESULT) else value
        self.steps_done += 1
        return value

    def _slips(self, slip: Slip) -> bool:
        return self.slip is slip and self.steps_done == self.slip_at

    def _other_value(self, value: int) -> int:
        assert self.random is not None
        return (value + 1 + int(self.random.integers(self.context.modulus - 1))) % self.context.modulus

    def _other_operation(self, operation: int) -> int:
        assert self.random is not None
        others = [
            fact.operation for fact in self.context.facts if fact.operation is not None and fact.operation != operation
        ]
        return others[int(self.random.integers(len(others)))] if others else operation


def chain(context: Context, question: Question, noted: Sequence[int] | None = None) -> list[int]:
    """The right way from a context, and from notes as they stand, to `<answer> value <end>`."""
    writer = _Writer(context, _known(context, noted))
    _solve(writer, question.tokens)
    return [*_flat(writer.units), words.END]


def notes(context: Context, effort: str) -> list[int]:
    """The right notes of an effort: its mark, worked out names, `<noted>`.

    `low` works out the name that the topic points at, `medium` goes on until two thirds of the derived names are
    known, `high` until all are, the last unknown name first each time.
    """
    writer = _Writer(context, _known(context, None))
    derived = [context.facts[place].name for place in context.derived]
    writer.work_out(context.facts[context.favourite].name)
    wanted = ceil(_SHARE_NOTED[effort] * len(derived))
    while sum(name in writer.known for name in derived) < wanted:
        writer.work_out(next(name for name in reversed(derived) if name not in writer.known))
    return [words.EFFORTS[effort], *_flat(writer.units), words.NOTED]


def noted_values(notes_section: Sequence[int]) -> dict[int, int]:
    """Value by name that notes state, right or wrong; whatever is not a complete step is passed over."""
    found: dict[int, int] = {}
    for place, token in enumerate(notes_section[:-1]):
        name, value = notes_section[place - 3] if place > 2 else -1, notes_section[place + 1]
        if token in words.OPERATIONS and name in words.NAMES and words.is_value([value]):
            found[name] = value
    return found


def check(context: Context, question: Question, solution: Sequence[int]) -> list[int]:
    """The right check of a worked solution: solve anew, stop after the first unit that differs, and judge.

    Ends in `<yes> <end>` where the solution is the right chain to the right answer, else in `<no> <end>`.
    """
    writer = _Writer(context, _known(context, None))
    _solve(writer, question.tokens)
    written: list[int] = []
    for unit in writer.units:
        given = list(solution[len(written) : len(written) + len(unit)])
        written += unit
        if given != unit:
            return [*written, words.NO, words.END]
    return [*written, words.YES, words.END]


def corrupted(context: Context, question: Question, slip: Slip, random: np.random.Generator) -> list[int]:
    """A chain with one slip, up to its answer, without `<end>`. By chance its answer may be right all the same."""
    tokens = question.tokens
    if slip is Slip.NAME:
        tokens = (_other_name(context, question, random), *tokens[1:])
    joints = len(tokens) // 2
    slip_at = int(random.integers(question.steps - (0 if slip is Slip.RESULT else joints)))
    writer = _Writer(context, _known(context, None), slip, slip_at, random)
    _solve(writer, tokens)
    return _flat(writer.units)


def _other_name(context: Context, question: Question, random: np.random.Generator) -> int:
    others = [fact.name for fact in context.facts if fact.name not in question.tokens]
    return others[int(random.integers(len(others)))] if others else question.tokens[0]


def _solve(writer: _Writer, tokens: Sequence[int]) -> None:
    """A name that an earlier plan has already worked out is not planned again."""
    names = tokens[::2]
    for place, name in enumerate(names):
        if place == 0 or name not in writer.known:
            writer.work_out(name)
    writer.answer(writer.join(tokens))


def _known(context: Context, noted: Sequence[int] | None) -> dict[int, int]:
    known = {fact.name: fact.operand for fact in context.facts if fact.operation is None}
    return known | (noted_values(noted) if noted else {})


def _flat(units: Sequence[Sequence[int]]) -> list[int]:
    return [token for unit in units for token in unit]
