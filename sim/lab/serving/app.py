"""The endpoint: `/v1/completions`, `/v1/chat/completions`, `/v1/models`, `/health` and `/metrics`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim.errors import InputError
from sim.lab.serving.ask import Ask, read_chat, read_completion
from sim.lab.serving.choices import Choice, Piece
from sim.lab.serving.metrics import metrics_text
from sim.lab.serving.runner import Mailbox, Runner, Stopped
from sim.lab.serving.texts import Texts
from sim.lab.serving.wire import DONE, Writer, error_body, event, input_error_body

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["build_app"]

_MOST_BYTES = 32 << 20
Reader = Callable[[Mapping[str, Any], Texts, int], Ask]
Pieces = AsyncIterator[tuple[Choice, Piece]]


def build_app(runner: Runner, model: str, texts: Texts, *, at_end: Callable[[], None] = lambda: None) -> Starlette:
    """An application that serves the runner's engine under a model's name; `at_end` is called when it shuts down."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        at_end()

    endpoint = _Endpoint(runner, model, texts, int(time.time()))
    routes = [
        Route("/v1/completions", endpoint.completions, methods=["POST"]),
        Route("/v1/chat/completions", endpoint.chat, methods=["POST"]),
        Route("/v1/models", endpoint.models, methods=["GET"]),
        Route("/health", endpoint.health, methods=["GET"]),
        Route("/metrics", endpoint.metrics, methods=["GET"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _http_error})


@dataclass(frozen=True)
class _Endpoint:
    runner: Runner
    model: str
    texts: Texts
    created: int

    async def completions(self, request: Request) -> Response:
        return await self._serve(request, read_completion)

    async def chat(self, request: Request) -> Response:
        return await self._serve(request, read_chat)

    async def models(self, request: Request) -> Response:
        listed = {"id": self.model, "object": "model", "created": self.created, "owned_by": "nightshift"}
        return _json({"object": "list", "data": [{**listed, "max_model_len": self._capacity + 1}]})

    async def health(self, request: Request) -> Response:
        return _json({}) if self.runner.alive else _json(error_body("the engine runs no more", "server_error", 503))

    async def metrics(self, request: Request) -> Response:
        from starlette.responses import PlainTextResponse

        return PlainTextResponse(metrics_text(self.runner, self.model), media_type="text/plain; version=0.0.4")

    @property
    def _capacity(self) -> int:
        return self.runner.engine.decoder.capacity

    async def _serve(self, request: Request, read: Reader) -> Response:
        """Read what is asked, have it served, and answer whole or in a stream."""
        try:
            ask = read(await _body(request), self.texts, self._capacity)
            if ask.model not in (None, self.model):
                return _no_such_model(str(ask.model))
            answer = _Answer(self.runner, ask, self.texts)
        except InputError as error:
            return _json(input_error_body(error))
        except Stopped as error:
            return _json(error_body(str(error), "server_error", 503))
        writer = Writer(ask, self.model)
        return _streamed(answer, writer) if ask.stream else await _whole(answer, writer, request)


class _Answer:
    """The choices of a request under way. It is given up where nobody iterates over it any more."""

    def __init__(self, runner: Runner, ask: Ask, texts: Texts) -> None:
        self._runner, self._mailbox = runner, Mailbox()
        many = len(ask.prompts) * ask.n
        self._first = runner.number(many)
        self.choices = [Choice(index, ask, texts) for index in range(many)]
        runner.submit(ask.jobs(self._first), self._mailbox)

    async def pieces(self) -> Pieces:
        """Every token as it comes.

        Raises:
            Stopped: where the engine ends before the answer does.
        """
        try:
            while any(choice.finish is None for choice in self.choices):
                for news in await self._mailbox.news():
                    choice = self.choices[news.job_id - self._first]
                    if choice.finish is None:
                        piece = choice.take(news)
                        if piece.finish and news.record is None:
                            self._runner.cancel([news.job_id])
                        yield choice, piece
        finally:
            self.give_up()

    def give_up(self) -> None:
        """Drop what is not over."""
        left = [self._first + choice.index for choice in self.choices if choice.finish is None]
        if left:
            self._runner.cancel(left)


def _streamed(answer: _Answer, writer: Writer) -> Response:
    from starlette.responses import StreamingResponse

    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-cache"}
    return StreamingResponse(_events(answer, writer), media_type="text/event-stream", headers=headers)


async def _events(answer: _Answer, writer: Writer) -> AsyncIterator[str]:
    try:
        for chunk in writer.opening(answer.choices):
            yield event(chunk)
        async for choice, piece in answer.pieces():
            yield event(writer.chunk(choice, piece))
        if writer.ask.include_usage:
            yield event(writer.usage_chunk(answer.choices))
    except Stopped as error:
        yield event(error_body(str(error), "server_error", 500))
    finally:
        answer.give_up()
    yield DONE


async def _whole(answer: _Answer, writer: Writer, request: Request) -> Response:
    """The answer when it is there; a client that goes away has it dropped."""
    collecting = asyncio.ensure_future(_collected(answer))
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait([collecting, leaving], return_when=asyncio.FIRST_COMPLETED)
        if collecting.done():
            collecting.result()
            return _json(writer.whole(answer.choices))
        return _json(error_body("the client is gone", "server_error", 499))
    except Stopped as error:
        return _json(error_body(str(error), "server_error", 500))
    finally:
        collecting.cancel()
        leaving.cancel()
        answer.give_up()


async def _collected(answer: _Answer) -> None:
    async for _ in answer.pieces():
        pass


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> Mapping[str, Any]:
    """The JSON object of a request. Raises InputError where it is none."""
    content = await request.body()
    if len(content) > _MOST_BYTES:
        raise InputError(f"{len(content)} bytes", "are too many for a request", f"send {_MOST_BYTES} at most")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError("the body", f"is no JSON ({error})", "send a JSON object") from None
    if not isinstance(body, dict):
        raise InputError("the body", "is no JSON object", "send one")
    return body


def _no_such_model(name: str) -> Response:
    return _json(error_body(f"{name} is not served here; see /v1/models", "not_found_error", 404, "model"))


async def _http_error(request: Request, error: Any) -> Response:
    """No such path, or not this method."""
    message = f"{request.method} {request.url.path}: {error.detail}; see /v1/models for what is served"
    return _json(error_body(message, "invalid_request_error", error.status_code))


def _json(body: dict[str, Any]) -> Response:
    from starlette.responses import JSONResponse

    error = body.get("error")
    return JSONResponse(body, status_code=error["code"] if error else 200)
