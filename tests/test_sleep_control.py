"""What is prepared ahead of its questions, when, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pytest

from sim.control.clock import Clock
from sim.control.prices import Prices, price_clocks
from sim.control.sleep import SleepControl, best_first
from sim.control.sleep_contexts import LIVE, LiveContexts
from sim.control.sleep_forecast import QuestionForecast
from sim.fleet import build_fleet
from sim.outcomes import SleepWork
from sim.scenario import GpuPool
from sim.scenario.choices import strategy_shares
from sim.sleep import SleepAccount, with_sleep
from sim.streams import RandomStreams
from sim.workload.blocks import APPEARS, CHANGES, ENDS, ContextBlock
from tests.fake_plane import FakePlane
from tests.small import chat, pool, scenario

HOUR_S = 3600.0
ZERO = np.zeros(1, np.int64)
CHEAP_NIGHTS = {
    "kind": "windows",
    "usd_per_gpu_hour": 2.0,
    "windows": [{"hours": "00:00-06:00", "usd_per_gpu_hour": 0.5, "name": "night"}],
}
BATCH = {
    "name": "batch",
    "kind": "api",
    "model": "Llama-3.1-8B",
    "tariff": {"kind": "windows", "base": {"input_usd_per_1m": 0.1, "output_usd_per_1m": 0.2}},
    "batch": {"median": "1h"},
}


class Event(NamedTuple):
    """Something that happens to a context."""

    at_s: float
    context: int
    kind: int = APPEARS
    version: int = 0
    tokens: int = 1000
    predictability: float = 0.5
    questions: int = 4


class Known:
    """A question saves 400 tokens times the rank of its context and gains a tenth of it; a draft takes 100 tokens."""

    def saved_tokens(self, stream: int, strategy: int, predictability: np.ndarray) -> np.ndarray:
        return 400.0 * predictability

    def gained(self, stream: int, strategy: int, predictability: np.ndarray) -> np.ndarray:
        return 0.1 * predictability

    def sleep_work(self, stream: int) -> SleepWork:
        return SleepWork(draft_tokens=100, drafts=1, notes_tokens=100)


class Flow:
    """A workload that tells of contexts, in blocks of three."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = sorted(events)

    def contexts(self) -> Iterator[ContextBlock]:
        for first in range(0, len(self._events), 3):
            mine = self._events[first : first + 3]
            at_s, context, kind, version, tokens, rank, questions = (np.array(c) for c in zip(*mine, strict=True))
            yield ContextBlock(at_s, context, np.zeros_like(kind), kind, version, tokens, rank.astype(float), questions)


class Night:
    """Sleep-time work on a data plane that serves nothing: an output token takes a millisecond, a prompt's 10 us."""

    def __init__(
        self,
        *events: Event,
        fleet: Sequence[dict[str, Any]] = (),
        contexts: dict[str, Any] | None = None,
        usd_per_correct: float | None = None,
        **sleep: Any,
    ) -> None:
        law = {"queries": {"kind": "geometric", "mean": 4}, "think_time": "1m", "tokens": 1000} | (contexts or {})
        self.scenario = scenario(
            fleet=list(fleet) or [pool()],
            workload=[chat(contexts=law, usd_per_correct=usd_per_correct)],
            sleep={"when": ["always"]} | sleep,
            horizon="48h",
        )
        counts = [found.ranks if isinstance(found, GpuPool) else 1 for found in self.scenario.fleet]
        self.plane: Any = FakePlane(counts)
        self.plane.request_s, self.plane.prompt_token_s, self.plane.output_token_s = 0.0, 1e-5, 1e-3
        self.clock = Clock(self.plane)
        streams = RandomStreams(7, 0)
        clocks = price_clocks(self.scenario, streams)
        prices = Prices(self.plane, self.scenario.fleet, clocks)
        prices.start(self.clock)
        workload: Any = Flow(events)
        self.control = SleepControl(
            self.scenario,
            with_sleep(self.scenario, build_fleet(self.scenario)),
            self.plane,
            self.clock,
            workload,
            prices,
            streams,
            Known(),
        )
        self.control.start()

    def until(self, now_s: float) -> Night:
        self.clock.run(until=now_s)
        return self

    def account(self) -> SleepAccount:
        return self.control.close()

    @property
    def sent(self) -> list[tuple[float, int, int]]:
        """When which context in which version was to be prepared."""
        return self.plane.sent


