"""Plain words for what the tables name: lines of the bill, endings of a request, latencies."""

from __future__ import annotations

__all__ = ["ENDINGS", "LATENCIES", "LINES", "REJECTIONS", "line_name", "window_name"]

LINES: dict[str, tuple[str, str]] = {
    "busy": ("answering", "GPUs at work on requests that were answered, or still in flight at the end"),
    "api": ("API tokens", "tokens bought from an API"),
    "idle": ("idle", "replicas open with nothing to do"),
    "starting": ("starting", "replicas launched and not yet open"),
    "draining": ("draining", "replicas closed to new requests that wait for others of their server"),
    "down": ("down", "reserved replicas that had failed"),
    "off": ("off", "reserved replicas that were switched off"),
    "lost_work": ("lost work", "GPUs at work on requests that were lost with their replica"),
    "timed_out": ("timed out", "work for clients that had given up waiting"),
    "minimum_billing": ("minimum billing", "what a provider bills beyond the time used"),
    "upfront": ("upfront", "the share of payments in advance that falls on this time"),
    "electricity": ("electricity", "energy by the hour's price"),
    "demand_charge": ("demand charge", "electricity, by the highest draw of a month"),
    "customer_charge": ("customer charge", "electricity, a fixed charge of the supplier"),
}
"""Lines of the bill: a name, and what it is for."""

ENDINGS = {
    "rejected": ("turned away", "no pool could take them"),
    "timed_out": ("timed out", "their clients gave up waiting"),
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
    """A line of the bill in words; a line that is not known by its own name.

    >>> line_name("busy"), line_name("new_line")
    ('answering', 'new line')
    """
    return LINES[line][0] if line in LINES else line.replace("_", " ")


def window_name(window: str | None) -> str:
    """A tariff window in words.

    >>> window_name("flat"), window_name("peak")
    ('at any hour', 'peak')
    """
    return "at any hour" if window in (None, "", "flat") else str(window)
