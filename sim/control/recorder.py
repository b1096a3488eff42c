"""What is written down while a run goes on: buckets of time by pool and by stream, and tallies for batch means."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import count, pairwise
from typing import Any

import numpy as np
import simpy

from sim.control.bill import Bill
from sim.control.clock import Clock
from sim.control.energy import Energy
from sim.control.prices import Prices
from sim.engine import state as st
from sim.engine.plane import DataPlane
from sim.ledger import LIFE_LINES
from sim.scenario import ApiPool, GpuPool
from sim.tally import REJECTIONS, Tally, own_streams, take_tally

__all__ = ["BUCKET", "STREAM_BUCKET", "Batches", "Buckets"]

_TOKENS = ("prompt_tokens", "output_tokens", "cached_tokens", "recomputed_tokens")
_COUNTS = ("arrived", "completed", *_TOKENS, "preemptions")
_UNUSED = tuple(f"{line}_s" for line in LIFE_LINES)
_USD = ("busy_usd", "idle_usd", "unused_usd", "api_usd", "other_usd", "sleep_usd")
_SUMS = ("busy_s", *_UNUSED, *_USD, "kwh", "carbon_kg")
_GAUGES = ("running", "waiting", "asleep", "accepting_replicas", "starting_replicas", "window")
_PRICES = ("kv_used_share", "usd_per_gpu_hour", "input_usd_per_1m", "output_usd_per_1m")

BUCKET = np.dtype(
    [
        ("pool", "i8"),
        ("begin_s", "f8"),
        ("end_s", "f8"),
        *((name, "i8") for name in _COUNTS),
        *((name, "f8") for name in _SUMS),
        *((name, "i8") for name in _GAUGES),
        *((name, "f8") for name in _PRICES),
    ]
)
"""What is kept of a pool in a bucket of time: counts and sums of the bucket, gauges and prices at its end.

