"""Contexts made by chance: when they appear, what is asked about them, how they change and end."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest

from sim.errors import InputError
from sim.scenario import (
    ClientArrivals,
    Contexts,
    Daily,
    Gamma,
    GpuPool,
    InlineClient,
    LognormalLengths,
    Poisson,
    Reserved,
    Scenario,
    Stream,
)
from sim.streams import RandomStreams
from sim.workload.arrivals import arrival_times
from sim.workload.blocks import APPEARS, CHANGES, ENDS, ContextBlock, RequestBlock
from sim.workload.columns import joined
from sim.workload.contexts import GeneratedContexts
from sim.workload.in_order import in_time_order
from sim.workload.workload import Workload, build_workload

LENGTHS = LognormalLengths(prompt_median=200, prompt_sigma=1.0, output_median=150, output_sigma=0.8)
HOUR = 3600.0
USUAL = {
    "queries": {"kind": "geometric", "mean": 4},
    "think_time": {"kind": "lognormal", "median": "120s", "sigma": 1.0},
    "tokens": {"kind": "lognormal", "median": 6000, "sigma": 0.5},
    "lead": "30s",
    "changes_every": "10m",
}


def asking(arrivals=None, name: str = "chat", **contexts) -> Stream:
    about = Contexts(**(USUAL | contexts))
    return Stream(name=name, arrivals=arrivals or Poisson(rps=2), lengths=LENGTHS, contexts=about)


def workload(*streams: Stream, horizon: float = 10 * HOUR, seed: int = 1) -> Workload:
    pool = GpuPool(name="gpus", gpu="H100-SXM", model="Llama-3.1-8B", replicas=1, offer=Reserved(usd_per_gpu_hour=2))
    scenario = Scenario(name="test", horizon=horizon, workload=list(streams), fleet=[pool])
    return build_workload(scenario, RandomStreams(seed, 0))


def requests(work: Workload) -> RequestBlock:
    return joined(list(work.blocks()))


def events(work: Workload) -> ContextBlock:
    return joined(list(work.contexts()))


def by_context(rows: RequestBlock) -> dict[int, list[dict[str, float]]]:
    """Requests of each context in order of time."""
    found = defaultdict(list)
    for values in zip(*(column.tolist() for column in rows), strict=True):
        row = dict(zip(rows._fields, values, strict=True))
        found[row["context_id"]].append(row)
    return found


def alike(one, other) -> bool:
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


# Questions


def test_a_story_of_one_document():
    """Read at 0, asked after a minute and then every ten seconds; the text is in front of every question."""
    stream = asking(Gamma(rps=0.3, cv=1e-9), queries=3, think_time="10s", tokens=6000, lead="1m", changes_every=None)
    rows = requests(workload(stream))
    first_s = events(workload(stream)).at_s[0]
    story = by_context(rows)[0]
    assert [row["arrival_s"] - first_s for row in story] == pytest.approx([60, 70, 80])
    assert [(row["prefix_tokens"], row["keep_tokens"], row["version"]) for row in story] == [(6000, 6000, 0)] * 3
    assert all(row["prompt_tokens"] > 6000 for row in story)


def test_a_story_of_one_conversation():
    """Each turn brings everything before it: what was in the context, the questions, and the answers."""
    story = by_context(requests(workload(asking(conversation=True, queries=4, tokens=100))))[0]
    seen = 100
    for turn in story:
        question = turn["prompt_tokens"] - turn["prefix_tokens"]
        assert (turn["prefix_tokens"], question >= 1) == (seen, True)
        seen += question + turn["output_tokens"]
        assert turn["keep_tokens"] == seen


def test_requests_come_at_the_rate_of_the_stream():
    rows = requests(workload(asking(Poisson(rps=20), lead="10s", think_time="10s")))
    spread = math.sqrt(20 * 10 * HOUR * 7)  # compound of geometric numbers of mean 4: E[N^2]/E[N] = 7
    assert rows.arrival_s.size == pytest.approx(20 * 10 * HOUR, abs=4 * spread)


def test_questions_have_their_number_gaps_and_lead():
    work = workload(asking(Poisson(rps=40)))
    found, rows = events(work), requests(work)
    appeared = found.kind == APPEARS
    assert found.questions[appeared].mean() == pytest.approx(4.0, rel=0.02)
    order = np.lexsort((rows.arrival_s, rows.context_id))
    context, asked_s = rows.context_id[order], rows.arrival_s[order]
    same = context[1:] == context[:-1]
    assert np.median(np.diff(asked_s)[same]) == pytest.approx(120, rel=0.02)
    first = np.concatenate(([True], ~same))
    born = dict(zip(found.context_id[appeared].tolist(), found.at_s[appeared].tolist(), strict=True))
    leads = [
        asked - born[number] for number, asked in zip(context[first].tolist(), asked_s[first].tolist(), strict=True)
    ]
    assert np.array(leads) == pytest.approx(30.0, abs=1e-6)


def test_what_contexts_hold_is_drawn_once():
    rows = requests(workload(asking()))
    for story in itertools.islice(by_context(rows).values(), 500):
        assert len({row["prefix_tokens"] for row in story}) == 1


def test_bursts_and_the_day_shape_the_births():
    daily = asking(Daily(mean_rps=4, peak_hour=6.0, amplitude=1.0))
    born_s = events(workload(daily, horizon=24 * HOUR))
    born_s = born_s.at_s[born_s.kind == APPEARS]
    angle = np.angle(np.exp(2j * np.pi * born_s / (24 * HOUR)).sum())
    assert angle * 24 / (2 * np.pi) == pytest.approx(6.0, abs=0.1)


def test_clients_may_ask_about_contexts():
    clients = ClientArrivals(clients=[InlineClient(name="a", rps=4.0), InlineClient(name="b", rps=6.0)])
    rows = requests(workload(asking(clients, lead="0s", think_time="1s")))
    assert rows.arrival_s.size == pytest.approx(10 * 10 * HOUR, rel=0.03)


def test_clients_with_lengths_of_their_own_cannot():
    clients = ClientArrivals(clients=[InlineClient(name="a", rps=4.0, lengths=LENGTHS)])
    with pytest.raises(InputError, match="contexts of stream chat cannot be given with clients that bring lengths"):
        workload(asking(clients))


# What must not change them


@pytest.mark.parametrize("rows", [3, 100])
@pytest.mark.parametrize("births", [1, 7, 1000])
@pytest.mark.parametrize("contexts", [{}, {"conversation": True, "think_time": "1s"}], ids=["documents", "even talk"])
def test_how_many_are_made_at_a_time_changes_nothing(births: int, rows: int, contexts: dict):
    def made(births: int, rows: int) -> tuple[RequestBlock, ContextBlock]:
        stream = asking(Gamma(rps=2, cv=1e-9), **contexts)
        law = Gamma(rps=0.5, cv=1e-9)

        def born(streams: RandomStreams):
            random = streams.generator("chat/arrivals")
            return arrival_times(law, random, HOUR, start=None, time_zone="UTC", rows=births)  # type: ignore[arg-type]

        source, streams = GeneratedContexts(0, stream, 1, HOUR, rows, born), RandomStreams(1, 0)
        return joined(list(source.requests(streams))), joined(list(source.events(streams)))

    for one, other in zip(made(births, rows), made(65_536, 65_536), strict=True):
        assert alike(one, other)


def test_the_same_seed_gives_the_same_and_another_does_not():
    assert alike(requests(workload(asking())), requests(workload(asking())))
    assert alike(events(workload(asking())), events(workload(asking())))
    assert not alike(requests(workload(asking()))[:1], requests(workload(asking(), seed=2))[:1])


def test_other_streams_change_only_the_numbers():
    alone = requests(workload(asking()))
    company = [
        asking(Poisson(rps=30), name="more"),
        asking(),
        Stream(name="x", arrivals=Poisson(rps=9), lengths=LENGTHS),
    ]
    together = requests(workload(*company))
    mine = RequestBlock._make(column[together.stream == 1] for column in together)
    expected = alone._replace(stream=mine.stream, context_id=3 * alone.context_id + 1)
    assert alike(mine, expected)


def test_the_horizon_cuts_exactly():
    long = workload(asking(), horizon=4 * HOUR)
    cut_s = float(requests(long).arrival_s[1234])
    short = workload(asking(), horizon=cut_s)
    assert alike(requests(short), [column[:1234] for column in requests(long)])
    kept = events(long).at_s < cut_s
    assert alike(events(short), [column[kept] for column in events(long)])


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"think_time": "1s"}, ["tokens", "questions", "predictability"]),
        ({"tokens": 5}, ["at_s", "questions", "predictability", "version", "kind"]),
        ({"changes_every": None}, ["tokens", "questions", "predictability"]),
    ],
)
def test_each_choice_has_draws_of_its_own(change: dict, same: list[str]):
    one, other = (events(workload(asking(**contexts))) for contexts in ({}, change))
    for name in same:
        if name in ("at_s", "version", "kind"):
            assert np.array_equal(getattr(one, name), getattr(other, name))
        else:
            mine, theirs = (getattr(rows, name)[rows.kind == APPEARS] for rows in (one, other))
            assert np.array_equal(mine, theirs)


def test_memory_does_not_grow_with_the_horizon():
    peaks = []
    for horizon in (4 * HOUR, 16 * HOUR):
        work = workload(asking(Poisson(rps=100)), horizon=horizon)
        tracemalloc.start()
        assert sum(part.arrival_s.size for part in work.blocks()) == pytest.approx(100 * horizon, rel=0.1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


# What happens to contexts


def test_events_and_requests_tell_the_same_story():
    """Replayed in time order, every request meets its context alive and in the version that it names."""
    work = workload(asking(Poisson(rps=1)), asking(Gamma(rps=1, cv=2), name="talk", conversation=True))
    found, rows = events(work), requests(work)
    columns = (found.at_s, 2 * (found.kind == ENDS), found.context_id, found.version)
    moments = list(zip(*(column.tolist() for column in columns), strict=True))
    columns = (rows.arrival_s, np.ones_like(rows.key), rows.context_id, rows.version)
    moments += zip(*(column.tolist() for column in columns), strict=True)
    alive: dict[int, int] = {}
    for _, order, number, version in sorted(moments, key=lambda moment: moment[:2]):
        if order == 0:
            assert version == alive.get(number, -1) + 1
            alive[number] = version
        else:
            assert alive[number] == version
            if order == 2:
                del alive[number]


def test_events_are_in_order_and_numbers_dense():
    found = events(workload(asking(), asking(name="more")))
    assert np.all(np.diff(found.at_s) >= 0)
    for stream in (0, 1):
        born = found.context_id[(found.kind == APPEARS) & (found.stream == stream)]
        assert born.tolist() == [2 * number + stream for number in range(born.size)]


def test_changes_come_at_their_rate():
    work = workload(asking(Poisson(rps=20), changes_every="2m"), horizon=20 * HOUR)
    found = events(work)
    lives = defaultdict(float)
    for at_s, number, kind in zip(found.at_s.tolist(), found.context_id.tolist(), found.kind.tolist(), strict=True):
        lives[number] += at_s if kind == ENDS else -at_s if kind == APPEARS else 0.0
    ended = set(found.context_id[found.kind == ENDS].tolist())
    lived_s = sum(length for number, length in lives.items() if number in ended)
    changes = sum(number in ended for number in found.context_id[found.kind == CHANGES].tolist())
    assert changes == pytest.approx(lived_s / 120, abs=4 * math.sqrt(lived_s / 120))


def test_contexts_that_never_change_have_one_version():
    work = workload(asking(changes_every=None))
    assert set(events(work).kind.tolist()) == {APPEARS, ENDS}
    assert requests(work).version.max() == 0


def test_ends_and_questions_agree_with_the_requests():
    work = workload(asking(think_time="1s", lead="1s"))
    stories, found = by_context(requests(work)), events(work)
    ends = np.flatnonzero(found.kind == ENDS)
    for at in ends[:1000].tolist():
        story = stories[int(found.context_id[at])]
        assert (story[-1]["arrival_s"], len(story)) == (found.at_s[at], found.questions[at])


def test_ranks_are_even_and_the_same_from_both_sides():
    work = workload(asking(Poisson(rps=20)), asking(name="given", predictability=0.25))
    found, rows = events(work), requests(work)
    drawn = found.predictability[(found.kind == APPEARS) & (found.stream == 0)]
    deciles = np.histogram(drawn, bins=10, range=(0, 1))[0] / drawn.size
    assert deciles == pytest.approx(0.1, abs=0.005)
    known = dict(zip(found.context_id.tolist(), found.predictability.tolist(), strict=True))
    assert work.predictability(rows.context_id).tolist() == [known[number] for number in rows.context_id.tolist()]
    assert set(found.predictability[found.stream == 1].tolist()) == {0.25}
    assert np.isnan(work.predictability(np.array([-1, 0]))).tolist() == [True, False]


def test_events_do_not_depend_on_how_far_the_requests_are():
    work = workload(asking())
    blocks = work.blocks()
    next(blocks)
    assert alike(events(work), events(workload(asking())))


def test_a_workload_without_contexts_tells_of_none():
    plain = Stream(name="x", arrivals=Poisson(rps=9), lengths=LENGTHS)
    assert list(workload(plain).contexts()) == []


# Order


class Rows(NamedTuple):
    time: np.ndarray
    number: np.ndarray


def test_rows_of_one_instant_stay_in_the_order_they_were_made():
    def part(times: list[float], first: int) -> Rows:
        return Rows(np.array(times), np.arange(first, first + len(times)))

    parts = [(part([5.0, 1, 9, 1], 0), 1.0), (part([2.0, 5, 1], 4), 5.0), (part([9.0, 5, 5.5], 7), 9.0)]
    found = joined(list(in_time_order(iter(parts), 2)))
    rows = joined([part for part, _ in parts])
    assert list(zip(*found, strict=True)) == sorted(zip(*rows, strict=True))