def test_a_context_is_prepared_at_the_next_tick_and_once() -> None:
    night = Night(Event(10.0, 3), Event(70.0, 5)).until(HOUR_S)

    assert night.sent == [(60.0, 3, 0), (120.0, 5, 0)]


def test_what_has_changed_is_prepared_again_and_what_has_ended_is_not() -> None:
    changed, ended = Event(200.0, 3, CHANGES, version=1), Event(30.0, 5, ENDS)
    night = Night(Event(10.0, 3), changed, Event(20.0, 5), ended).until(HOUR_S)

    assert night.sent == [(60.0, 3, 0), (240.0, 3, 1)]


def test_what_has_expired_is_prepared_again() -> None:
    night = Night(Event(10.0, 3), expires="10m").until(700.0 + 30.0)

    assert night.sent == [(60.0, 3, 0), (720.0, 3, 0)]


def test_a_change_while_it_is_being_prepared_waits_for_the_end() -> None:
    night = Night(Event(10.0, 3), Event(61.0, 3, CHANGES, version=1))
    night.plane.job_s = 100.0

    assert night.until(HOUR_S).sent == [(60.0, 3, 0), (180.0, 3, 1)]


def test_what_was_not_finished_is_not_tried_again_before_it_changes() -> None:
    night = Night(Event(10.0, 3), Event(600.0, 3, CHANGES, version=1))
    night.plane.ends_well = False

    assert night.until(HOUR_S).sent == [(60.0, 3, 0), (600.0, 3, 1)]


def test_the_best_come_first_and_no_more_than_may_be_in_flight() -> None:
    """Ranks are in the order of what preparing saves."""
    events = [Event(1.0, n, predictability=rank) for n, rank in enumerate((0.3, 0.9, 0.6, 0.7))]
    night = Night(*events, max_jobs=2)
    night.plane.job_s = 90.0

    assert night.until(HOUR_S).sent == [(60.0, 1, 0), (60.0, 3, 0), (180.0, 2, 0), (180.0, 0, 0)]


def test_best_first_breaks_ties_by_the_saving_and_then_by_place() -> None:
    saving, cost = np.array([2.0, 4.0, 2.0, 1.0, 5.0]), np.array([1.0, 2.0, 1.0, 0.0, 0.0])

    assert best_first(saving, cost, 1.0, 9).tolist() == [4, 3, 1, 0, 2]
    assert best_first(saving, cost, 1.0, 3).tolist() == [4, 3, 1]
    assert best_first(np.zeros(2), np.zeros(2), 1.0, 3).tolist() == []
    assert best_first(np.array([-1.0, 0.0]), np.zeros(2), 0.0, 3).tolist() == [1, 0]


def saving_over_cost(usd_per_correct: float | None = None, **contexts: Any) -> float:
    """By bisection: the largest `min_saving` at which a context is prepared."""
    low, high = 0.0, 64.0
    for _ in range(24):
        middle = (low + high) / 2
        law = {"contexts": contexts, "usd_per_correct": usd_per_correct}
        night = Night(Event(10.0, 0), **law, min_saving=middle).until(61.0)
        low, high = (middle, high) if night.sent else (low, middle)
    return low


def test_a_context_is_worth_its_questions_times_their_saving_over_its_job() -> None:
    """Four questions to come, each 200 tokens of a millisecond, in a day; the notes of 100 are read once. The job
    reads 1000 tokens and writes 100."""
    saving_s = 4 * 200 * 1e-3 - 100 * 1e-5
    cost_s = 1000 * 1e-5 + 100 * 1e-3

    assert saving_over_cost() == pytest.approx(saving_s / cost_s, rel=1e-4)