`window` is the number of the tariff's window among those of the pool; a price that a pool does not have is NaN. Idle
dollars are among the unused ones. Those of sleep-time jobs that have ended are among the busy ones or an API's;
`asleep` are the jobs that wait or run, each draft for itself.
"""

_ENDS = ("offered", "completed", "timed_out", "failed", "measured_offered", "measured_ended", "measured_met")
_CONTEXTS = ("asked", "hits", "stale", "expired", "late", "saved_tokens")
_ANSWERS = ("known", "correct")
_OF_STREAM = (*_ENDS, *_CONTEXTS, "rejected", *_ANSWERS)

STREAM_BUCKET = np.dtype(
    [
        ("stream", "i8"),
        ("begin_s", "f8"),
        ("end_s", "f8"),
        *((name, "i8") for name in _OF_STREAM),
    ]
)
"""What is kept of a stream in a bucket of time: how requests ended, what those with a context found prepared of it, how
many answers can be right or wrong, and how many are right."""


class Buckets:
    """One row per pool and bucket, and one per stream and bucket."""

    def __init__(
        self,
        plane: DataPlane,
        width_s: float,
        pools: Sequence[GpuPool | ApiPool],
        prices: Prices,
        energy: Energy,
        bill: Bill,
    ) -> None:
        self._plane, self._prices, self._energy, self._bill = plane, prices, energy, bill
        self._pools = pools
        self._width_s = width_s
        self._begin_s = 0.0
        self._before = self._look(0.0), self._look_at_streams()
        self._pieces: tuple[list[st.Records], list[st.Records]] = ([], [])

    @property
    def rows(self) -> st.Records:
        """Buckets by pool, of type BUCKET."""
        return np.concatenate(self._pieces[0])

    @property
    def stream_rows(self) -> st.Records:
        """Buckets by stream, of type STREAM_BUCKET."""
        return np.concatenate(self._pieces[1])

    def run(self, clock: Clock) -> Generator[simpy.Event]:
        """The process that closes a bucket at each edge."""
        for edge in count(1):
            yield clock.timeout(edge * self._width_s - clock.now)
            self.close(clock.now)

    def close(self, now_s: float) -> None:
        """End the running bucket at `now_s` and begin the next; one without length only where it is the only one."""
        if now_s <= self._begin_s and self._pieces[0]:
            return
        self._plane.settle(now_s)
        after = self._look(now_s), self._look_at_streams()
        for before, now, sums, pieces in zip(
            self._before, after, ((*_COUNTS, *_SUMS), _OF_STREAM), self._pieces, strict=True
        ):
            piece = now.copy()
            for name in sums:
                piece[name] -= before[name]
            piece["begin_s"], piece["end_s"] = self._begin_s, now_s
            pieces.append(piece)
        self._begin_s, self._before = now_s, after

    def _look(self, now_s: float) -> st.Records:
        """The pools as they are, with everything since the start."""
        s = self._plane.state
        # As a plain array, whose fields are a third of the way to those of a record array.
        pools = s.pools.view(np.ndarray)
        other_usd = self._bill.other_usd(now_s)
        rows = np.zeros(len(self._pools), BUCKET)
        rows["pool"] = np.arange(rows.size)
        for name in _COUNTS:
            rows[name] = pools[name]
        rows["busy_s"] = s.work_s.sum(axis=1)
        rows["busy_usd"] = s.work_usd.sum(axis=1)
        unused_s = s.unused_s.sum(axis=1)
        for life, name in enumerate(_UNUSED):
            rows[name] = unused_s[:, life]
        rows["idle_usd"] = s.unused_usd[:, :, st.OPEN].sum(axis=1)
        rows["unused_usd"] = s.unused_usd.sum(axis=(1, 2))
        rows["api_usd"] = (s.billed_tokens * s.rates_usd).sum(axis=(1, 2))
        rows["other_usd"] = other_usd
        rows["sleep_usd"] = _sleep_usd(s)
        for p, pool in enumerate(self._pools):
            rows["kwh"][p], rows["carbon_kg"][p] = self._energy.read(p)
            _fill_gauges(rows[p], s, slice(*self._plane.first_replica[p : p + 2]), pool)
            self._fill_prices(rows[p], p, pool)
        return rows

    def _fill_prices(self, row: Any, p: int, pool: GpuPool | ApiPool) -> None:
        period = self._prices.now(p)
        row["window"] = self._prices.clocks[p].index(period.window)
        if isinstance(pool, GpuPool):
            row["usd_per_gpu_hour"] = period.rates[0]
            row["input_usd_per_1m"] = row["output_usd_per_1m"] = np.nan
        else:
            row["usd_per_gpu_hour"] = np.nan
            row["input_usd_per_1m"], row["output_usd_per_1m"] = period.rates[0] * 1e6, period.rates[2] * 1e6

    def _look_at_streams(self) -> st.Records:
        s = self._plane.state
        own = own_streams(s)
        streams = s.streams[:own].view(np.ndarray)
        rows = np.zeros(own, STREAM_BUCKET)
        rows["stream"] = np.arange(own)
        for name in (*_ENDS, *_CONTEXTS):
            rows[name] = streams[name]
        rows["rejected"] = sum(streams[name] for name in REJECTIONS)
        rows["known"] = s.ended_known.sum(axis=(0, 2, 3))[:own]
        rows["correct"] = s.ended_correct.sum(axis=(0, 2, 3))[:own]
        return rows


def _fill_gauges(row: Any, s: st.State, replicas: slice, pool: GpuPool | ApiPool) -> None:
    mine = s.replicas[replicas]
    ranks = pool.data_parallel if isinstance(pool, GpuPool) else 1
    row["accepting_replicas"] = np.count_nonzero(s.accepting[replicas] == st.OPEN_TO_ALL) // ranks
    row["starting_replicas"] = np.count_nonzero(mine["life"] == st.STARTING) // ranks
    row["waiting"] = mine["waiting"].sum()
    row["asleep"] = s.asleep[replicas].sum()
    if isinstance(pool, GpuPool):
        row["running"] = mine["seqs"].sum()
        blocks = int(s.pools["capacity_blocks"][row["pool"]]) * mine.size
        row["kv_used_share"] = mine["blocks_used"].sum() / blocks
    else:
        row["running"] = s.outstanding[replicas].sum()


def _sleep_usd(s: st.State) -> st.Floats | float:
    """What sleep-time jobs that have ended were charged, by pool, [P]."""
    stream = s.run[0].sleep_stream
    if stream == st.NONE:
        return 0.0
    usd: st.Floats = (s.ended_usd[:, stream] + s.recent_usd[:, stream]).sum(axis=(1, 2, 3, 4))
    return usd


class Batches:
    """Tallies at evenly spaced times: between MOST / 2 and MOST of them, whatever the length of the run.

    Where they become too many every second one is dropped and the spacing doubles, so the length need not be known.
    Without `keep` the books are settled at the same times, so that a run is the same to the last bit, and nothing is
    kept: batches are wanted of single runs only.
    """

    MOST = 40

    def __init__(
        self,
        plane: DataPlane,
        warm_up_s: float,
        bill: Bill,
        *,
        keep: bool = True,
        spacing_s: float = 1.0,
    ) -> None:
        self._plane = plane
        self._warm_up_s = warm_up_s
        self._bill = bill
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

    def close(self, end: Tally) -> list[Tally]:
        """The tallies of the batches: equally long, but that the last one also takes what is left of the run.

        `end` is the tally of the whole run. Batches that lie in the warm-up are left out.
        """
        kept = [tally for tally in self._tallies if tally is not None]
        edges = [tally for tally in kept if self._warm_up_s <= tally.seconds[0] < end.seconds[0]]
        if not edges:
            return []
        edges = [*edges[:-1], end] if len(edges) > 1 else [*edges, end]
        return [after - before for before, after in pairwise(edges)]

    def _take(self, now_s: float) -> Tally | None:
        # The meters are read either way: sums depend on when they are.
        other_usd = float(self._bill.other_usd(now_s).sum())
        if self._keep:
            return take_tally(self._plane, now_s, self._warm_up_s, other_usd)
        self._plane.settle(now_s)
        return None
