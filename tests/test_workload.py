"""Workloads: rates, burstiness, the local clock, merging, and what must not change the requests."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Iterator
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.scenario import (
    Closed,
    ConstantLengths,
    Daily,
    Gamma,
    GpuPool,
    LognormalLengths,
    Poisson,
    QuantileLengths,
    Reserved,
    Scenario,
    Stream,
)
from sim.streams import RandomStreams
from sim.workload.arrivals import arrival_times, renewal_times
from sim.workload.blocks import BLOCK_ROWS, RequestBlock, plain_block
from sim.workload.daily import cumulative_rate
from sim.workload.keys import Keys
from sim.workload.lengths import LengthSampler, mean_tokens
from sim.workload.merge import merge_blocks
from sim.workload.workload import Workload, build_workload

CONSTANT = ConstantLengths(prompt_tokens=100, output_tokens=20)
LOGNORMAL = LognormalLengths(prompt_median=900, prompt_sigma=1.0, output_median=150, output_sigma=0.8)
QUANTILES = QuantileLengths(prompt_tokens=[1, 50, 100, 1000], output_tokens=[5, 10, 400])
HOUR, DAY = 3600.0, 86_400.0


def scenario(*streams: Stream, horizon: float | None = HOUR, time_zone: str = "UTC", **rest) -> Scenario:
    pool = GpuPool(name="gpus", gpu="H100-SXM", model="Llama-3.1-8B", replicas=1, offer=Reserved(usd_per_gpu_hour=2))
    return Scenario(name="test", horizon=horizon, time_zone=time_zone, workload=list(streams), fleet=[pool], **rest)


def chat(arrivals, lengths=LOGNORMAL, name: str = "chat", **rest) -> Stream:
    return Stream(name=name, arrivals=arrivals, lengths=lengths, **rest)


def workload(*streams: Stream, seed: int = 1, **rest) -> Workload:
    return build_workload(scenario(*streams, **rest), RandomStreams(seed, 0))


def requests(work: Workload) -> RequestBlock:
    return RequestBlock._make(map(np.concatenate, zip(*work.blocks(), strict=True)))


def times(arrivals, horizon_s: float, *, rows: int = BLOCK_ROWS, start: datetime, time_zone: str, seed: int = 1):
    random = RandomStreams(seed, 0).generator("chat/arrivals")
    blocks = arrival_times(arrivals, random, horizon_s, start=start, time_zone=time_zone, rows=rows)
    return np.concatenate([np.empty(0), *blocks])


# Rates and burstiness


def test_poisson_arrivals_have_their_rate_and_the_gaps_of_chance():
    arrival_s = requests(workload(chat(Poisson(rps=50)))).arrival_s
    gaps = np.diff(arrival_s)
    assert arrival_s.size == pytest.approx(50 * HOUR, abs=4 * math.sqrt(50 * HOUR))
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("cv", [0.25, 1.0, 3.0])
def test_gamma_arrivals_have_their_rate_and_variation(cv: float):
    arrival_s = requests(workload(chat(Gamma(rps=50, cv=cv)))).arrival_s
    gaps = np.diff(arrival_s)
    assert arrival_s.size == pytest.approx(50 * HOUR, abs=4 * cv * math.sqrt(50 * HOUR))
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03)


def bursty(replication: int):
    return renewal_times(1.0, 5.0, RandomStreams(7, replication).generator("x"), rows=1000)


def test_bursty_arrivals_have_their_rate_from_the_first_second_on():
    """Without the equilibrium start, gaps of variation 5 would bring 12 requests too many at the beginning."""
    counts = [sum(np.count_nonzero(part < 5.0) for part in itertools.islice(bursty(run), 2)) for run in range(2000)]
    assert np.mean(counts) == pytest.approx(5.0, abs=4 * np.std(counts) / math.sqrt(len(counts)))


def test_very_even_arrivals_do_not_break():
    gaps = np.diff(requests(workload(chat(Gamma(rps=10, cv=1e-9)))).arrival_s)
    assert gaps == pytest.approx(0.1, rel=1e-4)


# The local day


def hourly_share(arrivals: Daily, days: int, **rest) -> np.ndarray:
    arrival_s = times(arrivals, days * DAY, start=datetime(2026, 1, 5), time_zone="UTC", **rest)
    return np.bincount((arrival_s % DAY // HOUR).astype(int), minlength=24) / days / HOUR


@pytest.mark.parametrize("cv", [1.0, 2.0])
def test_daily_arrivals_follow_the_sinusoid(cv: float):
    arrivals = Daily(mean_rps=2.0, peak_hour=14.5, amplitude=0.6, burstiness_cv=cv)
    found = hourly_share(arrivals, days=40)
    centre = np.arange(24) + 0.5
    expected = 2.0 * (1 + 0.6 * np.cos(2 * np.pi * (centre - 14.5) / 24) * np.sinc(1 / 24))
    assert found == pytest.approx(expected, rel=0.016 * cv)
    assert found.mean() == pytest.approx(2.0, rel=0.008 * cv)


def test_daily_burstiness_is_that_of_the_steady_process():
    arrivals = Daily(mean_rps=5.0, amplitude=0.0, burstiness_cv=2.5)
    gaps = np.diff(times(arrivals, 5 * DAY, start=datetime(2026, 1, 5), time_zone="UTC"))
    assert gaps.std() / gaps.mean() == pytest.approx(2.5, rel=0.02)


def test_weekday_factors_follow_the_local_date_and_leave_mean_rps_alone():
    arrivals = Daily(mean_rps=1.0, amplitude=0.0, weekday_factors={"sat": 0.5, "sun": 0.0, "mon": 2.0})
    start = datetime(2026, 1, 9)  # a Friday, in Auckland a day ahead of UTC
    arrival_s = times(arrivals, 4 * DAY, start=start, time_zone="Pacific/Auckland")
    per_day = np.histogram(arrival_s, bins=np.arange(5) * DAY)[0]
    assert per_day / DAY == pytest.approx([1.0, 0.5, 0.0, 2.0], abs=0.015)


@pytest.mark.parametrize(
    ("date", "hours"), [(datetime(2026, 3, 8), 23), (datetime(2026, 11, 1), 25), (datetime(2026, 3, 9), 24)]
)
def test_days_on_which_clocks_change_have_23_or_25_hours(date: datetime, hours: int):
    """With all weight on Sunday, requests end exactly at the next local midnight."""
    weekday = date.strftime("%a").lower()
    factors = dict.fromkeys(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), 0.0) | {weekday: 1.0}
    arrivals = Daily(mean_rps=2.0, amplitude=0.0, weekday_factors=factors)
    arrival_s = times(arrivals, 3 * DAY, start=date, time_zone="America/New_York")
    assert arrival_s[-1] == pytest.approx(hours * HOUR, abs=10.0)
    assert arrival_s.size == pytest.approx(2 * hours * HOUR, rel=0.01)


@pytest.mark.parametrize(("start", "utc_hour"), [(datetime(2026, 2, 28, 19), 19.0), (datetime(2026, 4, 1, 20), 18.0)])
def test_the_peak_keeps_its_local_hour_in_winter_and_summer(start: datetime, utc_hour: float):
    """Both starts are midnight in UTC; 14:00 in New York is 19:00 UTC in winter and 18:00 in summer."""
    arrivals = Daily(mean_rps=5.0, peak_hour=14.0, amplitude=1.0)
    arrival_s = times(arrivals, 4 * DAY, start=start, time_zone="America/New_York")
    angle = np.angle(np.exp(2j * np.pi * arrival_s / DAY).sum())
    assert angle * 24 / (2 * np.pi) % 24 == pytest.approx(utc_hour, abs=0.05)


@pytest.mark.parametrize(("date", "change_h"), [(datetime(2026, 3, 8), 2.0), (datetime(2026, 11, 1), 2.0)])
def test_the_rate_jumps_with_the_clock(date: datetime, change_h: float):
    """Two hours after midnight New York's clocks go an hour forward in March, an hour back in November."""
    day = next(cumulative_rate(Daily(mean_rps=1.0, amplitude=1.0), date, "America/New_York", DAY))
    hours = day.time_s[:-1] / HOUR
    shift = np.where(hours < change_h, 0.0, 1.0 if date.month == 3 else -1.0)
    expected = 1 + np.cos((hours + 1 / 120 + shift - 14) * 2 * np.pi / 24)
    assert np.diff(day.requests) / 60 == pytest.approx(expected, abs=1e-6)


