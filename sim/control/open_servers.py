"""How many servers of all pools are open at once."""

from __future__ import annotations

from sim.control.moments import SAME_INSTANT_S

__all__ = ["OpenServers"]


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
