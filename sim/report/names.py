"""Plain words for what the tables name: lines of the bill, endings of a request, latencies."""

from __future__ import annotations

from sim.prices.clock import FLAT

__all__ = ["ENDINGS", "LATENCIES", "REJECTIONS", "line_name", "window_name"]

_LINES = {"busy": "answering", "api": "API tokens"}
"""Lines of the bill whose names do not say it."""

ENDINGS = {
    "rejected": ("turned away", "no pool could take them"),
    "timed_out": ("timed out", "clients gave up, or a batch expired"),
    "failed": ("failed", "lost with their replica"),
    "unfinished": ("unfinished", "still in flight at the end"),
}
"""How a request ends without an answer."""

REJECTIONS = {
    "too_long": "turned away: too long for any pool",
    "no_replica": "turned away: nothing open",
    "queue_full": "turned away: queues full",
    "rate_limited": "turned away: API rate limit",
}
"""Why a request is turned away."""

LATENCIES = {
    "ttft_s": ("Time to first token", "from arrival to the first token, retries included"),
    "tpot_s": ("Time per output token", "between tokens after the first, on average"),
    "e2e_s": ("Time to the whole answer", "from arrival to the last token, retries included"),
}
"""Latencies: a name, and what it is."""


def line_name(line: str) -> str:
    """A line of the bill in words.

    >>> line_name("busy"), line_name("new_line")
    ('answering', 'new line')
    """
    return _LINES.get(line, line.replace("_", " "))


def window_name(window: str | None) -> str:
    """A tariff window in words.

    >>> window_name("flat"), window_name("peak")
    ('at any hour', 'peak')
    """
    return "at any hour" if window in (None, "", FLAT) else str(window)