def test_right_answers_gained_are_worth_what_the_stream_says() -> None:
    """Four questions, each with 0.05 more of a right answer, which is worth ten replica seconds."""
    saving_s = 4 * (200 * 1e-3 + 0.05 * 10) - 100 * 1e-5
    usd_per_s = 2.0 / HOUR_S

    assert saving_over_cost(10 * usd_per_s) == pytest.approx(saving_s / 0.11, rel=1e-4)


def test_questions_that_come_after_a_change_are_not_counted() -> None:
    """Of four questions with gaps of a minute, 4 (1 - exp(-1/4)) come within a minute."""
    within = 4 * (1 - np.exp(-0.25))
    saving_s = within * 200 * 1e-3 - min(within, 1.0) * 100 * 1e-5

    assert saving_over_cost(changes_every="1m") == pytest.approx(saving_s / 0.11, rel=1e-4)


@pytest.mark.parametrize(
    ("law", "asked", "left"),
    [
        ({"kind": "geometric", "mean": 4}, 0, 4.0),
        ({"kind": "geometric", "mean": 4}, 7, 3.0),
        ({"kind": "constant", "value": 4}, 3, 1.0),
        ({"kind": "constant", "value": 4}, 4, 0.0),
    ],
)
def test_questions_to_come_follow_from_those_that_were_asked(law: dict[str, Any], asked: int, left: float) -> None:
    night = Night(Event(10.0, 0), contexts={"queries": law})
    night.until(59.0)
    for _ in range(asked):
        night.plane.ask(0, 0, 59.0)
    rows = night.control._live
    rows.take(60.0)
    found = night.control._forecast.remaining(rows.ids, rows.rows[rows.ids], np.array([asked]), 1e9)

    assert found.tolist() == pytest.approx([left], abs=1e-6)


def test_an_oracle_knows_how_many_will_be_asked() -> None:
    """One question pays for itself, none does not; the mean would prepare both."""
    events = (Event(10.0, 0, questions=0), Event(10.0, 1, questions=1))

    assert [context for _, context, _ in Night(*events, forecast={"questions": "oracle"}).until(61.0).sent] == [1]
    assert [context for _, context, _ in Night(*events).until(61.0).sent] == [0, 1]


def test_an_error_of_the_forecast_has_mean_one_and_is_the_same_at_every_look() -> None:
    night = Night(*(Event(10.0, n) for n in range(4000)), forecast={"error": 0.5}, contexts={"think_time": "1s"})
    live, forecast = night.control._live, night.control._forecast
    live.take(60.0)
    rows, asked = live.rows[live.ids], np.zeros(live.ids.size, np.int64)
    factor = forecast.remaining(live.ids, rows, asked, 1e9) / 4.0

    assert float(factor.mean()) == pytest.approx(1.0, abs=0.03)
    assert float(np.log(factor).std()) == pytest.approx(0.5, abs=0.02)
    assert forecast.remaining(live.ids[5:6], rows[5:6], asked[:1], 1e9) / 4.0 == factor[5]


def test_a_trace_is_foreseen_by_what_it_has_shown() -> None:
    """Two contexts have ended after 100 s; of the questions on these and a third one there were nine."""
    trace = {"kind": "trace", "path": "there.csv", "format": "nightshift"}
    forecast = QuestionForecast(scenario(workload=[chat(arrivals=trace, lengths=None)], sleep={}), RandomStreams(7, 0))
    row = np.zeros(1, LIVE)
    row["question_factor"] = 1.0
    none = LiveContexts(iter([]), 1, lambda stream, ids, rank: (rank, rank, rank))
    before = forecast.remaining(ZERO, row, ZERO, 1e9), forecast.remaining(ZERO, row, ZERO + 3, 1e9)
    none.appeared[:], none.ended[:], none.lived_s[:] = 3, 2, 200.0
    forecast.learn(none, ZERO + 9)
    after = forecast.remaining(ZERO, row, ZERO, 1e9), forecast.remaining(ZERO, row, ZERO + 3, 1e9)

    assert [float(each[0]) for each in before] == pytest.approx([2.0, 1.0])
    assert [float(each[0]) for each in after] == pytest.approx([3.0, 2.0])
    assert forecast.ahead_s(HOUR_S).tolist() == pytest.approx([100.0])