def test_the_repeated_hour_has_the_same_rate_twice():
    """On 1 November 2026 the hour from 01:00 comes twice in New York."""
    arrivals = Daily(mean_rps=30.0, peak_hour=1.5, amplitude=1.0)
    arrival_s = times(arrivals, DAY, start=datetime(2026, 11, 1), time_zone="America/New_York")
    per_hour = np.histogram(arrival_s, bins=np.arange(5) * HOUR)[0] / HOUR
    at_peak, beside = 30 * (1 + np.sinc(1 / 24)), 30 * (1 + np.cos(np.pi / 12) * np.sinc(1 / 24))
    assert per_hour == pytest.approx([beside, at_peak, at_peak, beside], rel=0.02)


def test_a_day_without_midnight_starts_after_the_gap():
    """In Santiago 6 September 2026 begins at 01:00."""
    arrivals = Daily(mean_rps=1.0, amplitude=0.0, weekday_factors={"sat": 0.0, "mon": 0.0})
    arrival_s = times(arrivals, 2.5 * DAY, start=datetime(2026, 9, 5), time_zone="America/Santiago")
    assert [arrival_s[0], arrival_s[-1]] == pytest.approx([24 * HOUR, 47 * HOUR], abs=20)


def test_days_without_requests_come_to_the_horizon():
    idle = dict.fromkeys(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), 0.0)
    arrivals = Daily(mean_rps=1.0, weekday_factors=idle)
    assert list(workload(chat(arrivals), horizon=30 * DAY).blocks()) == []


