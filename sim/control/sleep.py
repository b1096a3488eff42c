"""Prepares contexts ahead of their questions where that is expected to save more than it costs."""

from __future__ import annotations

from collections.abc import Generator
from itertools import count
from typing import Any, Protocol

import numpy as np
import simpy
from numpy.typing import NDArray

from sim.control.clock import Clock
from sim.control.moments import until
from sim.control.prices import Prices
from sim.control.sleep_books import Preparations
from sim.control.sleep_contexts import LiveContexts
from sim.control.sleep_forecast import QuestionForecast
from sim.control.sleep_gate import Gate
from sim.control.sleep_value import Value
from sim.engine import state as st
from sim.engine.plane import DataPlane
from sim.engine.specs import PoolSpec
from sim.engine.state import Floats, Integers
from sim.errors import EngineError
from sim.fleet import Fleet
from sim.outcomes import SleepWork
from sim.routing.contexts import ForeseenContexts
from sim.scenario import Scenario
from sim.scenario.choices import strategy_shares
from sim.sleep import SLEEP, SleepAccount, sleep_pools
from sim.streams import RandomStreams
from sim.workload.keys import Keys
from sim.workload.workload import Workload

__all__ = ["Savings", "SleepControl", "best_first"]


class Savings(Protocol):
    """What is known of prepared contexts before any question is asked."""

    def saved_tokens(self, stream: int, strategy: int, predictability: Floats) -> Floats:
        """Output tokens that a question of a stream saves by a strategy if its context is prepared, [n]."""

    def gained(self, stream: int, strategy: int, predictability: Floats) -> Floats:
        """Chance of a right answer that it gains, [n]."""

    def sleep_work(self, stream: int) -> SleepWork:
        """What preparing a context of a stream takes."""


class SleepControl:
    """The dispatcher of sleep-time work: at every tick the contexts for which preparing pays best are prepared.

    A context is a candidate while it is there, is neither prepared nor being prepared in its present version, and has
    not been tried in vain. It is worth preparing if

        questions to come x (output tokens saved x dollars per output token when they come
                             + chance of a right answer gained x dollars per right answer) - dollars to read the notes

    is at least `min_saving` times what the job costs now. Of these the ones with the best ratio are sent, as far as
    `max_jobs` and the budget of the day go.
    """

    def __init__(
        self,
        scenario: Scenario,
        fleet: Fleet,
        plane: DataPlane,
        clock: Clock,
        workload: Workload,
        prices: Prices,
        streams: RandomStreams,
        savings: Savings,
        foreseen: ForeseenContexts | None = None,
    ) -> None:
        """`fleet` is one `with_sleep`. What `foreseen` knows of contexts goes before what `savings` say."""
        if scenario.sleep is None:
            raise EngineError("there is sleep-time work to control, and the scenario has none")
        self._sleep, self._plane, self._clock = scenario.sleep, plane, clock
        self._streams = len(scenario.workload)
        self._strategy = len(fleet.strategies)
        pools = sleep_pools(scenario)
        self._most_tokens = max(_most_tokens(fleet, p) for p in pools)
        work = [savings.sleep_work(stream) for stream in range(self._streams)]
        self._draft_tokens, self._notes_tokens = (
            np.array([getattr(each, name) for each in work]) for name in ("draft_tokens", "notes_tokens")
        )
        self._savings, self._scenario, self._foreseen = savings, scenario, foreseen
        self._live = LiveContexts(workload.contexts(), self._streams, self._effects)
        self._forecast = QuestionForecast(scenario, streams)
        self._value = Value(scenario, fleet, plane, prices, work)
        self._gate = Gate(scenario.sleep, pools, fleet, plane, self._value.prices)
        self._books = Preparations(plane, len(scenario.fleet))
        self._keys = Keys(streams, SLEEP)

    def start(self) -> None:
        """Have the process begin."""
        self._clock.process(self.run())

    def close(self) -> SleepAccount:
        """What came of it all, once the plane's books are closed."""
        return self._books.close(self._streams)

    def run(self) -> Generator[simpy.Event]:
        """The process."""
        for tick in count(1):
            yield from until(self._clock, tick * self._sleep.tick)
            self.tick(float(self._clock.now))

    def tick(self, now_s: float) -> None:
        """Look at contexts, prices and load, and send what pays."""
        live = self._live
        live.take(now_s)
        self._forecast.learn(live, self._plane.state.streams["asked"][: self._streams])
        self._books.note()
        ids = live.ids
        tokens = float(live.rows["tokens"][ids].mean()) if ids.size else 1.0
        room = self._sleep.max_jobs - self._books.in_flight.size
        if not self._gate.is_open(now_s, tokens) or room <= 0:
            return
        ids = self._candidates(now_s)
        if ids.size:
            self._send(*self._chosen(ids, tokens, room, now_s), now_s)

    def _effects(self, stream: int, ids: Integers, predictability: Floats) -> tuple[Floats, Floats, Floats]:
        """What preparing contexts saves and gains a question, and the factor on their questions, [n] each."""
        if self._foreseen is not None and self._foreseen.knows(stream):
            return self._foreseen.effects(stream, ids, lambda: self._value.output_usd(stream, float(self._clock.now)))
        saved, gained = _effects(self._savings, self._scenario, stream, predictability)
        return saved, gained, np.ones(ids.size)

    def _candidates(self, now_s: float) -> Integers:
        ids, rows = self._live.ids, self._live.rows
        version = rows["version"][ids]
        prepared = self._of(ids, "version") == version
        prepared &= now_s < self._of(ids, "expires_s")
        state = self._of(ids, "state")
        free = (state == st.UNPREPARED) | ((state == st.READY) & ~prepared)
        free &= rows["tokens"][ids] + self._draft_tokens[rows["stream"][ids]] <= self._most_tokens
        free &= ~self._books.has_failed(ids, version)
        found: Integers = ids[free]
        return found

    def _chosen(self, ids: Integers, tokens: float, room: int, now_s: float) -> tuple[Integers, Floats]:
        """Contexts to prepare now and what each is planned to cost, best first."""
        rows = self._live.rows[ids]
        questions = self._forecast.remaining(ids, rows, self._of(ids, "asked"), self._sleep.expires)
        ahead_s = self._forecast.ahead_s(self._sleep.expires)
        saving = self._value.saving_usd(rows, questions, ahead_s, tokens, now_s)
        decided, planned = self._value.cost_usd(rows, tokens, now_s)
        best = best_first(saving, decided, self._sleep.min_saving, room)
        affordable = self._affordable(planned[best], now_s)
        return ids[best][affordable], planned[best][affordable]

    def _affordable(self, planned_usd: Floats, now_s: float) -> slice:
        """As many of the first as the budget of the day has room for."""
        budget = self._sleep.budget_usd_per_day
        if budget is None:
            return slice(None)
        left = budget - self._books.spent_on_day_usd(now_s)
        return slice(int(np.searchsorted(np.cumsum(planned_usd * self._books.dearness), left, side="right")))

    def _send(self, ids: Integers, planned_usd: Floats, now_s: float) -> None:
        if not ids.size:
            return
        rows = self._live.rows[ids]
        self._books.send(ids, planned_usd)
        self._plane.prepare(
            ids,
            rows["version"],
            prompt_tokens=rows["tokens"],
            output_tokens=self._draft_tokens[rows["stream"]],
            notes_tokens=self._notes_tokens[rows["stream"]],
            keys=self._keys.draw(ids.size),
            lasts_s=self._sleep.expires,
            strategy=self._strategy,
            now_s=now_s,
        )

    def _of(self, ids: Integers, name: str) -> NDArray[Any]:
        """A column of the plane's contexts; zeros for those that it does not know yet."""
        column = self._plane.contexts[name]
        known = ids < column.size
        found = np.zeros(ids.size, column.dtype)
        found[known] = column[ids[known]]
        return found


