"""Client of an OpenAI-compatible server: one request at a time, or as many at once as there are callers.

Connections are not limited: a request never waits here for another one to end. There are no retries.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sim.errors import InputError
from sim.lab.client.answer import Answer, Ended
from sim.lab.client.sse import EventStream

if TYPE_CHECKING:
    import httpx

__all__ = ["Client", "Target", "kind_of"]

_IDLE_S = 2.0
"""How long an idle connection is kept: less than servers do, so that none is used that the server has just closed."""
_LONGEST_ERROR = 2_000


@dataclass(frozen=True)
class Target:
    """A server, and how to reach it."""

    url: str
    """Its address; without a path `/v1` is added."""
    model: str | None = None
    """The model to ask; the only one that the server offers where left out."""
    key: str | None = None
    """Sent as a bearer token."""

    @property
    def base(self) -> str:
        """The address that paths such as `/completions` are added to.

        Raises:
            InputError: where the address is none of a server.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            remedy = "give one such as http://127.0.0.1:8000/v1"
            raise InputError(self.url, "is not the address of a server", remedy)
        return self.url.rstrip("/") + ("" if parts.path.strip("/") else "/v1")


class Client:
    """Asks a server, and notes when what came."""

    def __init__(self, http: httpx.AsyncClient, base: str, now_s: Callable[[], float]) -> None:
        self._http, self.base, self._now_s = http, base, now_s

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target, now_s: Callable[[], float]) -> AsyncIterator[Client]:
        """A client of a server, closed at the end.

        Raises:
            InputError: where the address is none of a server.
        """
        import httpx

        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if target.key is not None:
            headers["Authorization"] = f"Bearer {target.key}"
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=_IDLE_S)
        base = target.base
        async with httpx.AsyncClient(headers=headers, limits=limits, timeout=None) as http:
            yield cls(http, base, now_s)

    async def stream(self, path: str, body: bytes, answer: Answer) -> None:
        """Ask for an answer that streams, and take it in as it comes; whatever goes wrong, `answer` holds what came.

        Raises:
            Ended: for an answer that will not come, or not whole.
        """
        import httpx

        events = EventStream()
        try:
            async with self._http.stream("POST", self.base + path, content=body) as response:
                await _check(response)
                async for piece in response.aiter_bytes():
                    now_s = self._now_s()
                    for event in events.feed(piece):
                        answer.take(event, now_s)
                for event in events.close():
                    answer.take(event, self._now_s())
        except (httpx.HTTPError, httpx.StreamError) as error:
            # What breaks off after the last word has taken nothing away.
            if not answer.complete:
                raise Ended(kind_of(error), _told(error)) from error
        answer.finish()

    async def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON that the server answers to a request, or to a look without a body.

        Raises:
            Ended: where it does not answer with JSON.
        """
        import httpx

        try:
            method = "GET" if body is None else "POST"
            response = await self._http.request(method, self.base + path, json=body)
            await _check(response)
            return response.json()
        except httpx.HTTPError as error:
            raise Ended(kind_of(error), _told(error)) from error
        except ValueError as error:
            raise Ended("no_json", str(error)) from error


async def _check(response: httpx.Response) -> None:
    if response.status_code != 200:
        text = (await response.aread()).decode("utf-8", "replace")[:_LONGEST_ERROR]
        raise Ended(f"http_{response.status_code}", " ".join(text.split()))


def kind_of(error: Exception) -> str:
    """The kind of a failed exchange: `refused_connection`, `broken_stream` or `client_limit`.

    The last is no fault of the server's: this process may open no more connections.
    """
    import httpx

    if _out_of_files(error):
        return "client_limit"
    return "refused_connection" if isinstance(error, httpx.ConnectError) else "broken_stream"


def _out_of_files(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL):
            return True
        error = error.__cause__ or error.__context__
    return False


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__.replace(os.linesep, " ")
