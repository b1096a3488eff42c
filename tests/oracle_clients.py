"""How patient clients are, and how long they wait before they try again, said plainly."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from tests.oracle_families import Job


@dataclass(frozen=True)
class Stream:
    """How patient the clients of a stream are. `retry_on`: any of rejected, timed_out, failed."""

    timeout_s: float = inf
    retries: int = 0
    backoff_s: float = 1.0
    backoff_factor: float = 2.0
    backoff_max_s: float = inf
    jitter: float = 0.0
    retry_on: tuple[str, ...] = ()
    resend_lost: bool = True


@dataclass
class Loop:
    """Closed-loop clients: when each sends next, and what they have to send."""

    think_time_s: float
    sends_s: list[float]
    unsent: list[Job]


def backoff_s(stream: Stream, number: int, retry: int) -> float:
    """Seconds before the retry of that number, 1 being the first: longer each time, less up to `jitter` of it."""
    longest_s = min(stream.backoff_s * stream.backoff_factor ** (retry - 1), stream.backoff_max_s)
    return longest_s * (1.0 - stream.jitter * unit(number, retry))


def unit(number: int, retry: int) -> float:
    """A number in [0, 1) that depends on nothing but a request and its retry (splitmix64)."""
    mask = (1 << 64) - 1
    z = (number * 0x9E3779B97F4A7C15 + retry * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return float((z ^ (z >> 31)) >> 11) * 2.0**-53
