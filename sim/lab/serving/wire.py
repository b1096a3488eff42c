"""Answers as OpenAI's interface writes them: whole, or in chunks."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sim.errors import InputError
from sim.lab.serving.ask import Ask
from sim.lab.serving.choices import Choice, Piece

__all__ = ["DONE", "Writer", "error_body", "event", "input_error_body"]

DONE = "data: [DONE]\n\n"


@dataclass
class Writer:
    """Writes one answer of a model."""

    ask: Ask
    model: str
    id: str = field(default_factory=lambda: uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def opening(self, choices: Sequence[Choice]) -> list[dict[str, Any]]:
        """Chunks before the first token: a chat says who speaks."""
        if not self.ask.chat:
            return []
        said = {"role": "assistant", "content": ""}
        return [self._chunk([{"index": each.index, "delta": said, "finish_reason": None}]) for each in choices]

    def chunk(self, choice: Choice, piece: Piece) -> dict[str, Any]:
        """A token of a choice."""
        told: dict[str, Any] = {"delta": {"content": piece.text}} if self.ask.chat else {"text": piece.text}
        return self._chunk([{"index": choice.index, **told, **self._end(piece.finish, [piece])}])

    def usage_chunk(self, choices: Sequence[Choice]) -> dict[str, Any]:
        return {**self._chunk([]), "usage": self._usage(choices)}

    def whole(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """All of it at once."""
        return {
            **self._head("chat.completion" if self.ask.chat else "text_completion"),
            "choices": [self._whole(choice) for choice in choices],
            "usage": self._usage(choices),
        }

    def _whole(self, choice: Choice) -> dict[str, Any]:
        message = {"role": "assistant", "content": choice.text}
        told: dict[str, Any] = {"message": message} if self.ask.chat else {"text": choice.text}
        return {"index": choice.index, **told, **self._end(choice.finish, choice.pieces)}

    def _end(self, finish: str | None, pieces: Sequence[Piece]) -> dict[str, Any]:
        return {"logprobs": self._logprobs(pieces) if self.ask.logprobs else None, "finish_reason": finish}

    def _logprobs(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        """Of the tokens that were taken alone."""
        if self.ask.chat:
            return {"content": [{"token": each.word, "logprob": each.logprob, "top_logprobs": []} for each in pieces]}
        return {
            "tokens": [each.word for each in pieces],
            "token_logprobs": [each.logprob for each in pieces],
            "top_logprobs": None,
        }

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self.ask.chat else "text_completion"
        return {**self._head(kind), "choices": choices}

    def _head(self, kind: str) -> dict[str, Any]:
        prefix = "chatcmpl" if self.ask.chat else "cmpl"
        return {"id": f"{prefix}-{self.id}", "object": kind, "created": self.created, "model": self.model}

    def _usage(self, choices: Sequence[Choice]) -> dict[str, Any]:
        """`cached_tokens` are of the first choice of each prompt: the others share its prompt, which counts once."""
        said = sum(choice.tokens for choice in choices)
        return {
            "prompt_tokens": self.ask.prompt_tokens,
            "completion_tokens": said,
            "total_tokens": self.ask.prompt_tokens + said,
            "prompt_tokens_details": {"cached_tokens": sum(each.cached_tokens for each in choices[:: self.ask.n])},
        }


def event(value: object) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(value, separators=(',', ':'))}\n\n"


def input_error_body(error: InputError) -> dict[str, Any]:
    """What is wrong with a request: value, rule and remedy, and the field where it is in one."""
    text = str(InputError(error.value, error.rule, error.remedy))
    message = f"{error.where}: {text}" if error.where else text
    return error_body(message, "invalid_request_error", 400, error.where)


def error_body(message: str, kind: str, code: int, param: str | None = None) -> dict[str, Any]:
    """An error in OpenAI's form."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