def test_off_peak_is_when_the_price_is_below_the_mean_of_the_day() -> None:
    """From midnight to six GPUs are cheap; what appears at noon waits, and a day after the first job it has expired."""
    fleet = [pool(offer={"kind": "on-demand", "tariff": CHEAP_NIGHTS})]
    night = Night(Event(10.0, 0), Event(12 * HOUR_S, 1), fleet=fleet, when=["off-peak"], contexts={"think_time": "4h"})

    assert night.until(48 * HOUR_S).sent == [(60.0, 0, 0), (24 * HOUR_S, 1, 0), (24 * HOUR_S + 120.0, 0, 0)]


def test_a_window_named_off_peak_is_off_peak_whatever_it_costs() -> None:
    tariff = CHEAP_NIGHTS | {"windows": [{"hours": "00:00-06:00", "usd_per_gpu_hour": 9.0, "name": "off-peak"}]}
    night = Night(Event(10.0, 0), fleet=[pool(offer={"kind": "on-demand", "tariff": tariff})], when=["off-peak"])

    assert night.until(120.0).sent == [(60.0, 0, 0)]


def test_a_flat_price_is_never_off_peak() -> None:
    assert Night(Event(10.0, 0), when=["off-peak"]).until(24 * HOUR_S).sent == []


def test_idle_is_a_share_of_the_places_in_full_batches() -> None:
    """Each of two replicas has 256 places at most; 300 requests at one of them are more than half of them."""
    night = Night(Event(10.0, 0), when=["idle"])
    for _ in range(300):
        night.plane.work(0, 1000.0)

    assert night.until(HOUR_S).sent == [(1020.0, 0, 0)]


def test_idle_is_a_share_of_the_work_too() -> None:
    """Two replicas would work on it for more than half of the last five ticks, until it is longer ago."""
    night = Night(Event(10.0, 0), when=["idle"]).until(50.0)
    night.plane.answered_tokens = 400_000

    assert night.until(HOUR_S).sent == [(360.0, 0, 0)]


def test_an_api_is_never_idle() -> None:
    work = {"fleet": [pool(), BATCH], "pools": ["batch"]}
    assert Night(Event(10.0, 0), **work, when=["idle"]).until(HOUR_S).sent == []
    assert Night(Event(10.0, 0), **work, when=["always"]).until(HOUR_S).sent == [(60.0, 0, 0)]


@pytest.mark.parametrize(
    ("router", "shares"),
    [
        (None, [1.0, 0.0]),
        ({"policy": "always", "strategy": "b"}, [0.0, 1.0]),
        ({"policy": "random", "weights": {"a": 1, "b": 3}}, [0.25, 0.75]),
        ({"policy": "round-robin"}, [0.5, 0.5]),
    ],
)
def test_what_a_question_saves_is_weighed_by_its_strategies(router: Any, shares: list[float]) -> None:
    described = scenario(strategies=[{"name": "a"}, {"name": "b"}], router=router)
    assert strategy_shares(described, described.workload[0]) == shares
    own = described.workload[0].model_copy(update={"strategy": "a"})
    assert strategy_shares(described, own) == [1.0, 0.0]


