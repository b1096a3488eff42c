"""Texts to tokens and back: by the lab's language, or by a plain rule where a model has no language."""

from __future__ import annotations

from typing import Protocol
from zlib import crc32

__all__ = ["LanguageTexts", "Texts", "WordTexts", "texts_for"]


class Texts(Protocol):
    """What a model reads and writes. `ends` are the tokens after which it has nothing more to say."""

    ends: frozenset[int]

    def encode(self, text: str) -> list[int]:
        """The tokens of a text. Raises InputError where it has none."""

    def word(self, token: int) -> str:
        """The text of a token; those of a sequence are joined by spaces."""


class LanguageTexts:
    """The lab's language, whose tokens are words."""

    def __init__(self) -> None:
        from sim.lab.language import STOP_TOKENS

        self.ends = STOP_TOKENS

    def encode(self, text: str) -> list[int]:
        from sim.lab.language import encode

        return encode(text)

    def word(self, token: int) -> str:
        from sim.lab.language import VOCABULARY

        return VOCABULARY[token] if token < len(VOCABULARY) else str(token)


class WordTexts:
    """Any text, for a model whose weights are random: a word is a token.

    A number below the size of the vocabulary is that token, and any other word its CRC-32 modulo that size. What the
    model says is written in numbers, which read back as the same tokens. No token ends an answer.

    >>> texts = WordTexts(1000)
    >>> texts.encode("17 and  1017"), texts.word(17)
    ([17, 621, 221], '17')
    """

    def __init__(self, vocab_size: int) -> None:
        self.ends: frozenset[int] = frozenset()
        self._size = vocab_size

    def encode(self, text: str) -> list[int]:
        return [self._token(word) for word in text.split()]

    def word(self, token: int) -> str:
        return str(token)

    def _token(self, word: str) -> int:
        is_token = word.isascii() and word.isdecimal() and len(word) < 12 and int(word) < self._size
        return int(word) if is_token else crc32(word.encode(errors="surrogatepass")) % self._size


def texts_for(vocab_size: int) -> Texts:
    """The lab's language for a model with its vocabulary, else any words."""
    from sim.lab.language import VOCABULARY_SIZE

    return LanguageTexts() if vocab_size == VOCABULARY_SIZE else WordTexts(vocab_size)
