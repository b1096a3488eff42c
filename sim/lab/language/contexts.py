"""Contexts and questions of the lab's language: seeded stateful arithmetic, as much of it as is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.lab.language import words

__all__ = ["Context", "Fact", "Language", "Question", "Split", "make_context", "make_questions"]


class Split(StrEnum):
    """Parts of the data; a context belongs to exactly one."""

    TRAIN = "train"
    DEV = "dev"
    TEST = "test"


@dataclass(frozen=True)
class Language:
    """What contexts and questions are drawn from. All numbers are modulo `modulus`.

    A context is a topic and some facts. A fact gives a new name its value: a number, or the value of an earlier
    name changed by one operation with a constant.
    """

    modulus: int = 13
    min_facts: int = 5
    max_facts: int = 12
    constant_exponent: float = 2.3
    """The n-th smallest constant of an operation has weight n ** -constant_exponent: large constants are rare."""
    times_share: float = 0.3
    """Share of multiplications among the operations; the rest is plus and minus in equal parts."""
    root_share: float = 0.12
    """Chance that a fact after the third states a number, as the first always does."""
    chain_share: float = 0.75
    """Chance that a fact builds on the one before it, and not on any earlier one."""
    max_steps: int = 8
    """The longest chain of dependent operations."""
    predictable_share: float = 0.6
    """Share of questions that ask for one named quantity."""
    topic_sharpness: float = 0.85
    """Chance that such a question asks for the name its context's topic points at; else for any derived name."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.modulus <= words.LARGEST_MODULUS:
            raise InputError(self.modulus, "is no usable modulus", f"give 2 to {words.LARGEST_MODULUS}")
        if not 4 <= self.min_facts <= self.max_facts <= len(words.NAMES):
            rule = "are not facts from fewest to most"
            raise InputError((self.min_facts, self.max_facts), rule, f"give 4 to {len(words.NAMES)}")

    @classmethod
    def training(cls) -> Language:
        """What the shipped model learned from: rare constants are seen so seldom that it knows them only in part."""
        return cls()

    @classmethod
    def held_out(cls) -> Language:
        """What it is judged on: longer contexts and less rare constants, so harder than the training mix on purpose."""
        return replace(cls.training(), min_facts=8, constant_exponent=1.5, times_share=0.4)


@dataclass(frozen=True)
class Fact:
    """One fact, in tokens: a name, what it is made of (a number or an earlier name), and the operation, if any."""

    name: int
    operand: int
    operation: int | None

    @property
    def tokens(self) -> tuple[int, ...]:
        """`b = a *7 ;` or `a = 4 ;`."""
        middle = () if self.operation is None else (self.operation,)
        return (self.name, words.EQUALS, self.operand, *middle, words.STOP)


@dataclass(frozen=True)
class Context:
    """A topic and facts in dependency order, with the value of each fact and its number of dependent steps."""

    index: int
    split: Split
    modulus: int
    topic: int
    facts: tuple[Fact, ...]
    values: tuple[int, ...]
    steps: tuple[int, ...]

    @property
    def tokens(self) -> tuple[int, ...]:
        """The context as text: its topic, then its facts."""
        return (self.topic, *(token for fact in self.facts for token in fact.tokens))

    @property
    def derived(self) -> tuple[int, ...]:
        """Places of the facts with an operation, in order."""
        return tuple(place for place, fact in enumerate(self.facts) if fact.operation is not None)

    @property
    def favourite(self) -> int:
        """Place of the fact that the topic points at; where it points at none (`<any>`), the last derived one."""
        derived = self.derived
        if self.topic == words.TOPICS[1]:
            return derived[min(2, len(derived) - 1)]
        if self.topic == words.TOPICS[2]:
            used = [fact.operand for fact in self.facts if fact.operation is not None]
            return max(derived, key=lambda place: (used.count(self.facts[place].name), -place))
        return derived[-1]


@dataclass(frozen=True)
class Question:
    """A question about a context, with its right answer (a number, which is also its token).

    `tokens` is a name (predictable), or two or three names joined by plus and minus; `steps` counts the operations
    on which the answer depends.
    """

    context: int
    index: int
    predictable: bool
    steps: int
    tokens: tuple[int, ...]
    answer: int


