"""The answer to one request as it streams in: when each piece came, how many tokens, and how it ended."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.lab.client.sse import Event

__all__ = ["Answer", "Ended"]

_END = "[DONE]"
_TEXTS = ("content", "reasoning_content", "reasoning")
"""Where a chat server may put what it has generated."""


class Ended(Exception):
    """An answer that will not come: the kind of the error, and what is known of it."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(kind, detail)
        self.kind, self.detail = kind, detail


@dataclass
class Answer:
    """What has come of an answer so far. Instants are those of the client's clock, in seconds."""

    pieces_s: array[float] = field(default_factory=lambda: array("d"))
    """When each piece of the answer that holds text came."""
    pieces: int = 0
    """How many came, with those whose text is still to come, such as half a character: one for each token, mostly."""
    prompt_tokens: int | None = None
    """As the server counts; None where it does not say."""
    output_tokens: int | None = None
    cached_tokens: int | None = None
    """Prompt tokens that the server found in a cache; None where it does not say."""
    finish_reason: str | None = None
    complete: bool = False
    """Whether the server has said that there is no more to come."""
    error: str | None = None
    """Kind of the error that ended it; None while there is none."""
    detail: str = ""
    end_s: float | None = None
    """When it ended, well or badly."""

    def take(self, event: Event, now_s: float) -> None:
        """Take in an event of the stream.

        Raises:
            Ended: where the server reports an error in place of an answer, or sends what is no answer.
        """
        if event.data.strip() == _END:
            self.complete = True
            return
        for value in _values(event) if event.data.strip() else ():
            self._take(value, now_s)

    def finish(self) -> None:
        """The stream has ended.

        Raises:
            Ended: where the server has not said that the answer is whole.
        """
        if not self.complete and self.finish_reason is None:
            raise Ended("broken_stream", "the stream ended before the answer did")

    def _take(self, value: Mapping[str, Any], now_s: float) -> None:
        if value.get("error"):
            raise Ended("server_error", _message(value["error"]))
        self._take_usage(value.get("usage"))
        for choice in value.get("choices") or ():
            if _text(choice):
                self.pieces_s.append(now_s)
            self.pieces += _is_piece(choice)
            self.finish_reason = choice.get("finish_reason") or self.finish_reason

    def _take_usage(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        self.prompt_tokens = _count(usage.get("prompt_tokens"), self.prompt_tokens)
        self.output_tokens = _count(usage.get("completion_tokens"), self.output_tokens)
        details = usage.get("prompt_tokens_details")
        if isinstance(details, dict):
            self.cached_tokens = _count(details.get("cached_tokens"), self.cached_tokens)


def _values(event: Event) -> Iterator[Mapping[str, Any]]:
    """The JSON objects of an event: one, or one on each line where a server forgets the blank lines between them."""
    try:
        yield _object(event.data)
        return
    except ValueError as error:
        lines = [line for line in event.data.split("\n") if line.strip() != _END]
        if len(lines) == 1 and event.name == "error":
            raise Ended("server_error", event.data) from None
        if len(lines) < 2:
            raise Ended("broken_stream", f"an event that is no JSON object ({error}): {event.data[:200]}") from None
    for line in lines:
        yield from _values(Event(event.name, line))


def _object(text: str) -> Mapping[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _text(choice: Mapping[str, Any]) -> bool:
    """Whether a choice brings text: a completion's, or what a chat answers, thinks or calls."""
    delta = choice.get("delta") or choice.get("message") or {}
    return bool(choice.get("text") or any(delta.get(key) for key in _TEXTS) or delta.get("tool_calls"))


def _is_piece(choice: Mapping[str, Any]) -> bool:
    """Whether a choice stands for a token: it has text, or leaves it empty and neither begins nor ends the answer."""
    delta = choice.get("delta") or {}
    between = choice.get("finish_reason") is None and "role" not in delta
    return _text(choice) or (between and (choice.get("text") == "" or delta.get("content") == ""))


def _message(error: Any) -> str:
    return str(error.get("message") or error) if isinstance(error, dict) else str(error)


def _count(value: Any, otherwise: int | None) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else otherwise
