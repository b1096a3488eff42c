"""One server of a pool: its life, and its replicas in the data plane."""

from __future__ import annotations

from enum import Enum

from sim.engine import state as st
from sim.engine.plane import DataPlane

__all__ = ["Life", "Server"]


class Life(Enum):
    """What a server is doing."""

    OFF = "off"
    STARTING = "starting"
    OPEN = "open"
    DRAINING = "draining"


class Server:
    """Ranks that are switched, paid and lost together; open from time zero until told otherwise.

    The methods tell the data plane; what that means for `life` is up to the caller.
    """

    def __init__(self, number: int, ranks: range, plane: DataPlane) -> None:
        self.number = number
        """In its pool."""
        self.ranks = ranks
        """Its replicas in the data plane."""
        self.life = Life.OPEN
        self.launch = 0
        """Which launch of the pool began its life; a start-up that was called off finds another one."""
        self.launched_s = 0.0
        """Begin of its life."""
        self.is_there = True
        """False from the notice of a reclaim until there is capacity again."""
        self.is_sound = True
        """False from a failure until it is repaired."""
        self.holds = False
        """Off, and queueing requests until it is up."""
        self._plane = plane

    @property
    def is_up(self) -> bool:
        """Taking requests, or about to."""
        return self.life in (Life.STARTING, Life.OPEN)

    @property
    def can_start(self) -> bool:
        """Off, whole and to be had."""
        return self.life is Life.OFF and self.is_there and self.is_sound

    @property
    def requests(self) -> int:
        """Requests on it, waiting and running."""
        return int(self._plane.state.outstanding[self.ranks.start : self.ranks.stop].sum())

    @property
    def has_drained(self) -> bool:
        """Told to drain, and done."""
        return self.life is Life.DRAINING and all(self._plane.life(rank) == st.OFF for rank in self.ranks)

    @property
    def drained_s(self) -> float:
        """When it was done, if it is."""
        return max(self._plane.ended_s(rank) for rank in self.ranks)

    def start(self, now_s: float, *, hold: bool) -> None:
        """Pay for it, and let it queue requests with `hold`."""
        for rank in self.ranks:
            self._plane.start(rank, now_s, hold=hold)

    def open(self, now_s: float) -> None:
        """Let it take requests."""
        for rank in self.ranks:
            self._plane.open(rank, now_s)

    def drain(self, now_s: float) -> None:
        """Let it finish what it has and go off; at once where it has nothing or has not opened yet."""
        for rank in self.ranks:
            self._plane.drain(rank, now_s)

    def lose(self, now_s: float, *, down: bool) -> None:
        """Take it away with all that it has; `down` for a failure."""
        # No rank shall be sent what another rank of the same server has lost.
        for rank in self.ranks[1:]:
            self._plane.drain(rank, now_s)
        for rank in self.ranks:
            self._plane.lose(rank, now_s, down=down)

    def mend(self, now_s: float) -> None:
        """Switch it off, as it is not down any more."""
        for rank in self.ranks:
            self._plane.lose(rank, now_s, down=False)

    def hold(self, on: bool, now_s: float) -> None:
        """While it is off, queue requests or send them elsewhere."""
        self.holds = on
        for rank in self.ranks:
            self._plane.hold(rank, on, now_s)
