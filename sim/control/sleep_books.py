"""Which contexts are being prepared, and what has become of the preparations before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.engine import state as st
from sim.engine.plane import DataPlane
from sim.engine.state import Integers
from sim.sleep import SleepAccount

__all__ = ["Preparations"]

_DAY_S = 86_400.0


class Preparations:
    """Keeps the books of preparations: begun by `send`, settled when the context is prepared anew or the run ends.

    A preparation that has become stale or has expired gets no more hits, so that it can be settled at any time.
    """

    def __init__(self, plane: DataPlane, pools: int) -> None:
        self._plane, self._pools = plane, pools
        self.in_flight: Integers = np.zeros(0, np.int64)
        """Contexts being prepared."""
        self._planned_usd = np.zeros(0)
        self._finished_usd = np.zeros(2)
        self._unsettled = np.zeros(0, np.bool_)
        self._failed: dict[int, int] = {}
        self._counts = dict.fromkeys(("jobs", "prepared", "used", "job_tokens"), 0)
        self._spent_usd, self._used_usd = np.zeros(pools), np.zeros(pools)
        self._day, self._spent_before_usd = 0, 0.0

    def note(self) -> None:
        """Look at what has been finished."""
        if not self.in_flight.size:
            return
        table = self._plane.contexts
        state = table["state"][self.in_flight]
        runs, failed = state == st.PREPARING, self.in_flight[state == st.UNPREPARED]
        self._finished_usd += self._planned_usd[~runs].sum(), table["usd"][self.in_flight[~runs]].sum()
        self._failed |= dict(zip(failed.tolist(), table["version"][failed].tolist(), strict=True))
        self.in_flight, self._planned_usd = self.in_flight[runs], self._planned_usd[runs]

    def has_failed(self, ids: Integers, versions: Integers) -> NDArray[np.bool_]:
        """Whether a context of this version has been tried and not been finished, [n]."""
        found = np.zeros(ids.size, np.bool_)
        if self._failed:
            which = np.flatnonzero(np.isin(ids, list(self._failed)))
            pairs = zip(ids[which].tolist(), versions[which].tolist(), strict=True)
            found[which] = [self._failed[context] == version for context, version in pairs]
        return found

    @property
    def dearness(self) -> float:
        """What finished preparations cost over what they were planned to; 1 as long as none has been finished."""
        planned, spent = self._finished_usd.tolist()
        return spent / planned if planned and spent else 1.0

    def spent_on_day_usd(self, now_s: float) -> float:
        """What preparations cost since the day of the run began, those in flight as foreseen."""
        open_ids = np.flatnonzero(self._unsettled)
        spent = float(self._spent_usd.sum() + self._plane.contexts["usd"][open_ids].sum())
        if now_s // _DAY_S > self._day:
            self._day, self._spent_before_usd = int(now_s // _DAY_S), spent
        return spent - self._spent_before_usd + float(self._planned_usd.sum()) * self.dearness

    def send(self, ids: Integers, planned_usd: st.Floats) -> None:
        """New preparations of these contexts, none of which is being prepared; settles those before."""
        if ids.max(initial=-1) >= self._unsettled.size:
            more = max(int(ids.max()) + 1, 2 * self._unsettled.size) - self._unsettled.size
            self._unsettled = np.concatenate((self._unsettled, np.zeros(more, np.bool_)))
        self._settle(ids[self._unsettled[ids]])
        self._unsettled[ids] = True
        self._counts["jobs"] += ids.size
        self.in_flight = np.concatenate((self.in_flight, ids))
        self._planned_usd = np.concatenate((self._planned_usd, planned_usd))

    def close(self, streams: int) -> SleepAccount:
        """Settle the rest, the books of the plane being closed; `streams` is how many ask."""
        self._settle(np.flatnonzero(self._unsettled))
        self._unsettled[:] = False
        counts = self._plane.state.streams[:streams]
        return SleepAccount(
            **self._counts,
            spent_usd=self._spent_usd,
            used_usd=self._used_usd,
            asked=counts["asked"].copy(),
            hits=counts["hits"].copy(),
            stale=counts["stale"].copy(),
            expired=counts["expired"].copy(),
            late=counts["late"].copy(),
            saved_output_tokens=counts["saved_tokens"].copy(),
        )

    def _settle(self, ids: Integers) -> None:
        rows = self._plane.contexts[ids]
        used = rows["hits"] > 0
        self._counts["prepared"] += int(np.count_nonzero(rows["state"] == st.READY))
        self._counts["used"] += int(np.count_nonzero(used))
        self._counts["job_tokens"] += int(rows["job_tokens"].sum())
        somewhere = rows["pool"] != st.NONE
        pool = rows["pool"][somewhere]
        self._spent_usd += np.bincount(pool, rows["usd"][somewhere], self._pools)
        self._used_usd += np.bincount(pool, (rows["usd"] * used)[somewhere], self._pools)
