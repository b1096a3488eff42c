"""Options of the command line that are more than a number or a name."""

from __future__ import annotations

import os

from sim.errors import InputError
from sim.scenario.quantities import parse_duration

__all__ = ["id_range", "key_of", "longest_wait_s"]


def id_range(text: str | None) -> tuple[int, int] | None:
    """Lowest and highest token id, from "LOW:HIGH".

    Raises:
        InputError: where it is none.

    >>> id_range("100:30000")
    (100, 30000)
    """
    if text is None:
        return None
    low, colon, high = text.partition(":")
    if not (colon and low.isdecimal() and high.isdecimal() and int(low) <= int(high)):
        raise InputError(text, "is no range of token ids", "give the lowest and the highest, such as 100:30000")
    return int(low), int(high)


def key_of(variable: str | None) -> str | None:
    """The key in an environment variable; None where none is named.

    Raises:
        InputError: where the variable is not set.
    """
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise InputError(variable, "is not set", "set this environment variable to the server's key")
    return os.environ[variable]


def longest_wait_s(text: str) -> float | None:
    """Seconds of a duration that is longer than zero; None of "none".

    Raises:
        InputError: where it is no duration.

    >>> longest_wait_s("2m"), longest_wait_s("none")
    (120.0, None)
    """
    if text == "none":
        return None
    seconds = parse_duration(text)
    if seconds <= 0.0:
        raise InputError(text, "is no time to wait", "give a duration such as 60s, or none")
    return seconds