def test_nothing_is_sent_while_no_pool_takes_requests() -> None:
    night = Night(Event(10.0, 0))
    night.plane.state.accepting[:] = 0
    assert night.until(100.0).sent == []

    night.plane.state.accepting[1] = 1
    assert night.until(200.0).sent == [(120.0, 0, 0)]


def test_no_more_is_sent_than_the_budget_of_a_day() -> None:
    """Of a budget for two and a half jobs of 110 ms."""
    job_usd = 0.11 * 2.0 / 3600.0
    night = Night(*(Event(10.0, n) for n in range(5)), budget_usd_per_day=2.5 * job_usd, expires="72h")
    night.plane.job_usd = job_usd

    assert night.until(48 * HOUR_S).sent == [(60.0, 0, 0), (60.0, 1, 0), (24 * HOUR_S, 2, 0), (24 * HOUR_S, 3, 0)]


def test_jobs_count_in_the_budget_as_what_they_turned_out_to_cost() -> None:
    events = [Event(10.0 + 60.0 * n, n) for n in range(5)]

    assert [context for _, context, _ in Night(*events, budget_usd_per_day=1.0).until(HOUR_S).sent] == [0, 1]


def test_reserved_gpus_cost_what_work_adds_where_that_counts() -> None:
    """A question saves 200 ms and costs 110 ms to prepare; without electricity the latter is free."""
    rare = {"queries": 1, "think_time": "1m"}
    full = Night(Event(10.0, 0), contexts=rare, min_saving=5.0)
    marginal = Night(Event(10.0, 0), contexts=rare, min_saving=5.0, cost="marginal")

    assert (len(full.until(61.0).sent), len(marginal.until(61.0).sent)) == (0, 1)


def test_what_no_pool_could_hold_is_not_sent() -> None:
    small = pool(engine={"kv_capacity_tokens": 1040})

    assert Night(Event(10.0, 0), fleet=[small]).until(61.0).sent == []
    assert len(Night(Event(10.0, 0, tokens=900), fleet=[small]).until(61.0).sent) == 1


def test_a_preparation_that_serves_a_question_was_not_in_vain() -> None:
    """One is used, one finds no question, one becomes stale, one is not done in the end."""
    events = [Event(10.0, n) for n in range(3)]
    night = Night(*events, Event(150.0, 2, CHANGES, version=1), Event(200.0, 3)).until(95.0)
    night.plane.ask(0, 0, 95.0)
    night.plane.ask(0, 0, 96.0)
    night.until(155.0)
    night.plane.ask(2, 1, 155.0)
    night.plane.job_s = 1e9
    account = night.until(300.0).account()

    assert (account.jobs, account.prepared, account.used) == (5, 3, 1)
    assert account.spent_usd.tolist() == [1.5]
    assert account.used_usd.tolist() == [0.5]
    assert (account.asked.tolist(), account.hits.tolist(), account.stale.tolist()) == ([3], [2], [1])


def test_a_preparation_keeps_its_books_when_it_is_replaced() -> None:
    night = Night(Event(10.0, 0), expires="10m").until(100.0)
    night.plane.ask(0, 0, 100.0)
    account = night.until(800.0).account()

    assert (account.jobs, account.prepared, account.used, account.used_usd.tolist()) == (2, 2, 1, [0.5])


def test_a_hundred_thousand_contexts_take_milliseconds_a_tick() -> None:
    night = Night(max_jobs=64, min_saving=0.5)
    live, contexts = night.control._live, 100_000
    zeros = np.zeros(contexts, np.int64)
    rank = np.random.default_rng(1).random(contexts)
    live._note(
        ContextBlock(np.zeros(contexts), np.arange(contexts), zeros, zeros, zeros, zeros + 1000, rank, zeros + 4)
    )
    night.control.tick(60.0)
    begun_s = perf_counter()
    for tick in range(2, 12):
        night.plane.advance(60.0 * tick)
        night.control.tick(60.0 * tick)

    assert len(night.sent) == 11 * 64
    assert (perf_counter() - begun_s) / 10 < 0.2
