"""A server that speaks as OpenAI's do, for tests: it streams, misbehaves on demand, and notes what it was asked."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

FIELDS = {"model", "prompt", "messages", "max_tokens", "stream"}
"""What every server takes."""


@dataclass
class Fake:
    """How the server behaves; `asked` holds the bodies of all requests."""

    paths: tuple[str, ...] = ("/v1/completions", "/v1/chat/completions")
    takes: frozenset[str] = frozenset({"stream_options", "ignore_eos", "min_tokens", "temperature"})
    """Fields that it takes beside the common ones; others are refused."""
    usage: bool = True
    """Whether it counts tokens."""
    added_tokens: int = 3
    """Tokens that it adds to every prompt, as a chat template does."""
    misbehave: dict[int, str] = field(default_factory=dict)
    """What happens to a stream of so many max_tokens: 429, 500, 503, long, error, break, silent or hang."""
    delay_s: float = 0.0
    """Time before each token."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    kill: Callable[[], None] = lambda: None
    """Ends the server at once, in the middle of its answers; from any thread, while it is served."""

    @property
    def prompts(self) -> list[str]:
        return [body["prompt"] for body in self.asked if body["stream"]]

    def tokens(self, body: dict[str, Any]) -> int:
        prompt = body.get("prompt") or body["messages"][0]["content"]
        return self.added_tokens + (len(prompt.split()) if isinstance(prompt, str) else len(prompt))


def events(fake: Fake, body: dict[str, Any], chat: bool) -> Iterator[bytes]:
    """The events of an answer: awkward ones, as servers send them."""
    yield b": keep-alive\n\n"
    if chat:
        yield _event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
    for n in range(body["max_tokens"]):
        text = f" wörd{n}"
        choice = {"delta": {"content": text}} if chat else {"text": text}
        yield _event({"choices": [{"index": 0, "finish_reason": None, **choice}]}, newline="\r\n" if n % 2 else "\n")
    last = {"delta": {}} if chat else {"text": ""}
    yield _event({"choices": [{"index": 0, "finish_reason": "length", **last}]})
    if fake.usage and "stream_options" in body:
        yield _event({"choices": [], "usage": _usage(fake, body)})
    yield b"data: [DONE]\n\n"


def _event(value: Any, newline: str = "\n") -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}{newline}{newline}".encode()


def _usage(fake: Fake, body: dict[str, Any]) -> dict[str, Any]:
    prompt, output = fake.tokens(body), body["max_tokens"]
    return {"prompt_tokens": prompt, "completion_tokens": output, "prompt_tokens_details": {"cached_tokens": 2}}


async def _streamed(fake: Fake, body: dict[str, Any], chat: bool) -> AsyncIterator[bytes]:
    """The events cut where they should not be: within characters and between CR and LF."""
    how = fake.misbehave.get(body["max_tokens"])
    for place, event in enumerate(events(fake, body, chat)):
        if how in ("break", "silent", "hang", "error") and place == 3:
            if how == "error":
                yield _event({"error": {"message": "out of memory", "code": 500}})
            if how == "break":
                raise ConnectionResetError
            if how == "hang":
                await asyncio.sleep(3600.0)
            return
        if fake.delay_s:
            await asyncio.sleep(fake.delay_s)
        for begin in range(0, len(event), 7):
            yield event[begin : begin + 7]


def application(fake: Fake) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route

    async def models(request: Request) -> Response:
        return JSONResponse({"data": [{"id": "tiny"}]})

    async def answer(request: Request) -> Response:
        body = await request.json()
        unknown = set(body) - FIELDS - fake.takes
        if unknown:
            return JSONResponse({"error": {"message": f"unknown fields {sorted(unknown)}"}}, 422)
        fake.asked.append(body)
        chat = request.url.path.endswith("chat/completions")
        if not body["stream"]:
            return JSONResponse({"choices": [{}], **({"usage": _usage(fake, body)} if fake.usage else {})})
        how = fake.misbehave.get(body["max_tokens"], "")
        if how == "long":
            return JSONResponse({"error": {"message": "beyond the maximum context length of 8 tokens"}}, 400)
        if how.isdecimal():
            return JSONResponse({"error": {"message": "no"}}, int(how))
        return StreamingResponse(_streamed(fake, body, chat), media_type="text/event-stream")

    routes = [Route(path, answer, methods=["POST"]) for path in fake.paths]
    return Starlette(routes=[*routes, Route("/v1/models", models)])


@contextmanager
def served(fake: Fake) -> Iterator[Fake]:
    """The fake server in a thread, on a free port; its `url` is set."""
    import uvicorn

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = uvicorn.Config(application(fake), port=port, log_level="critical", timeout_graceful_shutdown=0)
    server = uvicorn.Server(settings)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(),), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    fake.url, fake.kill = f"http://127.0.0.1:{port}", lambda: loop.call_soon_threadsafe(_abort, server)
    try:
        yield fake
    finally:
        server.should_exit = True
        thread.join()
        loop.close()


def _abort(server: Any) -> None:
    for listener in server.servers:
        listener.close()
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    server.should_exit = True
