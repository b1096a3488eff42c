"""What is paid for of a pool's servers, and how many of all pools are open at once."""

from __future__ import annotations

from dataclasses import dataclass

from sim.control.moments import SAME_INSTANT_S

__all__ = ["OpenServers", "PaidInterval"]


@dataclass(frozen=True)
class PaidInterval:
    """A server's time from its launch until it is off, lost or down; of a reserved one the whole run."""

    pool: int
    """Index of the pool in the fleet."""
    server: int
    """Number of the server in its pool."""
    begin_s: float
    end_s: float
    rounding_s: float
    """Seconds that are billed beyond its length; none where the end of the run cut it, as its end is not known."""


class OpenServers:
    """How many servers take requests, of all pools together."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._open = 0
        self._most = 0

    def change(self, servers: int, now_s: float) -> None:
        """So many more (or fewer) are open; what happens at one instant counts together."""
        if now_s > self._now_s + SAME_INSTANT_S:
            self._most = self.most
            self._now_s = now_s
        self._open += servers

    @property
    def most(self) -> int:
        """Most of them that were open at once."""
        return max(self._most, self._open)