def make_context(language: Language, split: Split, index: int) -> Context:
    """Context number `index` of a split, always the same for the same language."""
    random = _generator(language, split, index, 0)
    count = int(random.integers(language.min_facts, language.max_facts, endpoint=True))
    names = [words.NAMES[place] for place in random.permutation(len(words.NAMES))[:count]]
    facts: list[Fact] = []
    values: list[int] = []
    steps: list[int] = []
    for place, name in enumerate(names):
        if place == 0 or (place > 2 and random.random() < language.root_share):
            value = int(random.integers(language.modulus))
            facts.append(Fact(name, value, None))
            values.append(value)
            steps.append(0)
            continue
        parent = _parent(language, random, steps)
        token = _operation(language, random)
        facts.append(Fact(name, names[parent], token))
        values.append(words.apply(token, values[parent], language.modulus))
        steps.append(steps[parent] + 1)
    topic = words.TOPICS[int(random.integers(len(words.TOPICS)))]
    return Context(index, split, language.modulus, topic, tuple(facts), tuple(values), tuple(steps))


def make_questions(language: Language, context: Context, count: int) -> list[Question]:
    """The first `count` questions of a context, drawn independently: a likely one may be asked more than once."""
    random = _generator(language, context.split, context.index, 1)
    return [_question(language, context, index, random) for index in range(count)]


def _question(language: Language, context: Context, index: int, random: np.random.Generator) -> Question:
    derived = context.derived
    if random.random() < language.predictable_share:
        told = context.topic != words.TOPICS[3] and random.random() < language.topic_sharpness
        place = context.favourite if told else derived[int(random.integers(len(derived)))]
        tokens: tuple[int, ...] = (context.facts[place].name,)
        return Question(context.index, index, True, context.steps[place], tokens, context.values[place])
    size = min(2 + int(random.integers(2)), len(derived))
    places = [derived[chosen] for chosen in random.permutation(len(derived))[:size]]
    signs = [words.PLUS_VAR if random.random() < 0.5 else words.MINUS_VAR for _ in places[1:]]
    tokens, answer = (context.facts[places[0]].name,), context.values[places[0]]
    for sign, place in zip(signs, places[1:], strict=True):
        tokens += (sign, context.facts[place].name)
        answer += context.values[place] * (1 if sign == words.PLUS_VAR else -1)
    steps = len(_ancestors(context, places)) + len(signs)
    return Question(context.index, index, False, steps, tokens, answer % language.modulus)


def _ancestors(context: Context, places: list[int]) -> set[int]:
    """Places of all derived facts on which some places depend, themselves included."""
    by_name = {fact.name: place for place, fact in enumerate(context.facts)}
    found: set[int] = set()
    for place in places:
        while context.facts[place].operation is not None and place not in found:
            found.add(place)
            place = by_name[context.facts[place].operand]
    return found


def _parent(language: Language, random: np.random.Generator, steps: list[int]) -> int:
    last = len(steps) - 1
    if steps[last] < language.max_steps and random.random() < language.chain_share:
        return last
    open_places = [place for place, depth in enumerate(steps) if depth < language.max_steps]
    return open_places[int(random.integers(len(open_places)))]


def _operation(language: Language, random: np.random.Generator) -> int:
    sign = "*" if random.random() < language.times_share else "+-"[int(random.integers(2))]
    shares = _constant_shares(language, sign)
    return words.operation(sign, int(np.searchsorted(shares, random.random(), side="right")) + _least(sign))


def _least(sign: str) -> int:
    return words.TIMES_FROM if sign == "*" else 1


@lru_cache(maxsize=64)
def _constant_shares(language: Language, sign: str) -> NDArray[np.float64]:
    """Cumulative shares of the constants of a sign, the smallest first, without the last (which is 1)."""
    ranks = np.arange(1, language.modulus - _least(sign) + 1)
    weights = (1.0 * ranks) ** -language.constant_exponent
    return np.cumsum(weights / weights.sum())[:-1]


def _generator(language: Language, split: Split, index: int, purpose: int) -> np.random.Generator:
    key = (list(Split).index(split), index, purpose)
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(language.seed, spawn_key=key)))
