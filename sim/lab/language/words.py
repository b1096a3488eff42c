"""The words of the lab's language: every token is a word, and a text is its words joined by spaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sim.errors import InputError

__all__ = [
    "ANSWER",
    "BEGIN",
    "CHECK",
    "COLON",
    "DIRECT",
    "EFFORTS",
    "END",
    "EQUALS",
    "LARGEST_MODULUS",
    "MINUS_VAR",
    "NAMES",
    "NO",
    "NOTED",
    "OPERATIONS",
    "PAD",
    "PLUS_VAR",
    "QUESTION",
    "STOP",
    "THINK",
    "TIMES_FROM",
    "TOPICS",
    "VERIFY",
    "VOCABULARY",
    "VOCABULARY_SIZE",
    "YES",
    "apply",
    "decode",
    "encode",
    "is_value",
    "operation",
]

LARGEST_MODULUS = 17
TIMES_FROM = 2

_VALUES = [str(value) for value in range(LARGEST_MODULUS)]
_NAMES = list("abcdefghijklmnop")
_CONSTANTS = range(1, LARGEST_MODULUS)
_OPERATIONS = [f"{sign}{constant}" for sign in "+-" for constant in _CONSTANTS]
_OPERATIONS += [f"*{constant}" for constant in _CONSTANTS if constant >= TIMES_FROM]
_TOPICS = ["<last>", "<third>", "<hub>", "<any>"]
_MARKS = ["<pad>", "<begin>", "<question>", "<direct>", "<think>", "<verify>", "<check>", "<answer>"]
_MARKS += ["<low>", "<medium>", "<high>", "<noted>", "<yes>", "<no>", "<end>"]

VOCABULARY: tuple[str, ...] = (*_VALUES, *_NAMES, "=", ";", ":", "+", "-", *_OPERATIONS, *_TOPICS, *_MARKS)
"""All words; a token is the place of its word here, and a value's token is the value."""
VOCABULARY_SIZE = len(VOCABULARY)
_TOKENS: Mapping[str, int] = {word: token for token, word in enumerate(VOCABULARY)}

NAMES: tuple[int, ...] = tuple(_TOKENS[name] for name in _NAMES)
OPERATIONS: Mapping[int, tuple[str, int]] = {_TOKENS[word]: (word[0], int(word[1:])) for word in _OPERATIONS}
"""Sign and constant of each operation's token."""
TOPICS: tuple[int, ...] = tuple(_TOKENS[topic] for topic in _TOPICS)
EQUALS, STOP, COLON, PLUS_VAR, MINUS_VAR = (_TOKENS[word] for word in ("=", ";", ":", "+", "-"))
PAD, BEGIN, QUESTION, DIRECT, THINK, VERIFY, CHECK, ANSWER = (_TOKENS[word] for word in _MARKS[:8])
NOTED, YES, NO, END = (_TOKENS[word] for word in _MARKS[11:])
EFFORTS: Mapping[str, int] = {effort: _TOKENS[f"<{effort}>"] for effort in ("low", "medium", "high")}


def encode(text: str) -> list[int]:
    """Tokens of a text of words and spaces. Raises InputError at a word that is not of the language.

    >>> decode(encode("b = a *7 ;"))
    'b = a *7 ;'
    """
    words = text.split()
    unknown = next((word for word in words if word not in _TOKENS), None)
    if unknown is not None:
        raise InputError(unknown, "is no word of the lab's language", "write numbers, names and marks as `decode` does")
    return [_TOKENS[word] for word in words]


def decode(tokens: Iterable[int]) -> str:
    """The text of tokens: their words, joined by spaces."""
    return " ".join(VOCABULARY[token] for token in tokens)


def operation(sign: str, constant: int) -> int:
    """The token of an operation with a constant, such as ("+", 3)."""
    return _TOKENS[f"{sign}{constant}"]


def apply(token: int, value: int, modulus: int) -> int:
    """The result of an operation's token on a value.

    >>> apply(operation("*", 7), 4, 13)
    2
    """
    sign, constant = OPERATIONS[token]
    return {"+": value + constant, "-": value - constant, "*": value * constant}[sign] % modulus


def is_value(tokens: Sequence[int]) -> bool:
    """Whether all of the tokens are numbers."""
    return all(0 <= token < LARGEST_MODULUS for token in tokens)
