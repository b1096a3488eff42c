"""Prompts of a given number of tokens: random short words, or random token ids.

Requests on the same version of a context begin with the same text, as far as the scenario says that they share it,
so that a prefix cache finds what it would find. A server's own answers are in no prompt: in a conversation the turns
before are drawn as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.lab.client.dialect import Prompt
from sim.lab.replay.plan import Planned
from sim.workload.blocks import Integers

__all__ = ["WORDS", "GivenPrompt", "Prompts", "TokenRate", "read_prompts"]

_TEXT = (
    "the of and to in is you that it he was for on are as with his they at be this have from or one had by word "
    "but not what all were we when your can said there use an each which she do how their if will up other about "
    "out many then them these so some her would make like him into time has look two more write go see number no "
    "way could people my than first water been call who oil its now find long down day did get come made may part "
    "over new sound take only little work know place year live me back give most very after thing our just name "
    "good sentence man think say great where help through much before line right too mean old any same tell boy "
    "follow came want show also around form three small set put end does another well large must big even such "
    "because turn here why ask went men read need"
)
WORDS = tuple(_TEXT.split())
"""Common English words: most tokenizers have one token for each of them."""


@dataclass(frozen=True)
class TokenRate:
    """How a server counts the tokens of a prompt of words: so many a word, and some that it adds to each prompt."""

    per_word: float = 1.0
    added: float = 0.0

    @classmethod
    def between(cls, few: tuple[int, int], many: tuple[int, int]) -> TokenRate | None:
        """The rate that two prompts show, each given as words and tokens; None where they show none."""
        (words, tokens), (more_words, more_tokens) = few, many
        if more_tokens <= tokens:
            return None
        per_word = (more_tokens - tokens) / (more_words - words)
        return cls(per_word, tokens - per_word * words)

    def words(self, tokens: int) -> int:
        """Words for a prompt of so many tokens, one at least."""
        return max(round((tokens - self.added) / self.per_word), 1)


class GivenPrompt:
    """A prompt of the user's own, and the longest answer to it where that is given."""

    def __init__(self, prompt: Prompt, max_tokens: int | None) -> None:
        self.prompt, self.max_tokens = prompt, max_tokens


class Prompts:
    """Gives each planned request its prompt; the same request always gets the same one."""

    def __init__(
        self,
        seed: int,
        rate: TokenRate | None = None,
        *,
        ids: tuple[int, int] | None = None,
        given: Mapping[tuple[str, int], GivenPrompt] | None = None,
    ) -> None:
        """`ids` are the lowest and the highest token id to draw in place of words; `given` as in `read_prompts`."""
        self._seed, self._rate, self._ids, self._given = seed, rate or TokenRate(), ids, given or {}

    def of(self, request: Planned) -> Prompt:
        """The prompt of a request: the user's own, else drawn."""
        given = self.given(request)
        if given is not None:
            return given.prompt
        size = self._size(request.prompt_tokens)
        shared = min(round(size * request.shared_tokens / max(request.prompt_tokens, 1)), size)
        parts = (
            self._drawn(shared, 1, max(request.context_id, 0), request.version),
            self._drawn(size - shared, 0, request.number),
        )
        return self._written(np.concatenate(parts))

    def given(self, request: Planned) -> GivenPrompt | None:
        """The user's own prompt for a request."""
        return self._given.get(("question_id", request.question_id)) or self._given.get(("row", request.number))

    def trial(self, size: int, number: int) -> Prompt:
        """A prompt of `size` words or ids that is no request's."""
        return self._written(self._drawn(size, 2, number))

    def _size(self, tokens: int) -> int:
        return max(tokens, 1) if self._ids else self._rate.words(tokens)

    def _drawn(self, size: int, *key: int) -> Integers:
        """The first `size` of the words or ids that belong to a key."""
        random = np.random.Generator(np.random.SFC64(np.random.SeedSequence(self._seed, spawn_key=key)))
        low, high = self._ids or (0, len(WORDS) - 1)
        return random.integers(low, high, size=size, endpoint=True)

    def _written(self, drawn: Integers) -> Prompt:
        return drawn.tolist() if self._ids else " ".join([WORDS[place] for place in drawn.tolist()])


def read_prompts(file: Path) -> dict[tuple[str, int], GivenPrompt]:
    """The prompts of a file of JSON lines, by `("question_id", n)` or `("row", n)`.

    Each line is an object with `question_id` or `row` (the place of the request in the replay, from 0), `prompt` (a
    text, or token ids) and, if it is to be, `max_tokens`.

    Raises:
        InputError: for a file that cannot be read, at the first line that is wrong.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(file, f"cannot be read: {error}", "give a file of JSON lines") from None
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    return dict(_given(line, f"{file}:{number}") for number, line in numbered)


def _given(line: str, where: str) -> tuple[tuple[str, int], GivenPrompt]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise InputError(line, f"is no JSON ({error})", "correct it", where=where) from None
    if not isinstance(value, dict):
        raise InputError(line, "is no JSON object", "correct it", where=where)
    name = "question_id" if "question_id" in value else "row"
    _check(value, name, _is_count, "is not a whole number of at least 0", where)
    _check(value, "prompt", _is_prompt, "is neither a text nor a list of token ids, or it is empty", where)
    if value.get("max_tokens") is not None:
        _check(value, "max_tokens", lambda tokens: _is_count(tokens) and tokens > 0, "is not a count of tokens", where)
    return (name, value[name]), GivenPrompt(value["prompt"], value.get("max_tokens"))


def _check(value: Mapping[str, Any], name: str, right: Callable[[Any], bool], rule: str, where: str) -> None:
    if name not in value:
        raise InputError(name, "is missing", "give question_id or row, prompt, and max_tokens", where=where)
    if not right(value[name]):
        raise InputError(value[name], f"in {name} {rule}", "correct it", where=where)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_prompt(value: Any) -> bool:
    return bool(value) and (isinstance(value, str) or (isinstance(value, list) and all(map(_is_count, value))))
