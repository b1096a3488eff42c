"""What a server takes: completions or chat, and which of the fields that not every server knows.

A server that refuses a field it does not know says so once, to a trial request, and is not sent it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sim.errors import InputError
from sim.lab.client.answer import Answer, Ended
from sim.lab.client.client import Client

__all__ = ["Dialect", "Endpoint", "Prompt", "learn_dialect", "sole_model"]

Endpoint = Literal["auto", "completions", "chat"]
Prompt = str | Sequence[int]

_TRIAL_TOKENS = 8
_REFUSALS = ("http_400", "http_422")
_ABSENT = ("http_404", "http_405", "http_501")
_LENGTHS = ("max_tokens", "max_completion_tokens")
_MEANINGS = {
    "stream_options": "its own count of tokens with a stream",
    "ignore_eos": "going on to the length asked for (ignore_eos)",
    "min_tokens": "a least length (min_tokens)",
}


@dataclass(frozen=True)
class Dialect:
    """How to ask one server."""

    model: str
    path: str
    """`/completions` or `/chat/completions`."""
    length: str = _LENGTHS[0]
    """The field for the longest answer."""
    extras: tuple[str, ...] = ()
    """Fields beyond the common ones."""
    settings: Mapping[str, Any] | None = None
    """Fields with the same value in every request, such as a temperature."""
    exact: bool = True
    """Whether an answer should have exactly the tokens asked for, where the server takes that."""

    def body(self, prompt: Prompt, tokens: int, *, stream: bool = True) -> dict[str, Any]:
        """A request for `tokens` tokens, at most."""
        known = {
            "stream_options": {"include_usage": True} if stream else None,
            "ignore_eos": True if self.exact else None,
            "min_tokens": tokens if self.exact else None,
        }
        return {
            "model": self.model,
            **self._asked(prompt),
            self.length: tokens,
            "stream": stream,
            **{name: known[name] for name in self.extras if known[name] is not None},
            **(self.settings or {}),
        }

    def _asked(self, prompt: Prompt) -> dict[str, Any]:
        if self.path == "/completions":
            return {"prompt": prompt if isinstance(prompt, str) else list(prompt)}
        return {"messages": [{"role": "user", "content": prompt}]}

    @property
    def warnings(self) -> list[str]:
        """What the server does not take, in sentences."""
        wanted = [name for name in _MEANINGS if self.exact or name == "stream_options"]
        return [f"the server refuses {_MEANINGS[name]}" for name in wanted if name not in self.extras]


async def learn_dialect(
    client: Client,
    model: str,
    prompt: Prompt,
    *,
    endpoint: Endpoint = "auto",
    settings: Mapping[str, Any] | None = None,
    exact: bool = True,
) -> Dialect:
    """What a server takes, by asking it for a few tokens.

    Raises:
        InputError: where it gives no answer whatever is left out, with what it says.
    """
    paths = {"completions": ["/completions"], "chat": ["/chat/completions"]}
    refusal: Ended | None = None
    for path in paths.get(endpoint, [*paths["completions"], *paths["chat"]]):
        try:
            return await _narrowed(client, Dialect(model, path, settings=settings, exact=exact), prompt)
        except Ended as error:
            refusal = error if refusal is None or error.kind not in _ABSENT else refusal
            if error.kind not in (*_REFUSALS, *_ABSENT):
                break
    assert refusal is not None
    rule = f"gives no answer: {refusal.kind}{refusal.detail and f', {refusal.detail}'}"
    raise InputError(client.base, rule, "see that the server is up, and name a model that it serves")


async def _narrowed(client: Client, plain: Dialect, prompt: Prompt) -> Dialect:
    """The dialect with all the fields that the server takes.

    Raises:
        Ended: where it does not even take the common ones.
    """
    whole = replace(plain, extras=tuple(_MEANINGS))
    if await _takes(client, whole, prompt):
        return whole
    plain = await _with_length(client, plain, prompt)
    taken = [name for name in _MEANINGS if await _takes(client, replace(plain, extras=(name,)), prompt)]
    return replace(plain, extras=tuple(taken))


async def _with_length(client: Client, plain: Dialect, prompt: Prompt) -> Dialect:
    first, second = (replace(plain, length=length) for length in _LENGTHS)
    try:
        await _try(client, first, prompt)
        return first
    except Ended as error:
        if error.kind not in _REFUSALS or not await _takes(client, second, prompt):
            raise
        return second


async def _takes(client: Client, dialect: Dialect, prompt: Prompt) -> bool:
    try:
        await _try(client, dialect, prompt)
    except Ended as error:
        if error.kind in _REFUSALS:
            return False
        raise
    return True


async def _try(client: Client, dialect: Dialect, prompt: Prompt) -> None:
    import json

    await client.stream(dialect.path, json.dumps(dialect.body(prompt, _TRIAL_TOKENS)).encode(), Answer())


async def sole_model(client: Client) -> str:
    """The only model of a server.

    Raises:
        InputError: where it does not say, or has several.
    """
    try:
        listed = await client.ask("/models")
        names = [str(entry["id"]) for entry in listed["data"]]
    except (Ended, TypeError, KeyError) as error:
        raise InputError(client.base, f"does not list its models ({error})", "name one with --model") from None
    if len(names) != 1:
        remedy = f"name one with --model: {', '.join(names[:10])}" if names else "name one with --model"
        raise InputError(client.base, f"serves {len(names)} models", remedy)
    return names[0]
