"""What is written down while a run goes on: buckets of time by pool, and tallies for batch means."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import count, pairwise
from typing import Any

import simpy

from sim.control.clock import Clock
from sim.engine.plane import DataPlane
from sim.tally import Tally, take_tally

__all__ = ["Batches", "Buckets"]

_COUNTERS = ("arrived", "completed", "prompt_tokens", "output_tokens", "preemptions", "recomputed_tokens")
_SUMS = ("busy_s", "idle_s", "busy_usd", "idle_usd")


class Buckets:
    """One row per pool and bucket: what came, what was done, what it cost; queues and memory at its end.

    `data_parallel` says how many of the plane's replicas are ranks of one, by pool.
    """

    def __init__(self, plane: DataPlane, width_s: float, data_parallel: Sequence[int]) -> None:
        self._plane = plane
        self._data_parallel = data_parallel
        self._width_s = width_s
        self._begin_s = 0.0
        self._before = self._counters()
        self.rows: list[dict[str, Any]] = []

    def run(self, clock: Clock) -> Generator[simpy.Event]:
        """The process that closes a bucket at each edge."""
        for edge in count(1):
            yield clock.timeout(edge * self._width_s - clock.now)
            self.close(clock.now)

    def close(self, now_s: float) -> None:
        """End the running bucket at `now_s` and begin the next; one without length only where it is the only one."""
        if now_s <= self._begin_s and self.rows:
            return
        self._plane.settle(now_s)
        counters = self._counters()
        gauges = self._gauges()
        for pool, (before, after) in enumerate(zip(self._before, counters, strict=True)):
            gained = {name: after[name] - before[name] for name in after}
            times = {"pool": pool, "begin_s": self._begin_s, "end_s": now_s}
            self.rows.append({**times, **gained, **gauges[pool]})
        self._begin_s, self._before = now_s, counters

    def _counters(self) -> list[dict[str, float]]:
        s = self._plane.state
        rows: list[dict[str, float]] = []
        for pool in range(s.pools.size):
            mine = s.replicas[s.replicas["pool"] == pool]
            counts = {name: int(s.pools[name][pool]) for name in _COUNTERS}
            rows.append(counts | {name: float(mine[name].sum()) for name in _SUMS})
        return rows

    def _gauges(self) -> list[dict[str, float]]:
        s = self._plane.state
        rows: list[dict[str, float]] = []
        for pool in range(s.pools.size):
            mine = s.replicas["pool"] == pool
            capacity = int(s.pools["capacity_blocks"][pool]) * int(mine.sum())
            rows.append(
                {
                    "running": int(s.replicas["seqs"][mine].sum()),
                    "waiting": int(s.replicas["waiting"][mine].sum()),
                    "kv_used_share": float(s.replicas["blocks_used"][mine].sum() / capacity),
                    "accepting_replicas": int(s.accepting[mine].sum()) // self._data_parallel[pool],
                }
            )
        return rows


class Batches:
    """Tallies at evenly spaced times: between MOST / 2 and MOST of them, whatever the length of the run.

    Where they become too many every second one is dropped and the spacing doubles, so the length need not be known.
    Without `keep` the books are settled at the same times, so that a run is the same to the last bit, and nothing is
    kept: batches are wanted of single runs only.
    """

    MOST = 40

    def __init__(self, plane: DataPlane, warm_up_s: float, *, keep: bool = True, spacing_s: float = 1.0) -> None:
        self._plane = plane
        self._warm_up_s = warm_up_s
        self._spacing_s = spacing_s
        self._keep = keep
        self._tallies = [self._take(0.0)]

    def run(self, clock: Clock) -> Generator[simpy.Event]:
        """The process that takes the tallies."""
        while True:
            yield clock.timeout(self._spacing_s * len(self._tallies) - clock.now)
            self._tallies.append(self._take(clock.now))
            if len(self._tallies) > self.MOST:
                self._tallies = self._tallies[::2]
                self._spacing_s *= 2.0

    def close(self, end_s: float) -> list[Tally]:
        """The tallies of the batches: equally long, but that the last one also takes what is left of the run.

        Batches that lie in the warm-up are left out.
        """
        kept = [tally for tally in self._tallies if tally is not None]
        edges = [tally for tally in kept if self._warm_up_s <= tally.seconds[0] < end_s]
        if not edges:
            return []
        end = take_tally(self._plane, end_s, self._warm_up_s)
        edges = [*edges[:-1], end] if len(edges) > 1 else [*edges, end]
        return [after - before for before, after in pairwise(edges)]

    def _take(self, now_s: float) -> Tally | None:
        if self._keep:
            return take_tally(self._plane, now_s, self._warm_up_s)
        self._plane.settle(now_s)
        return None
