"""The servers of one pool: launched, drained, lost and mended to keep as many up as are wanted."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import simpy

from sim.control.clock import Clock
from sim.control.moments import until
from sim.control.open_servers import OpenServers
from sim.control.server import Life, Server
from sim.engine.plane import DataPlane
from sim.engine.state import Integers
from sim.invoice import PaidInterval
from sim.scenario import GpuPool, Reserved

__all__ = ["Servers"]


class Servers:
    """Keeps `wanted` of a pool's servers up, as far as there are so many.

    Up goes first a server that holds requests, then one that still drains, then one that is off, which takes its
    start-up. Down go first those that start, the newest first, then the open one with the fewest requests, which
    finishes what it has. A server that is lost is replaced at once if another can start.

    With `holds` an empty pool queues its requests at a server that is off, until it is up; none is refused.
    `rounding_s` gives the seconds that are billed beyond the length of a paid interval.
    """

    def __init__(
        self,
        index: int,
        pool: GpuPool,
        plane: DataPlane,
        clock: Clock,
        *,
        holds: bool = False,
        rounding_s: Callable[[float], float] = lambda length_s: 0.0,
        open_servers: OpenServers | None = None,
    ) -> None:
        self.wanted = 0
        self.starts = 0
        """Launches after time zero."""
        self.paid: list[PaidInterval] = []
        self._index, self._plane, self._clock = index, plane, clock
        self._always_paid = isinstance(pool.offer, Reserved)
        self._start_up_s = pool.start_up_s
        self._holds, self._rounding_s = holds, rounding_s
        self._open_servers = OpenServers() if open_servers is None else open_servers
        first, ranks = plane.first_replica[index], pool.data_parallel
        self._ranks, self._ranks_each = slice(first, first + pool.ranks), ranks
        self._servers = [
            Server(number, range(first + number * ranks, first + (number + 1) * ranks), plane)
            for number in range(pool.most_replicas)
        ]

    def begin(self, wanted: int, absent: Sequence[int] = ()) -> None:
        """At time zero `wanted` servers are open, less those of them that are not there; the others are off."""
        self.wanted = wanted
        for number in absent:
            self._servers[number].is_there = False
        on = {server.number for server in [server for server in self._servers if server.is_there][:wanted]}
        for server in self._servers:
            if server.number not in on:
                server.life = Life.OFF
                server.drain(self._now_s)
        self._open_servers.change(len(on), self._now_s)
        self._hold()

    @property
    def lives(self) -> list[Life]:
        """What each server does, as far as has been noticed."""
        return [server.life for server in self._servers]

    @property
    def up(self) -> int:
        """Servers that take requests, or are about to."""
        return sum(server.is_up for server in self._servers)

    @property
    def outstanding(self) -> int:
        """Requests at the pool, waiting and running."""
        return int(self._plane.state.outstanding[self._ranks].sum())

    @property
    def busy_s(self) -> float:
        """Server seconds worked so far; a rank counts for its part of one."""
        self._plane.settle(self._now_s)
        return float(self._plane.state.replicas["busy_s"][self._ranks].sum()) / self._ranks_each

    @property
    def completed(self) -> Integers:
        """Work that the pool has done well so far, as `full_batch_s` takes it."""
        return self._plane.completed(self._index)

    def full_batch_s(self, completed: Integers) -> float:
        """Server seconds that such work would have taken in full batches."""
        return self._plane.full_batch_s(self._index, *completed.tolist()) / self._ranks_each

    def want(self, servers: int, *, at_once: bool = False) -> None:
        """Have so many servers up; `at_once` without a start-up."""
        self.wanted = servers
        self._adjust(at_once=at_once)

    def withdraw(self, numbers: Sequence[int]) -> int:
        """A notice: these servers finish what they can and are not there any more. Gives back how many were on."""
        self.sweep()
        noticed = [self._servers[number] for number in numbers]
        serving = [server for server in noticed if server.life is Life.OPEN]
        starting = [server for server in noticed if server.life is Life.STARTING]
        on = sum(server.life is not Life.OFF for server in noticed)
        for server in noticed:
            server.is_there = False
        for server in serving:
            self._live(server, Life.DRAINING)
            server.drain(self._now_s)
        for server in starting:
            self._end(server, self._now_s)
        # Others first, so that they get what a server that is called off holds.
        self._adjust()
        for server in starting:
            server.drain(self._now_s)
        return on

    def take(self, numbers: Sequence[int]) -> None:
        """The notice is over: those of these servers that still drain are lost with what they have."""
        self.sweep()
        late = [self._servers[number] for number in numbers if self._servers[number].life is Life.DRAINING]
        for server in late:
            self._end(server, self._now_s)
        for server in late:
            server.lose(self._now_s, down=False)

    def give(self, numbers: Sequence[int]) -> None:
        """There is capacity for these servers again: they start where they are wanted."""
        for number in numbers:
            self._servers[number].is_there = True
        self._adjust()

    def fail(self, number: int) -> bool:
        """A server breaks down with all that it has, if it is on. Gives back whether it was."""
        self.sweep()
        server = self._servers[number]
        if server.life is Life.OFF:
            return False
        server.is_sound = False
        self._end(server, self._now_s)
        self._adjust()
        server.lose(self._now_s, down=True)
        return True

    def repair(self, number: int) -> None:
        """A server that broke down is whole again: it starts where it is wanted."""
        server = self._servers[number]
        server.mend(self._now_s)
        server.is_sound = True
        self._adjust()

    def sweep(self) -> None:
        """Notice the servers that have drained."""
        for server in self._servers:
            if server.has_drained:
                self._end(server, server.drained_s)

    def close(self, end_s: float) -> None:
        """End what is paid for with the run."""
        self.sweep()
        for server in self._servers:
            if self._always_paid or server.life is not Life.OFF:
                begin_s = 0.0 if self._always_paid else server.launched_s
                self.paid.append(PaidInterval(self._index, server.number, begin_s, end_s, 0.0))

    @property
    def _now_s(self) -> float:
        return float(self._clock.now)

    def _adjust(self, *, at_once: bool = False) -> None:
        """Bring servers up or down until as many are up as are wanted, or no more can be."""
        self.sweep()
        while self.up < self.wanted and (server := self._next_up()) is not None:
            if at_once or server.life is Life.DRAINING:
                self._open(server)
            else:
                self._launch(server)
        while self.up > self.wanted and (server := self._next_down()) is not None:
            if server.life is Life.STARTING:
                self._end(server, self._now_s)
            else:
                self._live(server, Life.DRAINING)
            server.drain(self._now_s)
        self.sweep()
        self._hold()

    def _next_up(self) -> Server | None:
        off = [server for server in self._servers if server.can_start]
        holding = [server for server in off if server.requests]
        draining = [server for server in self._servers if server.life is Life.DRAINING and server.is_there]
        return next(iter([*holding, *draining, *off]), None)

    def _next_down(self) -> Server | None:
        starting = [server for server in self._servers if server.life is Life.STARTING and not server.requests]
        if starting:
            return max(starting, key=lambda server: server.launch)
        serving = [server for server in self._servers if server.life is Life.OPEN]
        return min(serving, key=lambda server: (server.requests, -server.number), default=None)

    def _launch(self, server: Server) -> None:
        self._begin(server, Life.STARTING)
        server.start(self._now_s, hold=self._holds)
        self._clock.process(self._start_up(server, server.launch))

    def _start_up(self, server: Server, launch: int) -> Generator[simpy.Event]:
        yield from until(self._clock, server.launched_s + self._start_up_s)
        if server.launch == launch and server.life is Life.STARTING:
            self._open(server)
            self._hold()

    def _open(self, server: Server) -> None:
        if server.life is Life.OFF:
            self._begin(server, Life.OPEN)
        else:
            self._live(server, Life.OPEN)
        server.open(self._now_s)

    def _begin(self, server: Server, life: Life) -> None:
        """A server's paid life begins."""
        self.starts += 1
        server.launch, server.launched_s, server.holds = self.starts, self._now_s, False
        self._live(server, life)

    def _end(self, server: Server, end_s: float) -> None:
        """A server's paid life ends, or has ended."""
        self._live(server, Life.OFF)
        if not self._always_paid:
            rounding_s = self._rounding_s(end_s - server.launched_s)
            self.paid.append(PaidInterval(self._index, server.number, server.launched_s, end_s, rounding_s))

    def _live(self, server: Server, life: Life) -> None:
        opened = (life is Life.OPEN) - (server.life is Life.OPEN)
        server.life = life
        self._open_servers.change(opened, self._now_s)

    def _hold(self) -> None:
        """While none is up, one that can start holds requests: the one that does already, if it still can."""
        able = [server for server in self._servers if server.can_start] if self._holds and not self.up else []
        holder = next((server for server in able if server.holds), next(iter(able), None))
        if holder is not None and not holder.holds:
            holder.hold(True, self._now_s)
        for server in self._servers:
            if server.holds and server is not holder:
                server.hold(False, self._now_s)