# What must not change the requests

ARRIVALS = [
    Poisson(rps=40),
    Gamma(rps=40, cv=2.0),
    Daily(mean_rps=40, burstiness_cv=1.5),
    Daily(mean_rps=40, amplitude=1.0),
]


@pytest.mark.parametrize("arrivals", ARRIVALS, ids=lambda arrivals: arrivals.kind)
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_block_size_does_not_change_arrivals(arrivals, rows: int):
    clock = {"start": datetime(2026, 3, 7, 23, 30), "time_zone": "America/New_York"}
    whole = times(arrivals, 120.0, **clock)
    assert times(arrivals, 120.0, rows=rows, **clock).tolist() == whole.tolist()


@pytest.mark.parametrize("lengths", [CONSTANT, LOGNORMAL, QUANTILES], ids=lambda lengths: lengths.kind)
def test_block_size_does_not_change_lengths(lengths):
    at_once = LengthSampler(lengths, RandomStreams(1, 0), "chat").draw(BLOCK_ROWS + 500)
    sampler = LengthSampler(lengths, RandomStreams(1, 0), "chat")
    parts = [sampler.draw(rows) for rows in (1, 499, BLOCK_ROWS)]
    assert np.array_equal(np.hstack(parts), np.vstack(at_once))


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    first, again = (requests(workload(chat(Poisson(rps=20)))) for _ in range(2))
    other = requests(workload(chat(Poisson(rps=20)), seed=2))
    assert [column.tobytes() for column in first] == [column.tobytes() for column in again]
    assert first.arrival_s[:10].tolist() != other.arrival_s[:10].tolist()


def test_blocks_can_be_asked_for_again():
    work = workload(chat(Gamma(rps=20, cv=2)))
    assert requests(work).prompt_tokens.tolist() == requests(work).prompt_tokens.tolist()


def test_adding_or_changing_a_stream_leaves_the_others_unchanged():
    mine = chat(Poisson(rps=20))
    alone = requests(workload(mine))
    others = [chat(Gamma(rps=90, cv=2), CONSTANT, "agents"), chat(Poisson(rps=3), QUANTILES, "nightly")]
    for company in (others, others[::-1], others[:1]):
        joined = requests(workload(company[0], mine, *company[1:]))
        own = RequestBlock._make(column[joined.stream == 1] for column in joined)
        assert own.arrival_s.tolist() == alone.arrival_s.tolist()
        assert own.prompt_tokens.tolist() == alone.prompt_tokens.tolist()
        assert own.output_tokens.tolist() == alone.output_tokens.tolist()


