"""What a client asks for, read from the body of its request."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sim.errors import InputError
from sim.lab.engine.jobs import SLEEP, Job
from sim.lab.serving.texts import Texts

__all__ = ["Ask", "read_chat", "read_completion"]

_MOST_CHOICES = 128
_DEFAULT_TOKENS = 16
_LONGEST = 1 << 20
_HOTTEST = 100.0
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "top_p": (1,),
    "top_k": (-1, 0),
    "min_p": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "best_of": (1,),
    "suffix": ("",),
    "echo": (False,),
    "logit_bias": ({},),
    "tools": ([],),
    "prompt_logprobs": (False, 0),
    "response_format": ({"type": "text"},),
}
"""Fields that are taken at the values at which they change nothing."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A request as the server understands it; each prompt is answered `n` times."""

    prompts: Sequence[tuple[int, ...]]
    n: int = 1
    max_tokens: int
    temperature: float = 1.0
    seed: int
    stop_texts: tuple[str, ...] = ()
    stop_tokens: frozenset[int] = frozenset()
    min_tokens: int = 0
    logprobs: bool = False
    include_stop: bool = False
    priority: int = 0
    stream: bool = False
    include_usage: bool = False
    chat: bool = False
    model: str | None = None

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all prompts, each counted once."""
        return sum(map(len, self.prompts))

    def jobs(self, first_id: int) -> list[Job]:
        """A job for each choice, in the order of their indices; choices of a prompt share its KV."""
        made = []
        for index in range(len(self.prompts) * self.n):
            which, sample = divmod(index, self.n)
            job = Job(
                job_id=first_id + index,
                prompt=self.prompts[which],
                max_tokens=self.max_tokens,
                stop=self.stop_tokens,
                temperature=self.temperature,
                seed=self.seed + index,
                priority=self.priority,
                min_tokens=self.min_tokens,
                prefix_of=first_id + which * self.n if sample else None,
            )
            made.append(job)
        return made


def read_completion(body: Mapping[str, Any], texts: Texts, capacity: int) -> Ask:
    """A body of `/v1/completions`. Raises InputError, `where` being the field, for what cannot be done."""
    prompts = _prompts(body.get("prompt"), texts)
    logprobs = _whole(body, "logprobs", None, 0, 20)
    return _ask(body, prompts, texts, _DEFAULT_TOKENS, logprobs=logprobs is not None, chat=False)


def read_chat(body: Mapping[str, Any], texts: Texts, capacity: int) -> Ask:
    """A body of `/v1/chat/completions`: the contents of its messages, joined by line breaks, are the prompt.

    The answer may be as long as the row has room, unless `max_tokens` or `max_completion_tokens` is said.
    Raises InputError, `where` being the field, for what cannot be done.
    """
    prompt = tuple(texts.encode(_messages(body.get("messages"))))
    if not prompt:
        raise InputError("a prompt", "is empty", "say something in the messages", where="messages")
    room = max(capacity + 1 - len(prompt), 1)
    tokens = _whole(body, "max_completion_tokens", room, 1, _LONGEST)
    assert tokens is not None
    return _ask(body, [prompt], texts, tokens, logprobs=_flag(body, "logprobs"), chat=True)


Prompts = Sequence[tuple[int, ...]]


def _ask(body: Mapping[str, Any], prompts: Prompts, texts: Texts, tokens: int, *, logprobs: bool, chat: bool) -> Ask:
    _refuse_what_is_not_done(body)
    n = _given(_whole(body, "n", 1, 1, _MOST_CHOICES))
    if n * len(prompts) > _MOST_CHOICES:
        raise InputError(n * len(prompts), "answers are too many", f"ask for {_MOST_CHOICES} at most", where="n")
    max_tokens = _given(_whole(body, "max_tokens", tokens, 1, _LONGEST))
    ends = frozenset() if _flag(body, "ignore_eos") else texts.ends
    seed = _whole(body, "seed", None, -(1 << 63), (1 << 64) - 1)
    return Ask(
        prompts=prompts,
        n=n,
        max_tokens=max_tokens,
        temperature=_number(body, "temperature", 1.0, _HOTTEST),
        seed=secrets.randbits(63) if seed is None else seed,
        stop_texts=_stops(body.get("stop")),
        stop_tokens=ends | frozenset(_tokens(body.get("stop_token_ids") or [], "stop_token_ids")),
        min_tokens=_given(_whole(body, "min_tokens", 0, 0, max_tokens)),
        logprobs=logprobs,
        include_stop=_flag(body, "include_stop_str_in_output"),
        priority=_given(_whole(body, "priority", 0, 0, SLEEP)),
        stream=_flag(body, "stream"),
        include_usage=_flag(_object(body, "stream_options"), "include_usage"),
        chat=chat,
        model=_text(body, "model"),
    )


def _refuse_what_is_not_done(body: Mapping[str, Any]) -> None:
    for name, values in _NEUTRAL.items():
        value = body.get(name)
        if value is not None and value not in values:
            raise InputError(value, "is not supported", f"leave it out, or give {values[0]!r}", where=name)


def _prompts(value: Any, texts: Texts) -> list[tuple[int, ...]]:
    """A text, token ids, or several of either."""
    each = value if isinstance(value, list) and value and not _is_whole(value[0]) else [value]
    prompts = [_prompt(one, texts) for one in each]
    if not all(prompts):
        raise InputError("a prompt", "is empty", "give at least one word or token", where="prompt")
    return prompts


def _prompt(value: Any, texts: Texts) -> tuple[int, ...]:
    if isinstance(value, str):
        return tuple(texts.encode(value))
    if isinstance(value, list):
        return tuple(_tokens(value, "prompt"))
    raise InputError(value, "is no prompt", "give a text, or a list of token ids", where="prompt")


def _messages(value: Any) -> str:
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        raise InputError(value, "is no list of messages", 'give [{"role": "user", "content": ...}]', where="messages")
    return "\n".join(_content(message.get("content")) for message in value)


def _content(value: Any) -> str:
    parts = value if isinstance(value, list) else [{"type": "text", "text": value or ""}]
    said = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type", "text") == "text"]
    if len(said) < len(parts) or not all(isinstance(text, str) for text in said):
        raise InputError(value, "is no text", "give the content of a message as a text", where="messages")
    return "\n".join(map(str, said))


def _stops(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise InputError(value, "is no text to stop at", "give a text, or a list of them", where="stop")
    return tuple(stops)


def _tokens(value: Any, where: str) -> list[int]:
    if not isinstance(value, list) or not all(_is_whole(token) and token >= 0 for token in value):
        raise InputError(value, "is no list of tokens", "give token ids, whole numbers from 0", where=where)
    return value


def _whole(body: Mapping[str, Any], name: str, default: int | None, low: int, high: int) -> int | None:
    value = body.get(name)
    if value is None:
        return default
    if not _is_whole(value) or not low <= value <= high:
        raise InputError(value, f"is no whole number of {low} to {high}", "correct it", where=name)
    return int(value)


def _given(value: int | None) -> int:
    assert value is not None
    return value


def _number(body: Mapping[str, Any], name: str, default: float, high: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= high:
        raise InputError(value, f"is no number of 0 to {high:g}", "correct it", where=name)
    return float(value)


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise InputError(value, "is neither true nor false", "give one of them", where=name)
    return bool(value)


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise InputError(value, "is no text", "correct it", where=name)
    return value


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise InputError(value, "is no object", "correct it", where=name)
    return value or {}


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
