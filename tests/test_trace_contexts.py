"""Contexts from traces: sessions with a clock each, chains of blocks, and the columns of our own layout."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import TraceError
from sim.scenario import Contexts, Daily, ForecastError, GpuPool, Poisson, Reserved, Scenario, Stream, TraceArrivals
from sim.streams import RandomStreams
from sim.workload.blocks import APPEARS, CHANGES, ENDS, ContextBlock, RequestBlock
from sim.workload.columns import joined
from sim.workload.convert import convert_trace
from sim.workload.forecast import build_forecast
from sim.workload.inspect import format_inspection, inspect_trace
from sim.workload.numbering import Numbering
from sim.workload.traces import TraceReader, TraceRows
from sim.workload.traces.chains import Chains
from sim.workload.workload import Workload, build_workload

DATA = Path(__file__).parent / "data" / "traces"
AGENTIC, MOONCAKE, SHARES = DATA / "agentic.csv", DATA / "mooncake.jsonl", DATA / "shares.csv"
HOUR = 3600.0


def read(path: Path, format: str | None = None, on_bad_row: str = "refuse") -> TraceRows:
    return joined(list(TraceReader(path, format, on_bad_row).rows()))


def scenario(
    *arrivals: TraceArrivals, horizon: float | None = None, contexts: Contexts | None = None, **rest
) -> Scenario:
    pool = GpuPool(name="gpus", gpu="H100-SXM", model="Llama-3.1-8B", replicas=1, offer=Reserved(usd_per_gpu_hour=2))
    streams = [Stream(name=f"s{index}", arrivals=one, contexts=contexts) for index, one in enumerate(arrivals)]
    return Scenario(name="test", horizon=horizon, workload=streams, fleet=[pool], **rest)


def workload(*arrivals: TraceArrivals, seed: int = 1, **rest) -> Workload:
    return build_workload(scenario(*arrivals, **rest), RandomStreams(seed, 0))


def requests(work: Workload) -> RequestBlock:
    return joined(list(work.blocks()))


def events(work: Workload) -> ContextBlock:
    return joined(list(work.contexts()))


def agentic(starts=None, **rest) -> TraceArrivals:
    return TraceArrivals(path=AGENTIC, format="agentic", starts=starts, **rest)


def shares(**rest) -> TraceArrivals:
    return TraceArrivals(path=SHARES, format="nightshift", **rest)


def alike(one, other) -> bool:
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def told(found: ContextBlock) -> list[tuple]:
    """Time, context, kind and version of each event."""
    return list(zip(*(found[place].tolist() for place in (0, 1, 3, 4)), strict=True))


@pytest.fixture
def edited(tmp_path: Path):
    """Writes a changed copy of a trace and gives back its path."""

    def write(path: Path, old: str, new: str) -> Path:
        text = path.read_text(encoding="utf-8")
        assert old in text
        copy = tmp_path / path.name
        copy.write_text(text.replace(old, new), encoding="utf-8")
        return copy

    return write


# Sessions


def test_sessions_are_read_in_time_order_as_if_all_began_at_once():
    rows = read(AGENTIC, "agentic")
    assert rows.arrival_s.tolist() == [0, 0, 9, 12, 15, 40, 100]
    assert rows.context_id.tolist() == [0, 2, 0, 1, 1, 0, 2]


def test_every_agent_builds_on_its_own_prompts():
    rows = read(AGENTIC, "agentic")
    helper = rows.context_id == 1
    assert rows.prefix_tokens[helper].tolist() == [0, 496]
    assert rows.keep_tokens[helper].tolist() == [520, 610]


def test_without_starts_all_sessions_begin_at_once():
    rows = requests(workload(agentic()))
    assert rows.arrival_s.tolist() == [0, 0, 9, 12, 15, 40, 100]
    assert rows.context_id.tolist() == [0, 1, 0, 2, 2, 0, 1]


def test_a_session_keeps_its_own_clock_wherever_it_begins():
    rows = requests(workload(agentic(Poisson(rps=0.001))))
    gaps = {tuple(np.diff(rows.arrival_s[rows.context_id == number]).round(6)) for number in range(3)}
    assert gaps == {(9, 31), (3,), (100,)}
    assert rows.arrival_s[0] > 0


def test_speed_quickens_sessions_but_not_their_beginnings():
    one, fast = (requests(workload(agentic(Poisson(rps=0.001), speed=speed))) for speed in (1.0, 10.0))
    assert one.arrival_s[0] == fast.arrival_s[0]
    last = one.context_id == one.context_id.max()
    assert np.ptp(one.arrival_s[last]) == pytest.approx(
        10 * np.ptp(fast.arrival_s[fast.context_id == fast.context_id.max()])
    )


def test_each_session_is_played_as_often_as_asked_for_and_begins_at_the_rate():
    rows = requests(workload(agentic(Poisson(rps=0.5), repeat=500)))
    assert np.count_nonzero(rows.prompt_tokens == 1000) == np.count_nonzero(rows.prompt_tokens == 2000) == 500
    assert rows.context_id.max() + 1 == 3 * 500 == np.unique(rows.context_id).size
    assert rows.arrival_s[-1] == pytest.approx(1000 / 0.5, rel=0.15)


def test_sessions_in_a_day_follow_its_shape():
    work = workload(agentic(Daily(mean_rps=0.05, peak_hour=6.0, amplitude=1.0), repeat=5000), horizon=24 * HOUR)
    angle = np.angle(np.exp(2j * np.pi * requests(work).arrival_s / (24 * HOUR)).sum())
    assert angle * 24 / (2 * np.pi) == pytest.approx(6.0, abs=0.2)


def test_the_order_of_sessions_is_left_to_chance_and_to_the_seed():
    orders = {
        tuple(requests(workload(agentic(Poisson(rps=1e-6), repeat=8), seed=seed)).prompt_tokens.tolist())
        for seed in (1, 1, 2)
    }
    assert len(orders) == 2


def test_a_horizon_cuts_sessions_exactly():
    long = requests(workload(agentic(Poisson(rps=0.02), repeat=200), horizon=HOUR))
    short = requests(workload(agentic(Poisson(rps=0.02), repeat=200), horizon=float(long.arrival_s[100])))
    assert alike(short, [column[:100] for column in long])


def test_the_forecast_of_sessions_counts_those_that_will_come():
    of = scenario(agentic(Poisson(rps=0.1), repeat=100), forecast=ForecastError(error=0.0, window=60.0))
    streams = RandomStreams(1, 0)
    found = requests(build_workload(of, streams)).arrival_s
    expected = np.count_nonzero(found < 600) / 600
    assert build_forecast(of, streams).rps(0.0, 600.0)[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("one,main,1,9.0", "one,main,1,90.0", r"agentic\.csv:4  40\.0 in t_s is earlier than the row before it of"),
        ("1100,40,1000", "1100,0,1000", r":3  0 in output_tokens must be at least 1"),
        ("600,10,496", "600,10,601", r":6  601 in shared_prefix_tokens_with_prev must be at most the prompt_tokens"),
        ("2000,70,0", "2000,70,-2", r":7  -2 in shared_prefix_tokens_with_prev must not be negative"),
        (",agent,", ",who,", r":1  .* lacks agent of format agentic"),
    ],
)
def test_faults_of_sessions_are_told_by_line(edited, old: str, new: str, fault: str):
    path = edited(AGENTIC, old, new)
    with pytest.raises(TraceError, match=fault):
        read(path, "agentic")


def test_bad_rows_of_sessions_can_be_left_out(edited):
    path = edited(AGENTIC, "one,main,1,9.0", "one,main,1,90.0")
    reader = TraceReader(path, "agentic", "skip")
    assert joined(list(reader.rows())).arrival_s.tolist() == [0, 0, 12, 15, 90, 100]
    assert reader.skipped == 1


def test_sessions_with_no_good_row_are_refused(tmp_path: Path):
    path = tmp_path / "empty.csv"
    path.write_text(AGENTIC.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    with pytest.raises(TraceError, match="is an empty trace"):
        workload(TraceArrivals(path=path, format="agentic"))


# Chains


def test_a_prompt_belongs_to_the_context_whose_latest_prompt_it_shares_most_with():
    rows = read(MOONCAKE)
    assert rows.context_id.tolist() == [0, 1, 0, -1, 0, 1, 1]
    assert rows.prefix_tokens.tolist() == [0, 0, 1024, 0, 1024, 1500, 2400]
    assert rows.keep_tokens.tolist() == [1200, 1500, 1800, 0, 1200, 2400, 2400]


def naive_places(chains: list[list[int]]) -> list[tuple[int, int]]:
    """The same by looking at the latest prompt of every context; of equal ones the latest to be asked."""
    latest: dict[int, tuple[int, list[int]]] = {}
    places = []
    for now, chain in enumerate(chains):
        shared = {
            number: next((at for at, pair in enumerate(zip(chain, other, strict=False)) if pair[0] != pair[1]),
                         min(len(chain), len(other)))
            for number, (_, other) in latest.items()
        }  # fmt: skip
        best = max(shared, key=lambda number: (shared[number], latest[number][0]), default=-1)
        place = (best, 512 * shared[best]) if best >= 0 and shared[best] >= 2 else (len(latest), 0)
        latest[place[0]] = (now, chain)
        places.append(place)
    return places


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5), max_size=12))
def test_chains_agree_with_looking_at_every_context(prompts: list[list[int]]):
    """A block is named after all that is before it, as in the trace."""
    names: dict[tuple[int, ...], int] = {}
    chains = [
        [names.setdefault(tuple(prompt[: end + 1]), len(names)) for end in range(len(prompt))] for prompt in prompts
    ]
    placed = Chains()
    assert [tuple(placed.place(chain, 512 * len(chain))) for chain in chains] == naive_places(chains)


def test_bad_chains_are_faults(edited):
    path = edited(MOONCAKE, "[0, 3, 4]}", '"0 3 4"}')
    with pytest.raises(TraceError, match=r'mooncake\.jsonl:2  "0 3 4" in hash_ids is not a list of whole numbers'):
        read(path)


# Our own layout


def test_columns_of_contexts_are_read():
    rows = read(SHARES)
    assert rows.version.tolist() == [0, 0, 0, 2, 2]
    assert rows.prefix_tokens.tolist() == [800, 0, 0, 800, 800]
    assert rows.keep_tokens.tolist() == [800, 0, 930, 800, 800]


def test_contexts_are_numbered_by_their_first_appearance():
    rows = requests(workload(shares(), shares()))
    assert rows.context_id[rows.stream == 0].tolist() == [0, -1, 2, 0, 0]
    assert rows.context_id[rows.stream == 1].tolist() == [1, -1, 3, 1, 1]


def test_copies_have_contexts_of_their_own():
    rows = requests(workload(shares(repeat=2)))
    assert rows.context_id.tolist() == [0, -1, 1, 0, 0, 2, -1, 3, 2, 2]


@given(st.lists(st.lists(st.integers(-1, 5), max_size=6), max_size=4))
def test_numbers_do_not_depend_on_how_many_come_at_a_time(parts: list[list[int]]):
    together, apart = Numbering(7), Numbering(7)
    whole = together.of(np.array([name for part in parts for name in part], np.int64))
    assert whole.tolist() == [n for part in parts for n in apart.of(np.array(part, np.int64)).tolist()]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("0,800,800\n2", "0,1001,800\n2", r":2  1001 in prefix_tokens must be at most the prompt_tokens; correct the"),
        ("0,800,800\n2", "0,800,1011\n2", r":2  1011 in keep_tokens must be at most prompt_tokens and output_tokens"),
        ("0,800,800\n2", "-7,800,800\n2", r":2  -7 in version must not be negative"),
        (",,,\n", ",1,,\n", r":3  1 in version is given without a context_id"),
        (",,,\n", ",,9,\n", r":3  9 in prefix_tokens is given without a context_id"),
        (",,,\n", ",,,9\n", r":3  9 in keep_tokens is given without a context_id"),
        (",,,\n", ",,,x\n", r":3  x in keep_tokens is not a number"),
    ],
)
def test_faults_of_these_columns_are_told_by_line(edited, old: str, new: str, fault: str):
    path = edited(SHARES, old, new)
    with pytest.raises(TraceError, match=fault):
        read(path)


# Events


def test_contexts_of_a_trace_appear_change_and_end():
    found = told(events(workload(shares())))
    change_s = [at_s for at_s, *_ in found if 1 < at_s < 5 and at_s != 3]
    assert found == [
        (1.0, 0, APPEARS, 0),
        *sorted([(3.0, 1, APPEARS, 0), (3.0, 1, ENDS, 0), *((s, 0, CHANGES, n + 1) for n, s in enumerate(change_s))]),
        (8.0, 0, ENDS, 2),
    ]
    assert len(change_s) == 2


def test_events_tell_the_first_prompt_and_the_questions():
    found = events(workload(shares()))
    appeared = found.kind == APPEARS
    assert found.tokens[appeared].tolist() == [1000, 900]
    assert found.questions[appeared].tolist() == [3, 1]
    assert np.all((found.predictability >= 0) & (found.predictability < 1))


def test_contexts_may_appear_before_their_first_request():
    found = events(workload(shares(), contexts=Contexts(lead="1.5s", predictability=0.5)))
    appeared = found.kind == APPEARS
    assert found.at_s[appeared].tolist() == [0.0, 1.5]
    assert set(found.predictability.tolist()) == {0.5}


def test_the_horizon_cuts_events():
    cut = told(events(workload(shares(), horizon=5.0)))
    assert cut == [event for event in told(events(workload(shares()))) if event[0] < 5.0]


def test_events_of_sessions_agree_with_their_requests():
    work = workload(agentic(Poisson(rps=0.05), repeat=100), agentic(Poisson(rps=0.02), repeat=30), horizon=HOUR)
    rows, found = requests(work), events(work)
    times = defaultdict(list)
    for number, at_s in zip(rows.context_id.tolist(), rows.arrival_s.tolist(), strict=True):
        times[number].append(at_s)
    born = {number: at_s for at_s, number, kind, _ in told(found) if kind == APPEARS}
    assert born == {number: story[0] for number, story in times.items()}
    ended = {number: at_s for at_s, number, kind, _ in told(found) if kind == ENDS}
    assert ended.items() <= {number: story[-1] for number, story in times.items()}.items()
    assert np.all(np.diff(found.at_s) >= 0)


def test_a_trace_can_be_made_to_change():
    contexts = Contexts(changes_every="50s")
    work = workload(agentic(Poisson(rps=0.5), repeat=2000), contexts=contexts)
    rows, found = requests(work), events(work)
    lived_s = found.at_s[found.kind == ENDS].sum() - found.at_s[found.kind == APPEARS].sum()
    changes = np.count_nonzero(found.kind == CHANGES)
    assert changes == pytest.approx(lived_s / 50, rel=0.05)
    known: dict[int, int] = defaultdict(int)
    moments = [(at_s, 0, number, version) for at_s, number, kind, version in told(found) if kind == CHANGES]
    moments += zip(
        rows.arrival_s.tolist(), [1] * rows.key.size, rows.context_id.tolist(), rows.version.tolist(), strict=True
    )
    for _, is_request, number, version in sorted(moments):
        if is_request:
            assert known[number] == version
        else:
            assert version == known[number] + 1
            known[number] = version


def test_changes_before_a_horizon_do_not_depend_on_it():
    contexts = Contexts(changes_every="20s")
    long, short = (
        requests(workload(agentic(Poisson(rps=0.05), repeat=100), contexts=contexts, horizon=horizon))
        for horizon in (HOUR, HOUR / 2)
    )
    assert alike(short, [column[: short.key.size] for column in long])


# Inspection and conversion


def test_inspection_tells_of_contexts():
    found = inspect_trace(AGENTIC)
    assert found["contexts"] == 3
    assert found["requests_per_context"] == {"mean": 7 / 3, "p50": 2.0, "p90": 2.8, "p99": 2.98, "max": 3.0}
    assert found["idle_gap_s"]["mean"] == (9 + 31 + 3 + 100) / 4
    assert found["prefix_share"] == (1000 + 1136 + 496 + 512) / 8500
    text = format_inspection(found)
    assert "(agentic, as if all sessions began at 0)" in text
    assert "37.0% of prompt tokens may be shared" in text


def test_inspection_of_a_trace_without_contexts_tells_of_none(tmp_path: Path):
    path = tmp_path / "plain.csv"
    path.write_text("arrival_s,prompt_tokens,output_tokens\n1,2,3\n", encoding="utf-8")
    found = inspect_trace(path)
    assert (found["contexts"], found["requests_per_context"], found["idle_gap_s"], found["prefix_share"]) == (
        0, None, None, None,
    )  # fmt: skip
    assert "prefix" not in format_inspection(found)


@pytest.mark.parametrize("source", [AGENTIC, MOONCAKE, SHARES], ids=lambda path: path.stem)
def test_conversion_keeps_what_requests_share(tmp_path: Path, source: Path):
    target = tmp_path / "out.csv"
    convert_trace(source, target)
    assert target.read_text(encoding="utf-8").startswith("arrival_s,prompt_tokens,output_tokens,context_id,question_id,"
                                                         "priority,version,prefix_tokens,keep_tokens\n")  # fmt: skip
    assert alike(read(source), read(target, "nightshift"))


def test_conversion_without_shares_has_no_columns_for_them(edited, tmp_path: Path):
    target = tmp_path / "out.csv"
    convert_trace(edited(SHARES, ",version,prefix_tokens,keep_tokens", ",a,b,c"), target)
    assert target.read_text(encoding="utf-8").startswith(
        "arrival_s,prompt_tokens,output_tokens,context_id,question_id,priority\n"
    )


# Public traces


def test_the_agentic_sessions(shared: Path):
    path = shared / "traces" / "agentic-coding-sessions.csv.gz"
    with pytest.raises(TraceError, match=r"\.csv\.gz:\d+  0 in output_tokens must be at least 1"):
        read(path, "agentic")
    reader = TraceReader(path, "agentic", "skip")
    sessions = reader.sessions()
    assert (len(sessions), sessions.first_context[-1], reader.skipped) == (515, 558, 19)
    assert sessions.rows.prefix_tokens.sum() / sessions.rows.prompt_tokens.sum() == pytest.approx(0.961, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "contexts", "share"), [("conversation.first45min", 5_568, 0.334), ("synthetic", 2_245, 0.650)]
)
def test_most_of_what_mooncake_prompts_share_is_found(shared: Path, name: str, contexts: int, share: float):
    """The most there is, over all earlier prompts and with the first block, is 0.354 and 0.640 of all blocks."""
    found = inspect_trace(shared / "traces" / f"mooncake-{name}.jsonl.gz")
    assert (found["contexts"], found["prefix_share"]) == (contexts, pytest.approx(share, abs=5e-4))