def test_changing_lengths_leaves_arrivals_unchanged():
    one, other = (requests(workload(chat(Poisson(rps=20), lengths))) for lengths in (LOGNORMAL, CONSTANT))
    assert one.arrival_s.tolist() == other.arrival_s.tolist()


@pytest.mark.parametrize("arrivals", ARRIVALS, ids=lambda arrivals: arrivals.kind)
def test_the_horizon_cuts_exactly(arrivals):
    long = requests(workload(chat(arrivals), horizon=2 * HOUR)).arrival_s
    cut = float(long[1234])
    short = requests(workload(chat(arrivals), horizon=cut)).arrival_s
    assert short.tolist() == long[:1234].tolist()


def test_columns_carry_stream_priority_and_types():
    found = requests(workload(chat(Poisson(rps=1), name="a"), chat(Poisson(rps=1), name="b", priority="sleep")))
    assert sorted(set(zip(found.stream.tolist(), found.priority.tolist(), strict=True))) == [(0, 0), (1, 2)]
    assert set(found.context_id.tolist()) | set(found.question_id.tolist()) == {-1}
    assert [column.dtype.str for column in found] == ["<f8"] + ["<i8"] * 10


# Keys


def splitmix64(seed: int, number: int) -> int:
    """Output `number`, counted from 0, of the generator as published."""
    z = (seed + (number + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def test_splitmix64_gives_the_published_numbers():
    """The first of those for seed 1234567 in Rosetta Code, "Pseudo-random numbers/Splitmix64"."""
    assert [splitmix64(1234567, number) for number in range(2)] == [6457827717110365317, 3203168211198807973]


def test_keys_are_splitmix64_of_the_streams_word_and_its_own_count():
    mine = chat(Poisson(rps=20))
    word = RandomStreams(1, 0).word("chat/luck")
    expected = [splitmix64(word, number) & (2**63 - 1) for number in range(500)]
    joined = requests(workload(chat(Poisson(rps=300), name="other"), mine))
    assert requests(workload(mine)).key[:500].tolist() == expected
    assert joined.key[joined.stream == 1][:500].tolist() == expected


def test_drawing_keys_in_parts_does_not_change_them():
    whole, parts = (Keys(RandomStreams(1, 0), "chat") for _ in range(2))
    assert whole.draw(10).tolist() == [key for rows in (0, 3, 7) for key in parts.draw(rows).tolist()]


# Merging


def block(arrival_s: list[float], stream: int) -> RequestBlock:
    counter = np.arange(len(arrival_s), dtype=np.int64)
    return plain_block(np.array(arrival_s), counter, counter, stream=stream)


def in_blocks(arrival_s: list[float], rows: int, stream: int) -> Iterator[RequestBlock]:
    return (block(arrival_s[at : at + rows], stream) for at in range(0, len(arrival_s), rows))


@given(
    st.lists(st.lists(st.integers(0, 6).map(float), max_size=30).map(sorted), max_size=5),
    st.integers(1, 5),
)
def test_merging_is_sorting_by_time_and_stream_whatever_the_blocks(streams: list[list[float]], rows: int):
    expected = sorted((time, index) for index, arrival_s in enumerate(streams) for time in arrival_s)
    sources = [in_blocks(arrival_s, rows, index) for index, arrival_s in enumerate(streams)]
    merged = [
        (time, stream)
        for part in merge_blocks(sources)
        for time, stream in zip(part.arrival_s.tolist(), part.stream.tolist(), strict=True)
    ]
    assert merged == expected


def test_a_stream_that_is_alone_passes_through_uncopied():
    parts = [block([1.0, 2.0], 0), block([3.0], 0)]
    assert all(given is got for given, got in zip(parts, merge_blocks([iter(parts)]), strict=True))


def test_merged_streams_are_in_order_and_blocks_are_never_empty():
    work = workload(
        *(chat(Poisson(rps=rps), name=f"s{rps}") for rps in (1, 30, 200)), chat(Gamma(rps=40, cv=4), name="g")
    )
    sizes = [part.arrival_s.size for part in work.blocks()]
    arrival_s = requests(work).arrival_s
    assert min(sizes) > 0
    assert np.all(np.diff(arrival_s) >= 0)
    assert arrival_s.size == pytest.approx(271 * HOUR, rel=0.01)


def test_memory_does_not_grow_with_the_number_of_requests():
    streams = [
        chat(Poisson(rps=400)),
        chat(Gamma(rps=100, cv=2), name="g"),
        chat(Daily(mean_rps=300), name="d"),
    ]
    peaks = []
    for horizon in (HOUR / 4, HOUR):
        blocks = workload(*streams, horizon=horizon).blocks()
        tracemalloc.start()
        assert sum(part.arrival_s.size for part in blocks) == pytest.approx(700 * horizon, rel=0.1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


# Lengths


def test_lognormal_lengths_have_their_median_spread_and_mean():
    prompts, outputs = LengthSampler(LOGNORMAL, RandomStreams(1, 0), "chat").draw(400_000)
    assert [np.median(prompts), np.median(outputs)] == pytest.approx([900, 150], rel=0.01)
    assert np.log(prompts).std() == pytest.approx(1.0, rel=0.01)
    assert mean_tokens(LOGNORMAL) == pytest.approx((900 * math.exp(0.5), 150 * math.exp(0.32)))
    assert (prompts.mean(), outputs.mean()) == pytest.approx(mean_tokens(LOGNORMAL), rel=0.01)


def test_lengths_are_capped_rounded_and_at_least_one():
    lengths = LognormalLengths(prompt_median=1000, prompt_sigma=2, output_median=0.5, output_sigma=1, prompt_max=2000)
    prompts, outputs = LengthSampler(lengths, RandomStreams(1, 0), "chat").draw(300_000)
    assert (prompts.max(), outputs.min()) == (2000, 1)
    assert prompts.mean() == pytest.approx(mean_tokens(lengths)[0], rel=0.01)


def test_monstrous_lengths_stay_whole_numbers():
    lengths = LognormalLengths(prompt_median=1e9, prompt_sigma=5, output_median=10, output_sigma=0)
    prompts, outputs = LengthSampler(lengths, RandomStreams(1, 0), "chat").draw(1000)
    assert (prompts.max(), set(outputs.tolist())) == (2**31 - 1, {10})


def test_quantile_lengths_follow_their_quantiles():
    prompts, outputs = LengthSampler(QUANTILES, RandomStreams(1, 0), "chat").draw(400_000)
    found = np.quantile(prompts, [0, 1 / 3, 0.5, 2 / 3, 1])
    assert found == pytest.approx([1, 50, 75, 100, 1000], rel=0.02)
    assert (prompts.mean(), outputs.mean()) == pytest.approx(mean_tokens(QUANTILES), rel=0.01)


def test_constant_lengths_are_constant():
    prompts, outputs = LengthSampler(CONSTANT, RandomStreams(1, 0), "chat").draw(3)
    assert (prompts.tolist(), outputs.tolist(), mean_tokens(CONSTANT)) == ([100] * 3, [20] * 3, (100.0, 20.0))


# Closed streams


def test_closed_streams_stand_beside_the_blocks():
    clients = chat(Closed(concurrency=8, think_time=2.5), CONSTANT, "clients", priority="batch")
    work = workload(chat(Poisson(rps=1)), clients)
    (closed,) = work.closed
    assert (closed.stream, closed.concurrency, closed.think_time_s, closed.requests, closed.priority) == (
        1, 8, 2.5, -1, 1,
    )  # fmt: skip
    assert set(requests(work).stream.tolist()) == {0}


def test_closed_streams_draw_their_lengths_in_order():
    clients = chat(Closed(concurrency=8, requests=100), name="clients")
    one, other = (workload(clients, horizon=None).closed[0] for _ in range(2))
    parts = np.hstack([one.draw(30), one.draw(70)])
    assert np.array_equal(parts, np.vstack(other.draw(100)))


@pytest.mark.parametrize(("end", "finite"), [({"requests": 5}, True), ({}, False)])
def test_a_workload_knows_whether_it_ends(end: dict[str, int], finite: bool):
    horizon = None if finite else HOUR
    assert workload(chat(Closed(concurrency=2, **end)), horizon=horizon).finite is finite
