"""An answer as its tokens come: text with its stops, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field

from sim.lab.engine.records import Event
from sim.lab.serving.ask import Ask
from sim.lab.serving.texts import Texts

__all__ = ["Choice", "Piece"]


@dataclass(frozen=True)
class Piece:
    """What a token adds to an answer: text that is sure to stay, and at the end why it ended."""

    text: str
    word: str
    logprob: float
    finish: str | None = None


@dataclass(eq=False)
class Choice:
    """One answer. Text that may be the beginning of a stop is held back until it is known."""

    index: int
    ask: Ask
    texts: Texts
    tokens: int = 0
    finish: str | None = None
    cached_tokens: int = 0
    pieces: list[Piece] = field(default_factory=list)
    _text: str = ""
    _sent: int = 0

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(piece.text for piece in self.pieces)

    def take(self, event: Event) -> Piece:
        """The next token."""
        self.tokens += 1
        word = self.texts.word(event.token)
        if event.record is not None:
            self.cached_tokens = event.record.cached_tokens
            stopped = event.token in self.ask.stop_tokens
            self.finish = "stop" if stopped else "length"
        if self.finish != "stop" or self.ask.include_stop:
            self._text += f" {word}" if self.tokens > 1 else word
        self._cut_at_stop()
        end = len(self._text) if self.finish else len(self._text) - self._held_back()
        piece = Piece(self._text[self._sent : end], word, event.logprob, self.finish)
        self._sent = end
        self.pieces.append(piece)
        return piece

    def _cut_at_stop(self) -> None:
        """End the text at the first text to stop at, once it is long enough."""
        if self.tokens <= self.ask.min_tokens:
            return
        found = [(place, stop) for stop in self.ask.stop_texts if (place := self._text.find(stop, self._sent)) >= 0]
        if found:
            place, stop = min(found)
            self._text = self._text[: place + len(stop) * self.ask.include_stop]
            self.finish = "stop"

    def _held_back(self) -> int:
        """Characters at the end that a text to stop at begins with."""
        unsent = self._text[self._sent :]
        return max((_overlap(unsent, stop) for stop in self.ask.stop_texts), default=0)


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of a text with which another begins.

    >>> _overlap("a = b ;", "; c"), _overlap("a = b", "; c")
    (1, 0)
    """
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-n:])), 0)
