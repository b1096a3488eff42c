"""Server-sent events out of a stream of bytes, however these are cut up."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Event", "EventStream"]


class Event(NamedTuple):
    """One event of a stream."""

    name: str
    """What kind of event it is; empty where the server does not say."""
    data: str
    """Its lines of data, joined by newlines."""


class EventStream:
    """Reads events as their bytes come in: lines end in CR, LF or both, and a blank line ends an event.

    Comments, which servers send to keep a connection alive, are no events; nor are events without data.

    >>> stream = EventStream()
    >>> stream.feed(b': keep-alive\\n\\ndata: {"a"')
    []
    >>> stream.feed(b': 1}\\r\\n\\r')
    [Event(name='', data='{"a": 1}')]
    """

    def __init__(self) -> None:
        self._line = b""
        self._after_cr = False
        self._name = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[Event]:
        """The events that these bytes complete."""
        if not piece:
            return []
        ends_in_cr = piece.endswith(b"\r")
        # The end of the line before may have come in two pieces.
        piece = piece[1:] if self._after_cr and piece.startswith(b"\n") else piece
        self._after_cr = ends_in_cr
        # A line never ends within a character: in UTF-8 the bytes of CR and LF stand for nothing else.
        *lines, self._line = (self._line + piece).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        return [event for line in lines if (event := self._take(line)) is not None]

    def close(self) -> list[Event]:
        """What stands at the end of the stream without the blank line that should follow it."""
        return self.feed(b"\n\n")

    def _take(self, line: bytes) -> Event | None:
        if not line:
            return self._ended()
        field, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        return None

    def _ended(self) -> Event | None:
        event = Event(self._name, "\n".join(self._data)) if self._data else None
        self._name, self._data = "", []
        return event
