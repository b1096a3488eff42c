"""When sleep-time work may be sent: off-peak, or while the pools that do it are idle."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from sim.control.sleep_prices import PoolPrice
from sim.engine import state as st
from sim.engine.plane import DataPlane
from sim.engine.specs import PoolSpec
from sim.engine.throughput import full_batch_rows
from sim.fleet import Fleet
from sim.scenario import Sleep

__all__ = ["Gate"]

_DAY_S = 86_400.0
_TICKS = 5
"""Ticks over which recent work is looked at."""
_LAST_DIGITS = 1e-9


class Gate:
    """Open while some condition of the scenario's `sleep.when` holds and one of the pools takes requests.

    Off-peak: an output token costs less on these pools than on average over the day of the run, or a window named
    off-peak holds. Idle: requests take less than the given share of the places in full batches, and what was answered
    in the last five ticks would have taken less than that share of the time in full batches. The places tell of a
    burst at once; the work tells of prompts too, of which few at a time keep a replica busy.
    """

    def __init__(
        self, sleep: Sleep, pools: Sequence[int], fleet: Fleet, plane: DataPlane, prices: Sequence[PoolPrice]
    ) -> None:
        self._sleep, self._plane = sleep, plane
        self._pools, self._prices = pools, [prices[p] for p in pools]
        self._gpus = {p: spec for p in pools if isinstance(spec := fleet.pools[p], PoolSpec)}
        self._seen = deque([(0.0, self._completed())], maxlen=_TICKS + 1)
        self._open_s: deque[float] = deque(maxlen=_TICKS)

    def is_open(self, now_s: float, context_tokens: float) -> bool:
        """Whether work may be sent now; to be asked at every tick."""
        is_idle = self._is_idle(now_s)
        if not any(self._accepting(p) for p in self._pools):
            return False
        when = self._sleep.when
        return (
            "always" in when
            or ("idle" in when and is_idle)
            or ("off-peak" in when and self._is_off_peak(now_s, context_tokens))
        )

    def _is_off_peak(self, now_s: float, context_tokens: float) -> bool:
        begin_s = now_s // _DAY_S * _DAY_S
        now = sum(price.now(now_s, context_tokens).output for price in self._prices)
        mean = sum(price.mean(begin_s, begin_s + _DAY_S, context_tokens).output for price in self._prices)
        return now < mean * (1.0 - _LAST_DIGITS) or any(price.is_named_off_peak(now_s) for price in self._prices)

    def _is_idle(self, now_s: float) -> bool:
        self._open_s.append(sum(map(self._accepting, self._gpus)) * (now_s - self._seen[-1][0]))
        self._seen.append((now_s, self._completed()))
        (_, before), (_, after) = self._seen[0], self._seen[-1]
        work_s = sum(self._plane.full_batch_s(p, *(after[p] - before[p]).tolist()) for p in self._gpus)
        places = sum(self._accepting(p) * self._rows(p) for p in self._gpus)
        outstanding = sum(int(self._plane.state.outstanding[self._replicas(p)].sum()) for p in self._gpus)
        most = self._sleep.idle_below
        return outstanding < most * places and work_s < most * max(sum(self._open_s), 1e-9)

    def _completed(self) -> dict[int, st.Integers]:
        return {p: self._plane.completed(p) for p in self._gpus}

    def _rows(self, p: int) -> int:
        """Branches in a full batch, as large as those were that have been answered."""
        spec, (branches, prompt_tokens, output_tokens, *_) = self._gpus[p], self._plane.completed(p).tolist()
        rows = min(spec.max_num_seqs, spec.step_time.max_rows)
        kv_capacity_tokens = spec.kv_capacity_tokens
        return full_batch_rows(branches, prompt_tokens, output_tokens, rows=rows, kv_capacity_tokens=kv_capacity_tokens)

    def _accepting(self, p: int) -> int:
        return int(np.count_nonzero(self._plane.state.accepting[self._replicas(p)] == st.OPEN_TO_ALL))

    def _replicas(self, p: int) -> slice:
        return slice(*self._plane.first_replica[p : p + 2])