def best_first(saving_usd: Floats, cost_usd: Floats, min_saving: float, most: int) -> Integers:
    """Places of those whose saving is worth the cost, by saving over cost, then by saving, then by cost.

    Without a `min_saving` all are worth it, and those that save nothing come last, the least loss on the least cost
    first.

    >>> best_first(np.array([1.0, 9.0, 4.0, 0.0]), np.array([1.0, 3.0, 1.0, 0.0]), 1.5, 2).tolist()
    [2, 1]
    >>> best_first(np.array([-1.0, -1.0, 1.0]), np.array([2.0, 1.0, 9.0]), 0.0, 3).tolist()
    [2, 1, 0]
    """
    worth = np.flatnonzero((min_saving == 0.0) | ((saving_usd > 0.0) & (saving_usd >= min_saving * cost_usd)))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.nan_to_num(saving_usd[worth] / cost_usd[worth])
    lost = saving_usd[worth] < 0.0
    ratio[lost] = (saving_usd * cost_usd)[worth][lost]
    if worth.size > most:
        least = np.partition(ratio, worth.size - most)[worth.size - most]
        worth, ratio = worth[ratio >= least], ratio[ratio >= least]
    order = np.lexsort((cost_usd[worth], -saving_usd[worth], -ratio))
    return worth[order][:most]


def _effects(savings: Savings, scenario: Scenario, stream: int, predictability: Floats) -> tuple[Floats, Floats]:
    """Output tokens that a question of a stream saves and chance that it gains, on average over the strategies, [n]."""
    saved, gained = np.zeros((2, predictability.size))
    for strategy, share in enumerate(strategy_shares(scenario, scenario.workload[stream])):
        if share:
            saved += share * savings.saved_tokens(stream, strategy, predictability)
            gained += share * savings.gained(stream, strategy, predictability)
    return saved, gained


def _most_tokens(fleet: Fleet, p: int) -> int:
    """Longest prompt and draft together that a pool takes."""
    spec = fleet.pools[p]
    return min(spec.max_model_len, spec.kv_capacity_tokens) if isinstance(spec, PoolSpec) else spec.max_model_len
